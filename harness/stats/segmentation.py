"""The arithmetic of step fits: optimal partitioning and the strongest step of many series."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from harness.stats.interval import Floats, median

Indices = list[int]

ROUNDING = 1e-12
"""What is smaller than this share of the levels is an error of arithmetic, not noise."""

ROWS = 64
"""Of the table of all segments that are made at once: few enough to stay in the cache."""

BUMPS = (3, 4, 6, 9, 14)
"""Lengths of short segments that chance makes of heavy tails."""


def partition(y: Floats, penalty: float, least: int) -> Indices:
    """The starts of the segments (without 0) of the piecewise constant fit of least cost.

    Cost: squared residuals + `penalty` per step; segments of `least` points or more. The exact
    dynamic programme of Jackson et al. 2005, O(n^2) with one vector operation per point.
    """
    n = len(y)
    sums = _sums(y)
    inverse = np.concatenate([1 / np.arange(n, 0, -1), np.zeros(n + 1)])
    lengths = _windows(inverse, n + 1)[::-1]
    best = np.full(n + 1, np.inf)
    best[0] = 0.0
    last = [0] * (n + 1)
    for begin in range(least, n + 1, ROWS):
        # of each end from here and each start: what the segment explains
        ends = slice(begin, min(begin + ROWS, n + 1))
        explained = sums[ends, None] - sums[: ends.stop]
        explained *= explained
        explained *= lengths[ends, : ends.stop]
        for end, row in enumerate(explained, begin):
            starts = end - least + 1
            cost = best[:starts] - row[:starts]
            choice = int(cost.argmin())
            best[end] = cost[choice] + penalty
            last[end] = choice
    return _traced(last)


def _traced(last: Sequence[int]) -> Indices:
    """The steps, given the last of them before each end (0: none)."""
    found: Indices = []
    end = len(last) - 1
    while last[end] > 0:
        end = last[end]
        found.append(end)
    return found[::-1]


def _sums(y: Floats) -> Floats:
    """Of the first 0, 1, ..., n points about their mean."""
    sums = np.zeros(len(y) + 1)
    np.cumsum(y - y.mean(), out=sums[1:])
    return sums


def _windows(y: Floats, width: int) -> Floats:
    """All runs of `width` points, shape (n - width + 1, width): a view, to be read only.

    numpy's own takes ten times as long to make it, which is longer than a short series' median.
    """
    y = np.ascontiguousarray(y)
    step = y.itemsize
    return np.ndarray((len(y) - width + 1, width), y.dtype, y, strides=(step, step))


def candidates(y: Floats, least: int, most: int) -> Indices:
    """Places where a step may be: where the means of two neighbouring windows differ most.

    Local maxima of the scaled difference of means over windows of `least` points and more (MOSUM:
    Eichinger & Kirch 2018), the `most` largest of each size, ascending.
    """
    n = len(y)
    sums = _sums(y)
    found: set[int] = set()
    width = least
    while 2 * width <= n:
        at = np.arange(width, n - width + 1)
        gap = np.abs(2 * sums[at] - sums[at - width] - sums[at + width])
        padded = np.concatenate([[-1.0], gap, [-1.0]])
        peaks = np.flatnonzero((gap >= padded[:-2]) & (gap > padded[2:]))
        few = max(len(peaks) - most, 0)
        best = peaks[np.argpartition(gap[peaks], few)[few:]] if few else peaks
        found.update(int(place) for place in best + width)
        width = max(width + 1, width * 3 // 2)
    return sorted(place for place in found if least <= place <= n - least)


def partition_at(y: Floats, penalty: float, least: int, places: Indices) -> Indices:
    """`partition` with steps at some of `places` only, O(places^2)."""
    sums = _sums(y)
    edges = np.array([0, *places, len(y)])
    fitting = np.searchsorted(edges, edges - least, side="right")
    at = sums[edges]
    best = np.full(len(edges), np.inf)
    best[0] = 0.0
    last = [0] * len(edges)
    for end in range(1, len(edges)):
        starts = fitting[end]
        gap = at[end] - at[:starts]
        gap *= gap
        gap /= edges[end] - edges[:starts]
        cost = best[:starts] - gap
        choice = int(cost.argmin())
        best[end], last[end] = cost[choice] + penalty, choice
    return [int(edges[at]) for at in _traced(last)]


def partition_from(y: Floats, penalty: float, least: int, places: Indices) -> Indices:
    """`partition_at`, with places added where one more step or a moved one fits better.

    Each round adds the best step and the best bump within each segment, and the best place of
    each step between its neighbours, until none of them changes the steps.
    """
    sums = _sums(y)
    steps = partition_at(y, penalty, least, places)
    while True:
        edges = [0, *steps, len(y)]
        spans = [*pairwise(edges), *zip(edges, edges[2:], strict=False)]
        better = {at for a, b in spans for at in _splits(sums, a, b, least)}
        places = sorted(better.union(places))
        before, steps = steps, partition_at(y, penalty, least, places)
        if steps == before:
            return steps


def _splits(sums: Floats, start: int, end: int, least: int) -> Indices:
    """The best place of one step in y[start:end], and the ends of its strongest bump."""
    n = end - start
    if n < 2 * least:
        return []
    inner = sums[start : end + 1] - sums[start]
    inner -= inner[-1] / n * np.arange(n + 1)
    left = np.arange(least, n - least + 1)
    found = [start + least + int(np.argmax(inner[left] ** 2 / (left * (n - left))))]
    gains = []
    for width in BUMPS:
        if least <= width <= n - 2 * least:
            inside = np.abs(
                inner[width + least : n + 1 - least] - inner[least : n + 1 - width - least]
            )
            at = int(np.argmax(inside))
            gains.append(
                (float(inside[at]) ** 2 / (width * (n - width)), start + least + at, width)
            )
    if gains:
        _, at, width = max(gains)
        found += [at, at + width]
    return found


def placed(y: Floats, steps: Indices, least: int, scale: float) -> Indices:
    """Each step where the points fit the levels beside it best; squares end at 3 `scale`.

    The levels are the medians of the segments, so that neither an outlier nor a few points on the
    wrong side of a step move them.
    """
    edges = [0, *steps, len(y)]
    moved: Indices = []
    for i, step in enumerate(steps):
        start, end = max(edges[i], moved[-1] if moved else 0), edges[i + 2]
        before, after = median(y[start:step]), median(y[step:end])
        piece = y[start:end]
        bound = (3 * scale) ** 2 if scale > 0 else np.inf
        cost = np.minimum((piece - before) ** 2, bound) - np.minimum((piece - after) ** 2, bound)
        total = np.cumsum(cost)[least - 1 : len(piece) - least]
        at = start + least + int(np.argmin(total)) if len(total) else step
        moved.append(at if len(total) and total[step - start - least] > total.min() else step)
    return moved


def step_gains(series: Floats, least: int) -> Floats:
    """The fall of the squared residuals by one step at least, least + 1, ...: (rows, places)."""
    n = series.shape[1]
    left = np.arange(least, n - least + 1)
    sums = np.cumsum(series - series.mean(axis=1, keepdims=True), axis=1)
    gains: Floats = sums[:, left - 1] ** 2 * (n / (left * (n - left)))
    return gains


def strongest_step(series: Floats, least: int) -> Floats:
    """The largest fall of the squared residuals that one step brings, per row of (rows, n).

    A bump (two steps) counts with half its fall, as it pays the penalty twice.
    """
    n = series.shape[1]
    sums = np.cumsum(series - series.mean(axis=1, keepdims=True), axis=1)
    gain = step_gains(series, least).max(axis=1)
    for width in BUMPS:
        if least <= width <= n // 2:
            inside = sums[:, width:] - sums[:, :-width]
            bump = (inside**2).max(axis=1) * (n / (width * (n - width))) / 2
            gain = np.maximum(gain, bump)
    result: Floats = gain
    return result


def level(y: Floats, steps: Indices) -> Floats:
    """The fitted mean at each point."""
    edges = [0, *steps, len(y)]
    sizes = np.diff(edges)
    means = np.add.reduceat(y, edges[:-1]) / sizes
    result: Floats = np.repeat(means, sizes)
    return result


def unexplained(y: Floats, steps: Indices, line: Floats | None) -> float:
    """Squared residuals of the joint fit of levels and, when given, one slope."""
    rest = y - level(y, steps)
    if line is None:
        return float(rest @ rest)
    slope = line - level(line, steps)
    down = float(slope @ slope)
    if down > 0:
        rest = rest - slope * float(slope @ rest) / down
    return float(rest @ rest)


def schwarz(y: Floats, steps: Indices, line: Floats | None) -> float:
    """Schwarz's criterion: a step costs two parameters, its size and its place; a line one.

    Of simulated series that rise by 3 deviations a sixth show a step (20 to 50 points), half as
    many as if a line cost two too, at the price of 2 to 5 % of the steps that are as small.
    """
    n = len(y)
    least = n * (ROUNDING * float(np.abs(y).max())) ** 2
    left = max(unexplained(y, steps, line), least)
    return n * math.log(left) + (2 * len(steps) + (line is not None)) * math.log(n)


def running_median(y: Floats, width: int) -> Floats:
    """The median of the `width` (odd) points around each; windows at the ends are shifted in."""
    width = min(width, len(y) - (1 - len(y) % 2))
    half = width // 2
    middle = np.partition(_windows(y, width), half, axis=1)[:, half]
    result: Floats = np.empty(len(y))
    end = half + len(middle)
    result[:half], result[half:end], result[end:] = middle[0], middle, middle[-1]
    return result


def permuted_blocks(y: Floats, length: int, times: int, random: np.random.Generator) -> Floats:
    """`times` copies with the blocks of `length` points in random order, shape (times, n).

    Each copy starts its blocks at an offset of its own (the series taken as a circle).
    """
    n = len(y)
    if length == 1:
        return random.permuted(np.tile(y, (times, 1)), axis=1)
    blocks = -(-n // length)
    offset = random.integers(n, size=(times, 1))
    order = np.argsort(random.random((times, blocks)), axis=1)
    index = (order[:, :, None] * length + np.arange(length)).reshape(times, -1)[:, :n]
    shuffled: Floats = y[(index + offset) % n]
    return shuffled
