"""Recovery from a fault, read from per-second series.

A second is in band when every metric given is. The limit of latency and throughput is what the
seconds before the fault predict for the next one (Student's prediction limit at TAIL, latencies
on the logarithm), at least 10 % from their median; latency's tolerance can be chosen. Errors are
counted: in band is what the errors before, or the ratio that the objective allows, make likely.
Recovery is the first second in band from which 9 of 10 seconds are. A single bad second as bad as
the outage itself is the outage, not chance, and recovery starts after it.

A single second that is merely slow is the fault's only within `NEAR` seconds of the injection or
the outage: nodes stall and collect garbage without one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from harness.errors import DataError
from harness.stats.autocorrelation import memory
from harness.stats.interval import Floats, finite, t_quantile
from harness.units import counted

WINDOW = 10
IN_BAND = 9
TAIL = 0.001
"""The chance that a fault-free second is out of band by one metric: with it at most 1 % of 180
fault-free seconds of three metrics show an impact (benchmarks/stats)."""

TAIL_BACK = 0.01
"""The same once there was an impact, so that an outage with noise is not taken for its end."""

TOLERANCE = 0.10
LEAST_BASELINE = 10
LONG = 30
"""Seconds before the fault from which their memory can be told."""

LEAST_FREEDOM = 4.0
DETECTION_WINDOW = 5
DETECTION_BAD = 3
CLEAR = 2.0
"""A second this many times the band's half width out needs no second one to confirm it."""

NEAR = 3
"""Seconds. With stalls of half a second once in 40 s, 31 % of sound services were called late in
recovering, and 3 % with it (benchmarks/stats)."""

FEW_FAILED = 0.05
"""An error ratio, of requests that are not counted, above which a second after none is clear."""

HIGHER_IS_WORSE = {"latency": True, "errors": True, "throughput": False}
OFFERED = "offered"


