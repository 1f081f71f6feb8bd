"""Which rate a search tries next."""

import math
from collections.abc import Sequence

from harness.capacity import naming
from harness.capacity.evidence import (
    SURELY_SERVED,
    expected_capacity,
    least_hold,
    served_rate,
)
from harness.capacity.steps import GROWTH, OVERHEAD_S, Steps
from harness.units import format_duration, format_rate

CAREFUL_GROWTH = 1.3
"""How fast the search climbs above a rate that could not be decided: the capacity is near."""

RATES_PART = 0.92
"""Of the tolerance, on a logarithmic scale, between the rates: the rest is for arrivals by chance,
a hundredth of a hold of 38,000."""

INSIDE = 0.997
"""Of the tolerance that a step aims for, so that rounding its rate does not ask for another."""

SURELY_HELD = 0.98
"""Of the capacity that an overload shows, up to which a rate is held long at once."""

MOST_BY_SERVED = 2
"""Missed rates from which the bracket is halved instead: what is served does not tell enough."""


class Rates(Steps):
    """Chooses the next rate from what is known of the others."""

    @property
    def _width(self) -> float:
        """How far apart, as a ratio, the two rates may be that the answer rests on."""
        return float((1 + self._search.tolerance) ** RATES_PART)

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
        return min(self._search.max_rate, beside or rounded(growth * top))

    def _below(self, lowest: float) -> float | None:
        """A lower rate, unless load is not what decides or a step would take too long."""
        naming.name_rate_free(self._findings, self._seen)
        if "not about rate" in self._findings:
            return None
        rate = self._served_below(lowest) or rounded(lowest / GROWTH)
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
        if high / low <= self._width:
            return None
        inside = sorted(r for r in self._levels if low < r < high)
        if not inside:
            return self._by_served(low, high) or self._middle(low, high)
        beside = self._beside(inside, low, high)
        if beside is not None:
            return beside
        below, above = inside[0] / low, high / inside[-1]
        if max(below, above) <= math.sqrt(self._width):
            return None
        pair = (low, inside[0]) if below >= above else (inside[-1], high)
        return rounded(math.sqrt(pair[0] * pair[1]))

    def _middle(self, low: float, high: float) -> float:
        """The geometric middle, or less than it where one step may then do instead of two."""
        width = self._width
        one_may_do = width**2 < high / low <= width**3
        return rounded(high / width / INSIDE if one_may_do else math.sqrt(low * high))

    def _by_served(self, low: float, high: float) -> float | None:
        """Just below the capacity that the overload at `high` shows, then just above it.

        Without an overload only at the first miss: all was answered, so the capacity may be near.
        """
        missed = sum(outcome == "missed" for outcome in self._levels.values())
        if missed > MOST_BY_SERVED:
            return None
        width = self._width
        expected = self._expected(high)
        below = rounded(min(high / width / INSIDE, expected / math.sqrt(width * INSIDE)))
        if low * math.sqrt(width) < below < high:
            return below
        near = low / width <= expected <= low * width and low * width**1.5 < high
        return rounded(low * width * INSIDE) if near else None

    def _expected(self, high: float) -> float:
        """The capacity that the overload at this rate shows; infinite where all was answered."""
        served = self._served(high)
        return math.inf if served is None else expected_capacity(self._measure.limits, served)

    def _may_close(self, rate: float, high: float) -> bool:
        """Whether the bracket is narrow enough should the rate hold: it is then held long at once.

        Its upper end is the lowest rate that was missed, or will be just above the capacity that
        the overload there shows, if no such hold was missed before. Not where hardly more was
        served: that is lost in a short hold. But where a long one left a lower rate open: there
        short ones flatter.
        """
        served = next(s.completed_rate for s in reversed(self._steps) if s.rate == high)
        likely = rate <= SURELY_HELD * expected_capacity(self._measure.limits, served)
        lost = any(s.purpose == "confirm" and s.outcome == "missed" for s in self._steps)
        upper = high if lost else min(high, self._expected(high) * math.sqrt(self._width) * INSIDE)
        return upper / rate <= self._width and (likely or self._left_open_below(rate))

    def _left_open_below(self, rate: float) -> bool:
        """Whether a long hold left a lower rate open: that this one held is chance."""
        long = (s for s in self._steps if s.purpose == "confirm" and s.rate < rate)
        return any(s.outcome == "unknown" for s in long)

    def _served(self, rate: float) -> float | None:
        """Good answers per second in the last overload at this rate."""
        return next((served_rate(o) for s, o in reversed(self._seen) if s.rate == rate), None)

    def _served_below(self, lowest: float) -> float | None:
        """The same on the way down, once: where no rate holds, load may not be what decides."""
        if lowest in self._near:
            return rounded(lowest / math.sqrt(self._width * INSIDE))
        served = self._served(lowest)
        if served is None or len(self._levels) > 1:
            return None
        rate = rounded(SURELY_SERVED * served)
        return rate if rate > lowest / GROWTH else None

    def _beside(self, inside: Sequence[float], low: float, high: float) -> float | None:
        """Above the one rate inside the bracket that shows to be at the capacity, then below all.

        So far from it that the two around one rate are as wide apart as the answer may be.
        """
        if not inside or not self._near.issuperset(inside):
            return None
        part, room = math.sqrt(self._width * INSIDE), math.sqrt(self._width)
        above, below = rounded(max(inside) * part), rounded(min(inside) / part)
        if len(inside) == 1 and high / max(inside) > room and above < high:
            return above
        return below if min(inside) / low > room and below > low else None


def rounded(rate: float) -> float:
    """Three digits: more would only be hard to read."""
    return float(f"{rate:.3g}")
