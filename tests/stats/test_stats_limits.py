"""The limits of the statistics, from both sides of each."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.stats.aids import detectable_in_sd, sectioned_sample_quantile
from harness.errors import DataError
from harness.stats import order
from harness.stats.autocorrelation import Memory
from harness.stats.capacity import fit_scalability
from harness.stats.compare import compare_metric
from harness.stats.drift import _interval, drift
from harness.stats.interval import Floats
from harness.stats.order import order_of_runs
from harness.stats.outliers import outliers
from harness.stats.pairs import compare_pairs
from harness.stats.planning import Question, _Ahead, _least
from harness.stats.quantiles import _choose, sectioned_quantile
from harness.stats.recovery import recovery
from harness.stats.runs import Spread, difference
from harness.stats.segmentation import permuted_blocks, step_gains
from harness.stats.shift import shift_function

LEVEL_RUNS = [1.0, 1.01, 0.99, 1.02, 0.98, 1.005, 0.995, 1.015, 0.985]


def test_a_drift_takes_eight_points_and_no_correlation_counts_for_more_than_nine_tenths() -> None:
    assert drift(np.arange(7.0)) is None
    assert drift(np.arange(8.0)) is not None
    wave = drift(100 + np.sin(np.arange(60) / 6))
    assert wave is not None
    assert wave.rho == 0.9


def test_the_interval_of_a_drift_has_as_many_slopes_on_either_side_of_the_median() -> None:
    """1.96 x 20 / 2 = 19.6 beside the middle of 101, rounded outwards."""
    slopes = np.linspace(0, 100, 101, dtype=np.float64)
    assert _interval(slopes, 20.0, 0.05) == (29, 71)


def test_an_order_is_told_from_six_runs() -> None:
    assert order_of_runs(np.arange(5.0)).trend is None
    assert order_of_runs(np.arange(6.0)).trend == pytest.approx(1.0)


@pytest.mark.parametrize(("p", "is_warned"), [(0.024, True), (0.026, False)])
def test_an_order_is_warned_of_at_one_in_forty_of_either_test(p: float, *, is_warned: bool) -> None:
    assert (order._warning("runs", p, 0.0, 1.0) is not None) is is_warned
    assert (order._warning("runs", 1.0, 0.0, p) is not None) is is_warned


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ([1.0, 1.01, 0.99, 1000.0], ()),
        ([1.0, 1.01, 0.99, 1.02, 1000.0], (4,)),
        ([*LEVEL_RUNS[:6], 50.0, 51.0], (6, 7)),
        ([*LEVEL_RUNS[:5], 50.0, 51.0, 52.0], ()),
        ([*LEVEL_RUNS, 0.5], (9,)),
        ([*LEVEL_RUNS, 1.1061], (9,)),  # chance makes it in 8 of 10,000 samples
        ([*LEVEL_RUNS, 1.1001], ()),  # in 12
    ],
)
def test_outliers_are_named_from_five_runs_up_to_a_quarter_where_chance_makes_none_in_a_thousand(
    values: list[float], named: tuple[int, ...]
) -> None:
    assert outliers(values) == named


@pytest.mark.parametrize(("value", "named"), [(13, ()), (14, (4,))])
def test_a_rounded_run_is_an_outlier_only_beyond_three_steps_of_its_last_digit(
    value: float, named: tuple[int, ...]
) -> None:
    """The logarithm of 1.3 is 0.26 of 1.4 0.34; a step is a tenth."""
    values = [10.0, 10, 10, 10, value]
    assert compare_metric(values, values).baseline_outliers == named


def test_rounded_runs_that_are_all_equal_scatter_as_rounding_alone_does() -> None:
    """Sheppard: the root of a twelfth of the step, which is a tenth here."""
    assert compare_metric([10, 10, 10], [11, 11, 11], 0.0).sd == pytest.approx(0.1 / 12**0.5)


def test_a_bare_prior_weighs_as_much_as_five_runs() -> None:
    found = compare_metric([100], [110], prior_sd=0.05)
    t = np.log(1.1) / (0.05 * np.sqrt(2))
    assert found.p_value == pytest.approx(stats.t.sf(t, 4))


def test_an_interval_leaves_the_level_on_either_side() -> None:
    assert compare_metric([1.0, 1.1], [1.2, 1.3], alpha=0.05).confidence == pytest.approx(0.9)


@pytest.mark.parametrize("margin", [-0.1, math.inf, math.nan])
def test_a_margin_that_cannot_be_is_refused(margin: float) -> None:
    with pytest.raises(DataError, match="the margin is"):
        compare_metric([1.0], [1.0], margin)


def test_two_pairs_are_enough_to_compare() -> None:
    assert compare_pairs([1.0, 1.01], [1.5, 1.51]).candidate_runs == 2
    with pytest.raises(DataError, match="run two pairs or more"):
        compare_pairs([1.0], [1.5])


@pytest.mark.parametrize(("times", "method"), [(4.06, "Welch"), (3.71, "two-sample")])
def test_sides_scatter_unequally_where_chance_makes_it_so_in_one_of_a_hundred(
    times: float, method: str
) -> None:
    """Six runs a side: a ratio of 16.5 of their variances has a chance of 0.8 %, 13.8 of 1.2 %."""
    a: Floats = np.array([1.0, 2, 3, 4, 5, 6])
    assert difference(times * a, a).method.startswith(method)


def test_one_run_against_two_leaves_one_degree_of_freedom() -> None:
    assert detectable_in_sd(1, 2) > detectable_in_sd(2, 2)
    assert detectable_in_sd(2, 1) == pytest.approx(detectable_in_sd(1, 2))
    for sides in ((0, 3), (3, 0), (1, 1)):
        with pytest.raises(DataError, match="the spread needs two runs"):
            detectable_in_sd(*sides)


def test_what_a_step_explains_is_the_fall_of_the_squared_residuals() -> None:
    gains = step_gains(np.array([[0.0, 0, 0, 1, 1, 1]]), 2)
    assert gains[0] == pytest.approx([0.75, 1.5, 0.75])


@pytest.mark.parametrize("length", [1, 3])
def test_shuffled_blocks_hold_every_point_once(length: int) -> None:
    random = np.random.default_rng(1)
    shuffled = permuted_blocks(np.linspace(0, 5, 6, dtype=np.float64), length, 4, random)
    assert np.sort(shuffled, axis=1).tolist() == [[0, 1, 2, 3, 4, 5]] * 4


def test_where_a_chance_reaches_what_is_wanted_is_found_to_a_thousandth() -> None:
    found = _least(lambda x: float(stats.norm.cdf(x**2 - 4)), 0.8, 1.0)
    assert found == pytest.approx(np.sqrt(4 + stats.norm.isf(0.2)), abs=0.002)
    small = _least(lambda x: float(stats.norm.cdf((100 * x) ** 2 - 4)), 0.8, 1.0)
    assert small == pytest.approx(found / 100, rel=0.003)


def law(loads: Floats, scatter: float = 0.0) -> float:
    """The share of the throughput's variation that the law explains, steps up and down in turn."""
    rates = 1000 * loads / (1 + 0.05 * (loads - 1) + 0.0005 * loads * (loads - 1))
    turns = np.where(np.arange(len(loads)) % 2, -1, 1)
    return fit_scalability(loads, rates * np.exp(scatter * turns)).r_squared


