"""A gate's verdict for people and machines: terminal, Markdown, JUnit, JSON, a plot."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TextIO
from xml.etree import ElementTree as ET

from rich.table import Table
from rich.text import Text

from harness.baseline.model import TOTAL
from harness.gate.model import GateVerdict, Row, commits
from harness.gate.rules import PRESENCE
from harness.record import make_directory, write_atomic
from harness.record.storage import writing
from harness.report.gate_plot import render_plot
from harness.report.junit import clean
from harness.report.terminal import COLOURS, make_console
from harness.units import counted, format_duration, format_rate, format_ratio, one_line

ROW_COLOURS = {
    "regression": "red",
    "suspected": "yellow",
    "inconclusive": "yellow",
    "improvement": "green",
    "trivial": "none",
    "no-change": "none",
    "gone": "red",
    "new": "yellow",
    "no-data": "yellow",
}
MOST_NAMED = 3
MOST_TEXT = 500
"""Characters of one cell or line: a name may be as long as a URL."""

TOLERANCE = "tolerance"
"""A column that a terminal has no room for."""

HEADER = (
    "endpoint", "metric", "baseline", "now", "shift", "interval", "smallest detectable change",
    TOLERANCE, "verdict", "role",
)  # fmt: skip
REPORTS = ("gate.json", "gate.xml", "gate.md", "gate.svg", "exit-code")

_MARKUP = re.compile(r"([\\`*_{}\[\]()#~!^$])")


def cells(row: Row) -> tuple[str, ...]:
    """A row as text, in the order of HEADER."""
    interval = "-"
    if row.low is not None and row.high is not None:
        interval = f"{_shift(row, row.low)} to {_shift(row, row.high)}"
    role = "primary" if row.primary else {"gates": "decides", "shown": "informational"}.get(
        row.role, row.role
    )  # fmt: skip
    return (
        "all" if row.endpoint == TOTAL else one_line(row.endpoint, 80),
        row.metric,
        _value(row, row.baseline),
        _value(row, row.candidate),
        _shift(row, row.shift),
        interval,
        _size(row, row.detectable),
        _size(row, row.tolerance) if row.metric != PRESENCE else "-",
        row.outcome,
        role,
    )


def print_gate(verdict: GateVerdict, stream: TextIO) -> None:
    """The table and the answer."""
    console = make_console(stream)
    colour = COLOURS.get(verdict.outcome, "red")
    head = Text(f" {verdict.outcome.upper()} ", style=f"bold reverse {colour}")
    console.print(head.append(f"  {title(verdict)}", style="bold not reverse"))
    for line in (*verdict.reasons, *notes(verdict)):
        console.print(Text(f" - {line}"))
    if verdict.rows:
        table = Table(box=None, pad_edge=False)
        for name in HEADER:
            if name != TOLERANCE:
                left = name in {*HEADER[:2], "role"}
                table.add_column(name, justify="left" if left else "right", overflow="fold",
                                 min_width=max(map(len, name.split())))  # fmt: skip
        for row in verdict.rows:
            texts = [
                Text(text)
                for name, text in zip(HEADER, cells(row), strict=True)
                if name != TOLERANCE
            ]
            table.add_row(*texts, style=ROW_COLOURS[row.outcome])
        console.print(table)


def notes(verdict: GateVerdict) -> list[str]:
    """What to do about it, and what to know before believing it."""
    price = cost(verdict)
    return [*([price] if price else []), *(f"note: {text}" for text in verdict.warnings)]


def title(verdict: GateVerdict) -> str:
    """Who was compared with what, and what is suspected."""
    if not verdict.after:
        return f"{verdict.service} gate: nothing was compared"
    after, before = counted(len(verdict.after), "run"), f"{len(verdict.before)}"
    sides = f"{after} against {before}"
    if verdict.design == "interleaved":
        sides = counted(len(verdict.after), "interleaved pair")
    text = f"{verdict.service} gate, {sides}, margin {format_ratio(verdict.policy.margin)}"
    if verdict.suspected:
        names = [f"{row.metric} of {cells(row)[0]}" for row in verdict.suspected]
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        text += f"; suspected: {', '.join(names[:MOST_NAMED])}{more}"
    return text


def cost(verdict: GateVerdict) -> str | None:
    """What would settle an open verdict; None when it is settled or nothing was compared."""
    if verdict.outcome != "inconclusive" or not verdict.rows:
        return None
    if not verdict.runs_needed or verdict.minutes_needed is None:
        return (
            "cannot be settled at an affordable price: too much scatter on this machine; accept "
            "more baseline runs, make longer runs, or widen the margin"
        )
    minutes = math.ceil(verdict.minutes_needed)
    if verdict.design == "interleaved":
        pairs = len(verdict.after) + verdict.runs_needed
        return f"to settle it: {pairs} pairs in all (--runs {pairs}), about {minutes} more min"
    more = counted(verdict.runs_needed, "more run")
    if verdict.baseline_runs_needed:
        back = verdict.baseline_runs_needed
        return (
            f"to settle it: {more} and {counted(back, 'more accepted run')} (harness baseline "
            f"make {verdict.service} --runs {back}), about {minutes} min in all"
        )
    return f"to settle it: {more}, about {minutes} min (--settle {minutes}m)"


def provenance(verdict: GateVerdict) -> list[str]:
    """When the verdict was reached, on which runs, commits and conditions."""
    source = verdict.provenance
    lines = [f"made {source.created or 'at an unknown time'} by harness {source.harness or '?'}"]
    for name, runs in (("baseline", verdict.before), ("candidate", verdict.after)):
        if runs:
            at = ", ".join(commits(runs)) or "unknown"
            lines.append(f"{name} runs {', '.join(run.id for run in runs)}; commit {at}")
    known = [f"{name} {value}" for name, value in source.conditions.items() if value is not None]
    if known:
        lines.append(f"conditions: {'; '.join(known)}")
    return lines


def render_markdown(verdict: GateVerdict) -> str:
    """A comment fit for a pull request; no text of a run can become markup in it."""
    lines = [f"### {verdict.outcome.upper()}: {_escape(title(verdict))}", ""]
    lines += [f"- {_escape(line)}" for line in (*verdict.reasons, *notes(verdict))]
    if verdict.rows:
        lines += ["", "| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER)]
        lines += ["| " + " | ".join(map(_escape, cells(row))) + " |" for row in verdict.rows]
        lines += [
            "",
            (
                f"Intervals: {1 - 2 * verdict.policy.tail:.0%}. A regression is claimed at "
                f"p = {verdict.policy.level:.2g} or less of all rows together (half of it the "
                "primary row's), the share of one gate in a budget of "
                f"{verdict.policy.false_alarms_per_month:g} false alarms a month."
            ),
        ]
    lines += ["", *(f"<sub>{_escape(line)}</sub><br>" for line in provenance(verdict))]
    return "\n".join(lines) + "\n"


def render_junit(verdict: GateVerdict) -> str:
    """One case a row; what fails is a failure, an open question an error.

    Wherever the gate's exit code is not 0 there is a failure or an error.
    """
    name = clean(f"{verdict.service} gate")
    suite = ET.Element("testsuite", name=name)
    if verdict.provenance.created:
        suite.set("timestamp", verdict.provenance.created.partition("+")[0])
    properties = ET.SubElement(suite, "properties")
    for number, line in enumerate(provenance(verdict)):
        ET.SubElement(properties, "property", name=f"provenance.{number}", value=clean(line))
    for row in verdict.rows:
        _case(suite, verdict, f"{cells(row)[0]} {row.metric}", _kind(row),
              row.outcome, f"{_shift(row, row.shift)}: {row.reason}")  # fmt: skip
    judged = any(_kind(row) for row in verdict.rows)
    if verdict.outcome != "pass" and not judged:
        kind = "failure" if verdict.outcome == "fail" else "error"
        reason = verdict.reasons[0] if verdict.reasons else verdict.outcome
        _case(suite, verdict, "gate", kind, verdict.outcome, reason)
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    for tag, plural in (("failure", "failures"), ("error", "errors")):
        suite.set(plural, str(sum(case.find(tag) is not None for case in cases)))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _kind(row: Row) -> str | None:
    """The JUnit element of a row that is not well."""
    return "failure" if row.failing else "error" if row.open else None


def _case(
    suite: ET.Element, verdict: GateVerdict, name: str, kind: str | None, word: str, text: str
) -> None:
    place = clean(f"{verdict.service}.gate")
    case = ET.SubElement(suite, "testcase", classname=place, name=clean(name), time="0")
    if kind is None:
        ET.SubElement(case, "system-out").text = clean(f"{word}: {text}")
    else:
        ET.SubElement(case, kind, message=clean(text), type=word)


def clear_gate(directory: Path) -> None:
    """Remove the reports of an earlier gate: an old PASS must not stand for a new failure."""
    with writing(directory):
        for name in REPORTS:
            (directory / name).unlink(missing_ok=True)


def write_gate(verdict: GateVerdict, directory: Path) -> None:
    """gate.json, gate.xml (JUnit), gate.md and gate.svg in `directory`, each atomically.

    `exit-code` holds the gate's exit code where it is not 0, for those who run it through make.
    """
    make_directory(directory)
    write_atomic(directory / "gate.json", json.dumps(verdict.as_dict(), indent=1) + "\n")
    write_atomic(directory / "gate.xml", render_junit(verdict))
    write_atomic(directory / "gate.md", render_markdown(verdict))
    if verdict.exit_code:
        write_atomic(directory / "exit-code", f"{verdict.exit_code}\n")
    plot = render_plot(verdict)
    if plot is not None:
        write_atomic(directory / "gate.svg", plot)


def _value(row: Row, value: float | None) -> str:
    if value is None:
        return "-"
    if row.metric == PRESENCE:
        return f"{value:,.0f} a run"
    if row.metric == "throughput":
        return format_rate(value)
    return format_ratio(value) if row.metric == "error_ratio" else format_duration(value)


def _shift(row: Row, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:+.1%}" if row.relative else f"{value * 100:+.3f} pp"


def _size(row: Row, value: float | None) -> str:
    return "-" if value is None else _shift(row, abs(value)).lstrip("+")


def _escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line: no table cell, link, mention or tag of it."""
    line = clean(one_line(text, MOST_TEXT))
    for sign in "&<>|@":
        line = line.replace(sign, f"&#{ord(sign)};")
    return _MARKUP.sub(r"\\\1", line).replace("://", "&#58;//").replace("www.", "www&#46;")
