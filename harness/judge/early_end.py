"""Whether a run may end before its plan: nothing was ever answered, or it fails for certain.

Two rules, both for a load that nobody watches:

* *No answer*: not one request was answered since the load began.
* *Certain failure* of a hold at one rate: more requests missed an objective than it allows in the
  whole planned hold, and a sequential test says that this is the service and no chance.

The test is a betting martingale (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random
variables by betting"): the share of bad requests of each block of seconds, from 0 to 1, is bet
against the share that the objective allows. The wealth exceeds 1/ERROR with a probability of at
most ERROR at any look (Ville's inequality), however the requests cluster within a block. Even and
odd blocks have a purse each, so that a stall across two blocks counts once in either. What is not
known yet counts as good.

`python -m benchmarks.early_end` measures both, on sound, bad and boundary services.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.catalog.model import Indicator, Objective
from harness.load.plan import LATE_SHARE, LoadPlan
from harness.messages import LoadMessage, SliceRow, Tick
from harness.record.distribution import Distribution, Floats
from harness.record.series import Kind
from harness.traffic.model import LoadProfile
from harness.units import format_duration

SILENT_S = 10.0
"""From the start without an answer: all of the usual warm-up and ramp, and twice the time that a
connection may take. A cold start that takes longer is not ready to be measured."""

SILENT_HOLD_S = 5.0
"""Of the hold must have passed too: its requests are the evidence for the verdict."""

SILENT_REQUESTS = 20
"""Offered without an answer, at least: fewer may be chance at a very low rate."""

ERROR = 0.001
"""The probability, over all looks of a run, that a service at its objective ends it."""

BLOCK_S = 4
"""Seconds of a block: a stall of up to three seconds lies within two neighbours, so it counts at
most once in each purse."""

PURSES = 2

LEAST_BLOCKS = 3
"""Worse than the objective allows, without which a run goes on: one such stall spoils two."""

STAKES = (0.003, 0.01, 0.03, 0.1, 0.3, 0.9)
"""Shares of the most that may be bet, mixed evenly: small ones last through an hour that was good,
large ones decide a short hold."""

SURE = 1.5
"""Times the bad requests that the objective allows in the whole planned hold: enough for the
verdict's own interval, if all the rest were perfect."""

TIMES: Mapping[Indicator, Kind] = {
    "latency": "response", "time_to_first_token": "ttft", "inter_token_latency": "itl"
}  # fmt: skip
"""The histogram of each time that a request is judged by."""


Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EarlyDecision:
    """Why the run ends; `second` is the first second of the run that no longer counts."""

    rule: Literal["no answer", "certain failure"]
    second: int
    reason: str


@dataclass(frozen=True, slots=True)
class _Limit:
    """An objective as the share of the offered requests that may be bad."""

    name: str
    allowed: float
    bad: Callable[[SliceRow], int]
    """How many requests of a slice on the axis `due` are bad."""