def test_the_scalability_law_takes_six_loads_over_a_factor_of_four_and_nine_tenths_explained() -> (
    None
):
    assert law(np.array([1, 1.5, 2, 2.5, 3, 4])) == pytest.approx(1.0)
    with pytest.raises(DataError, match="6 or more"):
        law(np.array([1.0, 2, 3, 4, 5]))
    with pytest.raises(DataError, match="factor"):
        law(np.array([1, 1.5, 2, 2.5, 3, 3.9]))
    seven = np.array([1.0, 2, 4, 8, 16, 32, 64])
    assert law(seven, 0.2) > 0.9
    with pytest.raises(DataError, match="explains 86%"):
        law(seven, 0.25)


@pytest.mark.parametrize(("known", "is_lent"), [(7, True), (8, False)])
def test_quantiles_lend_each_other_their_spread_below_eight_baseline_runs(
    known: int, *, is_lent: bool
) -> None:
    runs = np.exp(0.01 * np.random.default_rng(6).standard_normal((known + 3, 2)))
    (found, _) = shift_function(runs[:known], runs[known:], (0.5, 0.95))
    assert ("with a prior spread" in found.change.method) is is_lent


def test_one_degree_of_freedom_is_enough_to_lend_a_spread() -> None:
    runs = np.exp(0.01 * np.random.default_rng(6).standard_normal((3, 2)))
    (found, _) = shift_function(runs[:2], runs[2:], (0.5, 0.95))
    assert "with a prior spread" in found.change.method
    (alone, _) = shift_function(runs[:1], runs[2:], (0.5, 0.95))
    assert alone.change.low is None


