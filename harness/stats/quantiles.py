"""Quantiles of one run, with an interval that knows that latencies remember each other.

What is uncertain is the share of requests below the quantile; its interval, turned into ranks, is
that of the quantile (Woodruff 1952), so that no bound leaves the latencies that were seen. The half
width is the geometric mean of two: sectioning (Asmussen & Glynn 2007, III.5a), by the shares of
consecutive batches and Student's t, with what batches remember of each other added; and Student's t
averaged over models of the memory (`autocorrelation`). Either alone covers less (benchmarks/stats).
Of a far tail, which few seconds reach, it is the larger of the two.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import DataError
from harness.stats.autocorrelation import Memory, mean_half_width, memory
from harness.stats.interval import Floats, Interval, finite, share, t_quantile

Counts = NDArray[np.int64]

LEAST_BATCHES = 5
MOST_BATCHES = 10
"""With 5 and 10 batches the variance has 4 and 9 degrees of freedom; more batches gain little."""

MEMORIES_PER_BATCH = 10
"""Batches are made so many autocorrelation times long, where the run allows it."""

LEAST_SLOTS = 10
"""Seconds (or slots) below which memory cannot be told."""


FAR = 0.01
"""Of the requests lie beyond a far tail: the geometric mean covered it in 91 % of runs of a minute
whose level wanders, where the larger half width covers 93 % (95 % wanted, benchmarks/stats)."""

_EPSILON = 1e-9


def sample_quantile(samples: ArrayLike, q: float) -> float | None:
    """The least of the samples, shape (n,), that a share `q` of them does not exceed.

    None without samples. Raises DataError for samples or a share that cannot be.
    """
    x = finite(samples, "samples")
    share(q, "q")
    if not len(x):
        return None
    rank = max(1, math.ceil(q * len(x) - _EPSILON)) - 1
    return float(np.partition(x, rank)[rank])


def sectioned_quantile(
    values: ArrayLike,
    counts: ArrayLike,
    q: float,
    confidence: float = 0.95,
    batches: int | None = None,
) -> Interval:
    """The quantile of a run of per-second histograms, with its interval.

    `values` (m,) ascending, any unit, which is the result's; `counts` (seconds, m), in order of
    time. `batches` consecutive stretches of seconds, chosen from the autocorrelation time when
    None. The bounds are None, and `method` says why, when fewer than 5 batches with one request
    beyond the quantile each can be made. Raises DataError for bad values or counts, and when
    nothing was counted.
    """
    v, c = _histogram(values, counts)
    whole = _quantile(v, c.sum(axis=0), share(q, "q"))
    if whole is None:
        raise DataError("the histograms are empty", "a run without requests has no quantile")
    totals = c.sum(axis=1).astype(float)

    def influence(level: float) -> Floats:
        at = v <= (_quantile(v, c.sum(axis=0), level) or 0.0)
        below = (c * at).sum(axis=1).astype(float)
        centred: Floats = below - below.sum() / totals.sum() * totals
        return centred

    def value(rank_share: float) -> float:
        return float(v[np.searchsorted(cumulated, _rank(rank_share, int(totals.sum())))])

    cumulated = np.cumsum(c.sum(axis=0))
    return _section(whole, totals, influence, value, q, confidence, batches)


def _section(
    whole: float,
    totals: Floats,
    influence: Callable[[float], Floats],
    value: Callable[[float], float],
    q: float,
    confidence: float,
    batches: int | None,
) -> Interval:
    share(confidence, "confidence")
    if batches is not None and batches < LEAST_BATCHES:
        return _refused(whole, confidence, f"{batches} batches are fewer than {LEAST_BATCHES}")
    if len(totals) < max(LEAST_SLOTS, batches or 0):
        return _refused(whole, confidence, f"too few seconds: {len(totals)}")
    # A tail sees the level's memory only through the few that cross it, the median sees it best.
    series = [influence(q), influence(0.5)]
    k = batches or _choose(len(totals), [memory(s) for s in series])
    need = 1 / min(q, 1 - q) - _EPSILON
    while True:
        parts = _parts(len(totals), k)
        if min(float(totals[part].sum()) for part in parts) >= need:
            break
        if batches is not None or k == LEAST_BATCHES:
            return _refused(whole, confidence, f"too few requests for the {q:g} quantile")
        k -= 1
    inflation = max(memory(s, k).inflation for s in series)
    gaps = np.array([series[0][part].sum() / totals[part].sum() for part in parts])
    error = math.sqrt(float((gaps**2).sum()) / (k * (k - 1)) * inflation)
    by_batches = t_quantile(1 - (1 - confidence) / 2, k - 1) * error
    by_memory = mean_half_width(series[0], confidence) * len(totals) / float(totals.sum())
    far = min(q, 1 - q) <= FAR + _EPSILON
    half = max(by_batches, by_memory) if far else math.sqrt(by_batches * by_memory)
    method = f"sectioning, {k} batches, Student t, by ranks"
    return Interval(whole, value(q - half), value(q + half), confidence, method, k)


def _rank(rank_share: float, total: int) -> int:
    """The rank, from 1 to `total`, of a share of the requests."""
    return min(max(math.ceil(rank_share * total - _EPSILON), 1), total)


def _choose(slots: int, memories: list[Memory]) -> int:
    longest = max(m.time for m in memories)
    return int(min(MOST_BATCHES, max(LEAST_BATCHES, slots / (MEMORIES_PER_BATCH * longest))))


def _parts(slots: int, k: int) -> list[slice]:
    edges = [round(i * slots / k) for i in range(k + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


def _refused(whole: float, confidence: float, why: str) -> Interval:
    return Interval(whole, None, None, confidence, f"no interval: {why}", 0)


def _quantile(values: Floats, counts: Counts, q: float) -> float | None:
    total = int(counts.sum())
    if not total:
        return None
    rank = max(1, math.ceil(q * total - _EPSILON))
    return float(values[np.searchsorted(np.cumsum(counts), rank)])


def _histogram(values: ArrayLike, counts: ArrayLike) -> tuple[Floats, Counts]:
    v = finite(values, "values")
    c = np.atleast_2d(np.asarray(counts, dtype=np.int64))
    if c.ndim != 2 or c.shape[1] != len(v):  # noqa: PLR2004 - seconds x values
        raise DataError(f"counts have shape {c.shape} for {len(v)} values", "give seconds x values")
    if np.any(np.diff(v) < 0):
        raise DataError("the values are not ascending", "sort values and counts")
    if c.size and c.min() < 0:
        raise DataError("a count is negative", "give counts of requests")
    return v, c
