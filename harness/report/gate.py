"""A gate's verdict for people and machines: terminal, Markdown, JUnit, JSON, a plot."""

import math
from pathlib import Path
from typing import TextIO

from harness.baseline.model import TOTAL
from harness.gate.model import GateVerdict, Row, RowOutcome, commits
from harness.gate.rules import PRESENCE
from harness.judge.model import Judged, ResultWord
from harness.report.formats import FORMATS, write_formats
from harness.report.gate_plot import render_plot
from harness.report.summary import FILES_ONLY, Summary, Table
from harness.report.terminal import print_summary
from harness.storage import finite_only, make_directory, write_atomic, write_json, writing
from harness.units import counted, format_duration, format_rate, format_ratio, one_line

MOST_NAMED = 3
TOLERANCE = "tolerance"
"""A column that a terminal has no room for."""

HEADER = (
    "endpoint", "metric", "baseline", "now", "shift", "interval", "smallest detectable change",
    TOLERANCE, "verdict", "role",
)  # fmt: skip
STEM = "gate"
"""The name of every file of a gate."""

REPORTS = ("gate.json", *(each.file(STEM) for each in FORMATS), "gate.svg", "exit-code")

_OUTCOMES: dict[RowOutcome, ResultWord] = {
    "regression": "fail", "gone": "fail",
    "no-change": "pass", "trivial": "pass", "improvement": "pass",
}  # fmt: skip
"""Of a row; any other is in doubt."""


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


def judged(row: Row) -> Judged:
    """A row as every report shows it."""
    outcome = "fail" if row.failing else _OUTCOMES.get(row.outcome, "inconclusive")
    return Judged(
        name=f"{cells(row)[0]} {row.metric}",
        outcome=outcome,
        statement=f"{_shift(row, row.shift)}: {row.reason}",
        group="gate",
        label=row.outcome,
        decides=row.failing or row.open,
    )


def summary(verdict: GateVerdict) -> Summary:
    """The gate's verdict in text."""
    rows = tuple(map(cells, verdict.rows))
    numbers = tuple(name for name in HEADER if name not in {*HEADER[:2], "verdict", "role"})
    table = Table(HEADER, rows, numbers, needs={TOLERANCE: FILES_ONLY})
    intervals = (
        f"Intervals: {1 - 2 * verdict.policy.tail:.0%}. A regression is claimed at "
        f"p = {verdict.policy.level:.2g} or less of all rows together (half of it the "
        "primary row's), the share of one gate in a budget of "
        f"{verdict.policy.false_alarms_per_month:g} false alarms a month."
    )
    source = tuple(provenance(verdict))
    created = verdict.provenance.created
    return Summary(
        subject=f"{verdict.service} gate",
        service=verdict.service,
        title=title(verdict),
        outcome=verdict.outcome,
        reasons=(*verdict.reasons, *notes(verdict)),
        judged=tuple(map(judged, verdict.rows)),
        tables=(table,) if rows else (),
        provenance=(intervals, *source) if rows else source,
        began=created.partition("+")[0] if created else None,
    )


def print_gate(verdict: GateVerdict, stream: TextIO) -> None:
    """The answer and the table."""
    print_summary(summary(verdict), stream)


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
    if max(len(verdict.before), len(verdict.after)) == 1 and not verdict.runs_needed:
        return (
            "one run against one tells no run-to-run scatter: make three candidate runs (--runs 3) "
            f"and accept more (harness baseline make {verdict.service})"
        )
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
    return f"to settle it: {more}, about {minutes} min (--time-budget {minutes}m)"


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
    write_json(directory / "gate.json", finite_only(verdict.as_dict()))
    write_formats(summary(verdict), directory, STEM)
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
