"""Runs that do not belong to the others: named, set aside, and never forgotten.

One run five times slower than nine others widens every interval until nothing can be shown.
Setting it aside is honest only while the candidate's runs cannot all be such runs themselves:
`outlier_chance` is the price, and it bounds every p-value from below.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.interval import Floats, finite, t_upper_tail

LEAST_RUNS = 5
"""Below it nobody can say which run is the odd one."""

MOST_SHARE = 0.25
"""Of the runs that may be set aside: more are a second mode, not outliers."""

LEVEL = 0.001
"""The chance that a sample of normal runs loses any run (simulated in benchmarks/stats): named
outliers are gross ones, so that the level of the comparison holds on long-tailed runs as well."""


def outliers(values: ArrayLike, least: float = 0.0) -> tuple[int, ...]:
    """The positions of the runs that are outliers, ascending; shape of `values` (n,).

    Grubbs' test of the most extreme run against all others, repeated as in Rosner 1983
    (generalised ESD, which two outliers together do not mask), for at most a quarter of five runs
    or more. `least`, in the unit of the values, is the distance from the median below which no
    run is an outlier, however little the others scatter. Raises DataError for values that are not
    finite.
    """
    x = finite(values, "values")
    if len(x) < LEAST_RUNS:
        return ()
    order = np.argsort(x, kind="stable")
    ranked = x[order]
    removed, distances, core = _peeled(ranked, order)
    count, mean = len(core), float(core.mean())
    squares = float(((core - mean) ** 2).sum())
    # From the core outwards: the sums are exact, and the last that is named ends the search.
    for at in reversed(range(len(removed))):
        gap = float(ranked[removed[at]]) - mean
        chance = _deleted_p(abs(gap), squares, count)
        if distances[at] > least and chance * (count + 1) <= LEVEL:
            return tuple(sorted(int(order[rank]) for rank in removed[: at + 1]))
        count += 1
        mean += gap / count
        squares += gap * gap * (count - 1) / count
    return ()


def _peeled(ranked: Floats, order: NDArray[np.int64]) -> tuple[list[int], list[float], Floats]:
    """Ranks of the runs farthest from the median of those left, how far, and the rest."""
    low, high = 0, len(ranked)
    removed: list[int] = []
    distances: list[float] = []
    for _ in range(int(MOST_SHARE * len(ranked))):
        middle = (ranked[(low + high) // 2] + ranked[(low + high - 1) // 2]) / 2
        down, up = float(middle - ranked[low]), float(ranked[high - 1] - middle)
        lowest = down > up or (down == up and order[low] < order[high - 1])
        removed.append(low if lowest else high - 1)
        distances.append(max(down, up))
        low, high = (low + 1, high) if lowest else (low, high - 1)
    return removed, distances, ranked[low:high]


def without(values: Floats, positions: tuple[int, ...]) -> Floats:
    """The values that are left when those at `positions` are set aside, in order."""
    left: Floats = np.delete(values, list(positions)) if positions else values
    return left


def outlier_chance(named: int, baseline: int, candidate: int) -> float:
    """The chance that all candidate runs are outliers of the kind that the baseline has.

    `named` of `baseline` runs were outliers: the rate is (named + 1/2) / (baseline + 1), the
    mean of Jeffreys' posterior. No number of standard errors is stronger evidence than this,
    which is why one candidate run can be no more than suspected.
    """
    return float(((named + 0.5) / (baseline + 1)) ** candidate)


def runs_beyond_outliers(named: int, baseline: int, level: float) -> int:
    """The fewest candidate runs whose `outlier_chance` is `level` or less."""
    return math.ceil(math.log(level) / math.log(outlier_chance(named, baseline, 1)) - 1e-9)


def _deleted_p(gap: float, squares: float, count: int) -> float:
    """Two-sided p of a run so far from the mean of `count` others (Grubbs, deleted residual)."""
    sd = math.sqrt(squares / (count - 1))
    if sd == 0:
        return 0.0 if gap > 0 else 1.0
    return 2 * t_upper_tail(gap / (sd * math.sqrt(1 + 1 / count)), count - 1)
