"""A game day's scorecard: terminal, Markdown, JUnit, JSON and, with every experiment, HTML."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO
from xml.etree import ElementTree as ET

from rich.table import Table
from rich.text import Text

from harness.errors import HarnessError
from harness.gameday.model import Entry, GameDay, Word
from harness.record.run import RunRecord
from harness.report.experiment import after
from harness.report.files import beside
from harness.report.junit import clean
from harness.report.terminal import COLOURS, make_console
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
    found += [
        f"{entry.experiment}: {entry.reasons[0]}"
        for word in ("invalid", "fail", "inconclusive", "not applicable")
        for entry in day.entries
        if entry.outcome == word and entry.reasons
    ]
    if day.skipped:
        found.append(f"Not run: {', '.join(day.skipped)}.")
    return found


def runs_of(day: GameDay, runs: Path) -> dict[str, Any]:
    """What was told during each run of the day, by the run's id; of those that can be read."""
    found = {}
    for run in (run for entry in day.entries for run in entry.runs):
        with suppress(HarnessError):
            found[run] = beside(RunRecord.load(runs / run))
    return found


def print_gameday(day: GameDay, stream: TextIO) -> None:
    """The scorecard and the answer."""
    console = make_console(stream, None if stream.isatty() else 160)
    head = Text(f" {day.outcome.upper()} ", style=f"bold reverse {COLOURS[day.outcome]}")
    console.print()
    console.print(head.append(f"  {title(day)}", style="bold not reverse"))
    for reason in reasons(day):
        console.print(f" - {reason}")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in HEADER:
        table.add_column(name)
    for entry in day.entries:
        name, word, *rest = cells(entry)
        table.add_row(name, Text(word, style=COLOURS.get(word, "dim")), *rest)
    console.print()
    console.print(table)
    console.print(
        f"\n{counted(len(day.entries), 'experiment')} in {format_duration(day.duration_s)}"
    )


def render_markdown(day: GameDay) -> str:
    """A comment for an issue or a pull request."""
    lines = [f"### {day.outcome.upper()}: {title(day)}", ""]
    lines += [f"- {_escape(reason)}" for reason in reasons(day)]
    lines += ["", "| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER)]
    lines += ["| " + " | ".join(map(_escape, cells(entry))) + " |" for entry in day.entries]
    lines += [
        "",
        f"{counted(len(day.entries), 'experiment')} in {format_duration(day.duration_s)}.",
        "",
    ]
    return "\n".join(lines)


def render_junit(day: GameDay) -> str:
    """One case for each experiment: fail is a failure, unknown an error, not applicable skipped."""
    suite = ET.Element("testsuite", name=f"{day.service} game day")
    for entry in day.entries:
        case = _case(suite, day, entry.experiment, entry.duration_s)
        text = clean(" ".join(entry.reasons) or entry.outcome)
        match entry.outcome:
            case "fail":
                ET.SubElement(case, "failure", message=text, type="fail")
            case "inconclusive" | "invalid":
                ET.SubElement(case, "error", message=text, type=entry.outcome)
            case "not applicable":
                ET.SubElement(case, "skipped", message=text)
            case _:
                ET.SubElement(case, "system-out").text = text
    for name in day.skipped:
        case = _case(suite, day, name, 0.0)
        text = clean(f"The game day stopped before it: {day.stopped}")
        ET.SubElement(case, "skipped", message=text)
    suite.set("tests", str(len(suite)))
    for tag, plural in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(plural, str(sum(case.find(tag) is not None for case in suite)))
    suite.set("time", f"{day.duration_s:.3f}")
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _case(suite: ET.Element, day: GameDay, name: str, seconds: float) -> ET.Element:
    return ET.SubElement(
        suite,
        "testcase",
        classname=clean(f"{day.service}.gameday"),
        name=clean(name),
        time=f"{seconds:.3f}",
    )


def _escape(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")
