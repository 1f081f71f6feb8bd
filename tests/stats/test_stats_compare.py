"""The verdict on one metric, run by run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks.stats.aids import detectable_in_sd, power, quick_compare
from harness.errors import DataError
from harness.stats.compare import classify, compare_metric, decide, other_unit
from harness.stats.interval import Floats
from harness.stats.order import order_of_runs
from harness.stats.outliers import outliers
from harness.stats.runs import Spread, difference, pooled_spread, shrink
from tests.sequential import exceeds


@pytest.mark.parametrize(
    ("estimate", "low", "high", "verdict"),
    [
        (0.10, 0.05, 0.15, "regression"),
        (0.03, 0.01, 0.07, "inconclusive"),
        (0.03, 0.01, 0.05, "trivial"),
        (-0.03, -0.07, -0.01, "inconclusive"),
        (-0.10, -0.15, -0.05, "improvement"),
        (-0.03, -0.04, -0.01, "trivial"),
        (0.01, -0.02, 0.04, "no-change"),
        (0.04, -0.02, 0.10, "inconclusive"),
        (0.20, None, None, "inconclusive"),
    ],
)
def test_the_verdict_is_read_from_the_interval(
    estimate: float, low: float | None, high: float | None, verdict: str
) -> None:
    assert classify(estimate, low, high, 0.05) == verdict


@pytest.mark.parametrize(("k", "n"), [(3, 1), (5, 1), (10, 1), (10, 10), (3, 5)])
def test_unchanged_software_raises_five_percent_false_alarms(k: int, n: int) -> None:
    random = np.random.default_rng(k * 100 + n)

    def alarms() -> Iterator[bool]:
        for row in np.exp(0.05 * random.standard_normal((5000, k + n))):
            yield quick_compare(row[:k], row[k:], margin=0.0).verdict == "regression"

    assert not exceeds(alarms(), 0.05, 0.075)
    assert not exceeds((not alarm for alarm in alarms()), 0.95, 0.972)


def test_power_is_that_of_the_noncentral_t() -> None:
    random = np.random.default_rng(7)
    runs = np.exp(0.02 * random.standard_normal((2000, 10)))
    runs[:, 5:] *= math.exp(0.04)
    seen = sum((quick_compare(r[:5], r[5:], margin=0.0).low or 0) > 0 for r in runs)
    assert seen / 2000 == pytest.approx(power(0.04, 0.02, 5, 5), abs=0.025)


@pytest.mark.parametrize(
    ("k", "n", "size"),
    [
        (3, 1, 4.6),
        (5, 1, 3.3),
        (10, 1, 2.8),
        (20, 1, 2.6),
        (3, 3, 2.5),
        (10, 3, 1.75),
        (20, 5, 1.3),
    ],
)
def test_the_smallest_detectable_shift_agrees_with_simulation(k: int, n: int, size: float) -> None:
    assert detectable_in_sd(k, n) == pytest.approx(size, rel=0.06)


def test_a_clear_slowdown_is_a_regression_and_costs_no_more_runs() -> None:
    found = compare_metric([100, 101, 99, 100], [110, 111, 109])
    assert found.verdict == "regression"
    assert found.shift == pytest.approx(0.1, abs=0.005)
    assert found.runs_needed == 0
    assert found.detectable is not None
    assert 0.05 < found.detectable < 0.06


def test_higher_throughput_is_an_improvement() -> None:
    found = compare_metric([100, 101, 99], [120, 121, 119], lower_is_better=False)
    assert found.verdict == "improvement"
    assert found.shift > 0
    assert found.p_value is not None
    assert found.p_value > 0.99


def test_one_run_against_one_is_capped_at_inconclusive() -> None:
    found = compare_metric([100], [200])
    assert (found.verdict, found.low, found.detectable, found.runs_needed) == (
        "inconclusive",
        None,
        None,
        None,
    )
    assert "rerun" in found.reason


def test_a_prior_spread_lets_one_run_speak() -> None:
    assert compare_metric([100], [200], prior_sd=0.02).verdict == "regression"
    assert compare_metric([100], [101], prior_sd=0.05).verdict == "inconclusive"


def test_the_price_settles_the_question() -> None:
    random = np.random.default_rng(3)
    base = np.exp(0.03 * random.standard_normal(10))
    found = compare_metric(base, base[:2] * 1.02)
    assert found.verdict == "inconclusive"
    assert found.runs_needed is not None
    more = np.exp(0.03 * random.standard_normal(2 + found.runs_needed))
    settled = compare_metric(base, more)
    assert settled.low is not None
    assert settled.high is not None
    assert settled.high - settled.low < 1.3 * 0.05


def test_constant_series_have_no_scatter_and_no_false_precision() -> None:
    assert compare_metric([100.1] * 5, [100.1] * 5).verdict == "no-change"
    assert compare_metric([100.1] * 5, [110.1] * 5).verdict == "regression"
    assert compare_metric([0.0] * 3, [0.0] * 3).verdict == "no-change"


def test_zero_or_negative_values_are_compared_by_their_difference() -> None:
    found = compare_metric([0.0, 0.0, 0.01, 0.0], [0.2, 0.21, 0.19, 0.2])
    assert (found.scale, found.verdict) == ("difference", "regression")
    assert found.shift == pytest.approx(0.1975)
    assert compare_metric([-5.0, -5.1, -4.9], [-5.0, -5.1, -4.9]).verdict == "no-change"


def test_a_candidate_that_scatters_far_more_is_judged_by_welch() -> None:
    random = np.random.default_rng(5)
    alarms = 0
    for _ in range(1000):
        a, b = 100 + random.standard_normal(20), 100 + 15 * random.standard_normal(4)
        alarms += quick_compare(a, b, margin=0).verdict == "regression"
    assert alarms / 1000 <= 0.08


@pytest.mark.parametrize(
    ("a", "b"), [([], [1.0]), ([1.0], []), ([math.nan], [1.0]), ([1.0], [math.inf])]
)
def test_what_cannot_be_compared_is_one_clear_line(a: list[float], b: list[float]) -> None:
    with pytest.raises(DataError, match="; "):
        compare_metric(a, b)


def test_a_ratio_beyond_any_unit_is_none() -> None:
    assert other_unit(4 * math.log(1000)) == pytest.approx(1e12)
    assert other_unit(5 * math.log(1000)) is None
    assert other_unit(1100.0) is None


@settings(deadline=None)
@given(
    st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=6),
    st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=6),
    st.floats(1e-3, 1e3),
)
def test_the_unit_does_not_matter(a: list[float], b: list[float], unit: float) -> None:
    x, y = np.array(a), np.array(b)
    if not (min(x.min(), y.min()) * unit > 1e-300 and max(x.max(), y.max()) * unit < 1e300):
        return
    first, second = compare_metric(x, y), compare_metric(x * unit, y * unit)
    assert math.isclose(first.shift, second.shift, rel_tol=1e-6, abs_tol=1e-9)


def test_the_pooled_spread_finds_the_common_variance() -> None:
    random = np.random.default_rng(2)
    same = random.chisquare(4, 500) / 4
    assert pooled_spread(same, np.full(500, 4.0)).variance == pytest.approx(1, rel=0.1)
    mixed = same * 5 / random.chisquare(5, 500)
    assert pooled_spread(mixed, np.full(500, 4.0)).df == pytest.approx(5, rel=0.5)


def test_shrinking_weighs_by_degrees_of_freedom() -> None:
    assert shrink(Spread(4.0, 2), Spread(1.0, 4)) == Spread(2.0, 6)


def test_the_difference_of_a_single_run_is_the_prediction_test() -> None:
    found = difference([1.0, 2.0, 3.0], [4.0])
    assert found.error == pytest.approx(math.sqrt(4 / 3))
    assert found.df == 2


@pytest.mark.parametrize(("k", "n", "margin", "level"), [(3, 1, 0.0, 0.05), (5, 3, 0.05, 0.001)])
def test_a_shift_of_the_detectable_size_is_called_a_regression_in_four_of_five(
    k: int, n: int, margin: float, level: float
) -> None:
    random = np.random.default_rng(11)
    runs = np.exp(0.02 * random.standard_normal((300, 2, k + n)))
    hits = 0
    for first, again in runs:
        size = compare_metric(first[:k], first[k:], margin, level=level).detectable or 0.0
        found = quick_compare(again[:k], (1 + size) * again[k:], margin)
        hits += found.verdict == "regression" and (found.p_value or 0.0) <= level
    assert hits / 300 == pytest.approx(0.8, abs=0.06)


def test_the_advice_settles_the_verdict_in_four_of_five() -> None:
    random = np.random.default_rng(12)
    settled = []
    for _ in range(150):
        x, y = np.exp(0.03 * random.standard_normal((2, 3)))
        found = compare_metric(x, y)
        more, back = found.runs_needed, found.baseline_runs_needed
        if found.verdict == "inconclusive" and more is not None and back is not None:
            x = np.append(x, np.exp(0.03 * random.standard_normal(back)))
            y = np.append(y, np.exp(0.03 * random.standard_normal(more)))
            settled.append(quick_compare(x, y).verdict != "inconclusive")
    assert len(settled) >= 50
    assert np.mean(settled) >= 0.72


def test_what_nobody_would_pay_is_called_so() -> None:
    found = compare_metric([100, 130, 80], [105, 70, 140], 0.01)
    assert found.runs_needed is not None
    assert found.runs_needed > 50
    assert "not affordable" in found.reason


def test_one_gross_outlier_is_named_and_hides_no_regression() -> None:
    random = np.random.default_rng(13)
    runs = np.exp(0.02 * random.standard_normal((200, 20)))
    runs[:, 10:] *= 1.3
    runs[:, 4] *= 5
    found = [quick_compare(x[:10], x[10:]) for x in runs]
    assert all(4 in one.baseline_outliers for one in found)
    assert sum(one.baseline_outliers == (4,) for one in found) >= 190
    assert all(one.verdict == "regression" for one in found)


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [(1e-3, "inconclusive"), (1e-6, "inconclusive"), (1e-3 * 1.45, "inconclusive"),
     (1e-3 / 1.45, "inconclusive"), (1e-3 * 1.55, "improvement"), (1e-2, "improvement"),
     (1e3, "regression")],
)  # fmt: skip
def test_a_side_in_another_unit_is_no_improvement(factor: float, verdict: str) -> None:
    base = [100, 101, 99, 100.5, 99.5]
    found = compare_metric(base, [factor * x for x in base])
    assert found.verdict == verdict
    assert ("in the same unit?" in found.reason) is (verdict != "improvement")
    assert found.not_worse is (verdict == "improvement")
    assert found.runs_needed == (None if verdict == "inconclusive" else 0)


def test_outliers_are_those_of_the_repeated_test_of_the_farthest_run() -> None:
    """Rosner 1983 by the book: each run against all that are left."""

    def by_the_book(x: Floats) -> tuple[int, ...]:
        kept, removed, named = list(range(len(x))), [], 0
        for _ in range(len(x) // 4):
            part = x[kept]
            worst = int(np.abs(part - np.median(part)).argmax())
            others = np.delete(part, worst)
            t = abs(part[worst] - others.mean()) / others.std(ddof=1)
            t /= math.sqrt(1 + 1 / len(others))
            removed.append(kept.pop(worst))
            if 2 * stats.t.sf(t, len(others) - 1) * len(part) <= 0.001:
                named = len(removed)
        return tuple(sorted(removed[:named]))

    random = np.random.default_rng(31)
    several = 0
    for n in (5, 8, 13, 40, 41):
        for _ in range(30):
            x = random.standard_normal(n)
            x[random.random(n) < 0.15] *= random.choice([1, 20, 1e4])
            found = by_the_book(x)
            assert outliers(x) == found
            several += len(found) > 1
    assert several > 10


def test_candidate_runs_that_may_all_be_outliers_prove_nothing() -> None:
    base = [100, 101, 99, 100.5, 99.5, 500]
    found = compare_metric(base, [480.0])
    assert (found.verdict, found.baseline_outliers) == ("inconclusive", (5,))
    assert "outliers" in found.reason
    assert compare_metric(base, [130.0, 131, 129, 130.5]).verdict == "regression"


@pytest.mark.parametrize("runs", [[1.0, 1, 1, 5], [100, 101, 99, 100.5, 103], [10, 10, 10, 10, 12]])
def test_few_runs_small_gaps_and_rounded_values_are_no_outliers(runs: list[float]) -> None:
    assert compare_metric(runs, runs).baseline_outliers == ()


def test_rounded_values_are_not_exact() -> None:
    found = compare_metric([10, 10, 10], [11, 11, 11], 0.0)
    assert found.p_value is not None
    assert found.p_value > 1e-4
    assert found.detectable is not None
    assert found.detectable > 0.02


def test_runs_that_drift_or_resemble_their_neighbours_are_warned_of() -> None:
    noise = np.exp(0.01 * np.random.default_rng(14).standard_normal(20))
    drifting = noise * np.linspace(1, 1.1, 20)
    assert "drift" in compare_metric(drifting, noise[:3]).warnings[0]
    waves = noise * (1 + 0.1 * np.sin(np.arange(20) / 2))
    assert "neighbours" in compare_metric(waves, noise[:3]).warnings[0]
    assert compare_metric(noise, noise[:3]).warnings == ()


def test_of_runs_without_order_one_in_twenty_is_warned_of() -> None:
    random = np.random.default_rng(15)
    for n in (6, 10, 30):
        warned = [order_of_runs(random.standard_normal(n)).warning for _ in range(1500)]
        assert 0.02 <= sum(w is not None for w in warned) / 1500 <= 0.065


def test_many_metrics_raise_no_more_false_alarms_than_one() -> None:
    random = np.random.default_rng(16)
    alarms = 0
    for _ in range(200):
        rows = np.exp(0.05 * random.standard_normal((20, 10)))
        found = {str(i): quick_compare(row[:5], row[5:], 0.0) for i, row in enumerate(rows)}
        alarms += any(one.verdict == "regression" for one in decide(found).values())
    assert alarms / 200 <= 0.09


def test_holm_keeps_what_is_beyond_doubt() -> None:
    base = [100.0, 101, 99, 100.5, 99.5]
    found = {str(i): quick_compare(base, base) for i in range(19)}
    found["slow"] = quick_compare(base, [1.2 * v for v in base])
    found["fast"] = quick_compare(base, [0.8 * v for v in base])
    assert decide(found)["slow"].verdict == "regression"
    assert decide(found)["fast"].verdict == "improvement"


def test_a_candidate_that_can_only_be_better_is_not_worse() -> None:
    found = compare_metric([100, 110, 90], [92, 80, 92])
    assert found.verdict == "inconclusive"
    assert found.not_worse


@pytest.mark.parametrize(("k", "n", "shift"), [(5, 3, 0.105), (10, 5, 0.062)])
def test_the_changes_that_the_page_on_baselines_names_are_claimed_in_four_of_five(
    k: int, n: int, shift: float
) -> None:
    """At 2 % scatter, a margin of 5 % and the gate's level of its primary row."""
    text = (Path(__file__).parents[2] / "docs" / "baselines.md").read_text()
    assert f"{shift * 100:.3g} %" in text
    runs = np.exp(0.02 * np.random.default_rng(17).standard_normal((1500, k + n)))
    found = [quick_compare(row[:k], (1 + shift) * row[k:]) for row in runs]
    claimed = [one.verdict == "regression" and (one.p_value or 0) <= 1 / 1200 for one in found]
    assert np.mean(claimed) == pytest.approx(0.8, abs=0.035)


@pytest.mark.parametrize("value", [0.0, 1e-6, 0.1, 7.0])
@pytest.mark.parametrize("prior_sd", [None, 0.5])
def test_runs_that_are_all_equal_are_no_change_whatever_scatter_is_lent(
    value: float, prior_sd: float | None
) -> None:
    found = compare_metric([value] * 3, [value] * 2, prior_sd=prior_sd)
    assert (found.verdict, found.low, found.high) == ("no-change", 0.0, 0.0)
    alone = compare_metric([value], [value], prior_sd=prior_sd)
    assert alone.verdict == "inconclusive"
    assert "large" not in alone.reason
