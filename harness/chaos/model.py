"""What an experiment promises, and what is known of it before anything is broken."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.catalog.expectations import Expectations
from harness.chaos.method import Method
from harness.platform.model import Fault, Through
from harness.platform.undo import UndoRecord
from harness.toolkit import Document

Phase = Literal["before", "during", "after"]
LEAST_BEFORE_S = 10.0
"""Without so many seconds before a fault nobody can say what is usual (harness.stats.recovery)."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What the deployment must have; the lab is started so, elsewhere it is checked."""

    regions: int = 2
    edges: bool = True
    replicas: int = 2
    replication: Literal["async", "sync"] = "async"


@dataclass(frozen=True, slots=True)
class Spike:
    """A rise of the arrival rate while the fault holds: `factor` times, from `at_s` into it."""

    factor: float
    at_s: float
    duration_s: float


@dataclass(frozen=True, slots=True)
class BaseLoad:
    """What flows before, during and after, in requests/s through an entry point of the platform."""

    rate: float = 200.0
    through: Through = "global"
    spike: Spike | None = None


@dataclass(frozen=True, slots=True)
class Timeline:
    """Seconds of each phase; `during` runs from the first injection to the last heal.

    `lead_s`: what the method does before it first injects.
    """

    before_s: float
    during_s: float
    after_s: float
    lead_s: float = 0.0

    @property
    def limit_s(self) -> float:
        """What an activity without a timeout may take: a third of the time after it, 5 s at least.

        The heal and the tail after it must fit into the rest.
        """
        return max(5.0, (self.during_s + self.after_s) / 3)


@dataclass(frozen=True, slots=True)
class BlastRadius:
    """What a fault may hit at most; a plan beyond it is refused.

    `share`: of the service's ready replicas. `last_region`: whether the last healthy region may
    be hit.
    """

    share: float = 0.5
    last_region: bool = False


@dataclass(frozen=True, slots=True)
class Guards:
    """When a running experiment is aborted and healed; None: not watched.

    `error_ratio` and `p95_s` are of all requests since the injection, tested after every second
    at an anytime-valid level; `budget` is the share of the 30-day error budget it may spend.
    `alert` is the name of an alert, or a condition in PromQL (harness.chaos.alert).
    """

    error_ratio: float | None = 0.9
    p95_s: float | None = None
    budget: float | None = None
    alert: str | None = None


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment file: a Chaos Toolkit document with what the harness adds to it.

    `document` is the Chaos Toolkit document as it is run. `faults` are those of its method, in
    order; `method` says when. `ordinary`: it knows nothing of the harness.
    """

    name: str
    path: Path
    title: str
    teaches: str
    incident: str
    document: Document
    needs: Needs
    faults: tuple[Fault, ...]
    load: BaseLoad
    timeline: Timeline
    blast_radius: BlastRadius
    guards: Guards
    expect: Expectations
    platforms: tuple[str, ...] = ("lab", "kubernetes")
    method: Method = field(default_factory=Method)
    ordinary: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a plan's timeline; seconds from the start of the load."""

    at_s: float
    what: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A fault resolved: exactly what it would hit now, and what would undo it."""

    fault: Fault
    targets: tuple[str, ...]
    heal: UndoRecord | None


@dataclass(frozen=True, slots=True)
class ExperimentPlan:
    """Everything known before anything is touched.

    `refusals` are reasons for which it may not run (blast radius, permissions); `missing` are
    reasons for which this platform cannot carry it out (then it is *not applicable*);
    `weaknesses` are what the service lacks to survive it, seen without trying (it *fails*).
    `budget_cost` is the predicted share of the 30-day error budget, None when unknown. `share` is
    that of the replicas (`ready`, by id) which faults that hold together hit at most.
    """

    experiment: str
    service: str
    platform: str
    hits: tuple[Hit, ...]
    share: float
    timeline: tuple[Step, ...]
    refusals: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    weaknesses: tuple[str, ...] = ()
    budget_cost: float | None = None
    notes: tuple[str, ...] = ()
    handle: Mapping[str, object] = field(default_factory=dict)
    ready: tuple[str, ...] = ()
