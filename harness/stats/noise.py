"""The noise of a series about its levels: how large it is, and how long it remembers."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from harness.stats.interval import Floats, median
from harness.stats.segmentation import Indices, level, running_median

TRIM = 0.10
TRIMMED_SQUARE = 0.6230
"""Mean of a squared standard normal below its own 90 % quantile."""

MAX_RHO = 0.9
BEYOND_CHANCE = 1.645
CAUTION = 0.5
"""Standard errors that a correlation beyond chance is raised by: too little costs false alarms."""

LEAST_VARIANCE = 1e-9
"""Of scores, whose variance is 1: below it is rounding."""

JOINT_POINTS = 400
"""Of longer series the differences tell the memory well enough."""

WINDOW = 7
CLIP = 2.5
"""Sizes are told from points within so many robust deviations of the running median of 7."""

MAD = 1.4826
"""Standard deviations per median absolute deviation of a normal."""

NINE_TENTHS = 1.6449
"""Standard deviations that nine tenths of a normal lie within."""


@dataclass(frozen=True, slots=True)
class Noise:
    """Lag-1 correlation, marginal variance and long-run variance of the series about its level."""

    rho: float
    variance: float
    long_run: float


def scatter(gaps: Floats) -> float:
    """The standard deviation by the median of the gaps; by 90 % of them where most are zero.

    0 where hardly any point varies at all.
    """
    sizes = np.abs(gaps)
    return MAD * median(sizes) or float(np.quantile(sizes, 0.9)) / NINE_TENTHS


def tamed(y: Floats, steps: Indices | None = None) -> Floats:
    """The points no further than CLIP deviations from the running median of their segment."""
    edges = [0, *(steps or ()), len(y)]
    parts = [running_median(y[a:b], WINDOW) for a, b in pairwise(edges)]
    middle = np.concatenate(parts)
    gap: Floats = np.subtract(y, middle)
    room = CLIP * scatter(gap)
    tame: Floats = np.add(middle, np.clip(gap, -room, room))
    return tame


def noise_between(y: Floats, steps: Indices) -> Noise:
    """The noise beside the steps.

    Of JOINT_POINTS or fewer by what is left about the levels, which tells more of it; of longer
    series by the differences that cross no step, which steps not found yet do not widen.
    """
    if len(y) <= JOINT_POINTS:
        return _noise_left(y, steps)
    one, two = np.diff(y) ** 2, (y[2:] - y[:-2]) ** 2
    keep_one, keep_two = np.ones(len(one), dtype=bool), np.ones(len(two), dtype=bool)
    for step in steps:
        keep_one[step - 1] = False
        keep_two[max(step - 2, 0) : step] = False
    return _from_squares(float(one[keep_one].mean()), float(two[keep_two].mean()), len(y))


def _noise_left(y: Floats, steps: Indices) -> Noise:
    """By what is left about the levels."""
    n = len(y)
    rest: Floats = np.subtract(y, level(y, steps))
    squares = float(rest @ rest)
    rho = resemblance(rest, steps)
    rho = _cautious(rho + (len(steps) + 1) * (1 + 3 * max(rho, 0.0)) / n, n)
    lost = (len(steps) + 1) * (1 + rho) / (1 - rho)
    variance = max(squares / max(n - lost, n / 3), LEAST_VARIANCE)
    return Noise(rho, variance, variance * (1 + rho) / (1 - rho))


def resemblance(rest: Floats, steps: Indices) -> float:
    """The correlation of neighbours, not across steps, in what is left about the levels."""
    within = np.ones(len(rest) - 1, dtype=bool)
    within[np.asarray(steps, dtype=np.int64) - 1] = False
    products = float((rest[1:] * rest[:-1])[within].sum()) / max(int(within.sum()), 1)
    return products / max(float(rest @ rest) / len(rest), LEAST_VARIANCE)


def rough_noise(y: Floats) -> Noise:
    """Without the largest differences, whatever made them."""
    return _from_squares(trimmed_square(y, 1), trimmed_square(y, 2), len(y))


def trimmed_square(y: Floats, lag: int) -> float:
    """The mean square of the differences at `lag`, were all normal: without the largest."""
    squares = np.sort((y[lag:] - y[:-lag]) ** 2)
    if squares[len(squares) // 2] == 0:  # most are equal: the largest are all there is
        return max(float(squares.mean()), LEAST_VARIANCE)
    kept = squares[: math.ceil(len(squares) * (1 - TRIM))]
    return max(float(kept.mean()) / TRIMMED_SQUARE, LEAST_VARIANCE)


def _from_squares(one: float, two: float, n: int) -> Noise:
    """AR(1): E d1^2 = 2 v (1 - rho), E d2^2 = 2 v (1 - rho^2); bias after Kendall 1954."""
    rho = min(two / one - 1, MAX_RHO) if one > 0 else 0.0
    bias = (1 + 3 * rho) / n if rho > BEYOND_CHANCE / math.sqrt(n) else 0.0
    rho = _cautious(rho + bias, n)
    variance = max(one / (2 * (1 - rho)), LEAST_VARIANCE)
    return Noise(rho, variance, variance * (1 + rho) / (1 - rho))


def _cautious(rho: float, n: int) -> float:
    """Raised where it is beyond chance."""
    if rho > BEYOND_CHANCE / math.sqrt(n):
        rho += CAUTION * math.sqrt(max(1 - rho**2, 0.0) / n)
    return min(max(rho, 0.0), MAX_RHO)
