"""The steps of a search: repeated until they decide, within a time budget, and all remembered."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from harness.capacity import naming
from harness.capacity.evidence import (
    Judgement,
    Limit,
    Observation,
    judge_observations,
    least_hold,
    warm_after,
)
from harness.capacity.model import Finding, FindingKind, Held, Purpose, Search, Step
from harness.units import format_duration, format_rate

REPEATS = 4
"""Runs of an undecided step that are judged together."""

NEAR = (0.5, 1.5)
"""Shares of bad requests, as a part of their limit, between which a rate is at the capacity:
further repeats tell little, and the bracket is better narrowed from its ends. Below them a rate
that is left undecided is taken as held until it is confirmed, above them as missed until it is
tried again."""

FAR = 2.0
"""The same beyond which a repeat of the upper end is missed, however wide its interval is."""

BURSTS = 1.5
"""Times the limit of a share with stalls, up to which it decides nothing."""

NEAR_REPEATS = 2

AT = 0.75
"""The same lower bound, from which one run is enough to say so."""

WINDOW_S = 130.0
"""Least length of the hold that confirms where requests were refused in blocks: two windows of a
quota per minute. The same where a part of the service fell behind, whose few requests tell little
in a short one."""

PERIODS = 3
"""Of what comes and goes that a hold must last to tell how often it comes."""

LONGEST_S = 160.0
"""Of a hold that is prolonged for what was seen."""

NOISE_TRIES = 6
"""Runs that the generator or its machine may spoil at one rate before it counts as the limit."""

SILENT_STEPS = 3
"""In a row without one answer from which the service is taken to be down."""

NOISE_PAUSE_S = 5.0
"""Pause after a spoilt run; it doubles with each, up to a minute."""

COOL_DOWN_S = 5.0
"""After a step that was missed, for what still waits in the service."""

WARMING: tuple[Purpose, ...] = ("search", "recovery")
"""Steps whose bad begin is taken for a cold start; a long hold is after one."""

LEANING: tuple[Purpose, ...] = ("search", "recovery", "recheck")
"""Steps that only guide the search: the answer rests on those that confirm it."""

MOST_WARMINGS = 2

UNASKED: tuple[Purpose, ...] = ("recovery", "calm")
"""Steps that need not show that the objectives hold, only whether they are clearly missed."""

OVERHEAD_S = 5.0
"""What a step takes besides its hold: start, warm-up, drain."""

LEAD_PART = 0.5
"""Of the rate, for a cold service to warm up: what it does not serve meanwhile would still wait in
the hold, and for longer the nearer the rate is to the capacity."""

LONGEST_LEAD_S = 60.0
"""Of the warm-up before a hold."""

GROWTH = 2.0
"""How fast the first, coarse part climbs or descends."""


class Measure(Protocol):
    """What a search is made with: runs of one deployed service, and the time."""

    @property
    def service(self) -> str:
        """Its name."""
        ...

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The objectives that decide."""
        ...

    def observe(self, rate: float, hold_s: float, lead_s: float, seed: int) -> Observation:
        """One run: `lead_s` at `LEAD_PART` of the rate, a ramp, and the hold."""
        ...

    def pause(self, seconds: float) -> None:
        """No load for so long."""
        ...

    def now(self) -> float:
        """Seconds of a monotonic clock."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a search stands: the step that ended (None at the start) and what is left, about."""

    step: Step | None
    done: int
    left: int
    left_s: float


class Stop(Exception):  # noqa: N818 - not an error: the search has nothing more to try
    """The search ends here; what is known is the answer."""


