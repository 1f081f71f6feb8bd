"""A game day's scorecard: terminal, Markdown, JUnit, JSON and, with every experiment, HTML."""

import math
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from harness.errors import HarnessError
from harness.gameday.model import Entry, GameDay, Word
from harness.judge.experiment.loss import AfterRecovery
from harness.judge.model import Judged
from harness.record.run import RunRecord
from harness.report.experiment import after
from harness.report.run import beside
from harness.report.summary import Summary, Table
from harness.report.terminal import print_summary
from harness.units import counted, format_duration, format_interval, format_ratio

UNKNOWN = "-"
NO_IMPACT = "no impact"
HEADER = (
    "experiment",
    "verdict",
    "first impact",
    "failed over",
    "recovered",
    "errors",
    "budget spent",
    "writes lost",
    "last time",
)


def cells(entry: Entry) -> tuple[str, ...]:
    """An entry as text, in the order of HEADER."""
    return (
        entry.experiment,
        entry.outcome,
        UNKNOWN if entry.impact_s is None else after(entry.impact_s),
        UNKNOWN if entry.failed_over_s is None else after(entry.failed_over_s),
        recovered(entry),
        UNKNOWN if entry.error_ratio is None else format_ratio(entry.error_ratio),
        UNKNOWN if entry.budget_spent is None else format_ratio(entry.budget_spent),
        lost(entry),
        last_time(entry),
    )


def recovered(entry: Entry) -> str:
    """The recovery time with its interval, `no impact`, or how long it was waited for in vain."""
    if entry.censored:
        return f"> {format_duration(entry.recovery_low or 0.0)}"
    if entry.recovery_s is None:
        return UNKNOWN
    if entry.impact_s is None:
        return NO_IMPACT
    low, high = entry.recovery_low, entry.recovery_high
    known = low is not None and high is not None
    span = f" ({format_interval(low or 0.0, high or 0.0, entry.recovery_s)})" if known else ""
    return f"{format_duration(entry.recovery_s)}{span}"


def lost(entry: Entry) -> str:
    """`0 of 1,730`, and the recovery point where some were lost."""
    if entry.lost_writes is None:
        return UNKNOWN
    text = f"{entry.lost_writes:,} of {entry.acknowledged or 0:,}"
    if entry.lost_writes and entry.rpo_s is not None:
        text += f", RPO {format_duration(entry.rpo_s)}"
    return text


def last_time(entry: Entry) -> str:
    """What the previous game day said, with its recovery time."""
    before = entry.previous
    if before is None:
        return UNKNOWN
    took = before.recovery_s
    if took is None or not math.isfinite(took) or took == 0:
        return before.outcome
    return f"{before.outcome}, {format_duration(took)}"


def title(day: GameDay) -> str:
    """One line that names the game day and counts its words."""
    words: tuple[Word, ...] = ("pass", "fail", "inconclusive", "invalid", "not applicable")
    counts = [f"{day.count(word)} {word}" for word in words if day.count(word)]
    broken = f" (broken on purpose: {', '.join(day.mutants)})" if day.mutants else ""
    return f"game day of {day.service} on {day.platform}{broken}: {', '.join(counts) or 'nothing'}"


def reasons(day: GameDay) -> list[str]:
    """Why it is no pass, the weightiest first, each with its experiment."""
    found = [f"Stopped: {day.stopped}."] if day.stopped else []
    if (lost := day.recoveries) is not None and lost.outcome != "pass":
        found.append(recoveries(lost))
    found += [
        f"{entry.experiment}: {entry.reasons[0]}"
        for word in ("invalid", "fail", "inconclusive", "not applicable")
        for entry in day.entries
        if entry.outcome == word and entry.reasons
    ]
    if day.skipped:
        found.append(f"Not run: {', '.join(day.skipped)}.")
    return found


def recoveries(found: AfterRecovery) -> str:
    """What was lost after the recoveries of a day, and the least that would have shown."""
    told = f"After the recoveries {found.lost:,} of {found.offered:,} requests failed"
    if found.outcome != "pass":
        return f"{told} ({format_ratio(found.ratio)}): {format_ratio(found.allowed)} is allowed."
    least = found.detectable
    return told + (f"; {format_ratio(least)} would have shown." if least is not None else ".")


def _together(lost: AfterRecovery | None) -> tuple[Judged, ...]:
    """A case of its own for what only all experiments together have shown."""
    if lost is None or lost.outcome == "pass":
        return ()
    return (Judged("after the recoveries", lost.outcome, recoveries(lost), group="gameday"),)


def runs_of(day: GameDay, runs: Path) -> dict[str, dict[str, object]]:
    """What was told during each run of the day, by the run's id; of those that can be read."""
    found = {}
    for run in (run for entry in day.entries for run in entry.runs):
        with suppress(HarnessError):
            found[run] = beside(RunRecord.load(runs / run))
    return found


def judged(entry: Entry) -> Judged:
    """An experiment of the day as every report shows it."""
    return Judged(
        name=entry.experiment,
        outcome=None if entry.outcome == "not applicable" else entry.outcome,
        statement=" ".join(entry.reasons) or entry.outcome,
        group="gameday",
        label=entry.outcome,
        seconds=entry.duration_s,
    )


def summary(day: GameDay) -> Summary:
    """The scorecard in text."""
    stopped = f"The game day stopped before it: {day.stopped}"
    skipped = (Judged(name, None, stopped, group="gameday") for name in day.skipped)
    count = counted(len(day.entries), "experiment")
    lost = day.recoveries
    return Summary(
        subject=f"{day.service} game day",
        service=day.service,
        title=title(day),
        outcome=day.outcome,
        reasons=tuple(reasons(day)),
        judged=(*map(judged, day.entries), *_together(lost), *skipped),
        tables=(Table(HEADER, tuple(map(cells, day.entries))),),
        notes=(
            f"{count} in {format_duration(day.duration_s)}",
            *((recoveries(lost),) if lost is not None and lost.outcome == "pass" else ()),
        ),
        seconds=day.duration_s,
    )


def print_gameday(day: GameDay, stream: TextIO) -> None:
    """The scorecard and the answer."""
    print_summary(summary(day), stream, width=None if stream.isatty() else 160)
