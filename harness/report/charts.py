"""The plots of the HTML report: SVG by matplotlib whose colours follow the page's theme."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from harness.record.distribution import Distribution, Floats
from harness.record.run import RunRecord
from harness.units import NANOSECONDS, format_duration, one_line

MOST_POINTS = 900
"""Per line: a chart is about as many pixels wide; longer runs keep each stretch's worst second."""

WIDTH = 9.2
"""Of every chart, in inches."""

MARGINS = (0.85, 0.1, 0.4, 0.5)
"""Left, right, top, bottom of a plain chart, in inches."""

# Drawn with colours nobody would choose, then replaced by the variables of the page's style sheet.
_THEME = {
    "#010101": "var(--ink)",
    "#020202": "var(--muted)",
    "#030303": "var(--line)",
    "#040404": "var(--series-1)",
    "#050505": "var(--series-2)",
    "#060606": "var(--series-3)",
    "#070707": "var(--bad)",
    "#080808": "var(--shade)",
}
INK, MUTED, LINE, ONE, TWO, THREE, BAD, SHADE = _THEME

_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "harness",
    "text.parse_math": False,  # names may hold a dollar sign
    "font.size": 10,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "text.color": INK,
    "lines.linewidth": 1.5,
    "lines.solid_joinstyle": "round",
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "legend.fontsize": 9.5,
    "path.simplify": True,
}
_PERCENTILES = (0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999, 0.999999)


