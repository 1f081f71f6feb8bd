"""The arithmetic of the statistics, against the textbook or the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import signal, special, stats

from benchmarks.stats.aids import sectioned_sample_quantile
from harness.errors import DataError
from harness.stats import planning, quantiles
from harness.stats.autocorrelation import Memory, _weighed, mean_half_width, memory
from harness.stats.burn import budget
from harness.stats.capacity import _ratio, isotonic
from harness.stats.changepoints import _first_steps, _scores, change_points
from harness.stats.compare import _p_value
from harness.stats.errors import excess_p
from harness.stats.interval import Floats
from harness.stats.noise import noise_between, rough_noise
from harness.stats.order import order_of_runs
from harness.stats.pairs import compare_pairs
from harness.stats.planning import Question, _Ahead, runs_to_settle
from harness.stats.recovery import log_rank, recovery
from harness.stats.runs import Difference, Spread, difference, pooled_spread
from harness.stats.scaling import first_at_most
from harness.stats.segmentation import partition, partition_at, placed, unexplained
from harness.stats.sequential import error_ratio_monitor
from harness.stats.shares import _joined
from harness.stats.shift import shift_function


def remembering(rho: float, n: int, random: np.random.Generator) -> Floats:
    """An AR(1) series of unit variance."""
    shocks = random.standard_normal(n + 100) * np.sqrt(1 - rho**2)
    return np.asarray(signal.lfilter([1.0], [1.0, -rho], shocks), dtype=np.float64)[100:]


def test_welchs_test_is_that_of_the_textbook() -> None:
    a, b = np.array([1.0, 1.1, 0.9, 1.05, 0.95]), np.array([1.0, 3.0, 5.0, 9.0])
    found, known = difference(a, b), stats.ttest_ind(b, a, equal_var=False)
    assert found.method.startswith("Welch")
    assert found.df == pytest.approx(known.df)
    assert found.shift / (found.error or 0.0) == pytest.approx(known.statistic)
    assert found.spread is not None
    assert found.spread.variance == pytest.approx((4 * a.var(ddof=1) + 3 * b.var(ddof=1)) / 7)


def test_the_side_without_runs_is_named() -> None:
    for sides, name in ((([], [1.0]), "baseline"), (([1.0], []), "candidate")):
        with pytest.raises(DataError, match=f"the {name} has no runs"):
            difference(*sides)


def test_the_scatter_of_one_endpoint_is_its_own() -> None:
    assert pooled_spread([2.0], [4.0]) == Spread(2.0, 4.0)


@pytest.mark.parametrize(("worse", "p"), [(0.1, 0.0), (0.0, 0.5), (-0.1, 1.0)])
def test_a_difference_without_any_scatter_is_certain(worse: float, p: float) -> None:
    assert _p_value(worse, Difference(worse, 0.0, 4, None, "")) == p


def test_pairs_that_are_all_equal_scatter_as_the_rounding_of_both_sides_does() -> None:
    assert compare_pairs([10, 10, 10], [11, 11, 11], 0.0).sd == pytest.approx(0.1 / 6**0.5)


def test_the_chance_of_so_many_failures_is_binomial() -> None:
    assert excess_p(3, 100, 0.01) == pytest.approx(stats.binom.sf(2, 100, 0.01))


def test_the_evidence_of_a_monitor_is_the_mean_likelihood_ratio() -> None:
    allowed = 0.4
    ratios = [math.comb(9, 7) * p**7 * (1 - p) ** 2 for p in (0.48, 0.6, 0.8, 0.7, allowed)]
    found = error_ratio_monitor([7], [9], allowed).evidence
    assert min(ratios) / ratios[-1] < found < max(ratios) / ratios[-1]


def test_half_a_second_may_spend_a_budget() -> None:
    found = budget(1, 1000, 0.999, 0.5, 1.0)
    assert found is not None
    assert found.spent == pytest.approx(0.5)


def test_what_does_not_vary_remembers_nothing() -> None:
    assert memory(np.ones(20)) == Memory(1.0, 1.0)


def test_a_mean_lies_where_the_models_together_leave_one_in_twenty_beyond() -> None:
    made: list[Floats] = [
        np.linspace(0, 11, 12, dtype=np.float64),
        np.random.default_rng(1).standard_normal(60),
    ]
    for series in made:
        models, squares, weight = _weighed(series) or pytest.fail("constant")
        errors = np.sqrt(squares / (len(series) - 1) * models.mean_variance)
        freedom = np.maximum(1 / models.mean_variance - 1, 1.0)
        half = mean_half_width(series, 0.95)
        assert 2 * float(weight @ special.stdtr(freedom, -half / errors)) == pytest.approx(0.05)


def test_violators_are_pooled_by_how_often_they_were_seen() -> None:
    x = np.array([1.0, 2, 2, 2])
    assert isotonic(x, np.array([3.0, 1, 1, 1])) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("variances", "error"),
    [((0.01, 0.0), 0.1 * 1 / 2**2), ((0.0, 0.01), 0.1 / 2), ((0.01, 0.01), 0.1 * 5**0.5 / 4)],
)
def test_the_error_of_a_ratio_is_that_of_its_tangent(
    variances: tuple[float, float], error: float
) -> None:
    covariance = np.diag([*variances, 0.0])
    low, high = _ratio(np.array([2.0, 1.0, 0.5]), covariance, 1, 7, 0.95)
    assert (low + high) / 2 == pytest.approx(0.5)
    assert (high - low) / 2 == pytest.approx(stats.t.isf(0.025, 4) * error)


def test_what_a_line_explains_is_taken_off() -> None:
    time: Floats = np.linspace(-1, 1, 20, dtype=np.float64)
    y: Floats = np.multiply(3, time)
    assert unexplained(y, [], time) == pytest.approx(0)
    assert unexplained(y, [], None) == pytest.approx(float(9 * time @ time))


def test_the_correlation_of_neighbours_is_found_in_short_and_rough_series() -> None:
    """Half a standard error is added to what is beyond chance."""
    random = np.random.default_rng(3)
    assert rough_noise(remembering(0.6, 4000, random)).rho == pytest.approx(0.6, abs=0.07)
    short = [noise_between(remembering(0.6, 40, random), []).rho for _ in range(200)]
    assert np.mean(short) == pytest.approx(0.663, abs=0.045)


def test_a_short_series_that_remembers_is_not_taken_for_steps() -> None:
    made = [remembering(0.8, 100, np.random.default_rng(seed)) for seed in range(4)]
    assert [_first_steps(_scores(y), [], 3, 0.05) for y in made] == [[]] * 4


def test_levels_are_told_in_the_series_own_unit() -> None:
    x = 1000 * np.random.default_rng(4).standard_normal(60) + np.repeat([-5000.0, 5000.0], 30)
    (point,) = change_points(x)
    assert (point.before, point.after) == pytest.approx((-5000, 5000), rel=0.1)


def test_with_every_place_allowed_the_partition_is_the_exact_one() -> None:
    y = np.random.default_rng(5).standard_normal(60) + np.repeat([0.0, 3.0, 0.0], 20)
    found = partition(y, 12.0, 3)
    assert len(found) == 2
    assert partition_at(y, 12.0, 3, list(range(3, 58))) == found


def test_an_outlier_moves_no_step_and_a_point_of_the_level_before_does() -> None:
    y: Floats = np.repeat([0.0, 1.0], 10)
    y[9] = 20
    assert placed(y, [10], 3, 0.1) == [10]
    y = np.repeat([0.0, 2.8, 10.0], [10, 1, 9])
    assert placed(y, [10], 3, 1.0) == [11]


def test_slots_of_two_seconds_hold_the_requests_of_both() -> None:
    assert _joined(np.array([1, 2, 3, 4, 5]), 2).tolist() == [3, 7, 5]


def test_a_series_stays_at_a_level_that_it_equals_if_its_end_is_known() -> None:
    assert first_at_most([3, 2, 2], 2, 0) == 1
    assert first_at_most([3, 2, np.nan], 2, 0) is None
    assert first_at_most([3, 2], 2, 5) is None


def test_errors_are_out_of_band_a_tenth_above_what_is_usual() -> None:
    errors = np.full(80, 100_000.0)
    (band,) = recovery(np.arange(80.0), {"errors": errors}, 60).bands
    assert band.limit == pytest.approx(110_000)


def test_what_may_be_as_large_as_the_margin_is_not_tolerable() -> None:
    asked = Question(0.05, 0.05, 0.001)
    assert asked.is_tolerable(0.03, 0.01)
    assert not asked.is_tolerable(0.03, 0.03)
    assert not asked.is_tolerable(0.03, None)


def test_further_runs_are_the_candidates_alone_or_make_both_sides_one_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the numbers that are weighed, 43 is the first from 40 on."""

    def alone(ahead: planning._Ahead, candidate: int, baseline: int) -> float:
        return float(candidate >= 40)

    def both(ahead: planning._Ahead, candidate: int, baseline: int) -> float:
        sizes = ahead.candidate + candidate, ahead.baseline + baseline
        return float(baseline > 0 and sizes[0] == sizes[1] >= 20)

    asked = 0.01, Spread(1e-4, 6), 5, 3, Question(0.05, 0.05, 0.001)
    monkeypatch.setattr(planning._Ahead, "settled", alone)
    assert runs_to_settle(*asked) == (43, 0)
    monkeypatch.setattr(planning._Ahead, "settled", both)
    assert runs_to_settle(*asked) == (17, 15)


