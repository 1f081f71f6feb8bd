"""The compact answer at the end of a run; plain text where colour has no place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.judge.model import Verdict
from harness.record.find import RunSummary
from harness.record.run import RunRecord
from harness.report import facts
from harness.report.own_word import HEADER, OwnWord, own_word

COLOURS = {
    "pass": "green",
    "fail": "red",
    "inconclusive": "yellow",
    "invalid": "magenta",
    "not judged": "dim",
}
_PLAIN_WIDTH = 120


def make_console(stream: TextIO, width: int | None = None) -> Console:
    """A console that colours for a terminal only and honours NO_COLOR."""
    if width is None and not stream.isatty():
        width = _PLAIN_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, soft_wrap=False)


def print_report(
    record: RunRecord, verdict: Verdict, stream: TextIO, *, width: int | None = None
) -> None:
    """Verdict, objectives, endpoints, conservation, errors, validity and the record's place."""
    console = make_console(stream, width)
    console.print()
    console.print(_headline(record, verdict))
    passed = {result.statement for result in verdict.objectives if result.outcome == "pass"}
    for reason in verdict.reasons:
        if reason not in passed:  # the table says as much
            _item(console, reason)
    console.print()
    console.print(_objectives(verdict))
    console.print()
    if verdict.stages:
        console.print(_stages(verdict))
        console.print()
    if record.endpoints:
        console.print(_endpoints(record, console.width))
        console.print()
    if (told := own_word(record)) is not None:
        _print_own_word(console, told)
    for name, text in _lines(record, verdict):
        line = Text(f"{name:<10}", style="dim")
        console.print(line.append(text, style="none"))


def _print_own_word(console: Console, told: OwnWord) -> None:
    if told.rows:
        table = _table(HEADER, HEADER[1:])
        for row in told.rows:
            table.add_row(row.name, row.own_text, row.measured_text)
        console.print(table)
    for note in told.notes:
        _item(console, f"{note}.")
    console.print()


def print_runs(runs: Iterable[RunSummary], stream: TextIO, *, width: int | None = None) -> None:
    """The list of `harness runs`."""
    console = make_console(stream, width)
    table = _table(("run", "service", "scenario", "profile", "state", "verdict"))
    for run in runs:
        table.add_row(
            run.id,
            run.service,
            run.scenario or facts.UNKNOWN,
            run.profile or facts.UNKNOWN,
            run.status,
            Text(run.outcome or facts.UNKNOWN, style=COLOURS.get(run.outcome or "", "none")),
        )
    console.print(table)


def _headline(record: RunRecord, verdict: Verdict) -> Text:
    colour = COLOURS[verdict.outcome]
    text = Text(f" {verdict.outcome.upper()} ", style=f"bold reverse {colour}")
    return text.append(f"  {facts.title(record)}", style="bold not reverse")


def _item(console: Console, text: str) -> None:
    """A sentence with a hanging indent."""
    grid = Table.grid(padding=(0, 1))
    grid.add_row(" ·", Text(text))
    console.print(grid)


def _table(columns: Sequence[str], right: Iterable[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    numbers = set(right)
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return table


def _objectives(verdict: Verdict) -> Table:
    share = f"{verdict.confidence * 100:g} % interval"
    table = _table(("objective", "wanted", "measured", share, "verdict"), ("wanted", "measured"))
    for row in map(facts.objective_row, verdict.objectives):
        word = Text(row.word, style=COLOURS[row.word.lower()])
        table.add_row(row.name, row.wanted, row.measured, row.interval, word)
    return table


def _stages(verdict: Verdict) -> Table:
    table = _table(facts.STAGE_HEADER, facts.STAGE_HEADER[1:-1])
    for row in map(facts.stage_row, verdict.stages):
        table.add_row(*row[:-1], Text(row[-1], style=COLOURS[row[-1].lower()]))
    return table


def _endpoints(record: RunRecord, width: int) -> Table:
    """One row an endpoint; a narrow terminal shows the columns that matter most."""
    shown = [(name, show) for name, show, needed in _ENDPOINT_COLUMNS if width >= needed]
    names = [name for name, _ in shown]
    table = _table(("endpoint (hold)", *names), names)
    for row in facts.endpoint_figures(record):
        bold = "bold" if row.name == facts.ALL else "none"
        table.add_row(Text(row.name, style=bold), *(show(row) for _, show in shown))
    return table


def _failed(row: facts.EndpointFigures) -> Text:
    failed = row.failed + row.unfinished
    return Text(f"{failed:,}", style="red" if failed else "none")


_Show = Callable[[facts.EndpointFigures], str | Text]
_ENDPOINT_COLUMNS: tuple[tuple[str, _Show, int], ...] = (
    ("offered", lambda row: f"{row.offered:,}", 0),
    ("completed", lambda row: f"{row.completed:,}", 100),
    ("failed", _failed, 0),
    ("p50", lambda row: facts.duration(row.response[0]), 0),
    ("p95", lambda row: facts.duration(row.response[1]), 0),
    ("p99", lambda row: facts.duration(row.response[2]), 0),
    ("p99.9", lambda row: facts.duration(row.response[3]), 100),
    ("service p95", lambda row: facts.duration(row.service_p95), 110),
    ("lag p99", lambda row: facts.duration(row.lag_p99), 80),
)
"""Heading, text and the width of terminal from which the column is shown."""


def _lines(record: RunRecord, verdict: Verdict) -> Iterable[tuple[str, str]]:
    yield "requests", facts.conservation(record)
    errors = facts.error_counts(record)
    yield "errors", ", ".join(f"{kind} {count:,}" for kind, count in errors) or "none"
    yield "validity", facts.validity_line(verdict)
    if record.truncated or record.status != "complete":
        yield "record", f"{record.directory} ({record.status})"
    else:
        yield "record", str(record.directory)
