"""Change points of a series of runs: a penalised step fit that knows its own false alarms.

1. Points become normal scores of their ranks: outliers and skew cannot make a step. Where a step
   is likely, the ranks are taken on each side of it: a large step cannot hide in few points.
   Steps of short series that are clear whatever neighbours remember are taken as they are.
2. Lag-1 correlation and noise: of short series fitted together with the steps, then from what is
   left about the levels; of long ones from squared differences that cross no step (in the first
   round: trimmed ones, after Chakar et al. 2017). What counts is the long-run variance of AR(1).
3. Optimal partitioning (Jackson et al. 2005) of a piecewise constant mean with a penalty per
   step, segments of 3 points or more; of long series over the places where a step may be, and
   those that improve on them.
4. The penalty is raised to what the series' own history needs: the residuals in permuted blocks
   show which steps chance alone makes of them.
5. A straight line that explains the series better than steps do (Schwarz's criterion) leaves only
   the steps beside it (`harness.stats.drift` tells its slope).
6. A step whose own interval holds zero is none.
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
from harness.stats.noise import (
    JOINT_POINTS,
    LEAST_VARIANCE,
    MAD,
    WINDOW,
    Noise,
    noise_between,
    resemblance,
    rough_noise,
    scatter,
    tamed,
    trimmed_square,
)
from harness.stats.segmentation import (
    ROUNDING,
    Indices,
    candidates,
    level,
    partition,
    partition_from,
    permuted_blocks,
    placed,
    running_median,
    schwarz,
    strongest_step,
    unexplained,
)

MIN_SEGMENT = 3
FALSE_ALARMS = 0.05

PERMUTATIONS = 99
SEED = 20_170_401
"""The permutations are part of the method: the same series gives the same answer."""

LOCATION = 7.69
"""Fall of the fit, in noise variances, within which the place of a step lies (95 %, Yao 1987)."""

EXACT_POINTS = 1500
"""Longer series are searched over CANDIDATES places of each scale and what improves on them, which
takes less time than all pairs of points and finds the same (benchmarks/stats)."""

CANDIDATES = 24
RHOS = (0.0, 0.2, 0.4, 0.6, 0.8)
"""The memories of neighbours that are tried."""

BUMP = 2.5
"""Half of what the largest bump among n points exceeds 2 log n by, in 5 % of series: it decides
above 30,000 points."""

A_STEP = 10.0
"""What a step must explain beside them, in noise variances: about the penalty of 60 points."""

SHUFFLED = 100_000
"""Points of all permutations together at most: long series need fewer of them."""

FEWEST = 19
"""Permutations that show a level of 5 %."""

LIKELY = 0.6
"""Of the penalty: what a step must explain to be looked at as a clear one."""

SHORT = 60
"""Points up to which clear steps are looked for: in longer series two outliers of three look so."""

CLEAR = 25.0
"""What a clear step explains, in variances beside it, where neighbours do not resemble each other.

