"""Error budgets and burn rates (Google SRE workbook, chapter 5)."""

from dataclasses import dataclass

from harness.errors import DataError
from harness.stats.interval import share

PERIOD = 30 * 86_400.0


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
