"""The run-to-run scatter that endpoints share, and what it is worth."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.stats.runs import Spread, pooled_spread

Sides = Sequence[Sequence[float]]

LEAST_FREEDOM = 2
"""Degrees of freedom below which a covariance tells nothing about how many are independent."""


def shared_spread(before: Sides, after: Sides) -> Spread | None:
    """The spread to lend to one endpoint's test, from m endpoints' run values on both sides.

    `before` and `after` hold one sequence per endpoint, of the same runs in the same order;
    endpoints with a missing or not positive value are left out. Smyth 2004 takes the endpoints
    for independent, but all endpoints of a run share its luck: five that move together know no
    more about the scatter than one. So the degrees of freedom lent are capped to those of the
    endpoints beyond the first that are effectively independent. None when that is none.
    """
    residuals = _residuals(before, after)
    if residuals is None:
        return None
    freedom = len(residuals) - 2
    if freedom < LEAST_FREEDOM or residuals.shape[1] < 2:  # noqa: PLR2004 - one shares with none
        return None
    variances = (residuals**2).sum(axis=0) / freedom
    extra = freedom * (independent_endpoints(residuals, freedom) - 1)
    try:
        found = pooled_spread(variances, np.full(len(variances), float(freedom)))
    except DataError:
        return None
    df = min(found.df, extra)
    return Spread(found.variance, df) if df > 0 else None


def independent_endpoints(residuals: NDArray[np.float64], freedom: int) -> float:
    """How many independent endpoints these m are worth, 1 to m.

    tr(S)^2 / tr(S^2) of their covariance (Satterthwaite 1946), each trace by its unbiased
    estimate under normality (Srivastava 2005); `residuals` has shape (runs, m).
    """
    m = residuals.shape[1]
    scale = residuals.std(axis=0)
    z = residuals / np.where(scale > 0, scale, 1.0)
    covariance = z.T @ z / freedom
    trace, square = float(np.trace(covariance)), float((covariance**2).sum())
    factor = freedom**2 / ((freedom - 1) * (freedom + 2))
    of_square = factor * (square - trace**2 / freedom)
    if of_square <= 0:
        return float(m)
    return float(np.clip((trace**2 - 2 * of_square / freedom) / of_square, 1.0, m))


def _residuals(before: Sides, after: Sides) -> NDArray[np.float64] | None:
    """Log values less their side's mean, shape (runs, endpoints); None without an endpoint."""
    sizes = max(map(len, before), default=0), max(map(len, after), default=0)
    columns = []
    for a, b in zip(before, after, strict=True):
        if (len(a), len(b)) == sizes and min(sizes) and min(*a, *b) > 0:
            logs = [np.log(np.asarray(side, np.float64)) for side in (a, b)]
            columns.append(np.concatenate([x - x.mean() for x in logs]))
    return np.column_stack(columns) if columns else None
