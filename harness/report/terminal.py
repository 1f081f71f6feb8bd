"""The compact answer at the end of a run; plain text where colour has no place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.judge.model import Verdict
from harness.record.find import RunSummary
from harness.record.run import RunRecord
from harness.report import facts

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
    if record.endpoints:
        console.print(_endpoints(record))
        console.print()
    for name, text in _lines(record, verdict):
        line = Text(f"{name:<10}", style="dim")
        console.print(line.append(text, style="none"))


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


def _endpoints(record: RunRecord) -> Table:
    quantiles = [f"p{q * 100:g}" for q in facts.QUANTILES]
    columns = ("offered", "completed", "failed", *quantiles, "service p95", "lag p99")
    table = _table(("endpoint (hold)", *columns), columns)
    for row in facts.endpoint_figures(record):
        failed = row.failed + row.unfinished
        table.add_row(
            Text(row.name, style="bold" if row.name == facts.ALL else "none"),
            f"{row.offered:,}",
            f"{row.completed:,}",
            Text(f"{failed:,}", style="red" if failed else "none"),
            *(facts.duration(latency) for latency in row.response),
            facts.duration(row.service_p95),
            facts.duration(row.lag_p99),
        )
    return table


def _lines(record: RunRecord, verdict: Verdict) -> Iterable[tuple[str, str]]:
    yield "requests", facts.conservation(record)
    errors = facts.error_counts(record)
    yield "errors", ", ".join(f"{kind} {count:,}" for kind, count in errors) or "none"
    yield "validity", facts.validity_line(verdict)
    if record.truncated or record.status != "complete":
        yield "record", f"{record.directory} ({record.status})"
    else:
        yield "record", str(record.directory)
