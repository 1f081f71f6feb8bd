"""What a gate is asked and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from harness.baseline.model import AcceptedRun
from harness.stats.multiplicity import alarm_level

SCHEMA = 1

OVERHEAD_S = 20.0
"""What a run costs beside its hold: start, warm-up, ramp, drain, report."""

GateOutcome = Literal["pass", "fail", "inconclusive", "invalid"]
RowOutcome = Literal[
    "regression", "suspected", "improvement", "no-change", "trivial", "inconclusive"
]
EXIT_CODES: Mapping[GateOutcome, int] = {"pass": 0, "fail": 1, "inconclusive": 3, "invalid": 4}


@dataclass(frozen=True, slots=True)
class Policy:
    """What counts as a regression, and how many false alarms the team is willing to hear.

    `margin` is the smallest change that matters, a ratio. `alpha` is the one-sided level of the
    intervals shown and of the equivalence test. A regression is *claimed* only at `level`, the
    part of the false-alarm budget that one gate may spend; between the two it is suspected, and
    more runs are asked for. With `looks` 2 the runs may be compared twice (`--settle`), and each
    look has half of `alpha` and of the budget: looking again is no free chance.
    """

    margin: float = 0.05
    alpha: float = 0.05
    false_alarms_per_month: float = 1.0
    gates_per_month: float = 600.0
    error_margin: float = 0.0001
    """An error ratio that rises by less than this (a tenth of the objective) is no regression."""

    looks: int = 1

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
    else in the metric's own unit. `p_value` is one-sided towards worse, `adjusted` the same after
    Holm over all gating rows but the primary. None is unknown. `gating` rows decide; the others
    are shown.
    """

    endpoint: str
    metric: str
    primary: bool
    gating: bool
    outcome: RowOutcome
    baseline: float
    candidate: float
    relative: bool
    shift: float
    low: float | None
    high: float | None
    detectable: float | None
    runs_needed: int | None
    baseline_runs_needed: int | None
    p_value: float | None
    adjusted: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """The answer to one gate; the primary metric stands first in `rows`.

    `runs_needed` more candidate runs and `baseline_runs_needed` more accepted ones would settle
    an inconclusive one, in about `minutes_needed`; None where no affordable number would.
    `before` and `after` are the runs that were compared.
    """

    service: str
    scenario: str
    outcome: GateOutcome
    reasons: tuple[str, ...]
    rows: tuple[Row, ...]
    design: Literal["baseline", "interleaved"]
    before: tuple[AcceptedRun, ...]
    after: tuple[AcceptedRun, ...]
    runs_needed: int | None
    baseline_runs_needed: int | None
    minutes_needed: float | None
    policy: Policy

    @property
    def minutes_a_run(self) -> float:
        """What one more run costs, its start, warm-up and end included."""
        return (max((run.hold_s for run in self.after), default=0.0) + OVERHEAD_S) / 60

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 inconclusive, 4 invalid."""
        return EXIT_CODES[self.outcome]

    def as_dict(self) -> dict[str, Any]:
        """gate.json: `schema`, `exit_code`, the alarm `level`, every field, runs by their ids."""
        body = {item.name: getattr(self, item.name) for item in fields(self)}
        body["rows"] = [asdict(row) for row in self.rows]
        body["policy"] = asdict(self.policy) | {"level": self.policy.level}
        body["baseline_runs"] = [run.id for run in body.pop("before")]
        body["candidate_runs"] = [run.id for run in body.pop("after")]
        return {"schema": SCHEMA, "exit_code": self.exit_code, **body}
