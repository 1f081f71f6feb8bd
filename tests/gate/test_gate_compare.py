"""The gate's decisions on runs whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from harness.baseline import TOTAL, AcceptedRun
from harness.errors import BaselineError
from harness.gate import GateVerdict, Policy, Row, compare_interleaved, compare_runs
from harness.gate.spread import independent_endpoints, shared_spread
from harness.stats.compare import compare_metric
from tests.gate.made_runs import runs
from tests.sequential import exceeds


def gate(
    before: list[AcceptedRun], after: list[AcceptedRun], primary: str = "p95", **policy: float
) -> GateVerdict:
    return compare_runs("memorai", "memorai", before, after, primary, Policy(**policy))  # type: ignore[arg-type]


def row(verdict: GateVerdict, endpoint: str, metric: str) -> Row:
    return next(r for r in verdict.rows if (r.endpoint, r.metric) == (endpoint, metric))


def test_an_unchanged_service_passes_with_its_primary_metric_equivalent() -> None:
    verdict = gate(runs(10), runs(3, seed=2, name="new"))
    assert verdict.outcome == "pass"
    assert verdict.exit_code == 0
    assert verdict.rows[0].primary
    assert verdict.rows[0].outcome == "no-change"
    assert verdict.runs_needed == 0


def test_ten_percent_on_one_endpoint_fails_and_names_it() -> None:
    verdict = gate(runs(10), runs(3, seed=2, slow={"recall": 1.1}))
    assert verdict.outcome == "fail"
    assert verdict.exit_code == 1
    assert all("recall" in reason for reason in verdict.reasons)
    assert row(verdict, "remember", "p95").outcome in {"no-change", "trivial"}


def test_a_faster_service_is_an_improvement_and_passes() -> None:
    verdict = gate(runs(10), runs(3, seed=2, slow={TOTAL: 0.8}))
    assert verdict.outcome == "pass"
    assert verdict.rows[0].outcome == "improvement"
    assert any("accept these runs" in text for text in verdict.warnings)
    unchanged = gate(runs(10), runs(3, seed=2))
    assert not any("accept these runs" in text for text in unchanged.warnings)


def test_a_row_that_is_surely_not_worse_advises_no_run() -> None:
    verdict = gate(runs(6, sd=0.01), runs(3, sd=0.01, seed=2, slow={TOTAL: 0.955}))
    open_rows = [r for r in verdict.rows if r.outcome == "inconclusive" and r.runs_needed == 0]
    assert open_rows
    assert all("surely not so much worse" in r.reason for r in open_rows)


def test_two_percent_seen_beyond_chance_is_trivial_and_passes() -> None:
    verdict = gate(runs(20, sd=0.004), runs(10, sd=0.004, seed=2, slow={TOTAL: 1.02}))
    assert verdict.outcome == "pass"
    assert verdict.rows[0].outcome == "trivial"


def test_noisy_runs_are_inconclusive_with_a_price() -> None:
    verdict = gate(runs(10, sd=0.02), runs(1, sd=0.02, seed=3, slow={TOTAL: 1.02}))
    assert verdict.outcome == "inconclusive"
    assert verdict.exit_code == 3
    assert verdict.runs_needed
    assert verdict.minutes_needed
    assert verdict.minutes_needed == pytest.approx(
        (verdict.runs_needed + (verdict.baseline_runs_needed or 0)) * 40 / 60
    )


def test_a_shift_that_misses_the_alarm_level_is_suspected_not_claimed() -> None:
    before, after = runs(6, sd=0.03, common=0.03), runs(3, seed=5, sd=0.03, slow={TOTAL: 1.11})
    verdict = gate(before, after)
    assert verdict.outcome == "inconclusive"
    assert verdict.rows[0].outcome == "suspected"
    assert verdict.runs_needed
    assert verdict.runs_needed >= 1
    loose = gate(before, after, gates_per_month=20.0)
    assert loose.rows[0].outcome == "regression"
    assert loose.outcome == "fail"


def test_one_run_against_one_says_that_the_scatter_is_unknown() -> None:
    verdict = gate(runs(1), runs(1, seed=2, slow={TOTAL: 1.5}))
    assert verdict.outcome == "inconclusive"
    assert verdict.runs_needed is None
    assert verdict.minutes_needed is None
    assert "one run against one" in verdict.reasons[0]


def test_holm_charges_the_other_rows_for_their_number() -> None:
    verdict = gate(runs(10), runs(3, seed=2))
    others = [r for r in verdict.rows if r.gating and not r.primary and r.p_value is not None]
    # three quantiles and the errors of three endpoints and of all, less the primary; throughput
    assert len(others) == 3 * 4 + 4
    smallest = min(others, key=lambda r: r.p_value or 0.0)
    assert smallest.adjusted == pytest.approx(min(1.0, len(others) * (smallest.p_value or 0)))
    assert {r.metric for r in verdict.rows if not r.gating} == {"throughput"}
    assert verdict.rows[0].adjusted == verdict.rows[0].p_value


def test_any_metric_may_be_the_primary_one() -> None:
    before, after = runs(10), runs(3, seed=2, slow={TOTAL: 1.3})
    verdict = gate(before, after, primary="p99")
    assert verdict.rows[0].metric == "p99"
    assert verdict.rows[0].gating
    assert verdict.outcome == "fail"


@pytest.mark.parametrize(
    ("failed", "outcome"),
    [(0, "no-change"), (1, "trivial"), (200, "regression")],
)
def test_the_error_ratio_is_judged_by_counts(failed: int, outcome: str) -> None:
    verdict = gate(runs(10), runs(3, seed=2, failed=failed), error_margin=0.0002)
    assert row(verdict, TOTAL, "error_ratio").outcome == outcome
    assert verdict.outcome == ("fail" if outcome == "regression" else "pass")


def test_a_primary_that_nobody_measured_is_inconclusive() -> None:
    assert gate(runs(5), runs(3), primary="p42").outcome == "inconclusive"


@pytest.mark.parametrize("side", [0, 1])
def test_a_side_without_runs_is_refused(side: int) -> None:
    sides = [runs(3), runs(3)]
    sides[side] = []
    with pytest.raises(BaselineError, match=r"no (baseline|candidate) run"):
        gate(sides[0], sides[1])


def test_interleaved_pairs_cancel_what_both_sides_share() -> None:
    before, after = runs(5, sd=0.003), runs(5, sd=0.003, seed=2, slow={"recall": 1.1})
    drift = np.linspace(0, 0.5, 5)
    for at, shift in enumerate(drift):
        for side in (before, after):
            side[at] = _scaled(side[at], 1 + shift)
    verdict = compare_interleaved("memorai", "memorai", before, after, "p95")
    found = row(verdict, "recall", "p95")
    assert found.shift == pytest.approx(0.1, abs=0.01)
    assert found.outcome == "regression"
    assert verdict.outcome == "fail"
    assert gate(before, after).outcome == "inconclusive"


def test_doubt_about_all_requests_together_is_told_by_their_own_scatter_claims_are_not() -> None:
    before, after = runs(6, sd=0.02), runs(3, sd=0.02, seed=2)
    verdict = gate(before, after)
    for endpoint, same in ((TOTAL, True), ("recall", False)):
        a, b = ([run.values("p95", endpoint) or 0.0 for run in side] for side in (before, after))
        alone = compare_metric(a, b)
        found = row(verdict, endpoint, "p95")
        assert (found.low == pytest.approx(alone.low)) is same
        assert found.p_value != pytest.approx(alone.p_value)


def test_endpoints_that_move_together_lend_no_certainty() -> None:
    together = shared_spread(*_sides(runs(6, sd=1e-9, common=0.03), runs(2, seed=2, sd=1e-9)))
    apart = shared_spread(*_sides(runs(6, sd=0.03), runs(2, seed=2, sd=0.03)))
    assert together is None or together.df < 1
    assert apart is not None
    assert apart.df > 3


def test_the_number_of_independent_endpoints_is_found_on_average() -> None:
    random = np.random.default_rng(1)
    apart = [independent_endpoints(random.standard_normal((8, 6)), 8) for _ in range(200)]
    assert np.median(apart) > 4
    same = np.repeat(random.standard_normal((8, 1)), 6, axis=1)
    assert independent_endpoints(same, 8) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("sd", "common", "known", "new"), [(0.02, 0, 5, 1), (0.01, 0.03, 5, 3), (0, 0.03, 3, 1)]
)
def test_false_alarms_on_unchanged_software_stay_at_their_level(
    sd: float, common: float, known: int, new: int
) -> None:
    def alarms() -> Iterator[bool]:
        for seed in range(2000):
            made = runs(known + new, sd=sd + 1e-9, common=common, seed=seed)
            verdict = gate(made[:known], made[known:], gates_per_month=1.0)  # level = alpha = 5 %
            yield verdict.outcome == "fail"

    assert not exceeds(alarms(), 0.05, 0.10)


@pytest.mark.parametrize(("rate", "found"), [(0.03, 0), (0.05, 0), (0.10, 95), (0.15, 100)])
def test_a_raised_rate_of_false_alarms_is_found_in_nineteen_of_twenty_tests(
    rate: float, found: int
) -> None:
    random = np.random.default_rng(2)
    alarms = (random.random(2000) < rate for _ in range(100))
    assert sum(exceeds(each, 0.05, 0.10) for each in alarms) == pytest.approx(found, abs=4)


def _sides(before: list[AcceptedRun], after: list[AcceptedRun]) -> list[list[list[float]]]:
    endpoints = ("recall", "remember", "rare")
    return [
        [[run.values("p95", endpoint) or 0.0 for run in side] for endpoint in endpoints]
        for side in (before, after)
    ]


def _scaled(run, factor: float):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    from dataclasses import replace  # noqa: PLC0415

    endpoints = {
        name: replace(
            one, quantiles={k: (v[0] * factor, None, None) for k, v in one.quantiles.items()}
        )
        for name, one in run.endpoints.items()
    }
    return replace(run, endpoints=endpoints)
