"""An experiment's verdict for people: the answer, the timeline, what was judged."""

from __future__ import annotations

from dataclasses import fields
from typing import TextIO

from rich.table import Table
from rich.text import Text

from harness.judge.experiment import ExperimentVerdict
from harness.report.terminal import COLOURS, make_console
from harness.units import format_duration

NOT_ASKED = "not asked"


def print_experiment(verdict: ExperimentVerdict, stream: TextIO) -> None:
    """Headline, reasons, the timeline from the injection on, every check."""
    console = make_console(stream)
    colour = COLOURS[verdict.outcome]
    head = Text(f" {verdict.outcome.upper()} ", style=f"bold reverse {colour}")
    console.print()
    console.print(
        head.append(f"  {verdict.service} · {verdict.experiment}", style="bold not reverse")
    )
    for reason in verdict.reasons[:6]:
        console.print(f" · {reason}")
    console.print()
    if verdict.milestones is not None:
        console.print(Text(timeline_line(verdict), style="none"))
        console.print()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("check", "verdict", "measured", "limit"):
        table.add_column(name, overflow="fold")
    for check in verdict.checks:
        word = check.outcome or NOT_ASKED
        table.add_row(
            check.name, Text(word, style=COLOURS.get(word, "dim")), check.measured, check.limit
        )
    console.print(table)
    broken = [check for check in verdict.validity if check.ok is False]
    for check in broken:
        console.print(f"validity  {check.name}: {check.reason}")


def timeline_line(verdict: ExperimentVerdict) -> str:
    """The milestones in their order, in seconds from the injection."""
    marks = verdict.milestones
    if marks is None:
        return ""
    seen = [
        (at - marks.injected, field.name.replace("_", " "))
        for field in fields(marks)
        if (at := getattr(marks, field.name)) is not None
    ]
    return "  ".join(f"{name} +{format_duration(max(at, 0.0))}" for at, name in sorted(seen))
