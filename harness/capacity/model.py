"""What a capacity search is asked and what it answers."""

from dataclasses import asdict, dataclass
from typing import Literal

from harness.stats.capacity import ScalabilityLaw

Held = Literal["held", "missed", "unknown", "warming", "generator"]
"""`held`, `missed` or neither for certain (`unknown`); `warming`: missed at first, then held within
the step; `generator`: the load generator or its machine spoilt the step."""

Purpose = Literal["search", "recovery", "confirm", "recheck", "calm"]

FindingKind = Literal[
    "cold start", "scaling", "unsteady", "stalls", "refusals", "quota", "no recovery",
    "slow recovery", "backlog", "not about rate", "generator", "time", "no answer", "horizon",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Search:
    """How to search: rates in requests/s, times in seconds, `tolerance` as a ratio.

    `hold_s` is the least hold of a step; `confirm_s` of the one that confirms, long beside the
    bursts of a queue near its capacity.
    """

    start: float = 500.0
    max_rate: float = 100_000.0
    hold_s: float = 10.0
    confirm_s: float = 40.0
    tolerance: float = 0.1
    budget_s: float = 900.0


@dataclass(frozen=True, slots=True)
class Share:
    """Requests that broke one objective in a step: their share, its interval, and the limit."""

    objective: str
    share: float
    low: float
    high: float
    limit: float


@dataclass(frozen=True, slots=True)
class Step:
    """One run of the search; latencies in seconds, None is unknown.

    `rate` is the arrival rate asked for, `hold_s` how long it was judged. `concurrency` is the mean
    number of requests in the service (Little's law), `waited` whether requests waited for a
    connection, `cpu` the share of the machine that was busy. `reason` says what decided.
    """

    run: str
    rate: float
    hold_s: float
    purpose: Purpose
    outcome: Held
    reason: str
    shares: tuple[Share, ...]
    completed_rate: float
    p95: float | None
    error_ratio: float | None
    concurrency: float | None
    waited: bool
    cpu: float | None
    ended_early: bool

    @property
    def worst(self) -> float | None:
        """The largest share of bad requests, as a multiple of its limit."""
        return max((share.share / share.limit for share in self.shares), default=None)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a rate alone does not say.

    `decisive`: it takes the certainty from the number, so the search answers with its reason.
    """

    kind: FindingKind
    statement: str
    decisive: bool


@dataclass(frozen=True, slots=True)
class CapacityResult:
    """The answer: the capacity lies in [low, high) requests/s.

    `low` None: nothing tried held. `high` None: nothing tried was clearly missed. `confirmed`:
    `low` held in one long hold and `high` was missed again after it. `spike_low` and `spike_high`
    are what held and what was missed before the service warmed up or scaled, None where it did
    not. `law` is None where the steps do not support a fit, and `law_reason` says why.
    """

    service: str
    low: float | None
    high: float | None
    confirmed: bool
    limit: str
    findings: tuple[Finding, ...]
    spike_low: float | None
    spike_high: float | None
    steps: tuple[Step, ...]
    law: ScalabilityLaw | None
    law_reason: str | None
    seconds: float

    @property
    def answered(self) -> bool:
        """Whether both ends are known and confirmed, and nothing found takes that back."""
        known = self.low is not None and self.high is not None
        return known and self.confirmed and not any(f.decisive for f in self.findings)

    def as_dict(self) -> dict[str, object]:
        """Every field by its name, and `answered`."""
        return {**asdict(self), "answered": self.answered}