@dataclass(frozen=True, slots=True)
class Band:
    """What counts as in band for one metric: `limit` is the worst value still allowed."""

    metric: str
    typical: float
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Seconds from the injection; None is "not seen".

    `impact` is the first second that is out of band and confirmed, `detection` the end of the
    third bad second of five. `recovery` is the first recovered second; it happened between
    `low` and `high`. When it was not seen, `censored` is true, `recovery` is None and `low` is the
    end of the last bad second: it cannot have come before. `after_heal` is `recovery` from the
    heal (negative: before it). `relapse` is the first confirmed impact after the recovery.
    """

    impact: float | None = None
    detection: float | None = None
    recovery: float | None = None
    low: float | None = None
    high: float | None = None
    censored: bool = False
    after_heal: float | None = None
    relapse: float | None = None
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
    offered: ArrayLike | None = None,
    errors_allowed: float = 0.0,
    caution: float = 1.0,
) -> Recovery:
    """Impact, detection and recovery of a fault injected at `inject`, on t's clock in seconds.

    `t` and each of `series` ("latency", "errors", "throughput"), shape (seconds,), any order.
    NaN is unknown (no request completed, say) and never in band; so is a missing second. Whole
    numbers of errors are counts of failed requests, others are ratios.

    `latency_tolerance` is the ratio by which a second's latency may always exceed the median of
    before. `offered`, shape (seconds,), is the number of requests due in each second: errors and
    throughput are then counts, throughput is judged as a share of it, and an error ratio of
    `errors_allowed` (the objective's) is in band however few failed before. `caution` below 1 asks
    for seconds that chance puts out of band so many times less often. Raises DataError when
    fewer than ten seconds precede the injection, none follows it, a name is not known, or
    `errors_allowed` is no share or given without `offered`.
    """
    if not 0 <= errors_allowed < 1 or (errors_allowed and offered is None):
        raise DataError(
            f"errors_allowed is {errors_allowed}", "give a share below 1, and the requests offered"
        )
    grid, columns = _gridded(t, series if offered is None else {**series, OFFERED: offered})
    due = columns.pop(OFFERED, None)
    if due is not None and "throughput" in columns:
        columns["throughput"] = _completed_share(columns["throughput"], due)
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

    def limits(tail: float) -> dict[str, _Limits]:
        return {
            name: _error_limits(values, start, due, errors_allowed, tail)
            if name == "errors"
            else _limits(name, values, start, latency_tolerance, tail)
            for name, values in columns.items()
        }

    strict = limits(caution * TAIL)
    bands = tuple(Band(n, one.typical, float(np.median(one.limit))) for n, one in strict.items())
    excess = _excess(columns, strict)
    bad = excess > 1
    first = _impact(excess, _beside_latency(columns, strict), start)
    if first is None:
        calm = "no second after the injection left the band for longer than chance allows"
        return Recovery(bad_seconds=int(bad[start:].sum()), bands=bands, reason=calm)
    back = limits(caution * TAIL_BACK)
    others = _beside_latency(columns, back)
    return _measured(grid, _excess(columns, back), others, first, inject, heal, bands)


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
    unknown = [name for name in series if name not in {*HIGHER_IS_WORSE, OFFERED}]
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


@dataclass(frozen=True, slots=True)
class _Limits:
    """The worst value in band of every second, shape (seconds,), and the band's half width."""

    typical: float
    limit: Floats
    room: Floats


def _known(metric: str, before: Floats) -> Floats:
    known: Floats = before[np.isfinite(before)]
    if len(known) < LEAST_BASELINE:
        raise DataError(
            f"{metric} is known in {counted(len(known), 'second')} before the injection",
            f"the band needs {LEAST_BASELINE} or more",
        )
    return known


def _limits(
    metric: str, values: Floats, start: int, latency_tolerance: float, tail: float
) -> _Limits:
    known = _known(metric, values[:start])
    typical = float(np.median(known))
    room = (latency_tolerance if metric == "latency" else TOLERANCE) * abs(typical)
    if HIGHER_IS_WORSE[metric]:
        limit = max(typical + room, _predicted(known, tail))
    else:
        limit = min(typical - room, -_predicted(-known, tail))
    whole = np.full(len(values), limit)
    return _Limits(typical, whole, np.abs(whole - typical))


def _predicted(known: Floats, tail: float) -> float:
    """The value that the next second exceeds with a chance of `tail` only.

    Student's prediction limit, on the logarithms of positive values (latencies are near
    lognormal). Long series are taken for as many independent seconds as their memory leaves.
    """
    logs = bool(known.min() > 0)
    x: Floats = np.log(known) if logs else known
    n = float(len(x))
    if len(x) >= LONG:
        n /= max(memory(x).time, 1.0)
    width = t_quantile(1 - tail, max(n - 1, LEAST_FREEDOM)) * float(x.std(ddof=1))
    limit = float(x.mean()) + width * math.sqrt(1 + 1 / n)
    return math.exp(min(limit, 700.0)) if logs else limit


def _error_limits(
    values: Floats, start: int, due: Floats | None, allowed: float, tail: float
) -> _Limits:
    """What the errors before, or the objective, make likely in a second.

    Counts of the next second by the negative binomial that Jeffreys' prior predicts, by the
    Poisson quantile of the objective's ratio where that allows more.
    """
    known = _known("errors", values[:start])
    typical = float(np.median(known))
    if due is None and not _are_counts(values[np.isfinite(values)]):
        limit = max(typical * (1 + TOLERANCE), float(np.quantile(known, 1 - tail)))
        room = limit - typical if limit > typical else FEW_FAILED
        return _Limits(typical, np.full(len(values), limit), np.full(len(values), room))
    exposure = np.ones(len(values)) if due is None else np.nan_to_num(due)
    seen = float(exposure[:start][np.isfinite(values[:start])].sum())
    shape, scale = float(known.sum()) + 0.5, exposure / max(seen, 1.0)
    likely = special.nbdtrik(1 - tail, shape, 1 / (1 + scale))
    objective = special.pdtrik(1 - tail, np.maximum(allowed * exposure, 1e-12))
    limit_s = np.ceil(np.maximum(np.nan_to_num(likely), np.nan_to_num(objective)) - 1e-9)
    limit_s = np.maximum(limit_s, typical * (1 + TOLERANCE))
    limits: Floats = np.asarray(np.maximum(limit_s, 1.0), dtype=np.float64)
    return _Limits(typical, limits, np.maximum(limits - typical, 1.0))


def _are_counts(errors: Floats) -> bool:
    """Whether errors without their requests are counts: whole numbers, not a ratio of 0 and 1.

    Seconds in a row of nothing but errors are a ratio of 1, not one failed request each.
    """
    if np.any(errors % 1 != 0):
        return False
    ones = np.convolve(errors == 1, np.ones(DETECTION_BAD, dtype=int))
    return bool(errors.max() > 1 or ones.max() < DETECTION_BAD)


def _completed_share(completed: Floats, due: Floats) -> Floats:
    """The share of the due requests that was completed, 1 at most; 1 where none was due."""
    known: Floats = np.minimum(completed / np.maximum(due, 1.0), 1.0)
    share: Floats = np.where((due == 0) & np.isfinite(completed), 1.0, known)
    return share


def _excess(columns: Mapping[str, Floats], limits: Mapping[str, _Limits]) -> Floats:
    """The worst metric's distance beyond typical in half bands, per second; > 1 is out of band."""
    worst: Floats = np.zeros(len(next(iter(columns.values()))))
    for name, one in limits.items():
        sign = 1.0 if HIGHER_IS_WORSE[name] else -1.0
        values = columns[name]
        beyond = sign * (values - one.limit)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(one.room > 0, 1 + beyond / one.room, np.where(beyond > 0, np.inf, 0.0))
        worst = np.asarray(np.fmax(worst, np.where(np.isnan(values), np.inf, ratio)), np.float64)
    return worst


def _beside_latency(columns: Mapping[str, Floats], limits: Mapping[str, _Limits]) -> Floats:
    """As `_excess`, but not for a latency that is merely high."""
    answered = np.isfinite(columns.get("latency", np.zeros(1)))
    others = {name: one for name, one in limits.items() if name != "latency"}
    found = _excess(columns, others) if others else np.zeros(len(answered))
    return np.asarray(np.where(answered, found, np.inf), np.float64)


def _impact(excess: Floats, others: Floats, start: int) -> int | None:
    """The first bad second at or after `start` that is clear or soon has another beside it.

    Where the one that confirms it is clear and it is not, the clear one is the first. One by
    latency alone is clear only near the injection.
    """
    bad = excess > 1
    clear = (excess > CLEAR) & (others > 1)
    near = slice(start, start + NEAR)
    clear[near] |= excess[near] > CLEAR
    for s in np.flatnonzero(bad[start:]) + start:
        beside = slice(s, s + DETECTION_BAD)
        if bad[beside].sum() > 1:
            worst = np.flatnonzero(excess[beside] > CLEAR)
            return int(s + worst[0]) if worst.size else int(s)
        if clear[s]:
            return int(s)
    return None


def _measured(
    grid: Floats,
    excess: Floats,
    others: Floats,
    first: int,
    inject: float,
    heal: float | None,
    bands: tuple[Band, ...],
) -> Recovery:
    bad = excess > 1
    back = _recovered(excess, others, first)
    last = float(grid[np.flatnonzero(bad)[-1]]) + 1 - inject
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


def _recovered(excess: Floats, others: Floats, first: int) -> int | None:
    bad = excess > 1
    total = np.concatenate([[0], np.cumsum(~bad)])
    s = first + 1
    while s + WINDOW <= len(bad):
        if bad[s] or total[s + WINDOW] - total[s] < IN_BAND:
            s += 1
            continue
        outage = float(np.median(excess[first:s][bad[first:s]]))
        ahead = others[s : s + WINDOW].copy()
        ahead[:NEAR] = excess[s : s + NEAR]
        severe = np.flatnonzero(ahead >= 1 + (outage - 1) / 2)
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
