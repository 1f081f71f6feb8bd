"""A service's history for people: what changed, where it began, a trend plot."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from rich.table import Table
from rich.text import Text

from harness.baseline.history import Change, History, Trend
from harness.baseline.model import TOTAL
from harness.errors import UsageError
from harness.git import short_commit
from harness.report.terminal import make_console
from harness.storage import make_directory, writing
from harness.units import format_duration, format_rate, format_ratio, one_line

INK, MUTED, LINE, BLUE, RED = "#16202c", "#5b6775", "#dfe3e8", "#1f62d0", "#c2261d"
MOST_PANELS = 12
LONGEST_CELL = 80
SHOWN_RUNS = 20
"""The latest; --json and the plot have all."""

FORMATS = ("svg", "png", "pdf")


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
    if found.changes:
        console.print(_changes_table(found.changes))
    else:
        console.print("  no change of level beyond chance")
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
                "-" if value is None else _value(found.primary, value),
                run.outcome or "-",
                accepted,
            )
        )
    return table


def _changes_table(changes: Sequence[Change]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("endpoint", "metric", "shift", "interval", "began with run", "commits"):
        table.add_column(name, justify="right" if name in {"shift", "interval"} else "left")
    for change in changes:
        table.add_row(
            *_texts(
                place(change),
                change.metric,
                size(change, change.shift),
                f"{size(change, change.low)} to {size(change, change.high)}",
                change.run,
                f"{short_commit(change.previous_commit)}..{short_commit(change.commit)}",
            ),
            style="red" if change.shift > 0 else "green",
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


def write_plot(found: History, path: Path) -> None:
    """One panel per endpoint, primary metric: a point per run, levels between the changes.

    The suffix of `path` names the format; raises UsageError for one that is not known.
    """
    kind = path.suffix.lstrip(".").lower()
    if kind not in FORMATS:
        raise UsageError(f"{path}: no plot format {kind!r}", f"end it in {', '.join(FORMATS)}")
    shown = [name for name in found.endpoints if found.values(name, _metric(found, name))]
    shown = shown[:MOST_PANELS]
    figure = Figure(figsize=(9, 1.2 + 1.7 * max(len(shown), 1)), layout="constrained")
    grid = figure.subplots(max(len(shown), 1), 1, sharex=True, squeeze=False)[:, 0]
    for axes, endpoint in zip(grid, shown, strict=False):
        _panel(axes, found, endpoint)
    grid[-1].set_xlabel("runs, oldest first")
    grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(
        f"{found.service} {found.scenario}, {found.conditions.profile.partition(' ')[0]}", color=INK
    )
    make_directory(path.parent)
    with writing(path.parent):
        figure.savefig(path, metadata={"Date": None} if kind == "svg" else None, dpi=120)


def place(change: Change | Trend) -> str:
    """The endpoint's name, `all` for all together."""
    return "all" if change.endpoint == TOTAL else change.endpoint


def size(change: Change | Trend, value: float) -> str:
    """A shift in percent where it is relative."""
    return f"{value:+.1%}" if change.relative else f"{value:+.3g}"


def _metric(found: History, endpoint: str) -> str:
    """The primary metric where it exists for the endpoint; throughput is the whole's alone."""
    return "p95" if found.primary == "throughput" and endpoint != TOTAL else found.primary


def _panel(axes: Axes, found: History, endpoint: str) -> None:
    metric = _metric(found, endpoint)
    series = found.values(endpoint, metric)
    ids = [run.id for run in found.runs]
    for known, face in ((True, BLUE), (False, "none")):
        points = [(at, value) for at, value in series if (ids[at] in found.accepted) is known]
        if points:
            label = "accepted" if known else "recorded"
            axes.plot(*zip(*points, strict=True), "o", ms=4, mec=BLUE, mfc=face, label=label)
    changes = [c for c in found.changes if (c.endpoint, c.metric) == (endpoint, metric)]
    _levels(axes, series, [ids.index(change.run) for change in changes])
    for change in changes:
        at = ids.index(change.run)
        axes.axvspan(
            ids.index(change.earliest) - 0.5, ids.index(change.latest) - 0.5 + 1e-9,
            color=RED, alpha=0.12, lw=0,
        )  # fmt: skip
        axes.axvline(at - 0.5, color=RED, lw=1)
        axes.annotate(
            f"{size(change, change.shift)} {short_commit(change.commit)}", (at - 0.5, 1),
            xycoords=("data", "axes fraction"), xytext=(4, -10), textcoords="offset points",
            color=RED, fontsize=8,
        )  # fmt: skip
    name = "all endpoints" if endpoint == TOTAL else endpoint
    axes.set_title(f"{metric} of {name}", loc="left", fontsize=9, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color=LINE, lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=8)
    axes.margins(y=0.25)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _value(metric, value)))
    if endpoint == TOTAL:
        axes.legend(fontsize=8, frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))


def _levels(axes: Axes, series: Sequence[tuple[int, float]], steps: Sequence[int]) -> None:
    edges = [float("-inf"), *steps, float("inf")]
    for begin, end in itertools.pairwise(edges):
        part = [(at, value) for at, value in series if begin <= at < end]
        if part:
            mean = sum(value for _, value in part) / len(part)
            axes.hlines(mean, part[0][0] - 0.5, part[-1][0] + 0.5, color=MUTED, lw=1.2)


def _value(metric: str, value: float) -> str:
    if metric == "throughput":
        return format_rate(value)
    return format_ratio(value) if metric == "error_ratio" else format_duration(value)
