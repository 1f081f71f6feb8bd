"""Recovery from a fault, read from per-second series.

A second is in band when every metric given is: latency and errors at most max(97.5 % quantile of
the seconds before the fault, their median + 10 %), throughput mirrored; for latency the quantile
is at least Student's prediction limit, which a short baseline needs, and its tolerance can be
chosen. Recovery is the first second in band from which 9 of 10 seconds are. A single bad second
as bad as the outage itself is the outage, not chance, and recovery starts after it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import DataError
from harness.stats.interval import Floats, finite, t_quantile
from harness.units import counted

WINDOW = 10
IN_BAND = 9
TAIL = 0.025
TOLERANCE = 0.10
LEAST_BASELINE = 10
DETECTION_WINDOW = 5
DETECTION_BAD = 3
CLEAR = 2.0
"""A second this many times the band's half width out needs no second one to confirm it."""

HIGHER_IS_WORSE = {"latency": True, "errors": True, "throughput": False}


@dataclass(frozen=True, slots=True)
class Band:
    """What counts as in band for one metric: `limit` is the worst value still allowed."""

    metric: str
    typical: float
    limit: float


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds from the injection; None is "not seen".

    `impact` is the first second that is out of band and confirmed, `detection` the end of the
    third bad second of five. `recovery` is the first recovered second; it happened between
    `low` and `high`. When it never came, `censored` is true, `recovery` is None and `low` is
    how long was waited. `after_heal` is `recovery` from the heal (negative: before it).
    `relapse` is the first confirmed impact after the recovery.
    """

    impact: float | None
    detection: float | None
    recovery: float | None
    low: float | None
    high: float | None
    censored: bool
    after_heal: float | None
    relapse: float | None
    bad_seconds: int
    bands: tuple[Band, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class LogRank:
    """Two sets of recovery times: chi-square with 1 df; `ratio` observed/expected events of b to a.

    A ratio below 1 says that b recovers more slowly; None when nothing was expected.
    """

    statistic: float
    p_value: float
    ratio: float | None


def recovery(
    t: ArrayLike,
    series: Mapping[str, ArrayLike],
    inject: float,
    heal: float | None = None,
    *,
    latency_tolerance: float = TOLERANCE,
) -> Recovery:
    """Impact, detection and recovery of a fault injected at `inject`, on t's clock in seconds.

    `latency_tolerance` is the ratio by which a second's latency may always exceed the median of
    before.

    `t` and each of `series` ("latency", "errors", "throughput"), shape (seconds,), any order.
    NaN is unknown (no request completed, say) and never in band; so is a missing second. Raises
    DataError when fewer than ten seconds precede the injection, none follows it, or a name is
    not known.
    """
    grid, columns = _gridded(t, series)
    start = int(np.searchsorted(grid, math.floor(inject)))
    before = np.flatnonzero(grid < math.floor(inject))
    if len(before) < LEAST_BASELINE:
        raise DataError(
            f"{counted(len(before), 'second')} before the injection at {inject:g}",
            f"the band needs {LEAST_BASELINE} or more",
        )
    if start >= len(grid):
        raise DataError(
            f"the series ends at {grid[-1]:g}, before the injection at {inject:g}",
            "give the time of the injection on the clock of column t",
        )
    if heal is not None and heal < inject:
        raise DataError(f"heal at {heal:g} is before inject at {inject:g}", "swap them")
    bands = tuple(
        _band(name, values[:start], latency_tolerance) for name, values in columns.items()
    )
    excess = _excess(columns, bands)
    bad = excess > 1
    first = _impact(excess, start)
    if first is None:
        calm = "no second after the injection left the band for longer than chance allows"
        seconds = int(bad[start:].sum())
        return Recovery(
            impact=None,
            detection=None,
            recovery=None,
            low=None,
            high=None,
            censored=False,
            after_heal=None,
            relapse=None,
            bad_seconds=seconds,
            bands=bands,
            reason=calm,
        )
    return _measured(grid, excess, first, inject, heal, bands)


def log_rank(
    times_a: ArrayLike,
    censored_a: Sequence[bool],
    times_b: ArrayLike,
    censored_b: Sequence[bool],
) -> LogRank:
    """Whether two sets of recovery times differ, censored ones included (Mantel 1966).

    Raises DataError when a set is empty or lengths differ.
    """
    a, b = finite(times_a, "times_a"), finite(times_b, "times_b")
    out_a, out_b = np.asarray(censored_a, dtype=bool), np.asarray(censored_b, dtype=bool)
    if not len(a) or not len(b) or len(a) != len(out_a) or len(b) != len(out_b):
        raise DataError("a set of times is empty or ill-matched", "give (time, censored) of each")
    events = np.unique(np.concatenate([a[~out_a], b[~out_b]]))
    observed = expected = variance = 0.0
    for time in events.tolist():
        risk_a, risk_b = int((a >= time).sum()), int((b >= time).sum())
        died_b = int((b[~out_b] == time).sum())
        died = died_b + int((a[~out_a] == time).sum())
        risk = risk_a + risk_b
        observed += died_b
        expected += died * risk_b / risk
        if risk > 1:
            variance += died * risk_a * risk_b * (risk - died) / (risk**2 * (risk - 1))
    statistic = (observed - expected) ** 2 / variance if variance > 0 else 0.0
    rest = int((~out_a).sum() + (~out_b).sum()) - expected
    seen_a = int((~out_a).sum())
    ratio = None
    if expected > 0 and rest > 0 and seen_a:
        ratio = (observed / expected) / (seen_a / rest)
    return LogRank(statistic, math.erfc(math.sqrt(statistic / 2)), ratio)


def _gridded(t: ArrayLike, series: Mapping[str, ArrayLike]) -> tuple[Floats, dict[str, Floats]]:
    """One row a second, ascending; missing seconds are NaN."""
    seconds = np.floor(finite(t, "t"))
    unknown = [name for name in series if name not in HIGHER_IS_WORSE]
    if unknown or not series:
        name = unknown[0] if unknown else "nothing"
        raise DataError(f"the series has {name}", f"give any of {', '.join(HIGHER_IS_WORSE)}")
    if not len(seconds):
        raise DataError("the series has no seconds", "give one row per second")
    if np.ptp(seconds) > 10_000_000:  # noqa: PLR2004 - four months of seconds
        raise DataError("t spans more than four months", "give t in seconds")
    grid = np.arange(seconds.min(), seconds.max() + 1)
    rows = (seconds - grid[0]).astype(int)
    twice = np.flatnonzero(np.bincount(rows) > 1)
    if twice.size:
        raise DataError(f"t = {grid[twice[0]]:g} comes more than once", "give one row per second")
    columns: dict[str, Floats] = {}
    for name, values in series.items():
        column = np.full(len(grid), np.nan, dtype=np.float64)
        array = np.asarray(values, dtype=np.float64)
        if array.shape != seconds.shape:
            raise DataError(f"{name} has {array.size} values for {len(seconds)} seconds", "match")
        column[rows] = array
        columns[name] = column
    return np.asarray(grid, dtype=np.float64), columns


def _band(metric: str, before: Floats, latency_tolerance: float) -> Band:
    known = before[np.isfinite(before)]
    if len(known) < LEAST_BASELINE:
        raise DataError(
            f"{metric} is known in {counted(len(known), 'second')} before the injection",
            f"the band needs {LEAST_BASELINE} or more",
        )
    typical = float(np.median(known))
    room = (latency_tolerance if metric == "latency" else TOLERANCE) * abs(typical)
    if HIGHER_IS_WORSE[metric]:
        limit = max(float(np.quantile(known, 1 - TAIL)), typical + room)
        return Band(metric, typical, max(limit, _predicted(metric, known)))
    return Band(metric, typical, min(float(np.quantile(known, TAIL)), typical - room))


def _predicted(metric: str, known: Floats) -> float:
    """The value that the next second's latency exceeds with a chance of TAIL only.

    The sample's own quantile promises that for long baselines: of ten seconds it is nearly their
    maximum, which one second in eleven exceeds. So: Student's prediction limit on the logarithms
    (latencies are near lognormal), which is the same for long ones.
    """
    if metric != "latency" or known.min() <= 0:
        return -math.inf
    logs, n = np.log(known), len(known)
    width = t_quantile(1 - TAIL, n - 1) * float(logs.std(ddof=1)) * math.sqrt(1 + 1 / n)
    return math.exp(float(logs.mean()) + width)


def _excess(columns: Mapping[str, Floats], bands: Sequence[Band]) -> Floats:
    """The worst metric's distance from typical in half bands, per second; > 1 is out of band."""
    worst: Floats = np.zeros(len(next(iter(columns.values()))))
    for band in bands:
        values = columns[band.metric]
        sign = 1.0 if HIGHER_IS_WORSE[band.metric] else -1.0
        room = sign * (band.limit - band.typical)
        distance = sign * (values - band.typical)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = distance / room if room > 0 else np.where(distance > 0, np.inf, 0.0)
        worst = np.asarray(np.fmax(worst, np.where(np.isnan(values), np.inf, ratio)), np.float64)
    return worst


