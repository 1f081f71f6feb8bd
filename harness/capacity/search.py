"""The search: up and down by doubling, then into the bracket, then both ends once more.

A step is short and decides little, so nothing is answered by one alone: an undecided step is
repeated with another seed and judged together, the highest rate that held is confirmed in one long
hold, the lowest that was missed is tried again after it, and after the first miss a rate that had
held shows whether the service recovers. What these repeats contradict is a finding.
"""

import contextlib
import math
from collections.abc import Callable, Sequence

from harness.capacity import naming, speed
from harness.capacity.evidence import least_hold
from harness.capacity.model import CapacityResult, Search, Step
from harness.capacity.rates import INSIDE, Rates, rounded
from harness.capacity.steps import (
    GROWTH,
    LONGEST_S,
    NEAR_REPEATS,
    OVERHEAD_S,
    REPEATS,
    Measure,
    Progress,
    Stop,
)
from harness.errors import DataError, UsageError
from harness.stats.capacity import ScalabilityLaw, fit_scalability
from harness.units import format_duration, format_rate

RECOVERY_RATE = 0.8
"""Of the highest rate that held: so far below it that chance did not decide there, and near enough
for a service that has lost a fifth of its capacity to be noticed."""

CALM_PART = 0.5
"""Of the hold that confirms: the length of the last step, far below the capacity."""

LONG_CALM_PART = 1.5
"""The same of one more, where that step leaves a doubt: what moves within a minute shows in one
that lasts as long."""

WATCHED_S = 100.0
"""Of load that the service could carry, in all: a search that ends sooner would not see what comes
once a minute."""

MISSES_SINCE = 2
"""Lower rates missed in a row after the first miss, from which it is asked whether the service has
recovered from it: one that holds would have shown it."""

RECOVERY_PAUSES_S = (30.0, 60.0)
"""Pauses after which a service that was overloaded is asked once more."""

RESETTLED = 1.25
"""A capacity so many times a rate that was missed before is another state of the service."""


def find_capacity(
    measure: Measure, search: Search, tell: Callable[[Progress], None] = lambda _: None
) -> CapacityResult:
    """Search for the capacity of a deployed service.

    `tell` hears the plan before the first step and each step as it ends. Raises UsageError when
    the first rate cannot decide within the time budget, and Interrupted after Ctrl-C.
    """
    hold = max(search.hold_s, least_hold(measure.limits, search.start))
    if hold + OVERHEAD_S > search.budget_s:
        raise UsageError(
            f"at {format_rate(search.start)} a step takes {format_duration(hold)}: fewer requests"
            " cannot show that the objectives hold",
            "start at a higher rate or raise --time-budget",
        )
    return _Hunt(measure, search, tell).result()


