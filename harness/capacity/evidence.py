"""What a step shows: its counts per second against each objective, pooled over its repeats."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from harness.capacity.model import Held, Share
from harness.catalog.model import Objective
from harness.errors import UsageError
from harness.judge.objectives import KINDS
from harness.stats.shares import (
    STALLED_CHANCE,
    SUSTAINED_S,
    SUSTAINED_SHARE,
    ShareFinding,
    clean_requests,
    judge_share,
)
from harness.units import format_duration, format_ratio

Counts = NDArray[np.int64]


ROOM = 1.1
"""Requests of a hold over those that just suffice: chance sends some fewer."""

BAD_SECOND = 0.25
"""Share of a second's requests from which the second is bad (half as much again as the limit where
that is more), as in `harness.stats.shares`."""

STOPPED_SECOND = 0.5
"""The same of one second at least of a stall: slow requests that come together by chance make
seconds that are bad, a service that stops for a while makes worse ones."""

REFUSED_SECOND = 0.9
"""Share of a second's requests without an answer from which the service refuses to serve."""

CLEAN_END = 0.3
"""Share of a hold, and 3 s at least, that must be clean at its end to call its begin a warm-up."""

CLEAN_END_S = 3

LEAST_GROWTH_S = 5
GROWTH_R2 = 0.9
"""Seconds of a step, and how straight the requests under way must rise in it, to say that a part of
the service falls behind."""

OVERLOADED = 0.97
"""Share of the offered rate that is answered well, below which the answers show how fast the
service is."""

SURELY_SERVED = 0.8
"""Of what was served in an overload: the latency objective is met there but by few workers."""

LOST_SHARE = 2.0
"""Times its limit that a share must exceed, were the rest of the hold clean, to end a step early
(as for a sustained miss in `harness.stats.shares`)."""

LOST_AFTER = 0.7
LOST_AFTER_S = 10.0
"""Share of the hold, and seconds, before which no step is ended: it may be warming up."""

LOOK_PART = 0.25
LOOK_S = 10.0
"""Share of a hold, and seconds at least, after which a long one is looked at: what misses there is
lost as surely as in a short step of its own."""

LOST_RUN_S = 3
"""Seconds in a row that must be bad when a step is ended early."""

LOST_LONG_RUN_S = 10
"""The same of seconds that are only as bad as the step would be missed by."""


@dataclass(frozen=True, slots=True)
class Limit:
    """An objective as a share: at most `allowed` of the offered requests may be bad.

    `latency_s` None: lost requests are bad; else those that were not answered within it as well.
    It is about the requests of `endpoints` (none named: all), which are the share `part` of the
    arrivals. `streams` is an objective for streams, which says itself what is bad.
    """

    name: str
    allowed: float
    latency_s: float | None
    endpoints: tuple[str, ...] = ()
    part: float = 1.0
    streams: Objective | None = None

    @property
    def least_requests(self) -> int:
        """Fewer cannot show that the limit holds, even if none is bad."""
        return math.ceil(clean_requests(self.allowed) * ROOM)


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One run at one rate: what was offered and bad in each second of its hold.

    `allowed` is the share of each limit, in their order; `asked` the requests that each is about
    and `bad` those that broke it, i64[limits, seconds]. `offered`, `lost` and, of these, `refused`
    (answered with an error, in time) are i64[seconds]. `medians`
    f64[seconds] are the seconds' median latencies (s; NaN: none), `pending` i64[seconds] the
    requests under way at their ends. `completed_rate` counts good answers by when they came.
    `trouble` names what spoilt the step on the generator's side, None when nothing did.
    """

    run: str
    rate: float
    allowed: tuple[float, ...]
    offered: Counts
    asked: Counts
    bad: Counts
    lost: Counts
    refused: Counts
    medians: NDArray[np.float64]
    pending: Counts
    completed_rate: float
    p95: float | None
    concurrency: float | None
    waited: bool
    cpu: float | None
    trouble: str | None = None
    ended_early: bool = False

    @property
    def seconds(self) -> int:
        """How long it was judged."""
        return len(self.offered)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one or more observations at one rate say, and why."""

    outcome: Held
    reason: str
    shares: tuple[Share, ...]
    more_s: float | None
    stalled: bool


def limits_of(objectives: Sequence[Objective]) -> tuple[Limit, ...]:
    """The objectives about latency, errors and streams as shares.

    Raises UsageError when there is none: without one any rate is as good as another.
    """
    found = []
    for each in objectives:
        q = 0.95 if each.quantile is None else each.quantile
        name, endpoints = each.name, each.endpoints
        if each.indicator == "latency":
            found.append(Limit(name, 1 - q, each.threshold, endpoints))
        elif each.indicator == "error_ratio":
            found.append(Limit(name, each.threshold, None, endpoints))
        elif each.indicator == "goodput":
            found.append(Limit(name, 1 - each.threshold, None, endpoints, streams=each))
        elif each.indicator in KINDS:
            found.append(Limit(name, 1 - q, None, endpoints, streams=each))
    if not found:
        raise UsageError(
            "the service has no latency or error objective",
            'add one (--objective "p95 < 100ms"): a capacity is the rate at which one is missed',
        )
    return tuple(found)


