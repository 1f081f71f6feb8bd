"""When a running experiment must be aborted: anytime-valid tests, looked at after every second."""

from collections import defaultdict

from harness._engine import Histogram
from harness.catalog.model import Service
from harness.chaos.model import Guards
from harness.messages import SliceRow
from harness.stats.burn import budget
from harness.stats.sequential import error_ratio_monitor
from harness.units import NANOSECONDS, format_duration, format_ratio

ALPHA = 0.01
"""The chance that a guard ever aborts a run that kept its limit, however often it looks."""

SLOW_SHARE = 0.05
"""A p95 above its limit is more than this share of requests above it."""


class Watch:
    """Sums what has ended since the injection and says when a limit is broken."""

    def __init__(self, guards: Guards, service: Service) -> None:
        self._guards = guards
        self._service = service
        self._failed: dict[int, int] = defaultdict(int)
        self._total: dict[int, int] = defaultdict(int)
        self._slow: dict[int, int] = defaultdict(int)

    def add(self, piece: SliceRow) -> None:
        """Take one slice; only the axis `done` tells what has happened by now."""
        if piece["axis"] != "done":
            return
        second = piece["second"]
        self._failed[second] += piece["failed"]
        self._total[second] += piece["failed"] + piece["completed"]
        limit = self._guards.p95_s
        text = piece["hist"].get("response")
        if limit is not None and text:
            values, counts = Histogram.decode(text).buckets()
            self._slow[second] += int(counts[values > limit * NANOSECONDS].sum())

    def broken(self, since_s: float) -> str | None:
        """The sentence that tells which limit is broken since then, None while none is."""
        seconds = [second for second in sorted(self._total) if second >= since_s]
        total = [self._total[second] for second in seconds]
        if not sum(total):
            return None
        failed = [self._failed[second] for second in seconds]
        guards = self._guards
        if guards.error_ratio is not None and guards.error_ratio < 1:
            alarm = error_ratio_monitor(failed, total, guards.error_ratio, ALPHA)
            if alarm.raised:
                return (
                    f"{format_ratio(sum(failed) / sum(total))} of the requests since the "
                    f"injection failed, more than {format_ratio(guards.error_ratio)}"
                )
        if guards.p95_s is not None:
            slow = [
                min(self._slow[s] + f, t) for s, f, t in zip(seconds, failed, total, strict=True)
            ]
            if error_ratio_monitor(slow, total, SLOW_SHARE, ALPHA).raised:
                return f"the p95 since the injection is above {format_duration(guards.p95_s)}"
        return self._spent(sum(failed), sum(total), len(seconds))

    def _spent(self, failed: int, total: int, seconds: int) -> str | None:
        limit, objective = self._guards.budget, error_objective(self._service)
        if limit is None or objective is None:
            return None
        spent = budget(failed, total, 1 - objective, seconds)
        if spent is None or spent.spent <= limit:
            return None
        return (
            f"{format_ratio(spent.spent)} of the 30-day error budget is spent, "
            f"more than {format_ratio(limit)}"
        )


def error_objective(service: Service) -> float | None:
    """The error ratio the service promises to stay below, None where it promises none."""
    found = [each.threshold for each in service.objectives if each.indicator == "error_ratio"]
    return found[0] if found else None
