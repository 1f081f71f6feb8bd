"""One experiment's verdict for a person at a terminal, and the words that all reports share."""

from __future__ import annotations

from typing import TextIO

from rich.table import Table
from rich.text import Text

from harness.judge.experiment import Check, ExperimentVerdict
from harness.judge.failover import Milestones
from harness.report.terminal import COLOURS, make_console
from harness.units import format_duration

MILESTONES: tuple[tuple[str, str], ...] = (
    ("injected", "injected"),
    ("impact", "first impact"),
    ("detected", "health check saw it"),
    ("alerted", "alert fired"),
    ("failed_over", "failed over"),
    ("recovered", "recovered"),
    ("healed", "healed"),
    ("failed_back", "failed back"),
    ("drained", "backlog drained"),
)
"""Field of `Milestones` -> its word, in the order in which they usually happen."""

NOT_JUDGED = "-"
HEADER = ("check", "measured", "limit", "verdict")


def after(seconds: float) -> str:
    """`+1.2 s`; what is measured in whole seconds may seem to lie a moment before."""
    return f"+{format_duration(seconds)}" if seconds > 0 else "+0 s"


def milestone_rows(marks: Milestones) -> list[tuple[str, str, str]]:
    """(what, second of the run, time after the injection), in the order of time."""
    found = [(word, at) for name, word in MILESTONES if (at := getattr(marks, name)) is not None]
    return [
        (word, f"{at:.1f} s", "" if word == "injected" else after(at - marks.injected))
        for word, at in sorted(found, key=lambda row: row[1])
    ]


def check_row(check: Check) -> tuple[str, str, str, str]:
    """A check as text, in the order of HEADER."""
    return check.name, check.measured, check.limit, check.outcome or NOT_JUDGED


def print_experiment(verdict: ExperimentVerdict, stream: TextIO) -> None:
    """The answer, why, the timeline and every check."""
    console = make_console(stream)
    head = Text(f" {verdict.outcome.upper()} ", style=f"bold reverse {COLOURS[verdict.outcome]}")
    title = f"  {verdict.service}: {verdict.experiment}"
    console.print()
    console.print(head.append(title, style="bold not reverse"))
    shown = verdict.reasons if verdict.outcome != "pass" else ()
    for reason in shown:
        console.print(f" - {reason}")
    if verdict.milestones is not None:
        grid = _table(("timeline", "at", "after the injection"))
        for row in milestone_rows(verdict.milestones):
            grid.add_row(*row)
        console.print()
        console.print(grid)
    table = _table(HEADER)
    for check in verdict.checks:
        *cells, word = check_row(check)
        table.add_row(*cells, Text(word, style=COLOURS.get(word, "dim")))
    console.print()
    console.print(table)


def _table(header: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in header:
        table.add_column(name)
    return table
