"""Change points of a series of runs: a penalised step fit that knows its own false alarms.

1. Points become normal scores of their ranks: outliers and skew cannot make a step.
2. Lag-1 correlation and noise come from squared differences that cross no step (in the first
   round: trimmed ones, after Chakar et al. 2017); what counts is the long-run variance of AR(1).
3. Optimal partitioning (Jackson et al. 2005) of a piecewise constant mean with a penalty per
   step, segments of 3 points or more.
4. The penalty is raised to what the series' own history needs: the residuals in permuted blocks
   show which steps chance alone makes of them.
5. A straight line that explains the series better than steps do leaves only the steps beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from harness.errors import DataError
from harness.stats.interval import Floats, finite, share, t_quantile
from harness.stats.segmentation import (
    Indices,
    level,
    partition,
    permuted_blocks,
    running_median,
    step_gains,
    strongest_step,
)

MIN_SEGMENT = 3
FALSE_ALARMS = 0.05

PERMUTATIONS = 99
SEED = 20_170_401
"""The permutations are part of the method: the same series gives the same answer."""

TRIM = 0.10
TRIMMED_SQUARE = 0.6230
"""Mean of a squared standard normal below its own 90 % quantile."""

MAX_RHO = 0.9
BEYOND_CHANCE = 1.645
CAUTION = 0.5
"""Standard errors that a correlation beyond chance is raised by: too little costs false alarms."""

LINE_FAVOUR = 6.0
"""Noise variances by which a step must explain more than a line: drift is no change point.

