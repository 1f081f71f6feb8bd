"""Error budgets and burn rates (Google SRE workbook, chapter 5)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from numpy.typing import ArrayLike

from harness.errors import DataError
from harness.stats.interval import finite, same_length, share

HOUR = 3600.0
DAY = 24 * HOUR
PERIOD = 30 * DAY


@dataclass(frozen=True, slots=True)
class BurnAlert:
    """A multi-window rule: it fires when both windows burn faster than `rate`.

    `budget` is the share of the period's budget that is gone when the long window is full.
    """

    long_s: float
    short_s: float
    rate: float
    budget: float


ALERTS = (
    BurnAlert(HOUR, 300.0, 14.4, 0.02),
    BurnAlert(6 * HOUR, 1800.0, 6.0, 0.05),
    BurnAlert(3 * DAY, 6 * HOUR, 1.0, 0.10),
)
"""The workbook's recommended parameters for a 30-day period (table 5-8)."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a stretch of traffic cost: shares of the period's whole error budget."""

    burn_rate: float
    spent: float


def burn_rate(failed: float, total: float, objective: float) -> float | None:
    """How many times faster than allowed the budget burns; None without traffic.

    `objective` is the wanted share of good requests (0.999). Raises DataError for counts or
    objectives that cannot be.
    """
    allowed = 1 - share(objective, "objective")
    if not 0 <= failed <= total:
        raise DataError(f"{failed} of {total} failed", "give 0 <= failed <= total")
    return failed / total / allowed if total else None


def budget(
    failed: float, total: float, objective: float, duration_s: float, period_s: float = PERIOD
) -> Budget | None:
    """The budget that `duration_s` seconds of traffic at this error ratio spend of a period's.

    Traffic is taken as even over the period. None without traffic; DataError for durations that
    are not positive.
    """
    if not (duration_s > 0 and period_s > 0):
        raise DataError(f"{duration_s} s of {period_s} s", "give positive durations")
    rate = burn_rate(failed, total, objective)
    if rate is None:
        return None
    return Budget(rate, rate * duration_s / period_s)


def firing(
    failed: ArrayLike, total: ArrayLike, objective: float, alerts: tuple[BurnAlert, ...] = ALERTS
) -> tuple[BurnAlert, ...]:
    """The alerts that fire at the end of a per-second series, shapes (seconds,) both.

    A window longer than the series cannot be judged and does not fire.
    """
    bad, all_ = finite(failed, "failed"), finite(total, "total")
    same_length(bad, all_)

    def fast(window_s: float, limit: float) -> bool:
        seconds = math.ceil(window_s)
        if seconds > len(bad):
            return False
        rate = burn_rate(float(bad[-seconds:].sum()), float(all_[-seconds:].sum()), objective)
        return rate is not None and rate > limit

    return tuple(a for a in alerts if fast(a.long_s, a.rate) and fast(a.short_s, a.rate))