def _impact(excess: Floats, start: int) -> int | None:
    """The first bad second at or after `start` that is clear or soon has another beside it.

    Where the one that confirms it is clear and it is not, the clear one is the first.
    """
    bad = excess > 1
    for s in np.flatnonzero(bad[start:]) + start:
        near = slice(s, s + DETECTION_BAD)
        clear = np.flatnonzero(excess[near] > CLEAR)
        if clear.size:
            return int(s + clear[0])
        if bad[near].sum() > 1:
            return int(s)
    return None


def _measured(
    grid: Floats,
    excess: Floats,
    first: int,
    inject: float,
    heal: float | None,
    bands: tuple[Band, ...],
) -> Recovery:
    bad = excess > 1
    back = _recovered(excess, bad, first)
    last = float(grid[-1]) + 1 - inject
    end = len(grid) if back is None else back
    relapse = None if back is None else _relapse(bad, back + WINDOW)
    since = None if back is None else float(grid[back]) - inject
    return Recovery(
        impact=max(float(grid[first]) - inject, 0.0),
        detection=_detection(grid, bad, first, inject),
        recovery=since,
        low=last if since is None else since - 1,
        high=None if back is None else _latest(grid, bad, back) - inject,
        censored=back is None,
        after_heal=None if heal is None or back is None else float(grid[back]) - heal,
        relapse=None if relapse is None else float(grid[relapse]) - inject,
        bad_seconds=int(bad[first:end].sum()),
        bands=bands,
        reason="9 of 10 seconds in band"
        if back is not None
        else "the series ended before 9 of 10 seconds were in band",
    )


