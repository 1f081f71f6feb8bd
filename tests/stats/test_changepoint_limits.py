"""The limits of change points, from both sides of each."""

from __future__ import annotations

import numpy as np
import pytest

from harness.stats import changepoints
from harness.stats.changepoints import _gaussian_penalty, _own_penalty, change_points
from harness.stats.interval import Floats
from harness.stats.noise import Noise
from harness.stats.segmentation import strongest_step

UNIT = Noise(0.0, 1.0, 1.0)


def test_the_penalty_is_what_the_strongest_step_of_noise_explains_in_one_series_of_twenty() -> None:
    random = np.random.default_rng(1)
    stronger = [
        strongest_step(random.standard_normal((500, 1000)), 3) > _gaussian_penalty(1000, UNIT, 0.05)
        for _ in range(8)
    ]
    assert 0.035 < np.mean(stronger) < 0.07


def test_above_some_thirty_thousand_points_the_largest_bump_decides_the_penalty() -> None:
    def growth(n: int) -> float:
        return _gaussian_penalty(2 * n, UNIT, 0.05) - _gaussian_penalty(n, UNIT, 0.05)

    assert growth(7000) < 0.4
    assert growth(40_000) == pytest.approx(np.log(2), abs=0.001)


@pytest.mark.parametrize(("points", "times"), [(100, 99), (2000, 50), (10_000, 19)])
def test_a_hundred_thousand_points_are_shuffled_99_to_19_times(
    points: int, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = []

    def strongest(series: Floats, least: int) -> Floats:
        shapes.append(series.shape)
        return np.ones(len(series))

    monkeypatch.setattr(changepoints, "strongest_step", strongest)
    _own_penalty(np.random.default_rng(2).standard_normal(points), UNIT, 3, 0.05)
    assert shapes == [(times, points)]


def test_the_interval_of_a_place_is_as_wide_as_chance_moves_it() -> None:
    random = np.random.default_rng(3)
    widths = []
    for _ in range(40):
        x = 100 + random.standard_normal(40)
        x[20:] += 2.5
        widths += [point.latest - point.earliest for point in change_points(x)]
    assert 2 < np.mean(widths) < 4.5