def test_the_squares_of_runs_to_come_are_chi_squares() -> None:
    ahead = _Ahead(0.0, Spread(1.0, math.inf), 10, 3, Question(0.05, 0.05, 0.001))
    scatter = stats.norm.ppf((np.arange(planning.DRAWS) + 0.5) / planning.DRAWS)
    none = np.zeros(planning.DRAWS)
    for more in (3, 11):
        _, squares = ahead._grown(3, more, none, none, scatter)
        assert np.mean(squares) == pytest.approx(more - 1, rel=0.02)
        assert np.var(squares) == pytest.approx(2 * (more - 1), rel=0.06)


@pytest.mark.parametrize(("q", "is_far"), [(0.5, False), (0.98, False), (0.99, True)])
def test_a_quantiles_half_width_is_the_geometric_mean_of_two_and_of_a_far_tail_the_larger(
    q: float, monkeypatch: pytest.MonkeyPatch, *, is_far: bool
) -> None:
    """Student's t on ten batches, which forget each other here, and 0.002 by the memory."""
    monkeypatch.setattr(quantiles, "memory", lambda series, batches=5: Memory(1.0, 1.0))
    monkeypatch.setattr(quantiles, "mean_half_width", lambda series, confidence: 8.0)
    x = np.random.default_rng(6).permutation(400_000) / 400_000
    found = sectioned_sample_quantile(x, q)
    gaps = (x.reshape(10, -1) <= found.estimate).mean(axis=1) - q
    both = 0.002, stats.t.isf(0.025, 9) * math.sqrt(float(gaps @ gaps) / 90)
    half = max(both) if is_far else math.sqrt(both[0] * both[1])
    assert found.n == 10
    assert found.high == pytest.approx(q + half, abs=1e-5)
    assert found.low == pytest.approx(q - half, abs=1e-5)


def test_a_rank_that_is_a_whole_number_is_that_one() -> None:
    counts = np.full((10, 2), 5)
    assert quantiles.sectioned_quantile([1.0, 2.0], counts, 0.5).estimate == 1.0


def test_recoveries_that_were_all_censored_on_a_side_have_no_ratio() -> None:
    assert log_rank([5.0], [True], [1.0], [False]).ratio is None


def test_quantiles_that_do_not_vary_lend_no_scatter() -> None:
    (found, _) = shift_function(np.ones((3, 2)), np.ones((2, 2)), (0.5, 0.95))
    assert found.change.estimate == 0


def test_the_order_of_runs_is_tested_as_a_slope() -> None:
    runs = np.array([1.0, 1.3, 1.1, 1.6, 1.2, 1.7, 1.4])
    known = stats.linregress(np.arange(7), runs)
    found = order_of_runs(runs)
    assert (found.trend, found.trend_p) == pytest.approx((known.slope, known.pvalue))
    assert found.correlation == pytest.approx(
        np.sum((runs[1:] - runs.mean()) * (runs[:-1] - runs.mean())) / (6 * runs.var(ddof=1))
    )