On pure trends fewer let more than 5 % of series pass (benchmarks/stats)."""

WINDOW = 7
CLIP = 2.5
"""Sizes are told from points within so many robust deviations of the running median of 7."""

LOCATION = 7.69
"""Fall of the fit, in noise variances, within which the place of a step lies (95 %, Yao 1987)."""

MOST_POINTS = 4000
"""Longer series are searched by the means of neighbours first."""

LEAST_VARIANCE = 1e-9
"""Of scores, whose variance is 1: below it is rounding."""

ROUNDING = 1e-12
"""What is smaller than this share of the levels is an error of arithmetic, not noise."""

MAD = 1.4826
"""Standard deviations per median absolute deviation of a normal."""


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """A step: `index` is the first point of the new level.

    `shift`, `low`, `high`: relative (0.1 is +10 %) on scale `ratio`, in the series' unit on
    `difference`. `earliest`..`latest` is the 95 % interval of the index. `confidence` is
    1 - the chance that an unchanged series shows a step as strong.
    """

    index: int
    shift: float
    low: float
    high: float
    confidence: float
    earliest: int
    latest: int
    before: float
    after: float
    scale: Literal["ratio", "difference"]


@dataclass(frozen=True, slots=True)
class _Noise:
    """Lag-1 correlation, marginal variance and long-run variance of the series about its level."""

    rho: float
    variance: float
    long_run: float


@dataclass(frozen=True, slots=True)
class _Fit:
    """The series as it was fitted, the steps found, the noise and the penalty per step."""

    y: Floats
    steps: Indices
    noise: _Noise
    penalty: float


def change_points(
    values: ArrayLike,
    false_alarms: float = FALSE_ALARMS,
    min_effect: float = 0.0,
    min_segment: int = MIN_SEGMENT,
) -> tuple[ChangePoint, ...]:
    """The steps in a series, shape (n,), in any unit and in order of time.

    `false_alarms` is the chance that an unchanged series shows any step; `min_effect` drops
    smaller relative (or, with values <= 0, absolute) shifts. A series shorter than two
    segments has none. Raises DataError for values that are not finite or limits that cannot be.
    """
    x = finite(values, "values")
    share(false_alarms, "false_alarms")
    if min_segment < MIN_SEGMENT or not min_effect >= 0:
        raise DataError(
            f"min_segment {min_segment}, min_effect {min_effect}",
            f"give {MIN_SEGMENT} and 0 or more",
        )
    if len(x) < 2 * min_segment or np.ptp(x) == 0:
        return ()
    width = -(-len(x) // MOST_POINTS)
    if width > 1:
        found = _detect_wide(x, width, min_segment, false_alarms)
    else:
        found = _detect(x, min_segment, false_alarms)
    return tuple(c for c in found if abs(c.shift) >= min_effect)


def _detect(x: Floats, least: int, alarms: float) -> list[ChangePoint]:
    logs = _multiplicative(x)
    y: Floats = np.log(x) if logs else x / np.abs(x).max()
    if np.median(np.abs(y - running_median(y, WINDOW))) == 0:
        y = _tamed(y)  # most points do not vary at all: those that do alone are no level
    if np.ptp(y) == 0:
        return []
    fit = _fit(y, least, alarms)
    return _describe(x, y, fit, alarms, logs=logs, ratio=bool(x.min() > 0))


def _detect_wide(x: Floats, width: int, least: int, alarms: float) -> list[ChangePoint]:
    """A long series by the means of `width` points; each place is then sought point by point."""
    starts = np.arange(0, len(x), width)
    means = np.add.reduceat(x, starts) / np.diff(np.append(starts, len(x)))
    found = []
    for point in _detect(means, least, alarms):
        first = max(0, (point.index - 2) * width)
        piece = x[first : min(len(x), (point.index + 2) * width)]
        at = first + least + int(np.argmax(step_gains(piece[None, :], least)[0]))
        earliest = min(at, max(0, (point.earliest - 1) * width))
        latest = max(at, min(len(x) - 1, (point.latest + 1) * width))
        found.append(replace(point, index=at, earliest=earliest, latest=latest))
    return found


def _fit(y: Floats, least: int, alarms: float) -> _Fit:
    """Steps beside a line where a line explains the series better, else steps alone."""
    fit = _step_fit(_scores(y), None, least, alarms)
    if not fit.steps:
        return fit
    fit = _step_fit(_rescored(y, fit.steps), fit.steps, least, alarms)
    time: Floats = np.linspace(-1, 1, len(y), dtype=np.float64)
    tame = _tamed(y)
    slope = float(time @ tame) / float(time @ time)
    straight = y - slope * time
    beside = _step_fit(_scores(straight), None, least, alarms)
    # Schwarz's criterion on effective points: a step costs its size and its place.
    noise = _noise(tame, fit.steps).long_run
    price = 2 * noise * math.log(len(y))
    line = price - LINE_FAVOUR * noise
    alone = _unexplained(tame, fit.steps, None) + len(fit.steps) * price
    with_line = _unexplained(tame, beside.steps, time) + len(beside.steps) * price + line
    return beside if with_line < alone else fit


def _step_fit(y: Floats, steps: Indices | None, least: int, alarms: float) -> _Fit:
    """Fit, estimate the noise between the steps found, fit again; then ask the own history."""
    if steps is None:
        rough = _rough_noise(y)
        steps = partition(y, _gaussian_penalty(len(y), rough, alarms), least)
    noise = _noise(y, steps)
    penalty = _gaussian_penalty(len(y), noise, alarms)
    steps = partition(y, penalty, least)
    if not steps:
        return _Fit(y, steps, noise, penalty)
    own = _own_penalty(np.subtract(y, level(y, steps)), noise, least, alarms)
    if own > penalty:
        penalty = own
        steps = partition(y, penalty, least)
    return _Fit(y, steps, noise, penalty)


def _rescored(y: Floats, steps: Indices) -> Floats:
    """The levels found, under normal scores of what is left: large steps no longer squeeze it."""
    fitted = level(_tamed(y), steps)
    rest: Floats = np.subtract(y, fitted)
    scale = MAD * float(np.median(np.abs(rest - np.median(rest))))
    if scale <= ROUNDING * float(np.abs(fitted).max()):  # nothing is left between the steps
        return y
    rescored: Floats = np.add(fitted / scale, _scores(rest))
    return rescored


def _scores(y: Floats) -> Floats:
    """Normal scores of the ranks (van der Waerden): no outlier and no skew is left."""
    _, inverse, counts = np.unique(y, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    scores: Floats = special.ndtri((ranks - 0.5) / len(y))[inverse]
    return scores


def _gaussian_penalty(n: int, noise: _Noise, alarms: float) -> float:
    """The penalty per step that keeps `alarms` on normal points with this noise.

    Fitted to simulations of this very procedure (benchmarks/stats): the growth with n is that of
    the largest of n correlated chi-squares, the last term what estimating the noise costs.
    """
    unit = 5.5 + 3 * math.log(math.log(n)) - 2 * math.log(alarms / FALSE_ALARMS)
    return noise.long_run * (unit + 20 * noise.long_run / noise.variance / n)


def _own_penalty(residual: Floats, noise: _Noise, least: int, alarms: float) -> float:
    length = min(max(1, round(2 * noise.long_run / noise.variance)), max(1, len(residual) // 8))
    random = np.random.default_rng(SEED)
    shuffled = permuted_blocks(residual, length, PERMUTATIONS, random)
    return float(np.quantile(strongest_step(shuffled, least), 1 - alarms))


def _noise(y: Floats, steps: Indices) -> _Noise:
    """From the differences that cross no step."""
    one, two = np.diff(y) ** 2, (y[2:] - y[:-2]) ** 2
    keep_one, keep_two = np.ones(len(one), dtype=bool), np.ones(len(two), dtype=bool)
    for step in steps:
        keep_one[step - 1] = False
        keep_two[max(step - 2, 0) : step] = False
    return _from_squares(float(one[keep_one].mean()), float(two[keep_two].mean()), len(y))


def _rough_noise(y: Floats) -> _Noise:
    """Without the largest differences, whatever made them."""

    def mean_square(lag: int) -> float:
        squares = np.sort((y[lag:] - y[:-lag]) ** 2)
        kept = squares[: max(1, math.ceil(len(squares) * (1 - TRIM)))]
        return float(kept.mean()) / TRIMMED_SQUARE

    return _from_squares(mean_square(1), mean_square(2), len(y))


def _from_squares(one: float, two: float, n: int) -> _Noise:
    """AR(1): E d1^2 = 2 v (1 - rho), E d2^2 = 2 v (1 - rho^2); bias after Kendall 1954."""
    rho = min(two / one - 1, MAX_RHO) if one > 0 else 0.0
    if rho > BEYOND_CHANCE / math.sqrt(n):
        rho += (1 + 3 * rho) / n + CAUTION * math.sqrt((1 - rho**2) / n)
    rho = min(max(rho, 0.0), MAX_RHO)
    variance = max(one / (2 * (1 - rho)), LEAST_VARIANCE)
    return _Noise(rho, variance, variance * (1 + rho) / (1 - rho))


def _tamed(y: Floats) -> Floats:
    middle = running_median(y, WINDOW)
    gap = y - middle
    room = CLIP * MAD * float(np.median(np.abs(gap)))
    tame: Floats = np.add(middle, np.clip(gap, -room, room))
    return tame


def _multiplicative(x: Floats) -> bool:
    """Whether the logarithm makes the scatter more symmetric; never with values <= 0."""
    if x.min() <= 0:
        return False

    def skew(y: Floats) -> float:
        low, mid, high = np.quantile(y - running_median(y, WINDOW), [0.1, 0.5, 0.9])
        return abs(float(high + low - 2 * mid)) / max(float(high - low), 1e-300)

    return skew(np.log(x)) <= skew(x)


def _unexplained(y: Floats, steps: Indices, line: Floats | None) -> float:
    """Squared residuals of the joint fit of levels and, when given, one slope."""
    rest = y - level(y, steps)
    if line is None:
        return float(rest @ rest)
    slope = line - level(line, steps)
    down = float(slope @ slope)
    if down > 0:
        rest = rest - slope * float(slope @ rest) / down
    return float(rest @ rest)


def _describe(
    x: Floats, y: Floats, fit: _Fit, alarms: float, *, logs: bool, ratio: bool
) -> list[ChangePoint]:
    """Sizes on the tamed series itself, confidence and place on the series as it was fitted."""
    tame = _tamed(y)
    noise = _noise(tame, fit.steps)
    unit = 1.0 if logs else float(np.abs(x).max())
    edges = [0, *fit.steps, len(y)]
    found = []
    for start, at, end in zip(edges[:-2], edges[1:-1], edges[2:], strict=True):
        before, after = float(tame[start:at].mean()), float(tame[at:end].mean())
        weight = (at - start) * (end - at) / (end - start)
        df = max(len(y) - len(edges) + 1, 1)
        half = t_quantile(0.975, df) * math.sqrt(noise.long_run / weight)
        shifts = [after - before, after - before - half, after - before + half]
        if logs:
            before, after = math.exp(before), math.exp(after)
            shifts = [math.expm1(s) for s in shifts]
        else:
            before, after = before * unit, after * unit
            shifts = [s * unit / (before if ratio else 1.0) for s in shifts]
        piece = fit.y[start:end]
        gain = float(piece[: at - start].mean() - piece[at - start :].mean()) ** 2 * weight
        chance = alarms * math.exp(min((fit.penalty - gain) / (2 * fit.noise.long_run), 0.0))
        earliest, latest = _location(piece, at - start, fit.noise)
        found.append(
            ChangePoint(
                index=at,
                shift=shifts[0],
                low=shifts[1],
                high=shifts[2],
                confidence=1 - chance,
                earliest=start + earliest,
                latest=start + latest,
                before=before,
                after=after,
                scale="ratio" if ratio else "difference",
            )
        )
    return found


def _location(y: Floats, at: int, noise: _Noise) -> tuple[int, int]:
    """Places whose fit is as good but for chance (95 % of the argmax: Yao 1987)."""
    n = len(y)
    left = np.arange(1, n)
    gap = np.cumsum(y)[:-1] - y.sum() * left / n
    gain = gap * gap * n / (left * (n - left))
    near = np.flatnonzero(gain >= gain[at - 1] - LOCATION * noise.long_run) + 1
    return int(min(near[0], at)), int(max(near[-1], at))
