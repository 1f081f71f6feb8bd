"""A gate's verdict for people and machines: terminal, Markdown, JUnit, JSON, a plot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TextIO
from xml.etree import ElementTree as ET

from rich.table import Table
from rich.text import Text

from harness.baseline.model import TOTAL
from harness.gate.model import GateVerdict, Row
from harness.record import make_directory, write_atomic
from harness.report.gate_plot import render_plot
from harness.report.junit import clean
from harness.report.terminal import COLOURS, make_console
from harness.units import format_duration, format_rate, format_ratio

ROW_COLOURS = {
    "regression": "red",
    "suspected": "yellow",
    "inconclusive": "yellow",
    "improvement": "green",
    "trivial": "none",
    "no-change": "none",
}
HEADER = ("endpoint", "metric", "baseline", "now", "shift", "interval", "could see", "verdict")


def cells(row: Row) -> tuple[str, ...]:
    """A row as text, in the order of HEADER."""
    interval = "-"
    if row.low is not None and row.high is not None:
        interval = f"{_shift(row, row.low)} to {_shift(row, row.high)}"
    word = row.outcome + (" *" if row.primary else "") + ("" if row.gating else " (shown only)")
    return (
        "all" if row.endpoint == TOTAL else row.endpoint,
        row.metric,
        _value(row, row.baseline),
        _value(row, row.candidate),
        _shift(row, row.shift),
        interval,
        "-" if row.detectable is None else _shift(row, abs(row.detectable)).lstrip("+"),
        word,
    )


def print_gate(verdict: GateVerdict, stream: TextIO) -> None:
    """The table and the answer; `*` marks the primary metric."""
    console = make_console(stream)
    head = Text(f" {verdict.outcome.upper()} ", style=f"bold reverse {COLOURS[verdict.outcome]}")
    console.print(head.append(f"  {title(verdict)}", style="bold not reverse"))
    for reason in verdict.reasons:
        console.print(f" - {reason}")
    if price := cost(verdict):
        console.print(f" - {price}")
    if verdict.rows:
        table = Table(box=None, pad_edge=False)
        for name in HEADER:
            table.add_column(name, justify="left" if name in HEADER[:2] else "right")
        for row in verdict.rows:
            table.add_row(*cells(row), style=ROW_COLOURS[row.outcome])
        console.print(table)


def title(verdict: GateVerdict) -> str:
    """Who was compared with what."""
    sides = f"{len(verdict.after)} runs against {len(verdict.before)}"
    if verdict.design == "interleaved":
        sides = f"{len(verdict.after)} interleaved pairs"
    margin = format_ratio(verdict.policy.margin)
    return f"{verdict.service} gate, {sides}, margin {margin}"


def cost(verdict: GateVerdict) -> str | None:
    """What would settle an open verdict; None when it is settled."""
    if verdict.outcome != "inconclusive":
        return None
    if not verdict.runs_needed or verdict.minutes_needed is None:
        return "no affordable number of further runs settles this: accept more baseline runs"
    return (
        f"to settle: {verdict.runs_needed} more runs, about {verdict.minutes_needed:.0f} min "
        f"(--settle {verdict.minutes_needed:.0f}m)"
    )


def render_markdown(verdict: GateVerdict) -> str:
    """A comment fit for a pull request."""
    lines = [f"### {verdict.outcome.upper()}: {title(verdict)}", ""]
    lines += [f"- {_escape(reason)}" for reason in verdict.reasons]
    if price := cost(verdict):
        lines.append(f"- {price}")
    if verdict.rows:
        lines += ["", "| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER)]
        lines += ["| " + " | ".join(map(_escape, cells(row))) + " |" for row in verdict.rows]
        lines += [
            "",
            (
                f"\\* primary metric. Intervals: {1 - 2 * verdict.policy.alpha:.0%}. A regression "
                f"is claimed at p <= {verdict.policy.level:.2g}, the share of one gate in a budget "
                f"of {verdict.policy.false_alarms_per_month:g} false alarms a month."
            ),
        ]
    return "\n".join(lines) + "\n"


def render_junit(verdict: GateVerdict) -> str:
    """One case a row; a regression is a failure, an open question an error."""
    suite = ET.Element("testsuite", name=f"{verdict.service} gate")
    for row in verdict.rows:
        case = ET.SubElement(
            suite,
            "testcase",
            classname=f"{verdict.service}.gate",
            name=clean(f"{cells(row)[0]} {row.metric}"),
            time="0",
        )
        text = clean(f"{_shift(row, row.shift)}: {row.reason}")
        if row.gating and row.outcome == "regression":
            ET.SubElement(case, "failure", message=text, type="regression")
        elif row.gating and (
            row.outcome == "suspected" or (row.primary and row.outcome == "inconclusive")
        ):
            ET.SubElement(case, "error", message=text, type=row.outcome)
        else:
            ET.SubElement(case, "system-out").text = f"{row.outcome}: {text}"
    if verdict.outcome == "invalid":
        case = ET.SubElement(
            suite, "testcase", classname=f"{verdict.service}.gate", name="validity", time="0"
        )
        ET.SubElement(case, "error", message=clean(verdict.reasons[0]), type="invalid")
    cases = list(suite)
    suite.set("tests", str(len(cases)))
    for tag, plural in (("failure", "failures"), ("error", "errors")):
        suite.set(plural, str(sum(case.find(tag) is not None for case in cases)))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def write_gate(verdict: GateVerdict, directory: Path) -> None:
    """gate.json, gate.xml (JUnit), gate.md and gate.svg in `directory`, each atomically."""
    make_directory(directory)
    write_atomic(directory / "gate.json", json.dumps(verdict.as_dict(), indent=1) + "\n")
    write_atomic(directory / "gate.xml", render_junit(verdict))
    write_atomic(directory / "gate.md", render_markdown(verdict))
    plot = render_plot(verdict)
    if plot is not None:
        write_atomic(directory / "gate.svg", plot)


def _value(row: Row, value: float) -> str:
    if row.metric == "throughput":
        return format_rate(value)
    return format_ratio(value) if row.metric == "error_ratio" else format_duration(value)


def _shift(row: Row, value: float) -> str:
    return f"{value:+.1%}" if row.relative else f"{value * 100:+.3f} pp"


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")