class EarlyEnd:
    """Decides for one run; `add` every message of the load child, then `decide`.

    Endpoints' own objectives, several rates or populations, a closed loop, replays, journeys and
    chains are left to the verdict: there only the first rule holds. So are objectives for streams
    where not every request is one.
    """

    def __init__(self, plan: LoadPlan, objectives: Sequence[Objective]) -> None:
        self._timeout_s = max((r.timeout_s for r in plan.traffic.templates), default=SILENT_S)
        self._hold_begin = next((b for phase, b, _ in plan.profile.phases() if phase == "hold"), 0)
        self._rate, self._planned_s = _one_rate(plan)
        streams = all(request.stream for request in plan.traffic.templates)
        self._limits = limits_of(objectives, streams=streams) if self._rate else ()
        self._offered: dict[int, int] = defaultdict(int)
        self._bad: dict[tuple[str, int], int] = defaultdict(int)
        self._tick: Tick | None = None

    def add(self, message: LoadMessage) -> None:
        """Take one message; all but ticks and slices on the axis `due` are ignored."""
        if message["type"] == "tick":
            self._tick = message
        elif message["type"] == "slice" and message["slice"]["axis"] == "due":
            row = message["slice"]
            second = row["second"] - math.ceil(self._hold_begin)
            self._offered[second] += row["offered"]
            for limit in self._limits:
                self._bad[limit.name, second] += limit.bad(row)

    @property
    def allowed(self) -> tuple[float, ...]:
        """The share of bad requests that each limit allows."""
        return tuple(limit.allowed for limit in self._limits)

    def counts(self, seconds: int) -> tuple[Counts, Counts]:
        """(offered, bad by each limit) in the first seconds of the hold, i64[n] and i64[k, n]."""
        span = range(seconds)
        offered = np.array([self._offered[second] for second in span], np.int64)
        bad = [[self._bad[limit.name, second] for second in span] for limit in self._limits]
        return offered, np.array(bad, np.int64).reshape(len(self._limits), seconds)

    def decide(self, now_s: float) -> EarlyDecision | None:
        """The decision `now_s` seconds after the start of the load; None: go on."""
        return self._no_answer(now_s) or self._certain_failure(now_s)

    def _no_answer(self, now_s: float) -> EarlyDecision | None:
        tick = self._tick
        if tick is None or tick["completed"] or tick["offered"] < SILENT_REQUESTS:
            return None
        offered, failed = tick["offered"], tick["failed"]
        # What is still under way may be answered until it times out.
        wait = SILENT_S if failed >= offered / 2 else max(SILENT_S, self._timeout_s + 1)
        if now_s < max(wait, self._hold_begin + SILENT_HOLD_S):
            return None
        reason = (
            f"No request was answered in the first {format_duration(math.floor(now_s))}:"
            f" {offered:,} were offered, {failed:,} have failed."
        )
        return EarlyDecision("no answer", math.floor(now_s), reason)

    def _certain_failure(self, now_s: float) -> EarlyDecision | None:
        blocks = int((now_s - math.ceil(self._hold_begin)) // BLOCK_S)
        if not self._limits or blocks < 1:
            return None
        planned = self._rate * self._planned_s
        counts, rows = self.counts(blocks * BLOCK_S)
        offered = counts.reshape(blocks, BLOCK_S).sum(axis=1)
        for limit, row in zip(self._limits, rows, strict=True):
            bad = row.reshape(blocks, BLOCK_S).sum(axis=1)
            shares = bad / np.maximum(offered, self._rate * BLOCK_S)
            error = ERROR / len(self._limits)
            if fails_for_certain(shares, limit.allowed, self._planned_s, error):
                reason = (
                    f"{int(bad.sum()):,} requests missed {limit.name}, which allows"
                    f" {math.floor(limit.allowed * planned):,} of the {planned:,.0f} that were"
                    " planned: it fails whatever the rest of the hold brings."
                )
                return EarlyDecision("certain failure", math.floor(now_s), reason)
        return None


def limits_of(objectives: Sequence[Objective], *, streams: bool = False) -> tuple[_Limit, ...]:
    """What can be decided request by request, of all endpoints: latency and errors.

    With `streams` every request is one, so that their times and their goodput can be, too.
    """
    found = []
    for each in objectives:
        if each.endpoints:
            continue
        if each.indicator == "error_ratio":
            found.append(_Limit(each.name, each.threshold, _failures))
        elif each.indicator == "goodput" and streams:
            found.append(_Limit(each.name, 1 - each.threshold, _not_good))
        elif each.indicator in TIMES and each.quantile is not None:
            kind = TIMES[each.indicator]
            if kind == "response" or streams:
                found.append(_Limit(each.name, 1 - each.quantile, _slower(kind, each.threshold)))
    return tuple(limit for limit in found if 0 < limit.allowed < 1)


def fails_for_certain(
    shares: Floats, allowed: float, planned_s: float, error: float = ERROR
) -> bool:
    """Whether blocks with these bad shares (f64[n], 0 to 1) make the planned hold fail.

    `allowed` is the share that the objective allows, `error` the probability of the test's error.
    """
    spoilt = int((shares > allowed).sum())
    if spoilt < LEAST_BLOCKS or shares.sum() * BLOCK_S < SURE * allowed * planned_s:
        return False
    return most_wealth(shares, allowed) * error >= 1


def most_wealth(shares: Floats, allowed: float) -> float:
    """The largest wealth after any block of bets that the mean of `shares` exceeds `allowed`.

    `shares` f64[n] from 0 to 1, one for each block in time. At a mean of `allowed`, whatever the
    shares of other blocks were, it exceeds w with a probability of at most 1/w.
    """
    stakes = np.array(STAKES)[:, None]
    gains = np.log1p(stakes * (np.minimum(shares, 1.0) - allowed) / allowed)
    purse = np.arange(len(shares)) % PURSES
    wealth = [np.exp(np.minimum(np.cumsum(np.where(purse == p, gains, 0.0), axis=1), 700.0))
              for p in range(PURSES)]  # fmt: skip
    return float(np.mean(wealth, axis=(0, 1)).max(initial=0.0))


def _one_rate(plan: LoadPlan) -> tuple[float, float]:
    """The hold's rate (requests/s) and length (s); 0 where the plan does not say one rate."""
    profile: LoadProfile = plan.profile
    holds = [segment for segment in profile.segments if segment.phase == "hold"]
    steady = len(holds) == 1 and holds[0].from_rate == holds[0].to_rate
    if (
        not steady
        or profile.model == "closed"
        or profile.replay_ns
        or not plan.traffic.one_each
        or plan.traffic.others
    ):
        return 0.0, 0.0
    return holds[0].to_rate, holds[0].duration_s


def _by_generator(row: SliceRow) -> int:
    """Requests that failed at a limit of the generator or of its machine."""
    return sum(row["errors"].get(kind, 0) for kind in ("in_flight_limit", "local"))


def _failures(row: SliceRow) -> int:
    """Failed and unfinished requests, but for those that failed at the generator."""
    return row["failed"] + row["unfinished"] - _by_generator(row)


def _not_good(row: SliceRow) -> int:
    """Streams that did not keep every limit, but for those that failed at the generator."""
    return row["offered"] - row.get("good", 0) - _by_generator(row)


def _slower(kind: Kind, limit_s: float) -> Callable[[SliceRow], int]:
    """Counts what was not answered within the limit, but for what the generator sent late."""

    def count(row: SliceRow) -> int:
        stored = row["hist"]
        slow = Distribution.decode(stored[kind]).above(limit_s) if kind in stored else 0
        if slow and "lag" in stored:
            slow = max(0, slow - Distribution.decode(stored["lag"]).above(LATE_SHARE * limit_s))
        return slow + _failures(row)

    return count
