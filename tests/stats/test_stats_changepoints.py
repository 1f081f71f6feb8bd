"""Change points of a series of runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import signal

from harness.errors import DataError
from harness.stats.changepoints import change_points
from harness.stats.interval import Floats
from harness.stats.segmentation import level, partition, running_median


def noise(kind: str, n: int, random: np.random.Generator) -> Floats:
    """Zero mean, about unit variance."""
    z: Floats = random.standard_normal(n + 100)
    if kind.startswith("ar"):
        rho = float(kind[2:])
        z = np.asarray(signal.lfilter([1], [1, -rho], z * np.sqrt(1 - rho**2)))
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
    alarms = sum(bool(change_points(100 + 3 * noise(kind, 200, random))) for _ in range(150))
    assert alarms / 150 <= 0.08


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