class Steps:
    """What a search has run and seen, and what it knows of each rate."""

    def __init__(self, measure: Measure, search: Search, tell: Callable[[Progress], None]) -> None:
        self._measure, self._search, self._tell = measure, search, tell
        self._began = measure.now()
        self._levels: dict[float, Held] = {}
        self._steps: list[Step] = []
        self._seen: list[tuple[Step, Observation]] = []
        self._findings: dict[str, Finding] = {}
        self._overturned: list[tuple[float, str]] = []
        self._settled = 0
        self._lead_s = 0.0
        self._rest_s = 0.0
        self._hold_s = search.hold_s
        self._confirm_s = search.confirm_s
        self._near: set[float] = set()
        self._silent = 0
        self._overload: tuple[float, float] | None = None
        self._recovery_shown = False
        self._confirmed = False
        self._long: tuple[float, float] | None = None
        self._before: float | None = None
        self._spike: tuple[float | None, float] | None = None

    @property
    def _high(self) -> float | None:
        """The lowest rate that was clearly missed."""
        missed = (r for r, o in self._levels.items() if o == "missed" and r > (self._before or 0))
        return min(missed, default=None)

    @property
    def _low(self) -> float | None:
        """The highest rate that held below it: before the overload, if it never recovered."""
        if self._before is not None:
            return self._before
        high = math.inf if self._high is None else self._high
        return max((r for r, o in self._levels.items() if o == "held" and r < high), default=None)

    def _decide(self, rate: float, purpose: Purpose, hold_s: float, repeats: int = REPEATS) -> Held:
        """Run a rate until its outcome is known, pooled over repeats with fresh seeds."""
        least = 0.0 if purpose in UNASKED else least_hold(self._measure.limits, rate)
        hold = max(hold_s, math.ceil(least))
        together: list[Observation] = []
        warmings = 0
        outcome: Held = "unknown"
        while len(together) < repeats:
            observation = self._observe(rate, hold, purpose)
            if observation.trouble is not None:
                return "generator"
            self._listen(observation)
            together.append(observation)
            found = judge_observations(self._measure.limits, together)
            outcome = self._outcome(found, observation)
            if outcome == "warming" and (purpose not in WARMING or warmings == MOST_WARMINGS):
                outcome = "missed"
            self._keep(observation, found, outcome, purpose)
            if outcome == "warming":
                warmings += 1
                self._warm_up_for(observation)
                together.clear()
            elif outcome != "unknown":
                break
            elif purpose in LEANING and _open_ratio(found) < NEAR[0]:
                return "held"
            elif len(together) >= NEAR_REPEATS or (AT <= _open_ratio(found) <= NEAR[1]):
                least = FAR if purpose == "recheck" else NEAR[1]
                if _open_ratio(found) > NEAR[1] and purpose != "confirm":
                    return "missed" if _open_ratio(found) > least else "unknown"
                self._near.add(rate)
                break
        if outcome == "missed":
            self._measure.pause(max(self._rest_s, COOL_DOWN_S))
        return outcome

    def _outcome(self, found: Judgement, last: Observation) -> Held:
        """As judged together, with two exceptions.

        A step that ended early, lost for certain, was missed. Near the capacity a queue stalls
        by itself, so that a share little beyond its limit may be chance.
        """
        worst = max((share.share / share.limit for share in found.shares), default=0.0)
        if found.outcome == "unknown" and last.ended_early and worst > 1:
            return "missed"
        if found.outcome == "missed" and found.stalled and worst <= BURSTS and not last.ended_early:
            return "unknown"
        return found.outcome

    def _observe(self, rate: float, hold_s: float, purpose: Purpose) -> Observation:
        """One run; what spoils it on the generator's side delays, it does not decide."""
        for attempt in range(NOISE_TRIES):
            self._afford(hold_s + self._lead_s)
            seed = len(self._steps) + 1
            found = self._measure.observe(rate, hold_s, self._lead_s, seed)
            if found.trouble is None:
                break
            self._keep(found, None, "generator", purpose)
            if attempt + 1 < NOISE_TRIES:
                self._measure.pause(min(60.0, NOISE_PAUSE_S * 2**attempt))
        return found

    def _listen(self, seen: Observation) -> None:
        """Raise Stop when nothing answers any more; in an overload every wait may be too long."""
        if seen.completed_rate or seen.refused.any():
            self._silent = 0
        elif self._low is None or seen.rate <= self._low:
            self._silent += 1
        if self._silent >= SILENT_STEPS:
            self._find(
                "no answer",
                f"Not one request of the last {SILENT_STEPS} steps was answered, the last at"
                f" {format_rate(seen.rate)}: the service is down or out of reach.",
            )
            raise Stop

    def _warm_up_for(self, observation: Observation) -> None:
        cold = (warm_after(observation) or 0) + self._lead_s
        self._lead_s = min(LONGEST_LEAD_S, max(2 * cold, cold + 3))
        self._levels = {r: o for r, o in self._levels.items() if o != "missed"}
        self._find(
            "cold start",
            f"The first {format_duration(cold)} at {format_rate(observation.rate)} missed the"
            f" objectives, the rest held: later steps warm up for"
            f" {format_duration(self._lead_s)}, so the capacity is that of a warm service.",
            decisive=False,
        )
        self._spike = self._spike or (None, observation.rate)

    def _long_hold(self, rate: float) -> float:
        hold = max(self._hold_s, 2 * least_hold(self._measure.limits, rate))
        late = any(naming.only_falls_behind(step) for step in self._steps)
        refused = WINDOW_S if late or naming.refuses(self._seen) else 0.0
        stalled = PERIODS * (naming.stall_period(self._seen[self._settled :], self._low) or 0.0)
        return math.ceil(max(hold, self._confirm_s, min(stalled, LONGEST_S), refused))

    def _is_confirmed(self, low: float) -> bool:
        """Whether the lower end holds in one long hold."""
        known = self._long is not None and self._long[0] == low
        if known and self._long is not None and self._long[1] >= self._long_hold(low):
            return True
        return self._confirm(low) == "held"

    def _confirm(self, rate: float) -> Held:
        hold = self._long_hold(rate)
        before = self._levels.get(rate)
        outcome = self._decide(rate, "confirm", hold, repeats=2)
        self._levels[rate] = outcome
        self._confirmed = outcome == "held"
        self._long = (rate, hold) if self._confirmed else None
        if outcome == "missed" and before == "held":
            self._overturned.append((rate, "held, then missed"))
            if len(self._overturned) > 1:  # short holds do not show it
                self._hold_s = max(self._hold_s, min(self._search.confirm_s, LONGEST_S) / 2)
                self._confirm_s = max(self._search.confirm_s, min(LONGEST_S, 1.5 * hold))
        return outcome

    def _keep(
        self, seen: Observation, found: Judgement | None, outcome: Held, purpose: Purpose
    ) -> None:
        offered = int(seen.offered.sum())
        step = Step(
            run=seen.run,
            rate=seen.rate,
            hold_s=float(seen.seconds),
            purpose=purpose,
            outcome=outcome,
            reason=(seen.trouble or "") if found is None else found.reason,
            shares=() if found is None else found.shares,
            completed_rate=seen.completed_rate,
            p95=seen.p95,
            error_ratio=float(seen.lost.sum()) / offered if offered else None,
            concurrency=seen.concurrency,
            waited=seen.waited,
            cpu=seen.cpu,
            ended_early=seen.ended_early,
        )
        self._steps.append(step)
        self._seen.append((step, seen))
        self._report(step)

    def _low_before(self, high: float) -> float | None:
        """The highest rate that had held when `high` was first missed."""
        first = next(i for i, s in enumerate(self._steps) if s.rate == high)
        held = (s.rate for s in self._steps[:first] if s.outcome == "held" and s.rate < high)
        return max(held, default=None)

    def _limit(self) -> str:
        """What stood in the way at the lowest rate that did not hold."""
        if "no answer" in self._findings:
            return "the service: nothing answers"
        high = self._high
        if high is not None:
            tried = [s for s in self._steps if s.rate == high]
            return naming.limit_of(max(tried, key=lambda s: s.outcome == "missed"))
        spoilt = [s for s in self._steps if s.outcome == "generator"]
        if spoilt and self._levels.get(spoilt[-1].rate) == "generator":
            return f"the load generator: {spoilt[-1].reason}"
        if self._low is not None and self._low >= self._search.max_rate:
            return "nothing: every rate tried held; raise --max-rate"
        return "unknown: no rate was clearly missed"

    def _left(self) -> float:
        return self._search.budget_s - (self._measure.now() - self._began)

    def _afford(self, seconds: float) -> None:
        """Raise Stop when a step does not fit into the time that is left."""
        if seconds + OVERHEAD_S > self._left():
            self._find(
                "time",
                f"The time budget of {format_duration(self._search.budget_s)} ended before"
                f" {'the last steps' if self._confirmed else 'both ends were confirmed'}; raise"
                " --time-budget.",
            )
            raise Stop

    def _report(self, step: Step | None) -> None:
        steps, seconds = self._ahead()
        self._tell(Progress(step, len(self._steps), steps, min(seconds, max(self._left(), 0.0))))

    def _ahead(self) -> tuple[int, float]:
        """About how many steps and seconds are left, if nothing surprises."""
        low, high = self._low, self._high
        known = low is not None and high is not None
        ratio = high / low if low and high else GROWTH**2
        halvings = math.log2(max(math.log(ratio) / math.log1p(self._search.tolerance), 1.0))
        steps = math.ceil(halvings) + (0 if known else 3)
        rate = low or self._search.start
        hold = max(self._hold_s, least_hold(self._measure.limits, rate)) + OVERHEAD_S
        last = 0.0 if self._confirmed else self._long_hold(rate) + OVERHEAD_S
        return steps + (1 if self._confirmed else 2), steps * hold + last + hold

    def _find(self, kind: FindingKind, statement: str, *, decisive: bool = True) -> None:
        self._findings[kind] = Finding(kind, statement, decisive)


def _open_ratio(found: Judgement) -> float:
    """The largest undecided share of bad requests, as a part of its limit.

    Where stalls leave it undecided, no interval need contain its limit: then the largest of all.
    """
    ratios = [(s.share / s.limit, s.low <= s.limit <= s.high) for s in found.shares]
    undecided = [ratio for ratio, is_open in ratios if is_open]
    return max(undecided or [ratio for ratio, _ in ratios], default=math.inf)