def _recovered(excess: Floats, bad: NDArray[np.bool_], first: int) -> int | None:
    good = (~bad).astype(int)
    total = np.concatenate([[0], np.cumsum(good)])
    s = first + 1
    while s + WINDOW <= len(bad):
        if bad[s] or total[s + WINDOW] - total[s] < IN_BAND:
            s += 1
            continue
        outage = float(np.median(excess[first:s][bad[first:s]]))
        severe = np.flatnonzero(excess[s : s + WINDOW] >= 1 + (outage - 1) / 2)
        if severe.size and bad[s + severe[-1]]:
            s += int(severe[-1]) + 1
            continue
        return s
    return None


def _latest(grid: Floats, bad: NDArray[np.bool_], back: int) -> float:
    """The end of the recovery's interval: after the tolerated bad second near its start."""
    near = np.flatnonzero(bad[back : back + DETECTION_WINDOW])
    return float(grid[back]) + (int(near[-1]) + 1 if near.size else 0)


def _relapse(bad: NDArray[np.bool_], start: int) -> int | None:
    for s in np.flatnonzero(bad[start:]) + start:
        if bad[s : s + DETECTION_WINDOW].sum() >= DETECTION_BAD:
            return int(s)
    return None


def _detection(grid: Floats, bad: NDArray[np.bool_], first: int, inject: float) -> float | None:
    """The end of the third bad second of five."""
    counts = np.convolve(bad[first:].astype(int), np.ones(DETECTION_WINDOW, dtype=int))
    hits = np.flatnonzero(counts[: len(bad) - first] >= DETECTION_BAD)
    return None if not hits.size else float(grid[first + int(hits[0])]) + 1 - inject