Of unchanged series of 12 to 60 points with a correlation of 0, .3 and .6 of neighbours the best
step does so in 1 to 2, 2 to 5 and 8 to 15 % (benchmarks/stats)."""

SHORT_MEMORY = 2.5
"""Times the variance that the long-run variance of a short series is at most for a step's size: it
tells its memory too badly to believe more, which hid clear steps (benchmarks/RESULTS.md, 6c).
Beside a line all of it counts: what is left of the slope is in the levels."""

STRICTER = 1 / 3
"""The power of the false alarms by which CLEAR grows as they become rarer (same simulation)."""


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
class _Fit:
    """The series as it was fitted, the steps found, the noise and the penalty per step.

    `sloped`: the steps are beside a line.
    """

    y: Floats
    steps: Indices
    noise: Noise
    penalty: float
    sloped: bool = False


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
    found = _detect(x, min_segment, false_alarms)
    return tuple(c for c in found if abs(c.shift) >= min_effect)


def _detect(x: Floats, least: int, alarms: float) -> list[ChangePoint]:
    logs = _multiplicative(x)
    y: Floats = np.log(x) if logs else x / np.abs(x).max()
    if scatter(np.subtract(y, running_median(y, WINDOW))) == 0:
        y = tamed(y)  # hardly any point varies at all: those that do alone are no level
    if np.ptp(y) == 0:
        return []
    fit = _fit(y, least, alarms)
    fit = replace(fit, steps=_refined(y, fit.steps, least))
    return _describe(x, y, fit, alarms, logs=logs, ratio=bool(x.min() > 0))


def _fit(y: Floats, least: int, alarms: float) -> _Fit:
    """Steps beside a line where a line explains the series better, else steps alone."""
    fit = _steps_alone(y, least, alarms)
    if not fit.steps:
        return fit
    time: Floats = np.linspace(-1, 1, len(y), dtype=np.float64)
    tame = tamed(y)
    if len(y) > EXACT_POINTS and schwarz(tame, fit.steps, None) < schwarz(tame, fit.steps, time):
        return fit  # many steps that stand for a line leave its slope between them
    slope = float(time @ tame) / float(time @ time)
    beside = _steps_alone(y - slope * time, least, alarms)
    if len(y) <= SHORT:
        tame = tamed(y, sorted({*fit.steps, *beside.steps}))
    alone = schwarz(tame, fit.steps, None)
    if schwarz(tame, beside.steps, time) < alone:
        return replace(beside, sloped=True)
    return fit


def _steps_alone(y: Floats, least: int, alarms: float) -> _Fit:
    """The fit of the scores, then of the scores on each side of the steps found.

    Clear steps are taken as they are; what is left between them is searched as a series of its own.
    """
    clear = _clear_steps(y, least, alarms) if len(y) <= SHORT else []
    if clear:
        rest: Floats = np.subtract(y, level(tamed(y, clear), clear))
        beside = _as_history_asks(_step_fit(_scores(rest), None, least, alarms), least, alarms)
        apart = [s for s in beside.steps if min(abs(s - c) for c in clear) >= least]
        return replace(
            beside, y=_rescored(y, tamed(y, clear), clear), steps=sorted([*clear, *apart])
        )
    fit = _step_fit(_scores(y), None, least, alarms)
    if not fit.steps:
        return fit
    fit = _step_fit(_rescored(y, tamed(y), fit.steps), fit.steps, least, alarms)
    return _as_history_asks(fit, least, alarms)


def _clear_steps(y: Floats, least: int, alarms: float) -> Indices:
    """Steps so large that memory does not explain them, however little a short series tells of it.

    A step must explain CLEAR times the variance beside the steps, and more where neighbours
    resemble each other beside them.
    """
    scores = _scores(y)
    white = trimmed_square(scores, 1) / 2
    penalty = LIKELY * _gaussian_penalty(len(y), Noise(0.0, white, white), alarms)
    steps = partition(scores, penalty, least)
    while steps:
        steps = _refined(y, steps, least)
        tame = tamed(y, steps)
        rest: Floats = np.subtract(tame, level(tame, steps))
        left = float(rest @ rest)
        gains = [gap * gap * weight for gap, weight in _gaps(tame, steps)]
        weakest = int(np.argmin(gains))
        asked = CLEAR * len(steps) * math.exp(resemblance(rest, steps))
        asked *= (FALSE_ALARMS / alarms) ** STRICTER
        clear = gains[weakest] > asked * left / (len(y) - len(steps) - 1)
        if clear and (left == 0 or np.median(np.abs(rest)) > 0):
            return steps
        del steps[weakest]
    return []


def _partition(y: Floats, penalty: float, least: int, places: Indices) -> Indices:
    """The best steps: of a long series from those at `places` on."""
    if len(y) <= EXACT_POINTS:
        return partition(y, penalty, least)
    return partition_from(y, penalty, least, places)


def _step_fit(y: Floats, steps: Indices | None, least: int, alarms: float) -> _Fit:
    """Fit, estimate the noise beside the steps found, fit again."""
    places = [] if len(y) <= EXACT_POINTS else candidates(y, least, CANDIDATES)
    if steps is None:
        steps = _first_steps(y, places, least, alarms)
    noise = noise_between(y, steps)
    penalty = _gaussian_penalty(len(y), noise, alarms)
    return _Fit(y, _partition(y, penalty, least, places), noise, penalty)


def _as_history_asks(fit: _Fit, least: int, alarms: float) -> _Fit:
    """With the penalty that the series' own history needs, where that is higher."""
    y, steps = fit.y, fit.steps
    own = _own_penalty(np.subtract(y, level(y, steps)), fit.noise, least, alarms) if steps else 0.0
    if own <= fit.penalty:
        return fit
    return replace(fit, steps=_partition(y, own, least, steps), penalty=own)


