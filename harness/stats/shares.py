"""Whether the share of bad requests of a run stays below a limit, from counts per second.

"P95 < L" is the statement "at most 5 % of the offered requests were not answered within L", and
"errors < 0.1 %" the same of failed ones. Bad requests come in clusters, so the interval is the
exact binomial one (Clopper & Pearson 1934) on counts that are divided by a design effect (Kish
1965): the largest that batches of several lengths show. Two patterns are no matter of an interval:
a sustained miss fails, and a few short stalls are events, told one by one. The thresholds come
from the tables of `benchmarks.verdicts`.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from harness.errors import DataError
from harness.stats.errors import binomial_bounds, wilson
from harness.stats.interval import Floats, share, t_quantile

Counts = NDArray[np.int64]

BATCH_S = (1, 2, 3, 5)
"""Lengths of the batches (s) that show how bad requests cluster; an eighth of the run as well."""

LEAST_BATCHES = 5
"""Below it Student's t is too wide to say anything."""

STALLED_SHARE = 0.25
"""Bad share of a second beyond which it counts as stalled (or half as much again as the limit)."""

STALLED_CHANCE = 1e-3
"""A second with few requests is stalled only where chance at the limit is below this."""

SLOT_REQUESTS = 10
"""Seconds are joined until a slot holds about so many requests: fewer cannot show a stall."""

SUSTAINED_S = 3.0
SUSTAINED_SHARE = 0.15
"""A stalled stretch of at least 3 s and 15 % of the run is a state, not an event."""

SUSTAINED_EXCESS = 2.0
"""Times the limit that the bad share of a sustained miss must exceed."""

LEAST_STALLS = 3
"""Stalls from which a missed limit is a pattern rather than one unlucky event."""

POWER_Z = 0.8416
"""Standard errors between the estimate and the limit beyond the interval's: 80 % power."""

USUAL_EFFECT = 1.6
"""Mean design effect that chance alone shows: the largest of several lengths of batches."""

MOST_WORTH_S = 12 * 3600.0
"""Nobody holds a load test for days to settle a doubt."""

Outcome = Literal["pass", "fail", "inconclusive"]
Why = Literal["interval", "sustained", "stalls", "too few"]


@dataclass(frozen=True, slots=True)
class Stall:
    """Stalled seconds [begin, end) of the series, with `bad` requests in them."""

    begin: int
    end: int
    bad: int


@dataclass(frozen=True, slots=True)
class ShareFinding:
    """A share of bad requests against its limit.

    `outcome` None: so few requests could not show it even without a bad one. `low`..`high` is the
    interval of the share, stalls counted as seen. `effect` is the design effect (1: independent).
    `more_s` is how many seconds more at this rate would settle it with a power of 80 %, None where
    nothing is open or no reasonable time would do.
    """

    outcome: Outcome | None
    why: Why
    limit: float
    share: float
    low: float
    high: float
    effect: float
    stalls: tuple[Stall, ...]
    more_s: float | None


def judge_share(
    bad: Counts, total: Counts, limit: float, confidence: float = 0.95
) -> ShareFinding | None:
    """Judge the share of bad requests, both i64[seconds], against `limit`, in (0, 1).

    None without any request. Raises DataError for shapes that differ, bad > total, or a limit
    outside (0, 1).
    """
    share(limit, "limit")
    if bad.shape != total.shape or bad.ndim != 1 or np.any(bad > total) or np.any(bad < 0):
        raise DataError("bad and total do not fit", "give 0 <= bad <= total for each second")
    n, x = int(total.sum()), int(bad.sum())
    if n == 0:
        return None
    width = _slot_s(n, len(total))
    slots_bad, slots_total = _joined(bad, width), _joined(total, width)
    stalled = _stalled(slots_bad, slots_total, limit)
    stalls = _runs(stalled, slots_bad, width, len(total))
    if _sustained(stalls, x / n, limit, len(total)):
        rest = _interval(slots_bad, slots_total, confidence)
        return ShareFinding("fail", "sustained", limit, x / n, *rest, stalls, None)
    low, high, effect = _interval(slots_bad[~stalled], slots_total[~stalled], confidence)
    calm = int(slots_total[~stalled].sum())
    seen = sum(stall.bad for stall in stalls)
    bounds = ((low * calm + seen) / n, (high * calm + seen) / n)
    if stalls:
        outcome = _with_stalls(stalls, (low, high), calm, n, limit, confidence)
        more = _more_for_stalls(stalls, high, len(total), n, limit) if outcome is None else None
        word: Outcome = outcome or "inconclusive"
        return ShareFinding(word, "stalls", limit, x / n, *bounds, effect, stalls, more)
    return _by_interval(x, n, bounds, effect, limit, confidence, len(total))


