"""What a comparison could have seen, and what it would take to settle it.

Both average over what is not known: the run-to-run standard deviation is itself an estimate, so
a shift that would be seen with 80 % power if it were exact is seen with 64 % (three runs against
one). Averages are over equally likely values of the scatter, or over predicted further runs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from harness.errors import DataError
from harness.stats.interval import MANY, Floats, share, t_quantile
from harness.stats.runs import MAX_RUNS, POWER, Spread, first_that_fits

AFFORDABLE_RUNS = 50
"""Further runs on one side that somebody may pay for; at a minute each it is an hour."""

COUNTS = (*range(1, 21), *sorted({round(20 * 1.1**i) for i in range(1, 66)} | {MAX_RUNS}))
"""Numbers of further runs that are weighed: each of the first, then in steps of 10 %."""

UNCHANGED = 0.5
"""Of all releases: they change nothing; the others anything within WIDEST, all equally likely."""

WIDEST = 5.0
"""Margins, either way."""

PRECISION = 0.002
"""Of a shift, and of the normal quantile of its power."""
POINTS = 24
DRAWS = 500
SEED = 19_650_301


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the runs.

    The margin (0 or more), the one-sided level of the interval, and the stricter one-sided level
    at which a regression is claimed. With `doubt` it is no verdict that is asked for, but a claim
    or an interval that ends below so much.
    """

    margin: float
    alpha: float
    level: float
    doubt: float | None = None

    def is_tolerable(self, worse: float, half: float | None) -> bool:
        """Whether all of the interval `worse` +- `half` is less than what would matter."""
        limit = self.margin if self.doubt is None else self.doubt
        return half is not None and worse + half <= limit

    def is_closed(self, worse: float, half: float | None) -> bool:
        """Whether no verdict is asked for and nothing that would matter is left open."""
        return self.doubt is not None and self.is_tolerable(worse, half)


def detectable_shift(
    error: float, df: float, level: float = 0.05, margin: float = 0.0, wanted: float = POWER
) -> float:
    """The smallest true shift that is called a regression with the chance `wanted`.

    A regression is an estimate of `margin` or more whose one-sided test is below `level`. `error`
    is the standard error of the difference, itself estimated with `df` degrees of freedom; the
    result is in its unit. Averaged over what that estimate may have been, so that over many
    comparisons a true shift of the size given is found in `wanted` of them. Raises DataError for
    a share outside 0..1, or a negative error or margin.
    """
    share(level, "level")
    share(wanted, "power")
    if not (error >= 0 and margin >= 0):
        raise DataError(f"error {error}, margin {margin}", "give 0 or more")
    if error == 0:
        return margin
    if margin == 0:
        return error * _in_errors(df, level, wanted)
    return _least(lambda shift: _power(shift / error, df, level, margin / error), wanted, error)


@lru_cache(maxsize=1024)
def _in_errors(df: float, level: float, wanted: float) -> float:
    return _least(lambda shift: _power(shift, df, level, 0.0), wanted, 1.0)


def _least(chance: Callable[[float], float], wanted: float, unit: float) -> float:
    """Where a rising chance reaches `wanted`, by false position on the normal scale."""

    def gap(shift: float) -> float:
        known = min(max(chance(shift), 1e-12), 1 - 1e-12)
        return float(special.ndtri(known) - special.ndtri(wanted))

    low, high = (0.0, gap(0.0)), (unit, gap(unit))
    while high[1] < 0:
        low, high = high, (2 * high[0], gap(2 * high[0]))
    while high[0] - low[0] > PRECISION * high[0]:
        at = (low[0] * high[1] - high[0] * low[1]) / (high[1] - low[1])
        found = gap(at)
        if abs(found) <= PRECISION:
            return at
        low, high = ((at, found), high) if found < 0 else (low, (at, found))
    return high[0]


def _power(shift: float, df: float, level: float, margin: float) -> float:
    """The chance of the verdict, all in estimated standard errors."""
    told, needed = _scatters(df)[:, None], _needed(df, level)
    gap = np.minimum(told * (shift - margin), told * shift - needed)
    return float(special.ndtr(gap).sum()) / gap.size


@lru_cache(maxsize=256)
def _needed(df: float, level: float) -> Floats:
    """The estimates that reach the level, in true standard errors, per scatter met again."""
    return np.asarray(t_quantile(1 - level, df) * _scatters(df)[None, :], dtype=np.float64)


@lru_cache(maxsize=256)
def _scatters(df: float) -> Floats:
    """Equally likely ratios of an estimated to the true standard deviation, shape (POINTS,)."""
    p = (np.arange(POINTS) + 0.5) / POINTS
    half = min(df, MANY) / 2
    ratios: Floats = np.sqrt(special.gammaincinv(half, p) / half)
    return ratios


