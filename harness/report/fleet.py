"""A fleet's scorecard on a terminal."""

import time
from typing import TextIO

from harness.fleet.model import Entry, Fleet
from harness.judge.model import Judged
from harness.report.summary import Summary, Table
from harness.report.terminal import print_summary
from harness.units import counted, format_duration, format_rate, format_ratio

HEADER = ("service", "tier", "verdict", "p95", "errors", "capacity", "age")
UNKNOWN = "-"


def cells(entry: Entry, now_s: float) -> tuple[str, ...]:
    """An entry as text, in the order of HEADER; `now_s` is in Unix seconds."""
    ended = entry.ended_unix_s
    return (
        entry.service,
        entry.tier,
        entry.outcome,
        UNKNOWN if entry.p95_s is None else format_duration(entry.p95_s),
        UNKNOWN if entry.error_ratio is None else format_ratio(entry.error_ratio),
        "not tested" if entry.capacity is None else format_rate(entry.capacity),
        UNKNOWN if ended is None else format_duration(max(now_s - ended, 0.0)),
    )


def summary(fleet: Fleet, now_s: float) -> Summary:
    """The scorecard in text, the services by name."""
    rows = sorted(fleet.entries, key=lambda each: each.service)
    words = ("pass", "fail", "inconclusive", "invalid", "not run")
    counts = {word: sum(each.outcome == word for each in rows) for word in words}
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    took = sum(each.took_s for each in rows)
    return Summary(
        subject="fleet",
        service="fleet",
        title=f"fleet of {counted(len(rows), 'service')}: {told}",
        outcome=fleet.outcome,
        reasons=tuple(f"{e.service}: {e.reason}" for e in rows if e.outcome != "pass"),
        judged=tuple(
            Judged(
                each.service,
                None if each.outcome == "not run" else each.outcome,
                each.reason,
                group="fleet",
                seconds=each.took_s,
            )
            for each in rows
        ),
        tables=(Table(HEADER, tuple(cells(each, now_s) for each in rows)),),
        notes=(f"{counted(len(rows), 'service')} in {format_duration(took)}",),
        seconds=took,
    )


def print_fleet(fleet: Fleet, stream: TextIO) -> None:
    """The scorecard and the answer."""
    print_summary(summary(fleet, time.time()), stream, [("fleet", fleet.id)])
