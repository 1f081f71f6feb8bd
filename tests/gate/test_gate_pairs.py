"""Interleaved pairs in the gate: outliers, runs that lack a value, advice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.baseline import TOTAL, AcceptedRun
from harness.gate import GateVerdict, Policy, Row, compare_interleaved
from harness.report.gate import cost
from tests.gate.made_runs import runs

Sides = tuple[list[AcceptedRun], list[AcceptedRun]]


def sides(count: int, sd: float = 0.01, slow: float = 1.0, seed: int = 1) -> Sides:
    """Both sides of `count` pairs."""
    return (
        runs(count, sd=sd, seed=seed, name="old"),
        runs(count, sd=sd, seed=seed + 1000, name="new", slow={TOTAL: slow}),
    )


def gate(made: Sides, **policy: float) -> GateVerdict:
    return compare_interleaved("toy", "toy", *made, "p95", Policy(**policy))  # type: ignore[arg-type]


def primary(verdict: GateVerdict) -> Row:
    return next(row for row in verdict.rows if row.primary)


def changed(run: AcceptedRun, factor: float | None) -> AcceptedRun:
    """The run with other latencies of all endpoints together, or none."""
    one = run.endpoints[TOTAL]
    values = {
        name: (q[0] * factor, None, None) for name, q in one.quantiles.items() if factor is not None
    }
    return replace(run, endpoints={**run.endpoints, TOTAL: replace(one, quantiles=values)})


@pytest.mark.parametrize("side", [0, 1])
def test_a_pair_with_an_outlier_is_set_aside_named_and_hides_nothing(side: int) -> None:
    made = sides(10, slow=1.2)
    made[side][3] = changed(made[side][3], 5.0)
    verdict = gate(made)
    assert verdict.outcome == "fail"
    assert primary(verdict).outcome == "regression"
    assert primary(verdict).shift == pytest.approx(0.2, abs=0.03)
    assert primary(verdict).outliers == ("new-003",)
    assert any("the pair of run new-003 is an outlier" in text for text in verdict.warnings)


def test_a_run_without_a_value_costs_its_own_pair_and_moves_no_other() -> None:
    made = sides(8, sd=0.002)
    drift = np.exp(np.linspace(0, 1, 8))
    for side in made:
        side[:] = [changed(run, factor) for run, factor in zip(side, drift, strict=True)]
    made[0][1], made[1][6] = changed(made[0][1], None), changed(made[1][6], None)
    verdict = gate(made)
    assert primary(verdict).shift == pytest.approx(0, abs=0.01)
    assert verdict.outcome == "pass"


def test_pairs_without_a_value_in_common_are_no_data() -> None:
    made = sides(2)
    made[0][0], made[1][1] = changed(made[0][0], None), changed(made[1][1], None)
    assert primary(gate(made)).outcome == "no-data"
    assert gate(made).outcome == "inconclusive"


def test_three_pairs_may_all_be_outliers_where_the_budget_is_the_usual_one() -> None:
    three = gate(sides(3, sd=1e-4, slow=1.5))
    assert (three.outcome, primary(three).outcome) == ("inconclusive", "suspected")
    assert "may all be outliers" in primary(three).reason
    assert three.runs_needed == 1
    assert gate(sides(4, sd=1e-4, slow=1.5)).outcome == "fail"
    assert gate(sides(3, sd=1e-4, slow=1.5), gates_per_month=20.0).outcome == "fail"


def test_the_pairs_that_are_advised_settle_four_of_five_doubts() -> None:
    settled = []
    for seed in range(60):
        made = sides(4, sd=0.03, seed=seed)
        verdict = gate(made)
        if verdict.outcome != "inconclusive" or verdict.runs_needed is None:
            continue
        assert f"--runs {4 + verdict.runs_needed}" in (cost(verdict) or "")
        more = sides(verdict.runs_needed, sd=0.03, seed=seed + 5000)
        settled.append(gate((made[0] + more[0], made[1] + more[1])).outcome != "inconclusive")
    assert len(settled) > 25
    assert 0.65 <= np.mean(settled) <= 0.97