def _first_steps(y: Floats, places: Indices, least: int, alarms: float) -> Indices:
    """Steps and memory explain the same wandering: of short series they are fitted together.

    For each of RHOS the series is made white and fitted; Schwarz's criterion takes the best
    (after Chakar et al. 2017, who estimate the memory first, which takes more points).
    """
    n = len(y)
    if n > JOINT_POINTS:
        return _partition(y, _gaussian_penalty(n, rough_noise(y), alarms), least, places)
    best, found = math.inf, []
    for rho in RHOS:
        white: Floats = np.divide(y[1:] - rho * y[:-1], 1 - rho)
        variance = trimmed_square(white, 1) / 2
        steps = partition(white, A_STEP * variance, least)
        rest = (1 - rho) ** 2 * unexplained(white, steps, None)
        price = (n - 1) * math.log(max(rest, LEAST_VARIANCE)) + A_STEP * len(steps)
        if price < best:
            best, found = price, steps
    return [step + 1 for step in found if step + 1 <= n - least]


def _rescored(y: Floats, tame: Floats, steps: Indices) -> Floats:
    """The levels found, under normal scores of what is left: large steps no longer squeeze it."""
    fitted = level(tame, steps)
    rest: Floats = np.subtract(y, fitted)
    scale = MAD * float(np.median(np.abs(rest - np.median(rest))))
    if scale <= ROUNDING * float(np.abs(fitted).max()):  # nothing is left between the steps
        return y
    rescored: Floats = np.add(fitted / scale, _scores(rest))
    return rescored


def _refined(y: Floats, steps: Indices, least: int) -> Indices:
    rest = y - level(tamed(y, steps), steps)
    scale = MAD * float(np.median(np.abs(rest - np.median(rest))))
    return placed(y, steps, least, scale)


