"""A service's history for people: what changed and where it began."""

from collections.abc import Iterator
from typing import TextIO

from rich.table import Table
from rich.text import Text

from harness.baseline.history import Change, History, Trend
from harness.baseline.model import TOTAL
from harness.git import short_commit
from harness.report.terminal import make_console
from harness.units import format_duration, format_rate, format_ratio, one_line

LONGEST_CELL = 80
SHOWN_RUNS = 20
"""The latest; --json and the plot have all."""


SUSPECTED = (
    "suspected: a drift, or runs that resemble their neighbours, explain it too; more runs tell"
)


def print_history(found: History, stream: TextIO) -> None:
    """The latest runs, changes with the run and commit where each began, drift, levels."""
    console = make_console(stream)
    where = found.conditions
    head = (
        f"{found.service} {found.scenario}: {len(found.runs)} runs, "
        f"{len(found.accepted)} accepted; {where.platform}, {where.machine}, "
        f"{where.profile.partition(' ')[0]}"
    )
    console.print(Text(one_line(head)))
    console.print(_runs_table(found))
    if found.changes or found.suspected:
        console.print(_changes_table(found))
    else:
        console.print("  no change of level beyond chance")
    if found.suspected:
        console.print(f"  {SUSPECTED}", style="yellow")
    for sentence in (*map(_drift, found.trends), *_standing(found)):
        console.print(Text(f"  {one_line(sentence)}", style="yellow"))
    starts = sorted({change.run for change in found.changes} & found.accepted)
    if starts:
        cut = f"harness baseline cut {found.service} {starts[-1]} --reason ..."
        console.print(Text(f"  to begin the baseline at the last change: {one_line(cut)}"))


def _runs_table(found: History) -> Table:
    table = Table(box=None, pad_edge=False)
    names = ("run", "commit", "service", found.primary, "verdict", "accepted")
    for name in names:
        table.add_column(name, justify="right" if name == found.primary else "left")
    for run in found.runs[-SHOWN_RUNS:]:
        value = run.values(found.primary, TOTAL)
        accepted = "yes" if run.id in found.accepted else "-"
        if run.acceptance is not None:
            accepted = f"{run.acceptance.at[:10]} by {run.acceptance.by}"
        table.add_row(
            *_texts(
                run.id,
                short_commit(run.commit),
                short_commit(run.service_commit) if run.service_commit else "-",
                "-" if value is None else value_text(found.primary, value),
                run.outcome or "-",
                accepted,
            )
        )
    return table


def _changes_table(found: History) -> Table:
    table = Table(box=None, pad_edge=False)
    names = ("endpoint", "metric", "shift", "interval", "began with run", "commits", "grade")
    for name in names:
        table.add_column(name, justify="right" if name in {"shift", "interval"} else "left")
    graded = [(each, "change") for each in found.changes]
    graded += [(each, "suspected") for each in found.suspected]
    for change, grade in graded:
        table.add_row(
            *_texts(
                place(change),
                change.metric,
                size(change, change.shift),
                f"{size(change, change.low)} to {size(change, change.high)}",
                change.run,
                f"{short_commit(change.previous_commit)}..{short_commit(change.commit)}",
                grade,
            ),
            style="yellow" if grade == "suspected" else "red" if change.shift > 0 else "green",
        )
    return table


def _texts(*cells: str) -> Iterator[Text]:
    """Names come from records, and records from anywhere: no markup, no control characters."""
    return (Text(one_line(cell, LONGEST_CELL)) for cell in cells)


def _drift(trend: Trend) -> str:
    """`p95 of all: drifts by +2.0% a run [+1.9% to +2.1%], +78.1% over 30 runs since …`."""
    slope, low, high, total = (
        size(trend, value) for value in (trend.slope, trend.low, trend.high, trend.total)
    )
    return (
        f"{trend.metric} of {place(trend)}: drifts by {slope} a run [{low} to {high}], "
        f"{total} over {trend.runs} runs since {trend.since}"
    )


def _standing(found: History) -> Iterator[str]:
    """Where the latest accepted level stands, if that is beyond chance."""
    for gap in found.gaps:
        if gap.beyond_chance:
            yield gap.sentence(found.primary)


def place(change: Change | Trend) -> str:
    """The endpoint's name, `all` for all together."""
    return "all" if change.endpoint == TOTAL else change.endpoint


def size(change: Change | Trend, value: float) -> str:
    """A shift in percent where it is relative."""
    return f"{value:+.1%}" if change.relative else f"{value:+.3g}"


def value_text(metric: str, value: float) -> str:
    """A value with the unit of its metric."""
    if metric == "throughput":
        return format_rate(value)
    return format_ratio(value) if metric == "error_ratio" else format_duration(value)
