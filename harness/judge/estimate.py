"""Numbers with their intervals: the only place where the judge meets `harness.stats`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats as distributions

from harness.judge.model import CONFIDENCE
from harness.record.distribution import Counts, Floats

SECTIONS = 5
"""Batches of a sectioned interval: with 5 and Student's t the false alarms of autocorrelated
latencies stay at the nominal 5 % where i.i.d. intervals reach 69 % (Glynn & Iglehart 1990)."""

CLUSTERED_P = 0.01
"""Chance below which the scatter of errors over the seconds is called clustered."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval; a bound that could not be found is None."""

    value: float
    low: float | None
    high: float | None
    method: str


def quantile_estimate(values: Floats, counts: Counts, q: float) -> Estimate | None:
    """The quantile of a (seconds x buckets) matrix; None of nothing.

    Without bounds when there are too few seconds for five sections.
    """
    whole = _quantile(values, counts.sum(axis=0), q)
    if whole is None:
        return None
    batches = [_quantile(values, part.sum(axis=0), q) for part in np.array_split(counts, SECTIONS)]
    found = np.array([batch for batch in batches if batch is not None])
    if len(found) < SECTIONS or len(counts) < 2 * SECTIONS:
        return Estimate(whole, None, None, "too short for an interval")
    return _around(whole, found, "sectioning, 5 sections, Student t")


def mean_estimate(samples: Floats) -> Estimate | None:
    """The mean of one value a second, its interval by the means of five sections."""
    if not len(samples):
        return None
    whole = float(samples.mean())
    if len(samples) < 2 * SECTIONS:
        return Estimate(whole, None, None, "too short for an interval")
    batches = np.array([part.mean() for part in np.array_split(samples, SECTIONS)])
    return _around(whole, batches, "batch means, 5 sections, Student t")


def ratio_estimate(bad: Counts, total: Counts) -> Estimate | None:
    """The share of bad ones from counts per second, with the exact binomial interval.

    Where the seconds scatter more than a binomial allows (Pearson's chi-square, p < 1 %), the
    counts are divided by the dispersion before the bound is taken (quasi-binomial: clustered
    failures carry less information than independent ones). None without any request.
    """
    n, x = int(total.sum()), int(bad.sum())
    if n == 0:
        return None
    dispersion = _dispersion(bad, total)
    low, high = binomial_bounds(x / dispersion, n / dispersion)
    method = "exact binomial (Clopper-Pearson)"
    if dispersion > 1:
        method = f"quasi-binomial: errors come in clusters (dispersion {dispersion:.1f})"
    return Estimate(x / n, low, high, method)


def binomial_bounds(x: float, n: float) -> tuple[float, float]:
    """Clopper & Pearson's two-sided interval for x of n; both may be fractional."""
    tail = (1 - CONFIDENCE) / 2
    low = float(distributions.beta.ppf(tail, x, n - x + 1)) if x > 0 else 0.0
    high = float(distributions.beta.isf(tail, x + 1, n - x)) if x < n else 1.0
    return low, high


def _dispersion(bad: Counts, total: Counts) -> float:
    """Pearson's chi-square per degree of freedom, or 1 where chance explains the scatter."""
    seconds = total > 0
    x, n = bad[seconds].astype(float), total[seconds].astype(float)
    p = x.sum() / n.sum()
    if len(n) < 2 or not 0 < p < 1:  # noqa: PLR2004 - one second has no scatter
        return 1.0
    statistic = float(((x - n * p) ** 2 / (n * p * (1 - p))).sum())
    freedom = len(n) - 1
    if distributions.chi2.sf(statistic, freedom) >= CLUSTERED_P:
        return 1.0
    return max(1.0, statistic / freedom)


def _around(whole: float, batches: Floats, method: str) -> Estimate:
    """Student's t around the whole's value; the batches' scatter about it is the variance."""
    k = len(batches)
    error = math.sqrt(float(((batches - whole) ** 2).sum()) / (k * (k - 1)))
    half = float(distributions.t.isf((1 - CONFIDENCE) / 2, k - 1)) * error
    return Estimate(whole, whole - half, whole + half, method)


def _quantile(values: Floats, counts: Counts, q: float) -> float | None:
    total = int(counts.sum())
    if not total:
        return None
    rank = max(1, math.ceil(q * total - 1e-9))
    return float(values[np.searchsorted(np.cumsum(counts), rank)])