def clean_requests(limit: float, confidence: float = 0.95) -> int:
    """How many requests without a bad one show that the share is below the limit.

    The upper Clopper-Pearson bound of 0 of n is 1 - ((1 - confidence) / 2)^(1/n).
    """
    share(limit, "limit")
    return math.floor(math.log((1 - confidence) / 2) / math.log1p(-limit)) + 1


def _slot_s(requests: int, seconds: int) -> int:
    return max(1, math.ceil(SLOT_REQUESTS * seconds / requests)) if requests else 1


def _joined(counts: Counts, width: int) -> Counts:
    """Counts of slots of `width` seconds; the last may be shorter."""
    return np.add.reduceat(counts, np.arange(0, len(counts), width)) if width > 1 else counts


def _stalled(bad: Counts, total: Counts, limit: float) -> NDArray[np.bool_]:
    threshold = max(STALLED_SHARE, 1.5 * limit) if limit < 0.6 else (1 + limit) / 2  # noqa: PLR2004
    beyond = bad > threshold * total
    # P(X >= bad) of a binomial at the limit
    chance = special.bdtrc(np.maximum(bad - 1, 0), np.maximum(total, 1), limit)
    result: NDArray[np.bool_] = beyond & (bad > 0) & (chance < STALLED_CHANCE)
    return result


def _runs(stalled: NDArray[np.bool_], bad: Counts, width: int, seconds: int) -> tuple[Stall, ...]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], stalled, [False]])))
    return tuple(
        Stall(int(a) * width, min(int(b) * width, seconds), int(bad[a:b].sum()))
        for a, b in zip(edges[::2], edges[1::2], strict=True)
    )


def _sustained(stalls: tuple[Stall, ...], seen: float, limit: float, seconds: int) -> bool:
    longest = max((stall.end - stall.begin for stall in stalls), default=0)
    least = max(SUSTAINED_S, SUSTAINED_SHARE * seconds)
    return longest >= least and seen > min(SUSTAINED_EXCESS * limit, (1 + limit) / 2)


def _interval(bad: Counts, total: Counts, confidence: float) -> tuple[float, float, float]:
    """(low, high, design effect) of the share in these slots; (0, 1, 1) of nothing."""
    n, x = float(total.sum()), float(bad.sum())
    if not n:
        return 0.0, 1.0, 1.0
    effect = design_effect(bad, total, confidence)
    return *share_bounds(x, n, effect, confidence), effect


def share_bounds(
    bad: float, total: float, effect: float, confidence: float = 0.95
) -> tuple[float, float]:
    """The interval of a share: Clopper & Pearson's where it is binomial, Wilson's where clustered.

    Of few effective counts Clopper & Pearson's is far too wide, and Wilson's errs to one side
    where nothing or next to nothing was bad.
    """
    if effect == 1:
        exact = binomial_bounds(bad, total, confidence)
        return exact.low or 0.0, 1.0 if exact.high is None else exact.high
    return wilson(bad / effect, total / effect, confidence)


