"""Drift: its slope, its interval, and how often an unchanged series has one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.errors import DataError
from harness.stats.drift import LEAST, drift


def noise(n: int, seed: int, rho: float = 0.0) -> NDArray[np.float64]:
    """Standard normal, neighbours correlated by `rho`."""
    random = np.random.default_rng(seed)
    y = random.standard_normal(n)
    for at in range(1, n):
        y[at] = rho * y[at - 1] + np.sqrt(1 - rho**2) * y[at]
    return y


def test_the_slope_of_two_percent_a_run_is_found_within_its_interval() -> None:
    x = 100 * np.exp(np.log(1.02) * np.arange(30) + 0.01 * noise(30, 1))
    found = drift(x)
    assert found is not None
    assert found.low < 0.02 < found.high
    assert found.slope == pytest.approx(0.02, rel=0.1)
    assert found.total == pytest.approx(1.02**29 - 1, rel=0.1)
    assert found.p_value < 1e-6


@pytest.mark.parametrize("rho", [0.0, 0.3])
def test_an_unchanged_series_drifts_no_more_often_than_its_level(rho: float) -> None:
    found = [drift(100 + noise(20, seed, rho)) for seed in range(300)]
    alarms = sum(one is not None and one.p_value <= 0.05 for one in found)
    covered = sum(one is not None and one.low <= 0 <= one.high for one in found)
    assert alarms <= 30  # 15 expected at most: 31 or more has a chance below 0.1 %
    assert covered >= 270


def test_an_outlier_moves_it_hardly() -> None:
    x = 100 * np.exp(0.02 * np.arange(20))
    x[10] *= 5
    found = drift(x)
    assert found is not None
    assert found.slope == pytest.approx(np.expm1(0.02), rel=0.01)


def test_a_long_series_has_the_same_slope_in_little_time() -> None:
    found = drift(100 * np.exp(1e-4 * np.arange(10_000) + 0.01 * noise(10_000, 2)))
    assert found is not None
    assert found.slope == pytest.approx(1e-4, rel=0.02)
    assert found.points == 10_000
    assert found.rho < 0.2


def test_values_that_reach_zero_drift_in_their_own_unit() -> None:
    found = drift(np.arange(20.0))
    assert found is not None
    assert (found.scale, found.slope, found.total) == ("difference", 1.0, 19.0)


def test_few_points_have_none_and_bad_ones_are_refused() -> None:
    assert drift(np.arange(LEAST - 1.0)) is None
    assert drift([5.0] * LEAST) is not None
    for values, alpha in (([1.0, np.nan], 0.05), ([1.0] * 9, 0.0), ([1.0] * 9, 1.0)):
        with pytest.raises(DataError):
            drift(values, alpha)
