"""Slow drift of a series: how much from one run to the next, and since its beginning."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from harness.errors import DataError
from harness.stats.interval import Floats, finite

LEAST = 8
"""Points: with fewer, the correlation of neighbours, which decides the interval, is a guess."""

MAX_RHO = 0.9

MOST = 500
"""Points whose pairs are all taken; a longer series is taken by the means of neighbours."""


@dataclass(frozen=True, slots=True)
class Drift:
    """A trend: `slope` a step with its interval, `total` from the first to the last point.

    On scale `ratio` relative (0.02 is +2 % a step, compounded), on `difference` in the series'
    unit. `p_value` is two-sided, against no trend; `rho` the lag-1 correlation beside the trend.
    """

    slope: float
    low: float
    high: float
    total: float
    p_value: float
    rho: float
    points: int
    scale: Literal["ratio", "difference"]


def drift(values: ArrayLike, alpha: float = 0.05) -> Drift | None:
    """The trend of a series, shape (n,), in order of time; None below eight points.

    The slope is the median of all pairs' slopes (Theil 1950, Sen 1968), its interval of
    confidence 1 - alpha from Kendall's variance, widened by (1 + rho) / (1 - rho) where
    neighbours correlate (after Hamed and Rao 1998): no outlier and no skew moves it. Positive
    values are compared by their ratio. Raises DataError for values that are not finite or alpha
    outside (0, 1).
    """
    x = finite(values, "values")
    if not 0 < alpha < 1:
        raise DataError(f"alpha is {alpha}", "give a level between 0 and 1")
    if len(x) < LEAST:
        return None
    logs = bool(x.min() > 0)
    y, width = _shortened(np.log(x) if logs else x)
    n = len(y)
    first, second = np.triu_indices(n, 1)
    slopes: Floats = np.sort((y[second] - y[first]) / ((second - first) * width))
    slope = float(np.median(slopes))
    rho = _correlation(y - slope * width * np.arange(n))
    deviation = math.sqrt(n * (n - 1) * (2 * n + 5) / 18 * (1 + rho) / (1 - rho))
    low, high = _interval(slopes, deviation, alpha)
    kendall = float(np.sign(slopes).sum())
    p = 2 * float(special.ndtr(-max(abs(kendall) - 1, 0.0) / deviation))
    back = math.expm1 if logs else float
    return Drift(
        slope=back(slope),
        low=back(low),
        high=back(high),
        total=back(slope * (len(x) - 1)),
        p_value=min(p, 1.0),
        rho=rho,
        points=len(x),
        scale="ratio" if logs else "difference",
    )


def _shortened(y: Floats) -> tuple[Floats, int]:
    """The means of so many neighbours that 500 points are left; the rest at the end is not used."""
    width = -(-len(y) // MOST)
    whole = len(y) // width * width
    return y[:whole].reshape(-1, width).mean(axis=1), width


def _interval(slopes: Floats, deviation: float, alpha: float) -> tuple[float, float]:
    half = -float(special.ndtri(alpha / 2)) * deviation
    middle = len(slopes) / 2
    low = math.floor(middle - half / 2) - 1
    high = math.ceil(middle + half / 2)
    last = len(slopes) - 1
    return float(slopes[max(low, 0)]), float(slopes[min(high, last)])


def _correlation(rest: Floats) -> float:
    """Of neighbours, by ranks, raised by its bias (Kendall 1954) and a half of its own error.

    Too small a correlation costs false alarms, too large a one some power.
    """
    n = len(rest)
    _, place, ties = np.unique(rest, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[place] - (n + 1) / 2
    square = float(ranks @ ranks)
    if square == 0:
        return 0.0
    rho = float(ranks[1:] @ ranks[:-1]) / square
    rho += (1 + 4 * rho) / n + 0.5 * math.sqrt(max(1 - rho**2, 0.0) / n)
    return min(max(rho, 0.0), MAX_RHO)