def test_a_quantile_has_an_interval_from_ten_seconds_in_five_batches() -> None:
    counts = np.full((10, 1), 100)
    assert sectioned_quantile([1.0], counts[:9], 0.5).low is None
    assert sectioned_quantile([1.0], counts, 0.5).low == 1.0
    assert sectioned_quantile([1.0], counts, 0.5, batches=4).low is None
    assert sectioned_quantile([1.0], counts, 0.5, batches=5).low == 1.0


def impact(before: int, factor: float, seconds: int = 3) -> float | None:
    """The impact on a latency that varies by 0.1 %, of so many seconds slower by a factor."""
    latency = 0.1 * (1 + 0.001 * (np.arange(before + 40.0) % 5))
    latency[before + 10 : before + 10 + seconds] *= factor
    return recovery(np.arange(before + 40.0), {"latency": latency}, before).impact


def test_a_band_takes_ten_seconds_before_and_allows_a_tenth() -> None:
    with pytest.raises(DataError, match=r"^9 seconds before the injection at 9"):
        impact(9, 2.0)
    assert impact(10, 2.0) == 10
    assert impact(60, 1.09) is None
    assert impact(60, 1.12) == 10


@pytest.mark.parametrize(("ratio", "at"), [(0.045, None), (0.055, 10)])
def test_a_lone_second_is_clear_at_one_error_in_twenty_where_none_failed_before(
    ratio: float, at: float | None
) -> None:
    errors = np.zeros(90)
    errors[70] = ratio
    assert recovery(np.arange(90.0), {"errors": errors}, 60).impact == at


def test_half_of_all_releases_change_nothing_and_the_others_up_to_five_margins() -> None:
    """Where the density of the first is that of the others, half of the futures are of each."""
    margin, runs = 0.05, 4
    error = (10 * margin) ** 2 / (2 * np.pi)
    spread = Spread(error * runs / 2, math.inf)
    ahead = _Ahead(1e-9, spread, runs, runs, Question(margin, 0.05, 0.001))
    changed = np.abs(ahead.candidate_off - ahead.baseline_off) > 1e-6
    assert np.mean(changed) == pytest.approx(0.5, abs=0.01)


def test_runs_to_come_bring_a_shift_that_chance_made_back_to_none() -> None:
    """Half of the margin, seen in three runs: with sixty more it is hardly ever open."""
    ahead = _Ahead(0.0235, Spread(0.03**2, math.inf), 1000, 3, Question(0.05, 0.05, 1 / 1200))
    assert ahead.settled(60, 0) > 0.8


@pytest.mark.parametrize(
    ("slots", "time", "batches"), [(300, 1.0, 10), (70, 1.0, 7), (140, 2.0, 7), (300, 9.0, 5)]
)
def test_a_run_is_cut_into_five_to_ten_batches_of_ten_memories_each(
    slots: int, time: float, batches: int
) -> None:
    assert _choose(slots, [Memory(1.0, 1.0), Memory(time, 1.0)]) == batches


def test_the_memory_of_samples_is_seen_in_a_hundred_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = set()

    def forgetful(series: Floats, batches: int = 5) -> Memory:
        lengths.add(len(series))
        return Memory(1.0, 1.0)

    monkeypatch.setattr("harness.stats.quantiles.memory", forgetful)
    sectioned_sample_quantile(np.arange(1000.0), 0.5)
    assert lengths == {100}
