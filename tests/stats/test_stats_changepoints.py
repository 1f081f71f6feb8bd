"""Change points of a series of runs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from harness.errors import DataError
from harness.stats.changepoints import change_points
from harness.stats.interval import Floats
from harness.stats.segmentation import (
    candidates,
    level,
    partition,
    partition_from,
    running_median,
    schwarz,
)
from tests.sequential import exceeds


def noise(kind: str, n: int, random: np.random.Generator) -> Floats:
    """Zero mean, about unit variance."""
    z: Floats = random.standard_normal(n + 100)
    if kind.startswith("ar"):
        rho = float(kind[2:])
        z = np.fromiter(
            itertools.accumulate(z * math.sqrt(1 - rho**2), lambda a, b: rho * a + b), np.float64
        )
    if kind == "lognormal":
        z = np.divide(np.exp(z) - math.exp(0.5), 2.16)
    if kind == "outliers":
        z[random.random(n + 100) < 0.03] += 10
    if kind == "trend":
        z[100:] += np.linspace(0, 3, n)
    result: Floats = np.asarray(z[100:], dtype=np.float64)
    return result


@pytest.mark.parametrize("kind", ["iid", "ar.3", "ar.6", "lognormal", "outliers", "trend"])
def test_an_unchanged_series_shows_no_change(kind: str) -> None:
    random = np.random.default_rng(1)
    alarms = (bool(change_points(100 + 3 * noise(kind, 200, random))) for _ in range(1000))
    assert not exceeds(alarms, 0.05, 0.10, miss=0.2)


@pytest.mark.parametrize("kind", ["iid", "ar.3", "lognormal", "outliers"])
def test_clear_steps_are_found_where_they_are(kind: str) -> None:
    random = np.random.default_rng(2)
    hits = false = 0
    for _ in range(20):
        x = 100 + noise(kind, 150, random)
        x[50:] += 4
        x[100:] -= 8
        found = [point.index for point in change_points(x)]
        hits += sum(any(abs(f - t) <= 3 for f in found) for t in (50, 100))
        false += sum(all(abs(f - t) > 3 for t in (50, 100)) for f in found)
    assert hits >= 37
    assert false <= 5


@pytest.mark.parametrize(("low", "high"), [(5.0, 6.0), (0.1, 0.3), (1e-320, 2e-320), (-7.0, 0.7)])
def test_a_step_between_constants_is_one_step(low: float, high: float) -> None:
    """The rounding of their mean is no noise for further steps to stand out of."""
    for before in (10, 33, 50):
        x = [low] * before + [high] * 50
        assert [point.index for point in change_points(x)] == [before]


def test_a_step_is_told_with_its_size_its_place_and_its_confidence() -> None:
    x = 100 + np.random.default_rng(3).standard_normal(100)
    x[60:] *= 1.1
    (point,) = change_points(x)
    assert point.index == 60
    assert point.low < 0.1 < point.high
    assert point.shift == pytest.approx(0.1, abs=0.01)
    assert point.earliest <= 60 <= point.latest
    assert point.confidence > 0.99
    assert change_points(x, min_effect=0.2) == ()


def test_the_answer_does_not_depend_on_the_unit() -> None:
    x = np.random.default_rng(4).standard_normal(80) + np.repeat([0, 3], 40)
    one, other = change_points(x), change_points(1e6 * x)
    assert [p.index for p in one] == [p.index for p in other]
    assert other[0].shift == pytest.approx(1e6 * one[0].shift)
    assert one[0].scale == "difference"


def test_the_last_three_runs_can_be_a_change() -> None:
    x = 100 + np.random.default_rng(5).standard_normal(60)
    x[57:] += 10
    assert [p.index for p in change_points(x)] == [57]


@pytest.mark.parametrize(
    "values", [[], [1.0], [1.0, 2, 3, 4, 5], [7.0] * 100, [7.0] * 50 + [9.0] + [7.0] * 50]
)
def test_too_short_constant_and_once_disturbed_series_show_nothing(values: list[float]) -> None:
    assert change_points(values) == ()


def test_a_step_without_any_noise_is_found() -> None:
    assert [p.index for p in change_points([5.0] * 20 + [6.0] * 20)] == [20]


def test_long_series_are_searched_in_time() -> None:
    x = 100 + np.random.default_rng(6).standard_normal(200_000)
    x[123_456:] += 1
    (point,) = change_points(x)
    assert abs(point.index - 123_456) <= 10


@pytest.mark.parametrize("values", [[math.nan] * 10, [1.0] * 9 + [math.inf]])
def test_values_that_are_not_finite_are_refused(values: list[float]) -> None:
    with pytest.raises(DataError):
        change_points(values)


def test_the_partition_is_the_best_there_is() -> None:
    y = np.random.default_rng(7).standard_normal(12)

    def cost(steps: list[int]) -> float:
        return float(((y - level(y, steps)) ** 2).sum()) + 0.5 * len(steps)

    places = [[], *([a] for a in range(3, 10))]
    places += [[a, b] for a in range(3, 7) for b in range(a + 3, 10)]
    places += [[3, 6, 9]]
    assert cost(partition(y, 0.5, 3)) == pytest.approx(min(cost(p) for p in places))


def test_the_running_median_follows_a_step_at_once() -> None:
    y = np.repeat([0.0, 1.0], 20)
    assert running_median(y, 7).tolist() == y.tolist()


@pytest.mark.parametrize(("n", "last"), [(20, 10), (20, 5), (40, 20)])
def test_a_step_of_fifty_deviations_in_a_short_series_is_found_with_its_size(
    n: int, last: int
) -> None:
    random = np.random.default_rng(8)
    found = 0
    for _ in range(20):
        x = 10 * np.exp(0.01 * random.standard_normal(n))
        x[n - last :] *= 1.5
        points = change_points(x)
        found += [p.index for p in points] == [n - last] and abs(points[0].shift - 0.5) < 0.05
    assert found >= 19


def test_the_size_of_a_step_of_three_runs_is_theirs() -> None:
    x = 10 * np.exp(0.01 * np.random.default_rng(9).standard_normal(40))
    x[37:] *= 1.5
    (point,) = change_points(x)
    assert point.index == 37
    assert point.shift == pytest.approx(0.5, abs=0.05)


def test_a_run_ten_times_slower_is_found_with_ten_runs_a_side() -> None:
    x = 10 * np.exp(0.01 * np.random.default_rng(10).standard_normal(20))
    x[10:] *= 10
    (point,) = change_points(x)
    assert point.shift == pytest.approx(9, rel=0.02)


def test_no_change_point_has_an_interval_that_holds_zero() -> None:
    random = np.random.default_rng(11)
    for kind in ("iid", "ar.6", "outliers"):
        for _ in range(15):
            x = 100 + 3 * noise(kind, 80, random)
            x[40:] += 4
            assert all(p.low * p.high > 0 for p in change_points(x))


def test_a_bump_of_six_points_in_a_long_series_is_found() -> None:
    x = 100 + np.random.default_rng(12).standard_normal(9000)
    x[4000:4006] += 8
    assert [p.index for p in change_points(x)] == [4000, 4006]


def test_the_search_from_few_places_finds_the_exact_partition() -> None:
    random = np.random.default_rng(13)
    same = 0
    for _ in range(20):
        y = random.standard_normal(300) + 2 * np.repeat([0, 1, 0, 2], [80, 60, 10, 150])
        same += partition(y, 12.0, 3) == partition_from(y, 12.0, 3, candidates(y, 3, 1))
    assert same >= 19


def test_small_steps_beside_large_ones_in_a_long_series_are_found() -> None:
    """The places of a large step must not crowd out all others."""
    random = np.random.default_rng(15)
    x = 100 + random.standard_normal(4000)
    truth = [int(at) for at in np.arange(1, 21) * 190]
    for i, place in enumerate(truth):
        x[place:] += (-1) ** i * (10 if i < 4 else 1.5)
    found = [p.index for p in change_points(x)]
    assert sum(any(abs(f - t) <= 15 for f in found) for t in truth) >= 19


def test_a_step_of_one_and_a_half_deviations_in_sixty_points_is_not_taken_for_memory() -> None:
    random = np.random.default_rng(16)
    found = 0
    for _ in range(60):
        x = 100 + random.standard_normal(60)
        x[30:] += 1.5
        found += any(abs(p.index - 30) <= 5 for p in change_points(x))
    assert found >= 42


def test_a_drift_is_no_step() -> None:
    random = np.random.default_rng(14)
    x = 10 * 1.02 ** np.arange(30) * np.exp(0.01 * random.standard_normal(30))
    assert change_points(x) == ()


def test_a_line_costs_one_parameter_and_a_step_two() -> None:
    y = np.random.default_rng(18).standard_normal(40)
    time = np.linspace(-1, 1, 40, dtype=np.float64)
    crossing = time - level(time, [20])
    y -= level(y, [20])  # one level explains no less than two do
    y -= crossing * float(crossing @ y) / float(crossing @ crossing)
    assert schwarz(y, [20], None) - schwarz(y, [], None) == pytest.approx(2 * math.log(40))
    assert schwarz(y, [20], time) - schwarz(y, [20], None) == pytest.approx(math.log(40))


def test_most_lines_of_three_deviations_are_no_steps() -> None:
    random = np.random.default_rng(19)
    series = [100 + 3 * noise("trend", 50, random) for _ in range(60)]
    assert sum(bool(change_points(x)) for x in series) <= 15


@pytest.mark.parametrize(("n", "size", "least"), [(12, 4.0, 0.8), (20, 3.0, 0.8)])
def test_steps_of_some_deviations_in_a_dozen_points_are_found(
    n: int, size: float, least: float
) -> None:
    random = np.random.default_rng(20)
    found = 0
    for _ in range(80):
        x = 100 + random.standard_normal(n)
        x[n // 2 :] += size
        found += any(abs(p.index - n // 2) <= 2 for p in change_points(x))
    assert found >= 80 * least


@pytest.mark.parametrize(("kind", "most"), [("iid", 4), ("ar.3", 8), ("ar.6", 16)])
def test_memory_makes_few_steps_of_twenty_points(kind: str, most: int) -> None:
    random = np.random.default_rng(22)
    series = [100 + 3 * noise(kind, 20, random) for _ in range(80)]
    assert sum(bool(change_points(x)) for x in series) <= most


def test_every_step_of_several_has_its_place_and_its_certainty() -> None:
    noise = np.random.default_rng(21).standard_normal(90)
    series = 100 + noise + np.repeat([0.0, 20.0, 0.0], 30)
    found = change_points(series)
    assert [point.index for point in found] == [30, 60]
    for point in found:
        assert point.index - 1 <= point.earliest <= point.index <= point.latest <= point.index + 1
        assert point.confidence > 0.999


def test_the_second_of_two_steps_is_as_certain_as_the_first() -> None:
    noise = np.random.default_rng(2).standard_normal(90)
    found = change_points(100 + noise + np.repeat([0.0, 1.0, 0.0], 30))
    first, second = (1 - point.confidence for point in found)
    assert first / 5 < second < 5 * first


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5])
@pytest.mark.parametrize("n", [40, 100])
def test_a_service_with_two_speeds_has_no_change_for_each_of_them(share: float, n: int) -> None:
    """Runs at 2.9 or at 3.4 by chance: most points equal the median of their neighbours."""
    random = np.random.default_rng(17)
    series = [np.where(random.random(n) < share, 3.4, 2.9) for _ in range(40)]
    assert sum(bool(change_points(x)) for x in series) <= 6
    slower = [np.concatenate([x, x[: n // 2] + 2]) for x in series[:10]]
    assert sum(n in [p.index for p in change_points(x)] for x in slower) >= 7


def test_a_step_of_four_deviations_in_a_dozen_alike_runs_is_found() -> None:
    random = np.random.default_rng(41)
    found = 0
    for _ in range(60):
        x = 100 + noise("ar.6", 12, random)
        x[6:] += 4
        found += any(abs(at - 6) <= 2 for at in [p.index for p in change_points(x)])
    assert found >= 48
