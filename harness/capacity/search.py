"""The search: up and down by doubling, then by halving the bracket, then both ends once more.

A step is short and decides little, so nothing is answered by one alone: an undecided step is
repeated with another seed and judged together, the highest rate that held is confirmed in one long
hold, the lowest that was missed is tried again after it, and after the first miss a rate that had
held shows whether the service recovers. What these repeats contradict is a finding.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence

from harness.capacity import naming
from harness.capacity.evidence import least_hold, served_rate
from harness.capacity.law import fit_law
from harness.capacity.model import CapacityResult, Search
from harness.capacity.steps import (
    GROWTH,
    LONGEST_S,
    NEAR_REPEATS,
    OVERHEAD_S,
    Measure,
    Progress,
    Steps,
    Stop,
)
from harness.errors import UsageError
from harness.units import format_duration, format_rate

CAREFUL_GROWTH = 1.3
"""The same above a rate that could not be decided: the capacity is near."""

RECOVERY_RATE = 0.8
"""Of the highest rate that held: so far below it that chance did not decide there, and near enough
for a service that has lost a fifth of its capacity to be noticed."""

INSIDE = 0.997
"""Of the tolerance that a step aims for, so that rounding its rate does not ask for another."""

CALM_PART = 0.5
"""Of the hold that confirms: the length of the last step, far below the capacity."""

LONG_CALM_PART = 1.5
"""The same of one more, where that step leaves a doubt."""

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


class _Hunt(Steps):
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
        law, law_reason = fit_law(self._steps)
        return CapacityResult(
            service=self._measure.service,
            low=self._low,
            high=self._high,
            confirmed=self._confirmed,
            limit=self._limit(),
            findings=tuple(self._findings.values()),
            spike_low=spike[0],
            spike_high=spike[1],
            steps=tuple(self._steps),
            law=law,
            law_reason=law_reason,
            seconds=self._measure.now() - self._began,
        )

    def _search_all(self) -> None:
        while True:
            rate = self._next_rate()
            if rate is not None:
                self._try(rate)
                continue
            low, high = self._low, self._high
            if low is None or (self._confirm(low) and self._still_missed(high)):
                break
        if low is not None:
            self._look_once_more(low)

    def _next_rate(self) -> float | None:
        """The rate that tells most; None when the bracket is as narrow as it can be made."""
        low, high = self._low, self._high
        if not self._levels:
            return self._search.start
        if low is None:
            return self._below(min(self._levels))
        wall = min(
            (r for r, o in self._levels.items() if o == "generator" and r > low), default=None
        )
        if high is not None:
            return self._between(low, high)
        if wall is not None:
            return self._between(low, wall)
        top = max(self._levels)
        if top >= self._search.max_rate:
            return None
        growth = GROWTH if self._levels[top] == "held" else CAREFUL_GROWTH
        beside = self._beside([r for r in self._levels if r > low], low, math.inf)
        return min(self._search.max_rate, beside or _round(growth * top))

    def _below(self, lowest: float) -> float | None:
        """A lower rate, unless load is not what decides or a step would take too long."""
        naming.name_rate_free(self._findings, self._seen)
        if "not about rate" in self._findings:
            return None
        rate = _round(lowest / GROWTH)
        hold = least_hold(self._measure.limits, rate)
        if hold + OVERHEAD_S > self._left():
            self._find(
                "time",
                f"No rate held down to {format_rate(lowest)}; a step at {format_rate(rate)} would"
                f" take {format_duration(hold)}, more than the time budget leaves.",
            )
            return None
        return rate

    def _between(self, low: float, high: float) -> float | None:
        """The middle of the widest part of the bracket in which nothing was tried."""
        if high / low <= 1 + self._search.tolerance:
            return None
        inside = sorted(r for r in self._levels if low < r < high)
        if not inside:
            return self._by_growth(low, high) or self._middle(low, high)
        beside = self._beside(inside, low, high)
        if beside is not None:
            return beside
        below, above = inside[0] / low, high / inside[-1]
        if max(below, above) <= 1 + self._search.tolerance / 2:
            return None
        pair = (low, inside[0]) if below >= above else (inside[-1], high)
        return _round(math.sqrt(pair[0] * pair[1]))

    def _middle(self, low: float, high: float) -> float:
        """The geometric middle, or less than it where one step may then do instead of two."""
        width = 1 + self._search.tolerance
        one_may_do = width**2 < high / low <= width**3
        return _round(high / width / INSIDE if one_may_do else math.sqrt(low * high))

    def _by_growth(self, low: float, high: float) -> float | None:
        """The upper end, where an overload showed that little more than `low` is served."""
        known = (served_rate(o) for s, o in reversed(self._seen) if s.rate == high)
        served = next((rate for rate in known if rate is not None), math.inf)
        width = 1 + self._search.tolerance
        near = low <= served <= low * width**2 and low * width**1.5 < high
        return _round(low * width * INSIDE) if near else None

    def _beside(self, inside: Sequence[float], low: float, high: float) -> float | None:
        """Above, then below the one rate inside the bracket, if it showed to be at the capacity.

        So far from it that the two are as wide apart as the answer may be.
        """
        if len(inside) != 1 or inside[0] not in self._near:
            return None
        rate, part = inside[0], math.sqrt((1 + self._search.tolerance) * INSIDE)
        room = 1 + self._search.tolerance / 2
        if high / rate > room:
            return _round(rate * part)
        return _round(rate / part) if rate / low > room else None

    def _try(self, rate: float) -> None:
        low = self._low
        outcome = self._decide(rate, "search", self._hold_s)
        self._levels[rate] = outcome
        if outcome == "held" and low is None and self._high is not None:
            self._show_warming(self._high)
        if outcome == "missed" and not self._recovery_shown and low is not None and low < rate:
            self._recovery_shown = True
            if not self._recovered(low, rate):
                self._show_recovery(low, rate)

    def _show_warming(self, high: float) -> None:
        """The search came down before anything held: was the first miss a cold service's?"""
        outcome = self._decide(high, "recheck", self._hold_s, repeats=NEAR_REPEATS)
        if outcome == "held":
            self._spike = (None, high)
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
        """After the first miss: a rate below one that had held must hold, perhaps after a pause."""
        rate = _round(RECOVERY_RATE * held)
        outcome = self._decide(rate, "recovery", self._hold_s)
        for pause in RECOVERY_PAUSES_S:
            if outcome != "missed":
                break
            self._afford(pause + self._hold_s)
            self._measure.pause(pause)
            self._rest_s = pause
            outcome = self._decide(rate, "recovery", self._hold_s)
        self._levels[rate] = outcome
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

    def _confirm(self, low: float) -> bool:
        """Whether the highest rate that held does so in one long hold."""
        hold = self._long_hold(low)
        outcome = self._decide(low, "confirm", hold, repeats=2)
        self._levels[low] = outcome
        self._confirmed = outcome == "held"
        if outcome == "missed":
            self._overturned.append((low, "held, then missed"))
        if outcome == "missed" and len(self._overturned) > 1:  # short holds do not show it
            self._hold_s = max(self._hold_s, self._search.confirm_s / 2)
            self._confirm_s = min(LONGEST_S, 1.5 * hold)
        return self._confirmed

    def _still_missed(self, high: float | None) -> bool:
        """Whether the lowest rate that was missed is so again, now that the service is warm.

        One that was missed in a long hold was warm then.
        """
        long = ("missed", "confirm")
        if high is None or any(
            s.rate == high and (s.outcome, s.purpose) == long for s in self._steps
        ):
            return True
        outcome = self._decide(high, "recheck", self._hold_s, repeats=1)
        if outcome == "unknown":  # no sign of another state
            return True
        if outcome == "held":
            outcome = self._decide(high, "recheck", self._long_hold(high), repeats=2)
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
        """At a rate far below the capacity, as at the start: does the service do as it did then?"""
        held = [s.rate for s in self._steps if s.outcome == "held" and s.rate <= naming.CALM * low]
        rate = held[0] if held else _round(low / GROWTH)
        for part in (CALM_PART, LONG_CALM_PART):
            seconds = part * self._search.confirm_s
            outcome = self._decide(rate, "calm", seconds, repeats=1)
            if outcome == "missed":
                self._overturned += [(rate, "held, then missed")] * naming.UNSTEADY
                break
            longer = LONG_CALM_PART * self._search.confirm_s + OVERHEAD_S
            if longer > self._left() or not self._may_wander(low):
                break

    def _may_wander(self, low: float) -> bool:
        return naming.may_wander(self._seen[self._settled :], low)

    def _low_before(self, high: float) -> float | None:
        """The highest rate that had held when `high` was first missed."""
        first = next(i for i, s in enumerate(self._steps) if s.rate == high)
        held = (s.rate for s in self._steps[:first] if s.outcome == "held" and s.rate < high)
        return max(held, default=None)

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

    def _limit(self) -> str:
        """What stood in the way at the lowest rate that did not hold."""
        if "no answer" in self._findings:
            return "the service: nothing answers"
        high = self._high
        if high is not None:
            last = next(
                s for s in reversed(self._steps) if s.rate == high and s.outcome == "missed"
            )
            return naming.limit_of(last)
        spoilt = [s for s in self._steps if s.outcome == "generator"]
        if spoilt and self._levels.get(spoilt[-1].rate) == "generator":
            return f"the load generator: {spoilt[-1].reason}"
        if self._low is not None and self._low >= self._search.max_rate:
            return "nothing: every rate tried held; raise --max-rate"
        return "unknown: no rate was clearly missed"


def _round(rate: float) -> float:
    """Three digits: more would only be hard to read."""
    return float(f"{rate:.3g}")
