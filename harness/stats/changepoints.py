"""Change points of a series of runs: a penalised step fit that knows its own false alarms.

1. Points become normal scores of their ranks: outliers and skew cannot make a step. Where a step
   is likely, the ranks are taken on each side of it: a large step cannot hide in few points.
   Short series tell too little of what neighbours remember: their steps are weighed by the
   evidence for them, whatever is remembered (`harness.stats.evidence`), and 2 to 4 are left out.
2. Lag-1 correlation and noise: fitted together with the steps, then from what is left about the
   levels; of long series from squared differences that cross no step (in the first round: trimmed
   ones, after Chakar et al. 2017). What counts is the long-run variance of AR(1).
3. Optimal partitioning (Jackson et al. 2005) of a piecewise constant mean with a penalty per
   step, segments of 3 points or more; of long series over the places where a step may be, and
   those that improve on them.
4. The penalty is raised to what the series' own history needs: the residuals in permuted blocks
   show which steps chance alone makes of them.
5. A straight line that explains the series better than steps do (Schwarz's criterion) leaves only
   the steps beside it (`harness.stats.drift` tells its slope). One step that it takes the place
   of is suspected: a step and a drift look alike.
6. A step whose own interval holds zero is none; where only the memory of a short series makes it
   so wide, the step is suspected.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from harness.errors import DataError
from harness.stats.evidence import RHOS, evidence
from harness.stats.interval import Floats, finite, median, share
from harness.stats.noise import (
    JOINT_POINTS,
    LEAST_VARIANCE,
    MAD,
    WINDOW,
    Noise,
    noise_between,
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
from harness.stats.steps import SHORT, ChangePoint, Fit, describe, gaps

MIN_SEGMENT = 3
FALSE_ALARMS = 0.05

PERMUTATIONS = 99
SEED = 20_170_401
"""The permutations are part of the method: the same series gives the same answer."""

EXACT_POINTS = 1500
"""Longer series are searched over CANDIDATES places of each scale and what improves on them, which
takes less time than all pairs of points and finds the same (benchmarks/stats)."""

CANDIDATES = 24
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
"""Of the penalty: what a step of a short series must explain to be weighed by its evidence."""

EVIDENCE = 0.4
"""Logarithm of the Bayes factor that a step must have at 5 % false alarms.

Of unchanged series of 8 to 60 points 1 to 4 % show as much where neighbours do not resemble each
other, 4 to 9 % at a correlation of .3 and 5 to 16 % at .6 (benchmarks/RESULTS.md, 6c2). Of 12
points .7 would find 77 % of the steps of 4 deviations, where .4 finds 92 %."""

VERY_STRONG = 10.0
"""Difference of Schwarz's criterion from which a line surely explains a series better than a step
(Kass and Raftery 1995)."""

LESS_EVIDENCE = 0.37
"""By which a suspected step of more than FEW points needs less, times the logarithm of how many
times more: 16 % of unchanged series with a correlation of .6 show one, however long."""

FEW = 12
FURTHER = 1.5
"""What each further step must have beside it: pairs of steps make bumps of chance."""

RARER = 0.8
"""By which EVIDENCE grows with the logarithm of how much rarer false alarms are (same table)."""


@dataclass(frozen=True, slots=True)
class Changes:
    """The steps that a series shows; `suspected`: a drift or memory explains them as well."""

    claimed: tuple[ChangePoint, ...] = ()
    suspected: tuple[ChangePoint, ...] = ()


def change_points(
    values: ArrayLike,
    false_alarms: float = FALSE_ALARMS,
    min_effect: float = 0.0,
    min_segment: int = MIN_SEGMENT,
) -> tuple[ChangePoint, ...]:
    """The steps in a series that nothing else explains; see `find_changes`."""
    return find_changes(values, false_alarms, min_effect, min_segment).claimed


def find_changes(
    values: ArrayLike,
    false_alarms: float = FALSE_ALARMS,
    min_effect: float = 0.0,
    min_segment: int = MIN_SEGMENT,
) -> Changes:
    """The steps in a series, shape (n,), in any unit and in order of time.

    `false_alarms` is the chance that an unchanged series shows any step, claimed or suspected; a
    series that drifts may show one that is suspected. `min_effect` drops
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
        return Changes()
    claimed, suspected = _detect(x, min_segment, false_alarms)
    apart = [
        each for each in suspected if all(abs(each.index - c.index) >= min_segment for c in claimed)
    ]
    return Changes(*(
        tuple(each for each in found if abs(each.shift) >= min_effect) for found in (claimed, apart)
    ))  # fmt: skip


def _detect(x: Floats, least: int, alarms: float) -> tuple[list[ChangePoint], list[ChangePoint]]:
    logs = _multiplicative(x)
    y: Floats = np.log(x) if logs else x / np.abs(x).max()
    if scatter(np.subtract(y, running_median(y, WINDOW))) == 0:
        y = tamed(y)  # hardly any point varies at all: those that do alone are no level
    if np.ptp(y) == 0:
        return [], []
    fit = _fit(y, least, alarms)

    def described(fit: Fit | None) -> list[ChangePoint]:
        if fit is None:
            return []
        fit = replace(fit, steps=_refined(y, fit.steps, least))
        return describe(x, y, fit, alarms, logs=logs, ratio=bool(x.min() > 0))

    return described(fit), described(fit.suspected)


