"""What the platform promises: services and their objectives."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from harness.catalog.pods import NONE, PodSettings

Tier = Literal["foundation", "business", "user", "specialized", "infrastructure", "development"]
RegionRole = Literal["active", "standby", "cold"]
Indicator = Literal[
    "latency", "throughput", "error_ratio", "availability",
    "time_to_first_token", "inter_token_latency", "goodput",
]  # fmt: skip
"""The last three are of streamed answers, named as in AIPerf."""

TIMES: tuple[Indicator, ...] = ("latency", "time_to_first_token", "inter_token_latency")
"""Indicators with a quantile and a threshold in seconds."""


@dataclass(frozen=True, slots=True)
class Route:
    """One path of a service's API; `{name}` in it is a variable."""

    path: str
    methods: tuple[str, ...] = ("GET",)
    name: str = ""
    """What an OpenAPI document would call its operationId."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One promise, judged on the hold phase of a run.

    `threshold` is in seconds for TIMES, requests/s for throughput and a ratio otherwise. Times and
    the error ratio must stay below it; throughput, availability and goodput must reach it.
    """

    name: str
    indicator: Indicator
    threshold: float
    quantile: float | None = None
    endpoints: tuple[str, ...] = ()
    """The endpoints it is about, by name or pattern (`GET *`); none named means all of them."""

    window_s: float | None = None
    """Length of an availability slice in seconds; None: one minute."""

    @property
    def upper(self) -> bool:
        """Whether the threshold is a ceiling (times, errors) rather than a floor."""
        return self.indicator in {*TIMES, "error_ratio"}


def in_scope(endpoint: str, patterns: Sequence[str]) -> bool:
    """Whether an endpoint is one of those named; nothing named means every endpoint."""
    return not patterns or any(fnmatchcase(endpoint, pattern) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class Environment:
    """A place where the service runs; production needs an explicit word before it is touched."""

    name: str
    base_url: str
    namespace: str
    production: bool = False
    pods: PodSettings = NONE
    """Of the pods that the harness makes there."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many requests each client may send in a window; `header` says which client asks."""

    requests: int
    window_s: float = 60.0
    header: str = "x-api-key"


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the platform as its catalogue entry describes it."""

    name: str
    tier: Tier
    core_app: bool
    port: int
    purpose: str
    replicas: int
    cpu: float
    memory: str
    health_path: str
    routes: tuple[Route, ...]
    regions: tuple[str, ...]
    environments: tuple[Environment, ...]
    objectives: tuple[Objective, ...]
    primary: str
    """Name of the objective's endpoint-independent primary metric for the gate, e.g. `p95`."""
    region_roles: tuple[RegionRole, ...] = ()
    """What each of `regions` is for, in the same order; the first is active."""

    gate: tuple[str, ...] = ()
    """Rules for rows of the gate, such as `pay:p95=critical,10%`; later ones win."""

    profiles: tuple[str, ...] = ()
    """Load profiles that suit it, the likeliest first."""

    depends_on: tuple[str, ...] = ()
    """The services that it calls while it answers."""

    degrades_without: tuple[str, ...] = ()
    """Those of `depends_on` without which it still answers."""

    rate_limit: RateLimit | None = None
    """Of the gateway in front of it; None: none is declared."""

    def least(self, indicator: Indicator, default: float) -> float:
        """The lowest threshold of its objectives about this; `default` where it has none."""
        found = (o.threshold for o in self.objectives if o.indicator == indicator)
        return min(found, default=default)
