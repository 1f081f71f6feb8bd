"""Change points of a series of runs: a penalised step fit that knows its own false alarms.

1. Points far from their neighbours' running median are pulled in (an outlier is no step).
2. Lag-1 correlation and noise come from trimmed squared differences, which steps hardly touch
   (after Chakar et al. 2017); the noise is the long-run variance of an AR(1) process.
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
from numpy.typing import ArrayLike, NDArray

from harness.errors import DataError
from harness.stats.interval import Floats, finite, share, t_quantile
from harness.stats.segmentation import (
    Indices,
    level,
    partition,
    permuted_blocks,
    running_median,
    strongest_step,
)



MIN_SEGMENT = 3
FALSE_ALARMS = 0.05
SEED = 20_170_401
"""The permutations are part of the method: the same series gives the same answer."""

CLIP = 3.0
TRIM = 0.10
TRIMMED_SQUARE = 0.6223
"""Mean of a squared standard normal below its own 90 % quantile."""
MAX_RHO = 0.9


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
    if min_segment < 1 or not min_effect >= 0:
        raise DataError(
            f"min_segment {min_segment}, min_effect {min_effect}", "give 1 and 0 or more"
        )
    if len(x) < 2 * min_segment or np.ptp(x) == 0:
        return ()
    logs = _multiplicative(x)
    y = np.log(x) if logs else x / np.abs(x).max()
    steps, noise, penalty = _fit(_tamed(y), min_segment, false_alarms)
    ratio = bool(x.min() > 0)
    found = _describe(x, y, steps, noise, penalty, false_alarms, logs=logs, ratio=ratio)
    return tuple(c for c in found if abs(c.shift) >= min_effect)


def _fit(y: Floats, least: int, alarms: float) -> tuple[Indices, _Noise, float]:
    """Steps beside a line where a line explains the series better, else steps alone."""
    steps, noise, penalty = _step_fit(y, least, alarms)
    if not steps:
        return steps, noise, penalty
    time = np.linspace(-1, 1, len(y))
    straight = y - np.polynomial.Polynomial.fit(time, y, 1)(time)
    beside, noise_beside, penalty_beside = _step_fit(straight, least, alarms)
    # Schwarz's criterion on effective points: a step costs its size and its place.
    alone = _explained(y, steps, None) / noise.long_run
    with_line = _explained(y, beside, time) / noise.long_run
    worth = noise.long_run / noise.variance * math.log(len(y))
    if with_line + (2 * len(beside) + 1) * worth < alone + 2 * len(steps) * worth:
        return beside, noise_beside, penalty_beside
    return steps, noise, penalty


def _step_fit(y: Floats, least: int, alarms: float) -> tuple[Indices, _Noise, float]:
    """Fit, estimate the noise between the steps found, fit again; then ask the own history."""
    noise = _rough_noise(y)
    unit = _gaussian_penalty(len(y), alarms)
    steps = partition(y, unit * noise.long_run, least)
    noise = _noise(y, steps)
    penalty = unit * noise.long_run
    steps = partition(y, penalty, least)
    if not steps:
        return steps, noise, penalty
    noise = _noise(y, steps)
    penalty = max(unit * noise.long_run, _own_penalty(y - level(y, steps), noise, least, alarms))
    return partition(y, penalty, least), noise, penalty


def _gaussian_penalty(n: int, alarms: float) -> float:
    """The penalty, in units of the variance, that keeps `alarms` on independent normal points."""
    return GAUSS_A + GAUSS_B * math.log(math.log(n)) - 2 * math.log(alarms / 0.05) + GAUSS_C / n


GAUSS_A, GAUSS_B, GAUSS_C = 5.5, 3.0, 60.0
PERMUTATIONS = 99


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
    return _from_squares(float(one[keep_one].mean()), float(two[keep_two].mean()))


def _rough_noise(y: Floats) -> _Noise:
    """Without the largest differences, whatever made them."""

    def mean_square(d: Floats) -> float:
        squares = np.sort(d * d)
        kept = squares[: max(1, math.ceil(len(squares) * (1 - TRIM)))]
        return float(kept.mean()) / TRIMMED_SQUARE

    return _from_squares(mean_square(np.diff(y)), mean_square(y[2:] - y[:-2]))


def _from_squares(one: float, two: float) -> _Noise:
    """AR(1): E d1^2 = 2 v (1 - rho), E d2^2 = 2 v (1 - rho^2)."""
    rho = min(max(two / one - 1, 0.0), MAX_RHO) if one > 0 else 0.0
    variance = max(one / (2 * (1 - rho)), 1e-18)
    return _Noise(rho, variance, variance * (1 + rho) / (1 - rho))


def _tamed(y: Floats) -> Floats:
    middle = running_median(y, 2 * MIN_SEGMENT - 1)
    gap = y - middle
    room = CLIP * 1.4826 * float(np.median(np.abs(gap - np.median(gap)))) * 1.3
    return middle + np.clip(gap, -room, room) if room > 0 else y


def _multiplicative(x: Floats) -> bool:
    """Whether the logarithm makes the scatter more symmetric; never with values <= 0."""
    if x.min() <= 0:
        return False

    def skew(y: Floats) -> float:
        low, mid, high = np.quantile(y - running_median(y, 2 * MIN_SEGMENT - 1), [0.1, 0.5, 0.9])
        return abs(float(high + low - 2 * mid)) / max(float(high - low), 1e-300)

    return skew(np.log(x)) <= skew(x)


def _explained(y: Floats, steps: Indices, line: Floats | None) -> float:
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
    x: Floats,
    y: Floats,
    steps: Indices,
    noise: _Noise,
    penalty: float,
    alarms: float,
    *,
    logs: bool,
    ratio: bool,
) -> list[ChangePoint]:
    edges = [0, *steps, len(y)]
    tame = _tamed(y)
    unit = 1.0 if logs else float(np.abs(x).max())
    found = []
    for start, at, end in zip(edges[:-2], edges[1:-1], edges[2:], strict=True):
        before, after = float(tame[start:at].mean()), float(tame[at:end].mean())
        weight = (at - start) * (end - at) / (end - start)
        gain = (after - before) ** 2 * weight
        half = t_quantile(0.975, max(len(y) - len(steps) - 1, 1)) * math.sqrt(
            noise.long_run / weight
        )
        chance = min(1.0, alarms * math.exp(min((penalty - gain) / (2 * noise.long_run), 50.0)))
        earliest, latest = _location(tame[start:end], at - start, noise)
        shifts = [after - before, after - before - half, after - before + half]
        if logs:
            before, after = math.exp(before), math.exp(after)
            shifts = [math.expm1(s) for s in shifts]
        else:
            before, after = before * unit, after * unit
            shifts = [s * unit / (before if ratio else 1.0) for s in shifts]
        found.append(
            ChangePoint(
                at, *shifts, 1 - chance, start + earliest, start + latest, before, after,
                "ratio" if ratio else "difference",
            )
        )
    return found


def _location(y: Floats, at: int, noise: _Noise) -> tuple[int, int]:
    """Places whose fit is as good but for chance (95 % of the argmax: Yao 1987)."""
    n = len(y)
    left = np.arange(1, n)
    gap = np.cumsum(y)[:-1] - y.sum() * left / n
    gain = gap * gap * n / (left * (n - left))
    near = np.flatnonzero(gain >= gain[at - 1] - 7.69 * noise.long_run) + 1
    return int(near[0]), int(near[-1])
