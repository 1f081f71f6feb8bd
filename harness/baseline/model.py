"""What is kept of an accepted run, and under which conditions it may be compared."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields

SCHEMA = 1
"""Version of `baselines/<service>/<scenario>.json`; an unknown one is an error."""

TOTAL = "*"
"""The name under which all endpoints together are kept."""

QUANTILES: Mapping[str, float] = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
"""The latencies that are compared; more would only add tests that answer one another."""


_SAME_NAME = {
    "profile": "the same profile with another rate, duration or shape",
    "traffic": "the same scenario, which sends other requests by now",
}
"""What a difference of digests behind one name means."""

MACHINE = ("machine", "architecture", "kernel", "cores")
"""The conditions that belong to the machine; `--ignore machine` accepts a difference of any."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What must be equal before two runs may be compared at all.

    Anything here that differs (another machine, rate, mix, place) moves the figures by more
    than a release does, so a comparison across it would answer the wrong question. None is
    unknown, as in baselines written before the field was kept: it is listed, and differs from
    nothing.
    """

    platform: str
    through: str
    machine: str
    deployment: str
    profile: str
    traffic: str
    architecture: str | None = None
    kernel: str | None = None
    cores: str | None = None
    harness: str | None = None
    target: str | None = None
    generator: str | None = None
    journeys: str | None = None
    replay: str | None = None
    connection: str = "HTTP/1.1"
    """How connections are made; all were made so before the field was kept."""

    def unknown(self, other: Conditions) -> tuple[str, ...]:
        """The fields that only one side knows."""
        return tuple(
            item.name
            for item in fields(self)
            if (getattr(self, item.name) is None) != (getattr(other, item.name) is None)
        )

    def differences(self, other: Conditions, ignore: Collection[str] = ()) -> tuple[str, ...]:
        """One phrase for each field that differs, `machine: 4 x … here, 2 x … there`.

        A field in `ignore`, and one that either side does not know, is passed over.
        """
        found = []
        for item in fields(self):
            here, there = getattr(self, item.name), getattr(other, item.name)
            if here == there or item.name in ignore or here is None or there is None:
                continue
            name, digest = here.partition(" ")[::2]
            why = _SAME_NAME.get(item.name) if digest and there.startswith(f"{name} ") else None
            found.append(f"{item.name}: {here} here, {there} there{f' ({why})' if why else ''}")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class EndpointFigures:
    """One endpoint of one run, hold phase only.

    `quantiles` maps `p50`, `p95`, `p99` to (estimate, low, high) in seconds, `low` and `high`
    None where the run was too short for an interval; `histogram` is the response time of
    completed requests, HdrHistogram V2 in base64, nanoseconds.
    """

    offered: int
    completed: int
    failed: int
    quantiles: Mapping[str, tuple[float, float | None, float | None]]
    histogram: str | None

    @property
    def error_ratio(self) -> float | None:
        """Requests without a good answer over those offered; None when none was offered."""
        return (self.offered - self.completed) / self.offered if self.offered else None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Who accepted a run, and when (UTC, ISO 8601)."""

    by: str
    at: str


@dataclass(frozen=True, slots=True)
class AcceptedRun:
    """One run as the baseline keeps it; `throughput` is completed requests/s in the hold."""

    id: str
    created: str
    commit: str | None
    label: str | None
    seed: int
    hold_s: float
    throughput: float
    endpoints: Mapping[str, EndpointFigures]
    service_commit: str | None = None
    """Of the service under test; `commit` is that of the project with the scenarios."""

    outcome: str | None = None
    """The run's own verdict when it was accepted."""

    acceptance: Acceptance | None = None

    host: str | None = None
    """The machine's name: not a condition, but two machines of one kind differ as well."""

    def values(self, metric: str, endpoint: str) -> float | None:
        """The value of `p50`…`p99` (seconds), `error_ratio` or `throughput`; None if unknown."""
        if metric == "throughput" and endpoint == TOTAL:
            return self.throughput
        figures = self.endpoints.get(endpoint)
        if figures is None:
            return None
        if metric == "throughput":
            return figures.completed / self.hold_s if self.hold_s else None
        if metric == "error_ratio":
            return figures.error_ratio
        found = figures.quantiles.get(metric)
        return found[0] if found else None


@dataclass(frozen=True, slots=True)
class Baseline:
    """The accepted runs of one service and scenario under one set of conditions, oldest first."""

    service: str
    scenario: str
    conditions: Conditions
    runs: tuple[AcceptedRun, ...] = ()
    notes: tuple[Mapping[str, object], ...] = field(default=())
    """What was done to it: runs dropped, cuts at a change point, each with its reason."""
