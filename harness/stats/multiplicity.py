"""Many comparisons at once: adjusted p-values."""

import numpy as np
from numpy.typing import ArrayLike

from harness.errors import DataError
from harness.stats.interval import Floats, finite


def holm(p_values: ArrayLike) -> Floats:
    """Adjusted p-values, shape (m,), that keep the chance of any false alarm (Holm 1979).

    Raises DataError when one lies outside 0..1.
    """
    p = finite(p_values, "p_values")
    if np.any((p < 0) | (p > 1)):
        raise DataError("a p-value lies outside 0..1", "give probabilities")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def alarm_level(false_alarms: float, comparisons: float) -> float:
    """The level of each comparison that a budget of false alarms allows.

    `false_alarms` and `comparisons` are numbers per the same period (a month); independent
    comparisons are the worst case. Raises DataError unless both are positive.
    """
    if not (false_alarms > 0 and comparisons > 0):
        raise DataError(
            f"a budget of {false_alarms} false alarms in {comparisons} comparisons",
            "give positive numbers",
        )
    return min(0.5, false_alarms / comparisons)
