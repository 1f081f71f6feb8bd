"""From counts per second to a number with its interval, by the rules of `harness.stats`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from harness.judge.model import CONFIDENCE
from harness.record.distribution import Counts, Floats

SECTIONS = 5
"""Batches of a sectioned interval: with 5 and Student's t the false alarms of autocorrelated
latencies stay at the nominal 5 % where i.i.d. intervals reach 69 % (Glynn & Iglehart 1990)."""

CLUSTERED_P = 0.01
"""Chance below which the scatter of errors over the seconds is called clustered."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A number with its two-sided interval; a bound that cannot be known is None."""

    estimate: float
    low: float | None
    high: float | None
    confidence: float
    method: str
    n: int


def quantile_estimate(values: Floats, counts: Counts, q: float) -> Interval | None:
    """The quantile of a (seconds x buckets) matrix; None of nothing.

    Without bounds when there are too few seconds for five sections.
    """
    whole = _quantile(values, counts.sum(axis=0), q)
    if whole is None:
        return None
    batches = [_quantile(values, part.sum(axis=0), q) for part in np.array_split(counts, SECTIONS)]
    found = np.array([batch for batch in batches if batch is not None])
    if len(found) < SECTIONS or len(counts) < 2 * SECTIONS:
        return Interval(whole, None, None, CONFIDENCE, "too short for an interval", 1)
    return _around(whole, found, "sectioning, 5 sections, Student t")


def mean_estimate(samples: Floats) -> Interval | None:
    """The mean of one value a second, its interval by the means of five sections."""
    if not len(samples):
        return None
    whole = float(samples.mean())
    if len(samples) < 2 * SECTIONS:
        return Interval(whole, None, None, CONFIDENCE, "too short for an interval", 1)
    batches = np.array([part.mean() for part in np.array_split(samples, SECTIONS)])
    return _around(whole, batches, "batch means, 5 sections, Student t")


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


def binomial_bounds(bad: float, total: float, confidence: float) -> Interval:
    """Clopper & Pearson's exact interval (1934); counts divided by their dispersion are allowed."""
    tail = (1 - confidence) / 2
    low = float(special.betaincinv(bad, total - bad + 1, tail)) if bad > 0 else 0.0
    high = float(special.betaincinv(bad + 1, total - bad, 1 - tail)) if bad < total else 1.0
    return Interval(bad / total, low, high, confidence, "Clopper-Pearson", int(total))


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


def _around(whole: float, batches: Floats, method: str) -> Interval:
    """Student's t around the whole's value; the batches' scatter about it is the variance."""
    k = len(batches)
    error = math.sqrt(float(((batches - whole) ** 2).sum()) / (k * (k - 1)))
    half = float(special.stdtrit(k - 1, 1 - (1 - CONFIDENCE) / 2)) * error
    return Interval(whole, whole - half, whole + half, CONFIDENCE, method, k)


def _quantile(values: Floats, counts: Counts, q: float) -> float | None:
    total = int(counts.sum())
    if not total:
        return None
    rank = max(1, math.ceil(q * total - 1e-9))
    return float(values[np.searchsorted(np.cumsum(counts), rank)])