def _fit(y: Floats, least: int, alarms: float) -> Fit:
    """Steps beside a line where a line explains the series better, else steps alone."""
    fit = _steps_alone(y, least, alarms)
    doubtful = _suspected(y, fit, least, alarms)
    if not fit.steps:
        return replace(fit, suspected=doubtful)
    time: Floats = np.linspace(-1, 1, len(y), dtype=np.float64)
    tame = tamed(y)
    if len(y) > EXACT_POINTS and schwarz(tame, fit.steps, None) < schwarz(tame, fit.steps, time):
        return fit  # many steps that stand for a line leave its slope between them
    slope = float(time @ tame) / float(time @ time)
    beside = _steps_alone(y - slope * time, least, alarms)
    if len(y) <= SHORT:
        tame = tamed(y, sorted({*fit.steps, *beside.steps}))
    alone = schwarz(tame, fit.steps, None)
    better = alone - schwarz(tame, beside.steps, time)
    if better > 0:
        single = len(doubtful.steps) == 1  # several are the stairs of a drift
        alike = doubtful if single and better < VERY_STRONG else None
        return replace(beside, sloped=True, suspected=alike)
    return replace(fit, suspected=doubtful)


def _suspected(y: Floats, fit: Fit, least: int, alarms: float) -> Fit:
    """The fit of what a line or the memory of a short series may explain as well."""
    if len(y) <= SHORT:
        less = LESS_EVIDENCE * math.log(max(len(y) / FEW, 1.0))
        fit = replace(fit, steps=_evident_steps(y, least, alarms, less) or fit.steps)
    return replace(fit, calm=True)


def _steps_alone(y: Floats, least: int, alarms: float) -> Fit:
    """The fit of the scores, then of the scores on each side of the steps found.

    The steps of a short series that have evidence are taken as they are.
    """
    steps = _evident_steps(y, least, alarms) if len(y) <= SHORT else []
    if steps:
        scores = _rescored(y, tamed(y, steps), steps)
        noise = noise_between(scores, steps)
        return Fit(scores, steps, noise, _gaussian_penalty(len(y), noise, alarms))
    fit = _step_fit(_scores(y), None, least, alarms)
    if not fit.steps:
        return fit
    fit = _step_fit(_rescored(y, tamed(y), fit.steps), fit.steps, least, alarms)
    return _as_history_asks(fit, least, alarms)


def _evident_steps(y: Floats, least: int, alarms: float, less: float = 0.0) -> Indices:
    """Of nested sets of steps the one with most evidence, less what each step must have.

    That is `less` than of a step that is claimed.

    What the last step of a set adds does not count alone: others that follow a wandering level
    leave nothing to remember.
    """
    asked = EVIDENCE - less + RARER * math.log(FALSE_ALARMS / alarms)
    best: Indices = []
    most = total = 0.0
    for steps, more in _nested_sets(y, least, alarms):
        total += more - asked - (FURTHER if len(steps) > 1 else 0.0)
        if total > most:
            best, most = steps, total
    return best


def _nested_sets(y: Floats, least: int, alarms: float) -> list[tuple[Indices, float]]:
    """Likely steps and what is left as the weakest goes, again and again; the fewest first.

    Each set with its evidence against the one before.
    """
    scores = _scores(y)
    white = trimmed_square(scores, 1) / 2
    penalty = LIKELY * _gaussian_penalty(len(y), Noise(0.0, white, white), alarms)
    steps = partition(scores, penalty, least)
    sets: list[tuple[Indices, float]] = []
    while steps:
        steps = _refined(y, steps, least)
        tame = tamed(y, steps)
        weakest = int(np.argmin([gap * gap * weight for gap, weight in gaps(tame, steps)]))
        edges = [0, *steps, len(y)]
        left = [*steps[:weakest], *steps[weakest + 1 :]]
        sets.append((steps, evidence(tame, left, (edges[weakest], edges[weakest + 2]), least)))
        steps = left
    return sets[::-1]


def _partition(y: Floats, penalty: float, least: int, places: Indices) -> Indices:
    """The best steps: of a long series from those at `places` on."""
    if len(y) <= EXACT_POINTS:
        return partition(y, penalty, least)
    return partition_from(y, penalty, least, places)


def _step_fit(y: Floats, steps: Indices | None, least: int, alarms: float) -> Fit:
    """Fit, estimate the noise beside the steps found, fit again."""
    places = [] if len(y) <= EXACT_POINTS else candidates(y, least, CANDIDATES)
    if steps is None:
        steps = _first_steps(y, places, least, alarms)
    noise = noise_between(y, steps)
    penalty = _gaussian_penalty(len(y), noise, alarms)
    return Fit(y, _partition(y, penalty, least, places), noise, penalty)


def _as_history_asks(fit: Fit, least: int, alarms: float) -> Fit:
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
    scale = MAD * median(np.abs(np.subtract(rest, median(rest))))
    if scale <= ROUNDING * float(np.abs(fitted).max()):  # nothing is left between the steps
        return y
    rescored: Floats = np.add(fitted / scale, _scores(rest))
    return rescored


def _refined(y: Floats, steps: Indices, least: int) -> Indices:
    rest: Floats = np.subtract(y, level(tamed(y, steps), steps))
    scale = MAD * median(np.abs(np.subtract(rest, median(rest))))
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
