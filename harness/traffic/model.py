"""What is sent and how fast: the declarative part of a traffic model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Spacing = Literal["constant", "poisson"]
Phase = Literal["warmup", "ramp", "hold", "cooldown"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a stream keeps that counts into the goodput, in seconds; None: no limit."""

    ttft_s: float | None = None
    itl_s: float | None = None
    response_s: float | None = None


@dataclass(frozen=True, slots=True)
class Streaming:
    """How an answer that comes event by event ends: with the data `until`; None: with its body.

    It is given up when nothing has come for `silence_s`.
    """

    until: str | None = "[DONE]"
    silence_s: float = 30.0
    limits: Limits | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A weighted request template; `{name}` draws from the feed of that name."""

    name: str
    method: str
    path: str
    weight: float = 1.0
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None
    timeout_s: float = 10.0
    checks: tuple[dict[str, object], ...] = ()
    log: bool = False
    stream: Streaming | None = None
    """None: the answer counts when it is complete."""

    capture: tuple[dict[str, object], ...] = ()
    """Of a step of a chain: the values that it takes from its answer, each `as` a name."""

    think_s: float = 0.0
    """Of a step of a chain: how long after the answer before it is due."""

    parts: tuple[str | dict[str, str], ...] = ()
    """Instead of `body`: templates and bytes (`{"base64": …}`) one after another."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Requests that the engine sends one after another, weighted among the mix."""

    name: str
    steps: tuple[Request, ...]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Journey:
    """A weighted Python journey: `method` is the name of the User's method."""

    name: str
    method: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Setup:
    """A hook before the load: the User's `method` gives the values of `feeds`.

    It is run again every `refresh_s` seconds; None: never.
    """

    method: str
    feeds: tuple[str, ...]
    refresh_s: float | None = None


@dataclass(frozen=True, slots=True)
class Audit:
    """How acknowledged writes are read back, and what a canary may ask for.

    `write` names the request of the mix that creates, `id` the feed whose value is the new id,
    `read` the path that reads one back (`{id}` in it). `canary` is a path that always answers, and
    `expected` a text that stands in the answer.
    """

    write: str
    id: str
    read: str
    canary: str | None = None
    expected: str | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """A LoadTestShape of a locustfile: its most users, and when it ends (s; None: never)."""

    name: str
    users: int
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class TrafficModel:
    """The mix of one scenario: what the engine sends, what Python walks through."""

    service: str
    scenario: str
    source: str
    requests: tuple[Request, ...]
    journeys: tuple[Journey, ...] = ()
    feeds: dict[str, dict[str, Any]] = field(default_factory=dict)
    audit: Audit | None = None
    journeys_digest: str | None = None
    """Of the code that journeys and set-up hooks run; None without, and in records of old."""

    variables: tuple[str, ...] = ()
    """Of the environment, which the file reads when it is imported: their values are secrets."""

    locustfile: bool = False
    """Whether it is an ordinary locustfile: `journeys` are its classes, whose users loop."""

    shape: Shape | None = None
    """What says how many users of a locustfile there are; None: the load profile."""

    setups: tuple[Setup, ...] = ()
    """What runs before the load, in this order."""

    population: str = ""
    """Its name, where a run has several."""

    load: str = ""
    """Of a population beside the first: its arrivals (see `harness.traffic.populations`)."""

    others: tuple[TrafficModel, ...] = ()
    """The populations beside the first."""
    chains: tuple[Chain, ...] = ()

    across: tuple[str, ...] = ()
    """Other services that the journeys ask."""

    @property
    def templates(self) -> tuple[Request, ...]:
        """All that the engine sends: the mix and the steps of the chains."""
        return (*self.requests, *(step for chain in self.chains for step in chain.steps))

    def mapped(self, change: Callable[[Request], Request]) -> TrafficModel:
        """The model with each of its templates changed."""
        chains = (replace(each, steps=tuple(map(change, each.steps))) for each in self.chains)
        return replace(self, requests=tuple(map(change, self.requests)), chains=tuple(chains))

    @property
    def one_each(self) -> bool:
        """Whether each arrival is one request."""
        return not self.journeys and not self.chains


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of linearly changing arrival rate (requests/s); `hold` segments are judged."""

    phase: Phase
    duration_s: float
    from_rate: float
    to_rate: float


@dataclass(frozen=True, slots=True)
class LoadProfile:
    """When requests become due.

    Open model: `segments` (with `spacing`) or `replay_ns` (due times from the start). A trace with
    endpoints also says what arrival k sends: the endpoint `replay_endpoints[replay_requests[k]]`,
    with the k-th of `replay_values` of each feed.
    Closed model: `users` > 0 keep one request each in flight; labelled as such everywhere.
    """

    name: str
    segments: tuple[Segment, ...]
    spacing: Spacing = "poisson"
    seed: int = 1
    replay_ns: tuple[int, ...] = ()
    replay_endpoints: tuple[str, ...] = ()
    replay_requests: tuple[int, ...] = ()
    replay_values: dict[str, tuple[str, ...]] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    """Of a replayed file: what was left out, counted, with the first of it."""

    users: int = 0
    think_s: float = 0.0
    spawn_rate: float = 0.0
    """Users of a locustfile that begin in a second."""

    @property
    def model(self) -> Literal["open", "closed"]:
        """Open (arrivals do not wait for answers) or closed (N users)."""
        return "closed" if self.users else "open"

    @property
    def duration_s(self) -> float:
        """Seconds from the first to the last possible arrival."""
        return sum(segment.duration_s for segment in self.segments)

    @property
    def hold_s(self) -> float:
        """Seconds that are judged."""
        return sum(segment.duration_s for segment in self.segments if segment.phase == "hold")

    def whole_seconds(self, phase: Phase) -> tuple[int, ...]:
        """The seconds from the start that lie wholly in a phase."""
        return tuple(
            second
            for name, begin, end in self.phases()
            if name == phase
            for second in range(math.ceil(begin - 1e-9), math.floor(end + 1e-9))
        )

    def phases(self) -> tuple[tuple[Phase, float, float], ...]:
        """(phase, begin, end) in seconds from the start, neighbours of one phase joined."""
        spans: list[tuple[Phase, float, float]] = []
        begin = 0.0
        for segment in self.segments:
            end = begin + segment.duration_s
            if spans and spans[-1][0] == segment.phase:
                spans[-1] = (segment.phase, spans[-1][1], end)
            else:
                spans.append((segment.phase, begin, end))
            begin = end
        return tuple(spans)
