"""Requests lost after a recovery: what chance explains, and the least loss that can be seen.

A run that is too short for a loss says so, in its plan and in its verdict. What a single run cannot
see, the runs of a game day together can.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from harness.catalog.model import Service
from harness.record.run import RunRecord
from harness.stats.errors import detectable_share, excess_p
from harness.units import format_duration, format_ratio

ERRORS_AFTER = 0.0005
"""The chance that a service within its objective fails as many requests after the recovery: at
0.05 % background errors fewer than 0.07 % of experiments fail by it (benchmarks/stats)."""

ERRORS_DOUBT = 0.025
"""The same from which on it is in doubt: two thirds of recoveries that lose twice the allowed 0.1 %
of 7,600 requests, 0.1 % of those that lose half of it."""

ERRORS_UNPROMISED = 0.01
"""The error ratio that is allowed after the recovery where the service promises none."""

SETTLED_S = 3.0
"""Left out after the recovery before the tail is looked at."""

SEEN = 0.9
"""A loss counts as one that can be seen if it does not pass in so many of all runs."""

TWICE = 2.0
"""A plan says what it would take to see a recovery that loses so many times what is allowed."""


@dataclass(frozen=True, slots=True)
class AfterRecovery:
    """The requests due after a recovery, how many of them failed, and the ratio allowed."""

    offered: int
    lost: int
    allowed: float

    @property
    def ratio(self) -> float:
        """The share that failed."""
        return self.lost / self.offered if self.offered else 0.0

    @property
    def outcome(self) -> Literal["pass", "inconclusive", "fail"]:
        """Beyond chance a fail; hardly chance, a doubt."""
        if self._beyond(ERRORS_AFTER):
            return "fail"
        return "inconclusive" if self._beyond(ERRORS_DOUBT) else "pass"

    def _beyond(self, level: float) -> bool:
        """Whether more failed than a service that keeps its ratio would lose by chance."""
        beyond = self.lost > self.allowed * self.offered
        return beyond and excess_p(self.lost, self.offered, self.allowed) < level

    @property
    def detectable(self) -> float | None:
        """The least share whose loss would not pass in nine of ten such runs; None: none would."""
        return detectable_share(self.offered, self.allowed, ERRORS_DOUBT, SEEN)


def after_recovery(record: RunRecord, begin: float, end: float) -> AfterRecovery:
    """The requests due from `begin` to `end`, in seconds from the start of the load."""
    part = slice(int(begin), int(end))
    series = record.series("due")
    return AfterRecovery(
        int(series.offered[part].sum()), int(series.lost[part].sum()), allowed_by(record.service)
    )


def allowed_by(service: Service) -> float:
    """The error ratio that a service is allowed after its recovery."""
    return service.least("error_ratio", ERRORS_UNPROMISED)


def together(each: Iterable[AfterRecovery | None]) -> AfterRecovery | None:
    """Several recoveries of one service as one; None where there is none."""
    found = [one for one in each if one is not None and one.offered]
    if not found:
        return None
    allowed = max(one.allowed for one in found)
    return AfterRecovery(sum(o.offered for o in found), sum(o.lost for o in found), allowed)


def what_it_shows(rate: float, after_s: float, service: Service) -> str:
    """The least loss that an experiment can see, and what a smaller one would take, in words."""
    allowed = allowed_by(service)
    planned = AfterRecovery(round(rate * max(after_s - SETTLED_S, 0.0)), 0, allowed)
    least, wanted = planned.detectable, TWICE * allowed
    shown = "no loss" if least is None else f"a loss of {format_ratio(least)} of the requests"
    told = f"after the recovery {shown} would be seen in 9 of 10 runs"
    if least is not None and least <= wanted:
        return told
    needed = _needed(allowed, wanted)
    seconds = format_duration(math.ceil(needed / rate + SETTLED_S))
    faster = math.ceil(needed / max(after_s - SETTLED_S, 1.0) / 100) * 100
    return (
        f"{told}; {format_ratio(wanted)} takes {seconds} after the heal (timeline.after_s) or "
        f"--rate {faster}"
    )


def _needed(allowed: float, wanted: float) -> int:
    """How many requests show a loss of `wanted` in nine of ten runs, within a tenth."""
    total = 100
    while (found := AfterRecovery(total, 0, allowed).detectable) is None or found > wanted:
        total = math.ceil(total * 1.1)
    return total
