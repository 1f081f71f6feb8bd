"""A summary on a terminal; plain text where colour has no place."""

from collections.abc import Iterable
from typing import TextIO

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from harness.record.find import RunSummary
from harness.report import figures
from harness.report.summary import Summary, Table
from harness.units import one_line

COLOURS = {
    "pass": "green", "fail": "red", "inconclusive": "yellow", "invalid": "magenta",
    "no verdict": "none", "not judged": "dim", "not applicable": "dim", "-": "dim",
    "error": "red", "no-baseline": "red", "regression": "red", "gone": "red",
    "suspected": "yellow", "new": "yellow", "no-data": "yellow", "improvement": "green",
}  # fmt: skip
"""The words of a verdict, of any kind."""

_PLAIN_WIDTH = 120
MOST_TEXT = 4_000
"""Characters of one sentence: names in it come from anywhere, and may hold anything."""


def make_console(stream: TextIO, width: int | None = None) -> Console:
    """A console that colours for a terminal only and honours NO_COLOR."""
    if width is None and not stream.isatty():
        width = _PLAIN_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, soft_wrap=False)


def print_summary(
    summary: Summary,
    stream: TextIO,
    more: Iterable[tuple[str, str]] = (),
    *,
    width: int | None = None,
) -> None:
    """Verdict, reasons, tables, notes and lines; `more` lines are for a terminal only."""
    console = make_console(stream, width)
    head = Text(f" {summary.outcome.upper()} ", style=f"bold reverse {COLOURS[summary.outcome]}")
    console.print()
    console.print(head.append(f"  {one_line(summary.title)}", style="bold not reverse"))
    passed = {judged.statement for judged in summary.judged if judged.outcome == "pass"}
    for reason in summary.reasons:
        if reason not in passed:  # the table says as much
            print_item(console, reason)
    console.print()
    for table in summary.tables:
        console.print(grid(table, console.width))
        console.print()
    for note in summary.notes:
        print_item(console, note)
    if summary.notes:
        console.print()
    for name, text in (*summary.lines, *more):
        console.print(
            Text(f"{name:<10}", style="dim").append(one_line(text, MOST_TEXT), style="none")
        )


def print_item(console: Console, text: str) -> None:
    """A sentence with a hanging indent."""
    item = Grid.grid(padding=(0, 1))
    item.add_row(" ·", Text(one_line(text, MOST_TEXT)))
    console.print(item)


def grid(table: Table, width: int) -> Grid:
    """The columns that a terminal of this width has room for; words of a verdict in colour."""
    shown = [at for at, name in enumerate(table.header) if width >= table.needs.get(name, 0)]
    made = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in (table.header[at] for at in shown):
        right = name in table.numbers
        made.add_column(
            name,
            justify="right" if right else "left",
            overflow="fold",
            min_width=max(map(len, name.split())),
        )
    for row in table.rows:
        style = "bold" if row[0] == figures.ALL else "none"
        first = Text(one_line(row[shown[0]]), style=style)
        made.add_row(first, *(_cell(table, row, at) for at in shown[1:]))
    return made


def _cell(table: Table, row: tuple[str, ...], at: int) -> Text:
    text = one_line(row[at])
    if table.header[at] == "verdict":
        return Text(text, style=COLOURS.get(row[at].lower(), "none"))
    failed = table.header[at] == "failed" and row[at] != "0"
    return Text(text, style="red" if failed else "none")


def print_runs(runs: Iterable[RunSummary], stream: TextIO, *, width: int | None = None) -> None:
    """The list of `harness runs`."""
    header = ("run", "service", "scenario", "profile", "state", "verdict")
    rows = tuple(
        (run.id, run.service, *(text or figures.UNKNOWN for text in (run.scenario, run.profile)),
         run.status, run.outcome or figures.UNKNOWN)
        for run in runs
    )  # fmt: skip
    console = make_console(stream, width)
    console.print(grid(Table(header, rows), console.width))
