"""The shift function: how the whole distribution moved, quantile by quantile."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.errors import DataError
from harness.stats.interval import Floats, Interval, share, t_quantile
from harness.stats.runs import Spread, difference, pooled_spread

QUANTILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999)

FEW_RUNS = 8
"""Baseline runs below which the spread is pooled over the quantiles (empirical Bayes)."""


@dataclass(frozen=True, slots=True)
class QuantileShift:
    """The relative change of one quantile (0.1 is +10 %); bounds None where unknown."""

    quantile: float
    change: Interval


def shift_function(
    baseline: ArrayLike,
    candidate: ArrayLike,
    quantiles: tuple[float, ...] = QUANTILES,
    confidence: float = 0.95,
) -> tuple[QuantileShift, ...]:
    """The change per quantile with a pointwise interval.

    `baseline` (K, m) and `candidate` (n, m) hold one row of m quantiles per run, positive
    values in one unit (Doksum 1974; intervals by run-level t on log ratios). Raises DataError
    when the shapes do not fit or a value is not positive and finite.
    """
    a, b = _matrix(baseline, len(quantiles)), _matrix(candidate, len(quantiles))
    share(confidence, "confidence")
    prior = _prior(a, b)
    return tuple(
        QuantileShift(q, _change(a[:, i], b[:, i], prior, confidence))
        for i, q in enumerate(quantiles)
    )


def _matrix(values: ArrayLike, columns: int) -> Floats:
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[1] != columns or not len(matrix):  # noqa: PLR2004 - runs x quantiles
        raise DataError(
            f"the quantiles have shape {matrix.shape}", f"give runs x {columns} quantiles"
        )
    if not np.all(np.isfinite(matrix)) or matrix.min() <= 0:
        raise DataError("a quantile is not a positive finite number", "leave that run out")
    return np.log(matrix)


def _prior(a: Floats, b: Floats) -> Spread | None:
    df = len(a) + len(b) - 2
    if df < 1 or len(a) >= FEW_RUNS:
        return None
    squares = ((a - a.mean(axis=0)) ** 2).sum(axis=0) + ((b - b.mean(axis=0)) ** 2).sum(axis=0)
    if not np.any(squares > 0):
        return None
    shared = pooled_spread(squares / df, np.full(a.shape[1], float(df)))
    # Quantiles of one run are not independent endpoints: together they know no more than twice
    # what one of them does.
    return Spread(shared.variance, min(shared.df, float(df)))


def _change(a: Floats, b: Floats, prior: Spread | None, confidence: float) -> Interval:
    found = difference(a, b, prior)
    if found.error is None:
        return Interval(math.expm1(found.shift), None, None, confidence, found.method, len(b))
    half = t_quantile(1 - (1 - confidence) / 2, found.df) * found.error
    return Interval(
        math.expm1(found.shift),
        math.expm1(found.shift - half),
        math.expm1(found.shift + half),
        confidence,
        found.method,
        len(a) + len(b),
    )