class _Hunt(Rates):
    """The course of one search."""

    def result(self) -> CapacityResult:
        """Search, and say what was found."""
        self._report(None)
        with contextlib.suppress(Stop):
            self._search_all()
        spike = self._spike_figures()
        settled = self._settled if "scaling" in self._findings else 0
        naming.name_patterns(
            self._findings, self._seen, self._low, self._overturned, settled,
            confirmed=self._confirmed,
        )  # fmt: skip
        seconds = self._measure.now() - self._began
        if self._low and self._high and self._confirmed and self._long is not None:
            naming.name_horizon(self._findings, self._long[1], seconds)
        law, law_reason = fit_law(self._steps)
        return CapacityResult(
            service=self._measure.service,
            low=self._shown(self._low, self._high),
            high=self._high,
            confirmed=self._confirmed,
            limit=self._limit(),
            findings=tuple(self._findings.values()),
            spike_low=spike[0],
            spike_high=spike[1],
            steps=tuple(self._steps),
            law=law,
            law_reason=law_reason,
            seconds=seconds,
        )

    def _shown(self, low: float | None, high: float | None) -> float | None:
        """The lower end of the answer: what was offered at least in the hold that confirmed it.

        The rate that n Poisson arrivals show is known to 1.96 / sqrt(n) of it. The answer stays as
        narrow as was asked for.
        """
        if low is None or high is None or not self._confirmed or self._long is None:
            return low
        offered = low * (1 - 1.96 / math.sqrt(low * self._long[1]))
        return rounded(max(offered, min(low, high / (1 + self._search.tolerance) / INSIDE)))

    def _search_all(self) -> None:
        while True:
            rate = self._next_rate()
            if rate is not None:
                self._try(rate)
                continue
            low, high = self._low, self._high
            if low is None:
                break
            if self._overload is not None:
                self._show_recovery(*self._overload)
            elif self._is_confirmed(self._lower_end(low, high)) and self._still_missed(high):
                break
        if low is not None:
            self._look_once_more(low)

    def _try(self, rate: float) -> None:
        low, high = self._low, self._high
        if high is not None and low is not None and self._may_close(rate, high):
            outcome = self._confirm(rate)
            if outcome == "held" and self._left_open_below(rate):
                outcome, self._confirmed = "unknown", False
                self._near.add(rate)
        else:
            outcome = self._decide(rate, "search", self._hold_s)
        self._levels[rate] = outcome
        if outcome == "held" and high is not None and self._served_less(high, rate, low):
            self._show_warming(high)
        if self._overload is not None:
            since = sum(o == "missed" for r, o in self._levels.items() if r < self._overload[1])
            if outcome == "held" and rate > self._overload[0]:
                self._overload, self._recovery_shown = None, True
            elif since >= MISSES_SINCE:
                self._show_recovery(*self._overload)
        elif outcome == "missed" and not self._recovery_shown and low is not None and low < rate:
            if self._recovered(low, rate):
                self._recovery_shown = True
            else:
                self._overload = (low, rate)

    def _served_less(self, high: float, rate: float, low: float | None) -> bool:
        """Whether the last overload at `high` was served worse than this rate is now."""
        last = next(s for s in reversed(self._steps) if s.rate == high)
        if low is not None and last.purpose == "recheck":
            return False
        return last.completed_rate * (1.0 if low is None else self._width) < rate

    def _show_warming(self, high: float) -> None:
        """Was the miss a cold service's?"""
        outcome = self._decide(high, "recheck", self._hold_s, repeats=NEAR_REPEATS)
        if outcome == "held":
            self._spike = self._spike or (self._low_before(high), high)
            self._settled = len(self._steps)
            self._levels = {r: o for r, o in self._levels.items() if o != "missed"}
            self._levels[high] = "held"

    def _recovered(self, held: float, overload: float) -> bool:
        """Whether it held after an overload as large: the search came from above."""
        steps = iter(self._steps)
        missed = any(s.outcome == "missed" and s.rate >= overload for s in steps)
        # The iterator goes on behind that step.
        return missed and any(s.rate == held for s in steps)

    def _show_recovery(self, held: float, overload: float) -> None:
        """After a miss, when no higher rate holds: one below what had held must, perhaps later."""
        self._overload, self._recovery_shown = None, True
        rate = rounded(RECOVERY_RATE * held)
        outcome = self._decide(rate, "recovery", self._hold_s)
        for pause in RECOVERY_PAUSES_S:
            if outcome != "missed":
                break
            self._afford(pause + self._hold_s)
            self._measure.pause(pause)
            self._rest_s = pause
            outcome = self._decide(rate, "recovery", self._hold_s)
        self._levels[rate] = outcome
        if self._rest_s:  # what was missed since may have been so for the overload only
            self._levels = {r: o for r, o in self._levels.items() if o != "missed" or r >= overload}
        story = (
            f"{format_rate(held)} held before the overload of {format_rate(overload)};"
            f" {format_rate(rate)} was missed after it"
        )
        if outcome == "missed":
            self._before = held
            self._find(
                "no recovery",
                f"{story}, even after a pause of {format_duration(self._rest_s)}: the service does"
                " not recover by itself, or a quota was used up.",
            )
            raise Stop
        if self._rest_s:
            pause_text = format_duration(self._rest_s)
            self._find(
                "slow recovery", f"{story} and held after a pause of {pause_text}.", decisive=False
            )

    def _lower_end(self, low: float, high: float | None) -> float:
        """As far below the upper end as the answer may be wide: short holds flatter a rate."""
        if high is None or (self._long is not None and self._long[0] == low):
            return low
        lowest = rounded(high / self._width / INSIDE)
        if lowest < low:
            self._levels = {r: o for r, o in self._levels.items() if not lowest < r < high}
        return min(lowest, low)

    def _still_missed(self, high: float | None) -> bool:
        """Whether the lowest rate that was missed is so again, now that the service is warm.

        It was warm after, or in the end of, a long hold.
        """
        near = (high or 0.0) / self._width**2
        long = ((i, s) for i, s in enumerate(self._steps) if s.purpose == "confirm")
        warm = [i for i, s in long if s.rate >= near and not s.ended_early]
        if high is None or any(
            s.rate == high and s.outcome == "missed" and i >= min(warm, default=math.inf)
            for i, s in enumerate(self._steps)
        ):
            return True
        clear = any(s.rate == high and s.outcome == "missed" for s in self._steps)
        outcome = self._decide(high, "recheck", self._hold_s, repeats=1 if clear else REPEATS)
        if outcome == "unknown" and clear:  # no sign of another state
            return True
        if outcome == "held":
            outcome = self._decide(high, "recheck", self._long_hold(high), repeats=2)
            if outcome == "missed" and clear:
                self._overturned.append((high, naming.FLIPPED))
        if outcome == "held":
            self._spike = self._spike or (self._low_before(high), high)
            self._settled = len(self._steps)
            self._overturned.append((high, "missed, then held"))
        self._levels[high] = outcome
        if outcome == "missed":
            return True
        self._confirmed = False
        return outcome == "generator"

    def _look_once_more(self, low: float) -> None:
        """Far below the capacity, and at the first rate: does the service do as it did then?"""
        held = [s.rate for s in self._steps if s.outcome == "held"]
        calm = [rate for rate in held if rate <= speed.CALM * low]
        near = [rate for rate in held if rate <= naming.NEARLY_CALM * low]
        rates = list(dict.fromkeys([*(calm or [rounded(low / GROWTH)])[:1], *near[:1]]))
        for rate in rates:
            if not self._look_at(rate, self._look_s()):
                return
        longer = self._look_s(LONG_CALM_PART)
        wanders = speed.may_wander(self._seen[self._settled :], low) or self._overturned
        drifts = speed.may_drift(self._seen)
        if (wanders or drifts) and longer + OVERHEAD_S <= self._left():
            self._look_at(rates[0] if wanders else rates[-1], longer)

    def _look_at(self, rate: float, seconds: float) -> bool:
        """Whether a rate that must hold is not missed."""
        if self._decide(rate, "calm", seconds, repeats=1) == "missed":
            self._overturned += [(rate, "held, then missed")] * naming.UNSTEADY
            return False
        return True

    def _look_s(self, part: float = CALM_PART) -> float:
        """Longer where the search was short: what comes once a minute must come in it."""
        watched = sum(s.hold_s for s in self._steps if s.outcome in {"held", "unknown"})
        usual = part * min(self._search.confirm_s, LONGEST_S)
        return max(usual, math.ceil(min(WATCHED_S - watched, self._left() - OVERHEAD_S - 1)))

    def _spike_figures(self) -> tuple[float | None, float | None]:
        """The bracket before the service warmed up or scaled, where the answer is another."""
        if self._spike is None:
            return None, None
        if "cold start" in self._findings:
            return self._spike
        low = self._low
        if low is None or low < RESETTLED * self._spike[1]:
            return None, None
        self._find(
            "scaling",
            f"{format_rate(self._spike[1])} was missed at first and held later: a sudden rise meets"
            " the capacity before the service scaled or warmed up, a lasting load the one after.",
            decisive=False,
        )
        return self._spike


def fit_law(steps: Sequence[Step]) -> tuple[ScalabilityLaw | None, str | None]:
    """The law, or None and why it is not fitted.

    Only steps that held count: in overload the requests under way are the arrivals that pile up,
    not work that the service does side by side. Nor do steps in which requests waited for a
    connection.
    """
    usable = [s for s in steps if s.outcome == "held" and not s.waited and (s.concurrency or 0) > 0]
    if not usable:
        return None, "no step held, and in overload the concurrency is a queue's"
    try:
        law = fit_scalability(
            [s.concurrency or 0.0 for s in usable], [s.completed_rate for s in usable]
        )
    except DataError as problem:
        return None, f"of the steps that held: {problem}"
    return law, None
