"""The limits of recovery, from both sides of each."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.stats.autocorrelation import memory
from harness.stats.interval import Floats
from harness.stats.recovery import Recovery, recovery

NOISY: Floats = np.exp(0.2 * np.random.default_rng(1).standard_normal(20))
SLOW: Floats = np.exp(0.2 * np.sin(np.arange(40.0) / 6))
"""Each second is near the one before."""


def found_after(before: Floats, *after: float) -> Recovery:
    """What follows a fault after these seconds of latency."""
    latency = [*before, *after]
    return recovery(np.arange(len(latency)), {"latency": latency}, len(before))


def band(before: Floats) -> float:
    """The largest latency in band after these."""
    (one,) = found_after(before, *[float(np.median(before))] * 20).bands
    return one.limit


def predicted(before: Floats, tail: float, n: float, df: float) -> float:
    """What the next second exceeds with the chance `tail`, known from `n` independent ones."""
    logs = np.log(before)
    width = stats.t.isf(tail, df) * logs.std(ddof=1) * np.sqrt(1 + 1 / n)
    return float(np.exp(logs.mean() + width))


def test_a_second_without_a_fault_is_out_of_band_once_in_a_thousand() -> None:
    assert band(NOISY) == pytest.approx(predicted(NOISY, 0.001, 20, 19))


@pytest.mark.parametrize(("chance", "recovered"), [(0.012, 10), (0.008, None)])
def test_after_an_impact_the_band_ends_where_chance_leads_once_in_a_hundred(
    chance: float, recovered: float | None
) -> None:
    level = predicted(NOISY, chance, 20, 19)
    assert found_after(NOISY, *[100.0] * 10, *[level] * 20).recovery == recovered


def test_memory_widens_the_band_from_thirty_seconds_before_the_fault() -> None:
    assert band(SLOW[:29]) == pytest.approx(predicted(SLOW[:29], 0.001, 29, 28))
    assert band(SLOW[:30]) > 1.05 * predicted(SLOW[:30], 0.001, 30, 29)


def test_a_band_rests_on_no_fewer_than_four_degrees_of_freedom() -> None:
    n = len(SLOW) / memory(np.log(SLOW)).time
    assert n < 4
    assert band(SLOW) == pytest.approx(predicted(SLOW, 0.001, n, 4))


@pytest.mark.parametrize(("slow", "detected"), [((1, 2, 5), 6), ((1, 2, 6, 7, 8), 9)])
def test_detection_is_the_end_of_the_third_bad_second_of_five(
    slow: tuple[int, ...], detected: int
) -> None:
    after = [100.0 if second in slow else 1.0 for second in range(30)]
    assert found_after(NOISY, *after).detection == detected
