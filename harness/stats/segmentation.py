"""The arithmetic of step fits: optimal partitioning and the strongest step of many series."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.stats.interval import Floats

Indices = list[int]


def partition(y: Floats, penalty: float, least: int) -> Indices:
    """The starts of the segments (without 0) of the piecewise constant fit of least cost.

    Cost: squared residuals + `penalty` per step; segments of `least` points or more. Dynamic
    programme of Jackson et al. 2005, pruned as in Killick et al. 2012 (PELT): the result is
    exact, the time linear when there are many steps.
    """
    n = len(y)
    sums = np.concatenate([[0.0], np.cumsum(y)])
    squares = np.concatenate([[0.0], np.cumsum(y * y)])
    best = np.full(n + 1, np.inf)
    best[0] = -penalty
    last = np.zeros(n + 1, dtype=np.int64)
    starts: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
    for end in range(least, n + 1):
        newest = end - least
        if newest == 0 or newest >= least:
            starts = np.append(starts, newest)
        gap = sums[end] - sums[starts]
        cost = best[starts] + (squares[end] - squares[starts]) - gap * gap / (end - starts)
        choice = int(cost.argmin())
        best[end] = cost[choice] + penalty
        last[end] = starts[choice]
        if end % 16 == 0:
            starts = starts[cost <= best[end]]
    found: Indices = []
    end = n
    while last[end] > 0:
        end = int(last[end])
        found.append(end)
    return found[::-1]


def strongest_step(series: Floats, least: int) -> Floats:
    """The largest fall of the squared residuals by one step, per row of (rows, n)."""
    n = series.shape[1]
    left = np.arange(least, n - least + 1)
    sums = np.cumsum(series, axis=1)
    total = sums[:, -1:]
    gap = sums[:, left - 1] - total * (left / n)
    gain: Floats = gap * gap * (n / (left * (n - left)))
    return gain.max(axis=1)


def level(y: Floats, steps: Indices) -> Floats:
    """The fitted mean at each point."""
    edges = [0, *steps, len(y)]
    sizes = np.diff(edges)
    means = np.add.reduceat(y, edges[:-1]) / sizes
    result: Floats = np.repeat(means, sizes)
    return result


def running_median(y: Floats, width: int) -> Floats:
    """The median of the `width` (odd) points around each; windows at the ends are shifted in."""
    width = min(width, len(y) - (1 - len(y) % 2))
    windows = np.lib.stride_tricks.sliding_window_view(y, width)
    middle = np.median(windows, axis=1)
    half = width // 2
    result: Floats = np.concatenate(
        [np.full(half, middle[0]), middle, np.full(len(y) - len(middle) - half, middle[-1])]
    )
    return result


def permuted_blocks(
    y: Floats, length: int, times: int, random: np.random.Generator
) -> Floats:
    """`times` copies with the blocks of `length` points in random order, shape (times, n).

    Each copy starts its blocks at an offset of its own (the series taken as a circle).
    """
    n = len(y)
    blocks = -(-n // length)
    offset = random.integers(n, size=(times, 1))
    order = np.argsort(random.random((times, blocks)), axis=1)
    index = (order[:, :, None] * length + np.arange(length)).reshape(times, -1)[:, :n]
    shuffled: Floats = y[(index + offset) % n]
    return shuffled