def percentile_chart(record: RunRecord) -> str | None:
    """Latency by percentile, the tail stretched: x is 1/(1-q), as HdrHistogram plots it."""
    response, service = record.distribution("response"), record.distribution("service")
    if not response.count:
        return None
    with drawing(3.6, plain=True) as (figure, render):
        axes = figure.subplots()
        for part, colour, label in (
            (service, TWO, "service: sent to done"),
            (response, ONE, "response: due to done"),
        ):
            if part.count:
                axes.plot(*_percentile_curve(part), color=colour, label=label, drawstyle="steps")
        last = 1.5 * response.count
        shown = [q for q in _PERCENTILES if 1 / (1 - q) <= last]
        axes.set_xscale("log")
        axes.set_xlim(1, max(last, 2))
        axes.xaxis.set_major_locator(FixedLocator([1 / (1 - q) for q in shown]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([f"p{q * 100:g}" for q in shown])
        latency_axis(axes)
        _objective_lines(axes, record, mark=True)
        _legend(axes)
        return render()


def latency_chart(record: RunRecord) -> str | None:
    """p50, p95 and p99 of each second's requests, by when they were due."""
    if not np.isfinite(record.quantile_series(0.5)).any():
        return None
    with drawing(3.2, plain=True) as (figure, render):
        axes = figure.subplots()
        for q, colour in ((0.99, THREE), (0.95, ONE), (0.5, TWO)):
            found = record.quantile_series(q)
            axes.plot(*_thin(found, np.fmax), color=colour, label=f"p{q * 100:g}")
        latency_axis(axes)
        _time_axis(axes, record, labels=True)
        _objective_lines(axes, record, mark=False)
        _legend(axes)
        return render()


def throughput_chart(record: RunRecord) -> str | None:
    """Offered and completed requests a second, and below them those that failed."""
    if not record.seconds:
        return None
    due, done = record.series("due"), record.series("done")
    with drawing(4.0, plain=True) as (figure, render):
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        above.plot(*_thin(due.offered, np.maximum), color=MUTED, label="offered (by due time)")
        above.plot(*_thin(done.completed, np.minimum), color=ONE, label="completed (by end time)")
        below.fill_between(*_thin(due.lost, np.maximum), step="mid", color=BAD, linewidth=0)
        for axes in (above, below):
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
        below.set_ylim(top=max(1.0, 1.1 * float(due.lost.max())))
        below.yaxis.get_major_locator().set_params(integer=True, nbins=3)
        above.set_ylabel("requests/s")
        below.set_ylabel("failed/s")
        _time_axis(above, record, labels=True)
        _time_axis(below, record, labels=False)
        above.set_xlabel("")
        above.tick_params(labelbottom=False)
        _legend(above)
        return render()


def generator_chart(record: RunRecord) -> str | None:
    """The generator's own lateness beside what it measured."""
    lag = record.quantile_series(0.99, "lag") if record.seconds else np.empty(0)
    if not np.isfinite(lag).any():
        return None
    with drawing(2.6, plain=True) as (figure, render):
        axes = figure.subplots()
        response = record.quantile_series(0.99)
        axes.plot(*_thin(response, np.fmax), color=THREE, label="response p99")
        axes.plot(*_thin(lag, np.fmax), color=ONE, label="generator lag p99")
        probes = np.array(record.measurements("probe", "p99_ns"))
        if len(probes):
            found = _thin(np.divide(probes[:, 1], NANOSECONDS, dtype=np.float64), np.fmax)[1]
            times = np.linspace(probes[0, 0], probes[-1, 0], len(found))
            axes.plot(times, found, color=TWO, label="control probe p99")
        latency_axis(axes)
        _time_axis(axes, record, labels=False)
        _legend(axes)
        return render()


@contextmanager
def drawing(height: float, *, plain: bool = False) -> Iterator[tuple[Figure, Callable[[], str]]]:
    """A figure in the report's style and the function that turns it into inline SVG.

    A `plain` one has a legend above, one label at the left and one below: its margins are known
    beforehand, and the search for them takes half of a chart's time.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height), layout=None if plain else "constrained")
        if plain:
            left, right, top, bottom = MARGINS
            figure.subplots_adjust(
                left / WIDTH, bottom / height, 1 - right / WIDTH, 1 - top / height, hspace=0.12
            )
        figure.patch.set_visible(False)
        yield figure, lambda: _svg(figure)


def _svg(figure: Figure) -> str:
    for axes in figure.axes:
        axes.patch.set_visible(False)
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(
        r'(<svg [^>]*?)width="[^"]*" height="[^"]*"|height="[^"]*pt"', r"\1", text, count=2
    )
    for colour, variable in _THEME.items():
        text = text.replace(colour, variable)
    return re.sub(r"\n\s*", "\n", text)


def _percentile_curve(part: Distribution) -> tuple[Floats, Floats]:
    """(1/(1-q), seconds); the last point is the maximum, drawn at its own rank."""
    below = np.cumsum(part.counts)
    rest = np.maximum(part.count - below, 0.5)
    return np.asarray(part.count / rest, np.float64), part.values


def _thin(
    series: npt.NDArray[np.int64] | Floats, worst: np.ufunc
) -> tuple[Floats, npt.NDArray[np.int64] | Floats]:
    """(mid-second times, values), at most MOST_POINTS of them, each the worst of its stretch."""
    n = len(series)
    width = -(-n // MOST_POINTS) if n else 1
    starts = np.arange(0, n, width)
    times = starts + width / 2
    return times.astype(np.float64), worst.reduceat(series, starts) if n else series


def latency_axis(axes: Axes) -> None:
    """A logarithmic axis of durations with few, readable labels."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    few_decades = high < 5000 * low
    subs = (1.0, 2.0, 5.0) if few_decades else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=subs, numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: _short(y)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_minor_locator(NullLocator())


def _short(seconds: float) -> str:
    number, unit = format_duration(seconds).rsplit(" ", 1)
    return f"{float(number):g} {unit}" if number.replace(".", "").isdigit() else number


def _time_axis(axes: Axes, record: RunRecord, *, labels: bool) -> None:
    """Seconds from the start, the judged phase shaded, every phase named above."""
    end = max(record.seconds, 1)
    axes.set_xlim(0, end)
    axes.set_xlabel("seconds from the start")
    for phase, begin, until in record.plan.profile.phases():
        if begin >= end:
            break
        if phase == "hold":
            axes.axvspan(begin, min(until, end), color=SHADE, linewidth=0, zorder=0)
        else:
            axes.axvline(min(until, end), color=LINE, linewidth=0.8, zorder=0.5)
        wide_enough = (min(until, end) - begin) / end > 0.05  # noqa: PLR2004 - room for the word
        if labels and wide_enough:
            middle = (begin + min(until, end)) / 2
            axes.text(
                middle, 1.02, phase, transform=axes.get_xaxis_transform(), ha="center",
                va="bottom", fontsize=8.5, color=INK if phase == "hold" else MUTED,
            )  # fmt: skip


def _objective_lines(axes: Axes, record: RunRecord, *, mark: bool) -> None:
    """Each latency objective as a line; `mark` its quantile on the percentile axis."""
    for objective in record.service.objectives:
        if objective.indicator == "latency":
            name = one_line(objective.name)
            label = f"objective {name} < {format_duration(objective.threshold)}"
            axes.axhline(
                objective.threshold, color=BAD, linewidth=1, linestyle=(0, (4, 3)), label=label
            )
            if mark and objective.quantile is not None and objective.quantile < 1:
                place = 1 / (1 - objective.quantile)
                axes.plot(place, objective.threshold, "o", color=BAD, markersize=5)


def _legend(axes: Axes) -> None:
    axes.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.06), ncols=4, handlelength=1.4, borderaxespad=0,
        columnspacing=1.6,
    )  # fmt: skip
