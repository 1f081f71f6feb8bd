"""Capacity: the highest rate that meets an objective, and the Universal Scalability Law."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.errors import DataError
from harness.stats.interval import Floats, finite, same_length, share, t_quantile

USL_STEPS = 6
"""Three coefficients and some freedom to see whether they fit (Gunther 2007 wants six)."""
USL_RANGE = 4.0
"""The largest load must be at least so many times the smallest for a curve to show."""
USL_R2 = 0.9
"""A fit that explains less of the throughput's variation is not reported."""


@dataclass(frozen=True, slots=True)
class ScalabilityLaw:
    """X(N) = rate N / (1 + contention (N - 1) + coherency N (N - 1)).

    `contention` and `coherency` come with their intervals (delta method, Student's t, not below
    0). `peak` is the load of highest throughput with its interval, None when the curve is not
    shown to bend back (the interval of the coherency reaches 0) or does so beyond ten times the
    measured range.
    """

    rate: float
    contention: float
    coherency: float
    contention_low: float
    contention_high: float
    coherency_low: float
    coherency_high: float
    peak: float | None
    peak_low: float | None
    peak_high: float | None
    peak_throughput: float | None
    r_squared: float
    steps: int


def fit_scalability(
    loads: ArrayLike, throughputs: ArrayLike, confidence: float = 0.95
) -> ScalabilityLaw:
    """Gunther's Universal Scalability Law, coefficients bounded at 0, least squares.

    `loads` (concurrency) and `throughputs` (requests/s), shape (steps,). Raises DataError, with
    what is missing, when there are too few steps, too narrow a range or no fit: three
    coefficients can be drawn through anything.
    """
    n, x = finite(loads, "loads"), finite(throughputs, "throughputs")
    same_length(n, x)
    share(confidence, "confidence")
    _check_usl(n, x)
    # Linear in (1, n - 1, n (n - 1)): n / X = (1 + s (n - 1) + k n (n - 1)) / rate,
    # weighted so that relative errors of X count alike.
    design = np.column_stack([np.ones_like(n), n - 1, n * (n - 1)]) * (x / n)[:, None]
    weights, covariance = _nonnegative(design, np.ones_like(n))
    rate, contention, coherency = 1 / weights[0], weights[1] / weights[0], weights[2] / weights[0]
    fitted = rate * n / (1 + contention * (n - 1) + coherency * n * (n - 1))
    r2 = 1 - float(((x - fitted) ** 2).sum() / ((x - x.mean()) ** 2).sum())
    if r2 < USL_R2:
        raise DataError(
            f"the law explains {max(r2, 0):.0%} of the throughput's variation only",
            "check the steps: each must be steady, and only the load may change",
        )
    sigma = _ratio(weights, covariance, 1, len(n), confidence)
    kappa = _ratio(weights, covariance, 2, len(n), confidence)
    peak: float | None = None
    ends: tuple[float | None, float | None] = (None, None)
    if kappa[0] > 0:
        peak, ends = _peak(weights, covariance, float(n.max()), len(n), confidence)
    best = None
    if peak is not None:
        best = rate * peak / (1 + contention * (peak - 1) + coherency * peak * (peak - 1))
    return ScalabilityLaw(
        rate, contention, coherency, *sigma, *kappa, peak, *ends, best, r2, len(n)
    )


def isotonic(x: Floats, y: Floats) -> Floats:
    """The non-decreasing fit of y over x in the order given (pool adjacent violators)."""
    order = np.argsort(x, kind="stable")
    rates, first = np.unique(x[order], return_index=True)
    weights = np.diff(np.append(first, len(x))).astype(float)
    means = np.add.reduceat(y[order], first) / weights
    blocks: list[list[float]] = []
    for mean, weight in zip(means.tolist(), weights.tolist(), strict=True):
        blocks.append([mean, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            m, w, c = blocks.pop()
            last = blocks[-1]
            last[0] = (last[0] * last[1] + m * w) / (last[1] + w)
            last[1] += w
            last[2] += c
    steps = np.concatenate([np.full(int(count), mean) for mean, _, count in blocks])
    fitted: Floats = steps[np.searchsorted(rates, x)]
    return fitted


def _check_usl(n: Floats, x: Floats) -> None:
    different = len(np.unique(n))
    if different < USL_STEPS:
        raise DataError(f"{different} different loads", f"the law needs {USL_STEPS} or more")
    if n.min() < 1 or x.min() <= 0:
        raise DataError("a load below 1 or a throughput of 0", "leave that step out")
    if n.max() < USL_RANGE * n.min():
        raise DataError(
            f"the loads span a factor of {n.max() / n.min():.2g}",
            f"the law needs a factor of {USL_RANGE:.0f} or more",
        )
    if np.ptp(x) == 0:
        raise DataError("the throughput is the same at every load", "start from a lower load")


def _nonnegative(design: Floats, target: Floats) -> tuple[Floats, Floats]:
    from scipy.optimize import nnls  # noqa: PLC0415 - heavy, and only this fit needs it

    scale = np.linalg.norm(design, axis=0)
    weights = nnls(design / scale, target)[0] / scale
    if weights[0] <= 0:
        raise DataError(
            "throughput grows faster than the load", "the law does not fit: check the steps"
        )
    residual = target - design @ weights
    variance = float((residual**2).sum()) / max(len(target) - design.shape[1], 1)
    scaled = design / scale
    inverse = np.linalg.pinv(scaled.T @ scaled)
    covariance = np.asarray(variance * inverse / np.outer(scale, scale), dtype=np.float64)
    return weights, covariance


def _ratio(
    weights: Floats, covariance: Floats, index: int, steps: int, confidence: float
) -> tuple[float, float]:
    """The interval of weights[index] / weights[0], by the delta method."""
    ratio = float(weights[index] / weights[0])
    gradient = np.zeros(len(weights))
    gradient[0], gradient[index] = -ratio / weights[0], 1 / weights[0]
    error = math.sqrt(max(float(gradient @ covariance @ gradient), 0.0))
    half = t_quantile(1 - (1 - confidence) / 2, steps - len(weights)) * error
    return max(0.0, ratio - half), ratio + half


def _peak(
    weights: Floats, covariance: Floats, top: float, steps: int, confidence: float
) -> tuple[float | None, tuple[float | None, float | None]]:
    """N* = sqrt((1 - contention) / coherency), interval on its logarithm (delta method)."""
    a, b, c = (float(w) for w in weights)
    if c <= 0 or b >= a:
        return None, (None, None)
    peak = math.sqrt((a - b) / c)
    if peak > 10 * top:
        return None, (None, None)
    gradient = np.array([0.5 / (a - b), -0.5 / (a - b), -0.5 / c])
    error = math.sqrt(max(float(gradient @ covariance @ gradient), 0.0))
    half = t_quantile(1 - (1 - confidence) / 2, steps - 3) * error
    return peak, (peak * math.exp(-min(half, 50)), peak * math.exp(min(half, 50)))