def _scores(y: Floats) -> Floats:
    """Normal scores of the ranks (van der Waerden): no outlier and no skew is left."""
    _, inverse, counts = np.unique(y, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    scores: Floats = special.ndtri((ranks - 0.5) / len(y))[inverse]
    return scores


def _gaussian_penalty(n: int, noise: Noise, alarms: float) -> float:
    """The penalty per step that keeps `alarms` on normal points with this noise.

    Fitted to simulations of this very procedure (benchmarks/stats): the growth with n is that of
    the largest of n correlated chi-squares, for one step or for the two of a short bump; the last
    term is what estimating the noise costs.
    """
    unit = max(5.5 + 3 * math.log(math.log(n)), BUMP + math.log(n))
    unit -= 2 * math.log(alarms / FALSE_ALARMS)
    return noise.long_run * (unit + 20 * noise.long_run / noise.variance / n)


def _own_penalty(residual: Floats, noise: Noise, least: int, alarms: float) -> float:
    length = min(max(1, round(2 * noise.long_run / noise.variance)), max(1, len(residual) // 8))
    random = np.random.default_rng(SEED)
    times = max(FEWEST, min(PERMUTATIONS, SHUFFLED // len(residual)))
    shuffled = permuted_blocks(residual, length, times, random)
    return float(np.quantile(strongest_step(shuffled, least), 1 - alarms))


def _multiplicative(x: Floats) -> bool:
    """Whether the logarithm makes the scatter more symmetric; never with values <= 0."""
    if x.min() <= 0:
        return False

    def skew(y: Floats) -> float:
        low, mid, high = np.quantile(y - running_median(y, WINDOW), [0.1, 0.5, 0.9])
        return abs(float(high + low - 2 * mid)) / max(float(high - low), 1e-300)

    return skew(np.log(x)) <= skew(x)


def _describe(
    x: Floats, y: Floats, fit: _Fit, alarms: float, *, logs: bool, ratio: bool
) -> list[ChangePoint]:
    """Sizes on the tamed series itself, confidence and place on the series as it was fitted.

    The step whose interval holds zero by most is taken out, until none is left that does.
    """
    steps = list(fit.steps)
    while steps:
        tame = tamed(y, steps)
        noise = noise_between(tame, steps)
        capped = len(y) <= SHORT and not fit.sloped
        memory = min(noise.long_run, SHORT_MEMORY * noise.variance) if capped else noise.long_run
        sizes = _sizes(tame, steps, memory)
        doubt = [half - abs(gap) for gap, half in sizes]
        worst = int(np.argmax(doubt))
        if doubt[worst] < 0:
            scale = _Scale(1.0 if logs else float(np.abs(x).max()), logs, ratio)
            kept = replace(fit, steps=steps)
            return [_point(tame, kept, i, size, scale, alarms) for i, size in enumerate(sizes)]
        del steps[worst]
    return []


@dataclass(frozen=True, slots=True)
class _Scale:
    """How the fitted values become the series' own: its unit, logarithms, relative shifts."""

    unit: float
    logs: bool
    ratio: bool


def _gaps(tame: Floats, steps: Indices) -> list[tuple[float, float]]:
    """The difference of the levels at each step, and the points that it is as good as seen by."""
    edges = [0, *steps, len(tame)]
    return [
        (
            float(tame[at:end].mean()) - float(tame[start:at].mean()),
            (at - start) * (end - at) / (end - start),
        )
        for start, at, end in zip(edges[:-2], edges[1:-1], edges[2:], strict=True)
    ]


def _sizes(tame: Floats, steps: Indices, long_run: float) -> list[tuple[float, float]]:
    """The difference of the levels at each step and its 95 % half width."""
    half = t_quantile(0.975, len(tame) - len(steps) - 1) * math.sqrt(long_run)
    return [(gap, half / math.sqrt(weight)) for gap, weight in _gaps(tame, steps)]


def _point(
    tame: Floats, fit: _Fit, i: int, size: tuple[float, float], scale: _Scale, alarms: float
) -> ChangePoint:
    edges = [0, *fit.steps, len(tame)]
    start, at, end = edges[i : i + 3]
    before, after = float(tame[start:at].mean()), float(tame[at:end].mean())
    gap, half = size
    shifts = [gap, gap - half, gap + half]
    if scale.logs:
        before, after = math.exp(before), math.exp(after)
        shifts = [math.expm1(s) for s in shifts]
    else:
        before, after = before * scale.unit, after * scale.unit
        shifts = [s * scale.unit / (before if scale.ratio else 1.0) for s in shifts]
    piece = fit.y[start:end]
    weight = (at - start) * (end - at) / (end - start)
    gain = float(piece[: at - start].mean() - piece[at - start :].mean()) ** 2 * weight
    chance = alarms * math.exp(min((fit.penalty - gain) / (2 * fit.noise.long_run), 0.0))
    earliest, latest = _location(piece, at - start, fit.noise)
    return ChangePoint(
        index=at,
        shift=shifts[0],
        low=shifts[1],
        high=shifts[2],
        confidence=1 - chance,
        earliest=start + earliest,
        latest=start + latest,
        before=before,
        after=after,
        scale="ratio" if scale.ratio else "difference",
    )


def _location(y: Floats, at: int, noise: Noise) -> tuple[int, int]:
    """Places whose fit is as good but for chance (95 % of the argmax: Yao 1987)."""
    n = len(y)
    left = np.arange(1, n)
    gap = np.cumsum(y)[:-1] - y.sum() * left / n
    gain = gap * gap * n / (left * (n - left))
    near = np.flatnonzero(gain >= gain[at - 1] - LOCATION * noise.long_run) + 1
    return int(min(near[0], at)), int(max(near[-1], at))