def design_effect(bad: Counts, total: Counts, confidence: float = 0.95) -> float:
    """By how much clusters inflate the variance of the share, at least 1.

    The largest over several lengths of batches, each with what Student's t adds for as few.
    """
    n, x = float(total.sum()), float(bad.sum())
    p = x / n if n else 0.0
    if not 0 < p < 1:
        return 1.0
    probability = 1 - (1 - confidence) / 2
    z = t_quantile(probability, math.inf)
    residual = bad - p * total
    worst = 1.0
    for length in {*BATCH_S, max(1, len(bad) // 8)}:
        batches = len(bad) // length
        if batches < LEAST_BATCHES:
            continue
        sums = _batch_sums(residual, batches)
        variance = float((sums**2).sum()) * batches / (batches - 1)
        excess = variance / (n * p * (1 - p))
        if excess > 1:
            worst = max(worst, excess * (t_quantile(probability, batches - 1) / z) ** 2)
    return worst


def _batch_sums(values: Floats, batches: int) -> Floats:
    begins = np.linspace(0, len(values), batches + 1).round().astype(int)[:-1]
    sums: Floats = np.add.reduceat(values, begins)
    return sums


def _with_stalls(
    stalls: tuple[Stall, ...],
    rest: tuple[float, float],
    calm: int,
    n: int,
    limit: float,
    confidence: float,
) -> Outcome | None:
    """Pass with one more stall like the largest; fail where three or the least likely miss it."""
    seen, largest = sum(stall.bad for stall in stalls), max(stall.bad for stall in stalls)
    if (rest[1] * calm + seen + largest) / n < limit:
        return "pass"
    missed = (rest[0] * calm + seen) / n > limit
    # So many stalls are at least to be expected (Garwood 1936).
    least = float(special.gammaincinv(len(stalls), (1 - confidence) / 2)) / len(stalls)
    certain = (rest[0] * calm + seen * least) / n > limit
    if missed and (len(stalls) >= LEAST_STALLS or rest[0] > limit or certain):
        return "fail"
    return None


def _more_for_stalls(
    stalls: tuple[Stall, ...], rest_high: float, seconds: int, n: int, limit: float
) -> float | None:
    """Seconds more, without another stall, until one more like the largest would be allowed."""
    room = limit - rest_high
    if room <= 0:
        return None
    bad = sum(stall.bad for stall in stalls) + max(stall.bad for stall in stalls)
    return _worth(bad / room * seconds / n - seconds)


def _by_interval(
    x: int,
    n: int,
    bounds: tuple[float, float],
    effect: float,
    limit: float,
    confidence: float,
    seconds: int,
) -> ShareFinding:
    low, high = bounds
    if high < limit:
        return ShareFinding("pass", "interval", limit, x / n, low, high, effect, (), None)
    if low > limit:
        return ShareFinding("fail", "interval", limit, x / n, low, high, effect, (), None)
    more = _more_for_interval(x, n, effect, limit, confidence, seconds)
    if n < clean_requests(limit, confidence):
        return ShareFinding(None, "too few", limit, x / n, low, high, effect, (), more)
    return ShareFinding("inconclusive", "interval", limit, x / n, low, high, effect, (), more)


def _more_for_interval(
    x: int, n: int, effect: float, limit: float, confidence: float, seconds: int
) -> float | None:
    """Seconds more until this very share would be told from the limit in 80 % of runs."""
    if x / n == limit:
        return None
    z = t_quantile(1 - (1 - confidence) / 2, math.inf)
    expected = max(effect, USUAL_EFFECT) if x else effect
    stricter = float(2 * special.ndtr(z + POWER_Z) - 1) if x else confidence

    def decided(times: float) -> bool:
        low, high = share_bounds(x * times, n * times, expected, stricter)
        return high < limit or low > limit

    most = 1.0 + MOST_WORTH_S / seconds
    if not decided(most):
        return None
    low, high = 1.0, most
    while high / low > 1.01:  # noqa: PLR2004 - a hundredth of the time is close enough
        middle = math.sqrt(low * high)
        low, high = (low, middle) if decided(middle) else (middle, high)
    return _worth((high - 1) * seconds)


def _worth(seconds: float) -> float | None:
    return max(1.0, seconds) if seconds <= MOST_WORTH_S else None
