"""From counts per second to a number with its interval, by the rules of `harness.stats`."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy import special

from harness.judge.model import CONFIDENCE
from harness.record.distribution import Counts, Floats
from harness.stats.autocorrelation import memory
from harness.stats.errors import binomial_bounds
from harness.stats.interval import Interval, t_quantile
from harness.stats.quantiles import sectioned_quantile

SECTIONS = 5
"""Batches of the interval of a mean; fewer leave Student's t too wide to say anything."""

CLUSTERED_P = 0.01
"""Chance below which the scatter of errors over the seconds is called clustered."""


def quantile_estimate(values: Floats, counts: Counts, q: float) -> Interval | None:
    """The quantile of a (seconds x buckets) matrix; None of nothing.

    Without bounds when there are too few seconds for five sections.
    """
    return sectioned_quantile(values, counts, q, CONFIDENCE) if counts.sum() else None


def mean_estimate(samples: Floats) -> Interval | None:
    """The mean of one value a second by batch means, widened by what batches remember."""
    if not len(samples):
        return None
    whole = float(samples.mean())
    if len(samples) < 2 * SECTIONS:
        return Interval(whole, None, None, CONFIDENCE, "no interval: too few seconds", 0)
    batches = np.array([part.mean() for part in np.array_split(samples, SECTIONS)])
    inflation = memory(samples, SECTIONS).inflation
    squares = float(((batches - whole) ** 2).sum())
    error = math.sqrt(squares / (SECTIONS * (SECTIONS - 1)) * inflation)
    half = t_quantile(1 - (1 - CONFIDENCE) / 2, SECTIONS - 1) * error
    method = f"batch means, {SECTIONS} batches, Student t"
    return Interval(whole, whole - half, whole + half, CONFIDENCE, method, SECTIONS)


def ratio_estimate(bad: Counts, total: Counts) -> Interval | None:
    """The share of bad ones from counts per second, with the exact binomial interval.

    Where the seconds scatter more than a binomial allows (Pearson's chi-square, p < 1 %), the
    counts are divided by the dispersion before the bound is taken (quasi-binomial: clustered
    failures carry less information than independent ones). None without any request.
    """
    n, x = int(total.sum()), int(bad.sum())
    if n == 0:
        return None
    dispersion = _dispersion(bad, total)
    bounds = binomial_bounds(x / dispersion, n / dispersion, CONFIDENCE)
    if dispersion == 1:
        return replace(bounds, method="exact binomial (Clopper-Pearson)")
    method = f"quasi-binomial: errors come in clusters (dispersion {dispersion:.1f})"
    return replace(bounds, method=method)


def _dispersion(bad: Counts, total: Counts) -> float:
    """Pearson's chi-square per degree of freedom, or 1 where chance explains the scatter."""
    seconds = total > 0
    x, n = bad[seconds].astype(float), total[seconds].astype(float)
    p = x.sum() / n.sum()
    if len(n) < 2 or not 0 < p < 1:  # noqa: PLR2004 - one second has no scatter
        return 1.0
    statistic = float(((x - n * p) ** 2 / (n * p * (1 - p))).sum())
    freedom = len(n) - 1
    if special.chdtrc(freedom, statistic) >= CLUSTERED_P:
        return 1.0
    return max(1.0, statistic / freedom)