def runs_to_settle(
    shift: float,
    spread: Spread,
    baseline: float,
    candidate: int,
    question: Question,
    wanted: float = POWER,
) -> tuple[int, int] | None:
    """How many further runs (candidate, baseline) settle the verdict with the chance `wanted`.

    `shift` is the difference seen, positive for the worse; `spread` the run-to-run variance in
    the same unit. The runs to come are predicted from what is known (UNCHANGED, a flat prior on
    the baseline's mean, the spread's own degrees of freedom) and judged together with those made.
    The baseline is kept as it is where AFFORDABLE_RUNS candidate runs do; otherwise both sides
    grow to one size. `baseline` is infinite for pairs, which have none. None beyond MAX_RUNS.
    """
    ahead = _Ahead(shift, spread, baseline, candidate, question)
    paired = math.isinf(baseline)
    alone = first_that_fits(
        [more for more in COUNTS if paired or more <= AFFORDABLE_RUNS],
        lambda more: ahead.settled(more, 0) >= wanted,
    )
    if paired or alone is not None:
        return None if alone is None else (alone, 0)
    known = round(baseline)
    size = max(known, candidate)
    both = first_that_fits(
        COUNTS, lambda n: ahead.settled(size + n - candidate, size + n - known) >= wanted
    )
    return None if both is None else (size + both - candidate, size + both - known)


@lru_cache(maxsize=1)
def _futures() -> tuple[Floats, Floats]:
    """Six normal values and two of 0..1 for each of DRAWS futures."""
    random = np.random.default_rng(SEED)
    chances = (np.arange(DRAWS) + 0.5) / DRAWS
    even = np.array([random.permutation(chances), random.permutation(chances)])
    return random.standard_normal((6, DRAWS)), even


class _Ahead:
    """The runs to come, in DRAWS equally likely futures (the same for every number of them)."""

    def __init__(
        self, shift: float, spread: Spread, baseline: float, candidate: int, question: Question
    ) -> None:
        self.shift, self.spread, self.question = shift, spread, question
        self.baseline, self.candidate = baseline, candidate
        self.normals, (chance, kind) = _futures()
        half = min(spread.df, MANY) / 2
        self.variance: Floats = spread.variance * half / special.gammaincinv(half, chance)
        self.candidate_off, self.baseline_off = self._offsets(kind)

    def _offsets(self, kind: Floats) -> tuple[Floats, Floats]:
        """How far the true means lie from those seen."""
        before, after = 1 / self.baseline, 1 / self.candidate
        error = self.variance * (before + after)
        gap = np.sqrt(error) * self.normals[0]
        if self.question.margin > 0:
            density = np.exp(-(self.shift**2) / (2 * error)) / np.sqrt(2 * np.pi * error)
            other = (1 - UNCHANGED) / (2 * WIDEST * self.question.margin)
            unchanged = UNCHANGED * density / (UNCHANGED * density + other)
            gap = np.where(kind < unchanged, -self.shift, gap)
        shared = np.sqrt(self.variance / (self.baseline + self.candidate)) * self.normals[3]
        total = before + after
        return shared + gap * (after / total), shared - gap * (before / total)

    def settled(self, candidate: int, baseline: int) -> float:
        """The share of futures in which so many further runs leave no doubt."""
        z = self.normals
        after = self._grown(self.candidate, candidate, self.candidate_off, z[1], z[2])
        before = self._grown(self.baseline, baseline, self.baseline_off, z[4], z[5])
        estimate: Floats = np.subtract(self.shift + after[0], before[0])
        df = min(self.spread.df, MANY) + candidate + baseline
        squares = min(self.spread.df, MANY) * self.spread.variance + after[1] + before[1]
        n, k = self.candidate + candidate, self.baseline + baseline
        error = np.asarray(np.sqrt(squares / df * (1 / n + 1 / k)), dtype=np.float64)
        return float(self._clear(estimate, error, df).mean())

    def _grown(
        self, have: float, more: int, off: Floats, new: Floats, scatter: Floats
    ) -> tuple[Floats, Floats]:
        """By how much a side's mean moves, and the squares that its new runs add."""
        if more < 1:
            return np.zeros(DRAWS), np.zeros(DRAWS)
        gap = off + np.sqrt(self.variance / more) * new
        inner = more - 1
        within: Floats = np.zeros(DRAWS)
        if inner:  # chi-square by Wilson & Hilferty 1931
            cube = 1 - 2 / (9 * inner) + scatter * math.sqrt(2 / (9 * inner))
            within = np.asarray(inner * np.maximum(cube, 0.0) ** 3, dtype=np.float64)
        weight = have * more / (have + more)
        moved: Floats = gap * (more / (have + more))
        added: Floats = self.variance * within + weight * gap**2
        return moved, added

    def _clear(self, estimate: Floats, error: Floats, df: float) -> NDArray[np.bool_]:
        question = self.question
        half = t_quantile(1 - question.alpha, df) * error
        strict = t_quantile(1 - question.level, df) * error
        clear: NDArray[np.bool_] = (estimate >= question.margin) & (estimate > strict)
        if question.doubt is not None:
            clear |= estimate + half <= question.doubt
        else:
            clear |= (estimate <= -question.margin) & (estimate < -half)
            clear |= np.abs(estimate) + half <= question.margin
        return clear