def least_hold(limits: Sequence[Limit], rate: float) -> float:
    """Seconds at this rate below which even a perfect service could not show that it holds."""
    return max(limit.least_requests / limit.part for limit in limits) / rate


def judge_observations(limits: Sequence[Limit], observations: Sequence[Observation]) -> Judgement:
    """Whether the objectives hold, from the counts of all observations together."""
    asked = np.concatenate([o.asked for o in observations], axis=1)
    bad = np.concatenate([o.bad for o in observations], axis=1)
    found = [judge_share(bad[k], asked[k], limit.allowed) for k, limit in enumerate(limits)]
    known = [(limit, f) for limit, f in zip(limits, found, strict=True) if f is not None]
    shares = tuple(Share(n.name, f.share, f.low, f.high, n.allowed) for n, f in known)
    stalled = any(f.stalls for _, f in known)
    for limit, finding in known:
        if finding.outcome == "fail":
            improving = len(observations) == 1 and warm_after(observations[0]) is not None
            reason = _sentence(limit, finding)
            return Judgement("warming" if improving else "missed", reason, shares, None, stalled)
    behind = next((grown for o in observations if (grown := falls_behind(limits, o))), None)
    if behind is not None and warm_after(observations[-1]) is None:
        reason = (
            f"requests under way rose steadily from {behind[0]:,} to {behind[1]:,}: a part of the"
            " service falls behind"
        )
        return Judgement("missed", reason, shares, None, stalled)
    doubts = [(limit, f) for limit, f in known if f.outcome != "pass"]
    if doubts or not known:
        reason = _sentence(*doubts[0]) if doubts else "nothing was offered"
        more = doubts[0][1].more_s if doubts else None
        if len(observations) == 1 and warm_after(observations[0]) is not None:
            return Judgement("warming", reason, shares, more, stalled)
        return Judgement("unknown", reason, shares, more, stalled)
    limit, finding = max(known, key=lambda pair: pair[1].high / pair[0].allowed)
    return Judgement("held", _sentence(limit, finding), shares, None, stalled)


def _sentence(limit: Limit, finding: ShareFinding) -> str:
    what = "failed" if limit.latency_s is None else f"beyond {format_duration(limit.latency_s)}"
    words = {
        "pass": "below", "fail": "not below", "inconclusive": "on either side of",
        None: "too few requests to tell from",
    }[finding.outcome]  # fmt: skip
    stalls = f", {len(finding.stalls)} stalls" if finding.why == "stalls" else ""
    interval = f"{format_ratio(finding.low)} to {format_ratio(finding.high)}"
    return (
        f"{limit.name}: {format_ratio(finding.share)} {what} ({interval}{stalls}),"
        f" {words} {format_ratio(limit.allowed)}"
    )


def bad_seconds(allowed: Sequence[float], bad: Counts, asked: Counts) -> NDArray[np.bool_]:
    """Seconds (bool[n]) in which far more requests broke an objective than it allows.

    More than chance makes of few requests. `bad` is i64[limits, n], `asked` so or i64[n].
    """
    worst = np.zeros(bad.shape[1], np.bool_)
    for limit, row, of in zip(allowed, bad, np.broadcast_to(asked, bad.shape), strict=True):
        threshold = max(BAD_SECOND, min(1.5 * limit, (1 + limit) / 2))
        # P(X >= row) of a binomial at the limit
        chance = special.bdtrc(np.maximum(row - 1, 0), np.maximum(of, 1), limit)
        worst |= (row > threshold * np.maximum(of, 1)) & (chance < STALLED_CHANCE)
    return worst


def warm_after(observation: Observation) -> int | None:
    """Seconds of the hold's begin that were bad, when all others were not; None otherwise."""
    bad = np.flatnonzero(bad_seconds(observation.allowed, observation.bad, observation.asked))
    clean = max(CLEAN_END_S, CLEAN_END * observation.seconds)
    begin = len(bad)
    if not begin or bad[-1] != begin - 1 or observation.seconds - begin < clean:
        return None
    return begin


