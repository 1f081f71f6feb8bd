"""What a gate is asked and what it answers."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Literal

from harness.baseline.model import AcceptedRun
from harness.gate.rules import Role, RowRule
from harness.stats.multiplicity import alarm_level

SCHEMA = 1

OVERHEAD_S = 20.0
"""What a run costs beside its hold, where it was not measured: start, warm-up, ramp, report."""

GateOutcome = Literal["pass", "fail", "error", "inconclusive", "invalid", "no-baseline"]
RowOutcome = Literal[
    "regression",
    "suspected",
    "improvement",
    "no-change",
    "trivial",
    "inconclusive",
    "gone",
    "new",
    "no-data",
]
Missing = Literal["fail", "warn"]
EXIT_CODES: Mapping[GateOutcome, int] = {
    "pass": 0, "fail": 1, "error": 2, "inconclusive": 3, "invalid": 4, "no-baseline": 5,
}  # fmt: skip
"""`error` is a wrong option or a damaged file: the gate could not be asked."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What counts as a regression, and how many false alarms the team is willing to hear.

    `margin` is the smallest change that matters, a ratio. `alpha` is the one-sided level of the
    intervals shown and of the equivalence test. A regression is *claimed* only at `level`, the
    part of the false-alarm budget that one gate may spend; between the two it is suspected, and
    more runs are asked for. With `looks` 2 the runs may be compared twice, and each
    look has half of `alpha` and of the budget: looking again is no free chance. `rules` change
    single rows, later ones win; `missing` says whether an endpoint that is gone fails.
    """

    margin: float = 0.05
    alpha: float = 0.05
    false_alarms_per_month: float = 1.0
    gates_per_month: float = 600.0
    error_margin: float = 0.0001
    """An error ratio that rises by less than this (a tenth of the objective) is no regression."""

    looks: int = 1
    rules: tuple[RowRule, ...] = ()
    missing: Missing = "fail"

    @property
    def tail(self) -> float:
        """The one-sided level of an interval of one look."""
        return self.alpha / self.looks

    @property
    def level(self) -> float:
        """The level at which a regression is claimed, of all metrics of one look together.

        Half of it is the primary metric's, half that of all others together.
        """
        alarms = alarm_level(self.false_alarms_per_month, self.gates_per_month)
        return min(self.alpha, alarms) / self.looks


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of one endpoint.

    `shift`, `low`, `high`, `detectable` are relative where `relative` is true (0.05 is 5 % more),
    else in the metric's own unit; so is `tolerance`, the smallest change for the worse that
    matters. `detectable` is the smallest change that this gate claims with 80 % power. `p_value`
    is one-sided towards worse, `adjusted` the same after Holm over all rows that gate but the
    primary, and no less than the chance that outliers alone make it. None is unknown. Rows with
    `gating` decide; the others are shown. The doubt of a `thin` row (few requests in its tail)
    is not the gate's doubt. `outliers` are runs that were set aside.
    """

    endpoint: str
    metric: str
    primary: bool
    gating: bool
    outcome: RowOutcome
    baseline: float | None
    candidate: float | None
    relative: bool
    shift: float | None
    low: float | None
    high: float | None
    detectable: float | None
    runs_needed: int | None
    baseline_runs_needed: int | None
    p_value: float | None
    adjusted: float | None
    reason: str
    role: Role = "gates"
    tolerance: float | None = None
    thin: bool = False
    open: bool = False
    """Whether this row's doubt is the gate's doubt."""

    failing: bool = False
    """Whether this row alone fails the gate."""

    outliers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a verdict comes from: when it was reached, and on what.

    `unknown` are conditions that only one side recorded, `ignored` those that differ and were
    accepted by `--ignore`, one phrase each.
    """

    created: str | None = None
    harness: str | None = None
    conditions: Mapping[str, str | None] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """The answer to one gate; the primary metric stands first in `rows`.

    `runs_needed` more candidate runs and `baseline_runs_needed` more accepted ones would settle
    an inconclusive one, in about `minutes_needed`; None where no affordable number would.
    `before` and `after` are the runs that were compared. `warnings` are sentences that a reader
    must know to believe the verdict: outliers, drift, conditions that differ.
    """

    service: str
    scenario: str
    outcome: GateOutcome
    reasons: tuple[str, ...]
    rows: tuple[Row, ...] = ()
    design: Literal["baseline", "interleaved"] = "baseline"
    before: tuple[AcceptedRun, ...] = ()
    after: tuple[AcceptedRun, ...] = ()
    runs_needed: int | None = None
    baseline_runs_needed: int | None = None
    minutes_needed: float | None = None
    policy: Policy = field(default_factory=Policy)
    warnings: tuple[str, ...] = ()
    provenance: Provenance = field(default_factory=Provenance)
    seconds_a_run: float | None = None
    """What a run was measured to take; None: estimated from its hold."""

    @property
    def minutes_a_run(self) -> float:
        """What one more run costs, its start, warm-up and end included."""
        if self.seconds_a_run is not None:
            return self.seconds_a_run / 60
        return (max((run.hold_s for run in self.after), default=0.0) + OVERHEAD_S) / 60

    @property
    def suspected(self) -> tuple[Row, ...]:
        """The rows that gate and are suspected."""
        return tuple(row for row in self.rows if row.gating and row.outcome == "suspected")

    @property
    def exit_code(self) -> int:
        """See EXIT_CODES."""
        return EXIT_CODES[self.outcome]

    def as_dict(self) -> dict[str, object]:
        """gate.json: `schema`, `exit_code`, the alarm `level`, every field, runs by their ids."""
        body = {item.name: getattr(self, item.name) for item in fields(self)}
        body["rows"] = [asdict(row) for row in self.rows]
        body["policy"] = asdict(self.policy) | {"level": self.policy.level}
        body["provenance"] = asdict(self.provenance)
        for name, runs in (("baseline", body.pop("before")), ("candidate", body.pop("after"))):
            body[f"{name}_runs"] = [run.id for run in runs]
            body[f"{name}_commits"] = commits(runs)
        return {"schema": SCHEMA, "exit_code": self.exit_code, **body}


def commits(runs: tuple[AcceptedRun, ...]) -> list[str]:
    """The commits of runs, the service's where it is known, each once in their order."""
    found = (run.service_commit or run.commit for run in runs)
    return list(dict.fromkeys(commit for commit in found if commit))
