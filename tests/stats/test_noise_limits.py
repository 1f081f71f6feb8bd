"""The limits of what counts as noise of a series, from both sides of each."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.stats.interval import Floats
from harness.stats.noise import _cautious, noise_between, rough_noise, scatter, tamed
from harness.stats.segmentation import running_median

NORMAL: Floats = stats.norm.ppf((np.arange(1000) + 0.5) / 1000)
WHITE: Floats = np.random.default_rng(1).standard_normal(4000)


def test_the_scatter_of_normal_points_is_their_standard_deviation() -> None:
    assert scatter(NORMAL) == pytest.approx(1, abs=0.01)
    assert scatter(np.repeat([0.0, 1.6449], [60, 40])) == pytest.approx(1, abs=0.001)


def test_the_rough_noise_of_white_points_is_their_variance() -> None:
    assert rough_noise(WHITE).variance == pytest.approx(1, abs=0.08)


def test_a_point_counts_up_to_two_and_a_half_deviations_from_the_median_of_seven() -> None:
    y = WHITE[:101].copy()
    y[50] = 100
    middle = running_median(y, 7)
    assert tamed(y)[50] == pytest.approx(middle[50] + 2.5 * scatter(np.subtract(y, middle)))


@pytest.mark.parametrize(("rho", "raised"), [(0.16, 0.0), (0.17, 0.5)])
def test_a_correlation_that_chance_makes_in_one_of_twenty_is_raised_by_half_its_standard_error(
    rho: float, raised: float
) -> None:
    """Of 100 points: 1.645 / 10."""
    assert _cautious(rho, 100) == pytest.approx(rho + raised * np.sqrt((1 - rho**2) / 100))


@pytest.mark.parametrize("n", [300, 600])
def test_neighbours_correlate_by_nine_tenths_at_most(n: int) -> None:
    assert noise_between(np.cumsum(WHITE[:n]), []).rho == 0.9


def test_a_step_that_was_not_found_is_noise_of_up_to_400_points() -> None:
    y = WHITE + 4 * (np.arange(4000) % 400 >= 200)
    assert noise_between(y[:400], []).variance > 4
    assert noise_between(y[:401], []).variance < 2


def test_the_noise_of_a_short_series_is_that_of_its_points_though_levels_were_fitted_to_it() -> (
    None
):
    random = np.random.default_rng(2)
    noise = [noise_between(random.standard_normal(20), [5, 10]).variance for _ in range(400)]
    assert np.mean(noise) == pytest.approx(1, abs=0.15)


def test_differences_across_a_step_are_no_noise_of_a_long_series() -> None:
    found = noise_between(np.add(WHITE[:600], 50.0 * (np.arange(600) >= 300)), [300])
    assert found.variance == pytest.approx(1, abs=0.15)
    assert found.rho < 0.2