def stalls(observation: Observation) -> int:
    """Runs of bad seconds, one half bad: too short for a sustained miss, not at the begin."""
    bad = bad_seconds(observation.allowed, observation.bad, observation.asked)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], bad, [False]]).astype(int)))
    lengths = edges[1::2] - edges[::2]
    most = max(SUSTAINED_S, SUSTAINED_SHARE * observation.seconds)
    spans = zip(edges[::2], edges[1::2], strict=True)
    worst = (observation.bad / np.maximum(observation.asked, 1)).max(axis=0)
    stopped = np.array([worst[a:b].max() >= STOPPED_SECOND for a, b in spans], np.bool_)
    return int((stopped & (lengths < most) & (edges[::2] > 0)).sum())


def refused_blocks(observation: Observation) -> int:
    """How often the service stopped answering altogether after it had answered."""
    refused = observation.refused > REFUSED_SECOND * np.maximum(observation.offered, 1)
    begins = np.flatnonzero(refused[1:] & ~refused[:-1])
    return len(begins)


def served_rate(observation: Observation) -> float | None:
    """Good answers per second in an overload, None where nearly all that was offered got one."""
    served = observation.completed_rate
    return served if served < OVERLOADED * observation.rate else None


def expected_capacity(limits: Sequence[Limit], served: float) -> float:
    """About the rate at which a queue that serves so much meets the latency limits, requests/s.

    A request of M/M/c waits longer than t with a probability of C exp(-(served - rate) t), where
    C is near 1 near the capacity (Kleinrock 1975, 3.5).
    """
    apart = (
        math.log(1 / limit.allowed) / limit.latency_s
        for limit in limits
        if limit.latency_s is not None and not limit.endpoints
    )
    return max(SURELY_SERVED * served, served - max(apart, default=0.0))


def falls_behind(limits: Sequence[Limit], observation: Observation) -> tuple[int, int] | None:
    """Requests under way at the begin and the end of a hold in which they only pile up.

    A share of requests says nothing of those that wait for a small part of the service (a shard, a
    tenant): fewer than the objective allows are late, but by more and more. While the objective is
    met in every part, at most about rate x limit requests are under way (Little's law); a straight
    rise by as many is a queue that grows without end.
    """
    pending = observation.pending
    times = (x.latency_s for x in limits if x.latency_s is not None and not x.endpoints)
    limit_s = min(times, default=None)
    if limit_s is None or len(pending) < LEAST_GROWTH_S or not np.ptp(pending):
        return None
    seconds = np.arange(len(pending))
    slope, begin = (float(x) for x in np.polyfit(seconds, pending, 1))
    straight = float(np.corrcoef(seconds, pending)[0, 1]) ** 2
    rise = slope * seconds[-1]
    if rise < observation.rate * limit_s or straight < GROWTH_R2:
        return None
    return max(0, round(begin)), round(begin + rise)


def least_patience(hold_s: float) -> float:
    """Seconds of a hold before which it is not ended early."""
    return min(LOST_AFTER * hold_s, LOST_AFTER_S)


def look_after(hold_s: float) -> int:
    """Seconds of a hold after which it is looked at; no fewer than its own in a short one."""
    return math.ceil(max(LOOK_S, LOOK_PART * hold_s))


def missed_at_look(allowed: Sequence[float], bad: Counts, offered: Counts, hold_s: float) -> bool:
    """Whether the first seconds of a long hold miss a limit by their interval, without a stall.

    They are looked at once: with each look more would be missed by chance. `allowed` are the
    limits' shares, `bad` and `offered` as in `lost_for_certain`.
    """
    look = look_after(hold_s)
    if not look <= len(offered) < hold_s:
        return False
    total = offered[:look].sum()
    found = (
        judge_share(row[:look], offered[:look], share)
        for share, row in zip(allowed, bad, strict=True)
        if row[:look].sum() > share * total  # else its interval begins no higher
    )
    return any(f is not None and f.outcome == "fail" and f.why == "interval" for f in found)


def lost_for_certain(limits: Sequence[Limit], bad: Counts, offered: Counts, hold_s: float) -> bool:
    """Whether a step that has come so far can only be missed, however its rest goes.

    `bad` i64[limits, seconds so far], `offered` i64[seconds so far].
    """
    seconds = len(offered)
    if seconds < max(least_patience(hold_s), LOST_RUN_S) or not offered.sum():
        return False
    if missed_at_look([limit.allowed for limit in limits], bad, offered, hold_s):
        return True
    planned = float(offered.mean()) * hold_s
    lost = [
        (limit.allowed, row)
        for limit, row in zip(limits, bad, strict=True)
        if row.sum() > LOST_SHARE * limit.allowed * planned
    ]
    if not lost:
        return False
    last = slice(-LOST_RUN_S, None)
    if bad_seconds([limit.allowed for limit in limits], bad[:, last], offered[last]).all():
        return True
    last = slice(-LOST_LONG_RUN_S, None)
    return any((row > LOST_SHARE * share * offered)[last].all() for share, row in lost)
