"""Run-level inference: one number per run, Student's t on the runs.

K baseline runs against n candidate runs; with n = 1 this is the prediction test
(x - mean) / (s sqrt(1 + 1/K)) with K - 1 degrees of freedom. Tests are one-sided.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from harness.errors import DataError
from harness.stats.interval import Floats, finite, same_length

POWER = 0.8
"""Of the smallest detectable effect: the convention of the field (Cohen 1988)."""

MAX_RUNS = 10_000
"""No one waits for more; a plan that needs more has no number."""

UNEQUAL_P = 0.01
"""Chance below which two scatters are taken as different and Welch's test is used."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A variance and the degrees of freedom it rests on (inf: known)."""

    variance: float
    df: float

    @property
    def sd(self) -> float:
        """The standard deviation, in the unit of the values."""
        return math.sqrt(self.variance)


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean of the candidate less mean of the baseline, with its standard error.

    `spread` is the run-to-run variance, None when nothing tells it; `method` names the test.
    """

    shift: float
    error: float | None
    df: float
    spread: Spread | None
    method: str


def difference(
    baseline: ArrayLike, candidate: ArrayLike, prior: Spread | None = None
) -> Difference:
    """Two-sample Student t with pooled variance, shapes (K,) and (n,).

    A prior spread (history, other endpoints) is pooled in as in Smyth 2004. Where the scatters
    of both sides differ beyond doubt (F test, p < 1 %), Welch's test takes its place. With a
    single run on each side and no prior the error is None: run-to-run scatter is not
    identifiable. Raises DataError when a side is empty or a value is not finite.
    """
    a, b = finite(baseline, "baseline"), finite(candidate, "candidate")
    if not len(a) or not len(b):
        side = "baseline" if not len(a) else "candidate"
        raise DataError(f"the {side} has no runs", "give at least one run on each side")
    shift = float(b.mean() - a.mean())
    df = len(a) + len(b) - 2
    squares_a, squares_b = _squares(a), _squares(b)
    if prior is None and _unequal(squares_a, len(a) - 1, squares_b, len(b) - 1):
        return _welch(shift, squares_a / (len(a) - 1), len(a), squares_b / (len(b) - 1), len(b))
    spread = prior if df == 0 else shrink(Spread((squares_a + squares_b) / df, df), prior)
    if spread is None:
        return Difference(shift, None, 0, None, "one run against one")
    error = spread.sd * math.sqrt(1 / len(a) + 1 / len(b))
    name = "prediction" if len(b) == 1 else "two-sample"
    suffix = " with a prior spread" if prior else ""
    return Difference(shift, error, spread.df, spread, f"{name} Student t{suffix}")


def shrink(own: Spread, prior: Spread | None) -> Spread:
    """The own variance drawn towards the prior's, weighted by degrees of freedom (Smyth 2004)."""
    if prior is None:
        return own
    if math.isinf(prior.df):
        return prior
    df = own.df + prior.df
    return Spread((own.df * own.variance + prior.df * prior.variance) / df, df)


def pooled_spread(variances: ArrayLike, dfs: ArrayLike) -> Spread:
    """The prior that many endpoints' variances share, by the moments of their logarithms.

    Shapes (endpoints,) both; Smyth 2004, section 6.2. Infinite degrees of freedom mean that the
    endpoints do not differ more than chance makes them. Zero variances are raised to 1e-5 of
    the median. Raises DataError without a positive variance or with degrees of freedom < 1.
    """
    s2, d = finite(variances, "variances"), finite(dfs, "dfs")
    same_length(s2, d)
    if not len(s2) or not np.any(s2 > 0) or np.any(s2 < 0) or np.any(d < 1):
        raise DataError(
            "no spread can be pooled", "give positive variances with one degree of freedom or more"
        )
    s2 = np.maximum(s2, 1e-5 * float(np.median(s2[s2 > 0])))
    if len(s2) == 1:
        return Spread(float(s2[0]), float(d[0]))
    e = np.log(s2) - special.digamma(d / 2) + np.log(d / 2)
    centre = float(e.mean())
    excess = float(e.var(ddof=1) - special.polygamma(1, d / 2).mean())
    if excess <= 0:
        return Spread(math.exp(centre), math.inf)
    df = 2 * _trigamma_inverse(excess)
    scale = math.exp(centre + float(special.digamma(df / 2)) - math.log(df / 2))
    return Spread(scale, df)


def first_that_fits(numbers: Sequence[int], fits: Callable[[int], bool]) -> int | None:
    """The first number that fits, when all after it do too (bisection); None when none does."""
    low, high = 0, len(numbers) - 1
    if high < 0 or not fits(numbers[high]):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(numbers[middle]) else (middle + 1, high)
    return numbers[low]


def _squares(values: Floats) -> float:
    return float(((values - values.mean()) ** 2).sum())


def _unequal(squares_a: float, df_a: int, squares_b: float, df_b: int) -> bool:
    if df_a < 1 or df_b < 1 or squares_a <= 0 or squares_b <= 0:
        return False
    ratio = (squares_a / df_a) / (squares_b / df_b)
    lower = float(special.fdtr(df_a, df_b, ratio))
    return 2 * min(lower, 1 - lower) < UNEQUAL_P


def _welch(shift: float, var_a: float, n_a: int, var_b: float, n_b: int) -> Difference:
    """Welch 1947 with Satterthwaite's degrees of freedom."""
    a, b = var_a / n_a, var_b / n_b
    df = (a + b) ** 2 / (a**2 / (n_a - 1) + b**2 / (n_b - 1))
    pooled = ((n_a - 1) * var_a + (n_b - 1) * var_b) / (n_a + n_b - 2)
    return Difference(shift, math.sqrt(a + b), df, Spread(pooled, df), "Welch t (unequal scatter)")


def _trigamma_inverse(x: float) -> float:
    """Newton's method on 1/trigamma, which is nearly linear (Smyth 2004, appendix)."""
    y = 0.5 + 1 / x
    for _ in range(50):
        value = float(special.polygamma(1, y))
        step = value * (1 - value / x) / float(special.polygamma(2, y))
        y += step
        if abs(step) < 1e-10 * y:
            break
    return y
