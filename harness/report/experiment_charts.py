"""One experiment over time: its milestones, latency, failures and traffic per region."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from harness.judge.experiment import ExperimentVerdict
from harness.judge.failover import Milestones, traffic_of
from harness.record.run import RunRecord
from harness.report import charts
from harness.report.experiment import MILESTONES, after

_LATE = 0.62
"""The share of the width beyond which a label stands to the left of its dot."""

_REGIONS = (charts.ONE, charts.TWO, charts.THREE)


def timeline_chart(record: RunRecord, verdict: ExperimentVerdict) -> str | None:
    """Milestones above latency, failures and requests/s of each region; one axis of time."""
    stages, marks = verdict.stages, verdict.milestones
    if stages is None or marks is None or not record.seconds:
        return None
    traffic = traffic_of(record)
    told = [(word, at) for name, word in MILESTONES if (at := getattr(marks, name)) is not None]
    heights = [0.22 * len(told) + 0.2, 2.0, 1.0, 1.2][: 4 if traffic else 3]
    with charts.drawing(sum(heights) + 0.9) as (figure, render):
        rows = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
        end = min(record.seconds, int(stages.end) + 1)
        _milestones(rows[0], marks, told, end)
        _latency(rows[1], record)
        _failures(rows[2], record)
        if traffic:
            axes = rows[3]
            for colour, (name, rates) in zip(_REGIONS, traffic.rates.items(), strict=False):
                axes.plot(traffic.seconds, rates, color=colour, label=name)
            axes.set_ylabel("answered/s")
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
            _legend(axes)
        for axes in rows:
            axes.set_xlim(0, end)
            axes.axvspan(stages.inject, stages.heal, color=charts.SHADE, linewidth=0, zorder=0)
        rows[-1].set_xlabel("seconds from the start of the load; shaded: the fault holds")
        return render()


def _milestones(axes: Axes, marks: Milestones, told: list[tuple[str, float]], end: float) -> None:
    """A row for each instant, its distance from the injection (or the heal) beside it."""
    ordered = sorted(told, key=lambda row: row[1])
    for row, (word, at) in enumerate(ordered):
        since = at - marks.injected
        text = word if word == "injected" else f"{word} {after(since)}"
        bad = word in {"injected", "first impact"}
        axes.plot(at, -row, "o", color=charts.BAD if bad else charts.ONE, markersize=4.5)
        late = at > _LATE * end
        axes.annotate(
            text, (at, -row), xytext=(-8 if late else 8, 0), textcoords="offset points",
            va="center", ha="right" if late else "left", fontsize=8.5, color=charts.INK,
        )  # fmt: skip
    axes.set_ylim(-len(ordered) + 0.4, 0.6)
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def _latency(axes: Axes, record: RunRecord) -> None:
    for q, colour in ((0.99, charts.THREE), (0.95, charts.ONE), (0.5, charts.TWO)):
        found = record.quantile_series(q)
        axes.plot(np.arange(len(found)) + 0.5, found, color=colour, label=f"p{q * 100:g}")
    charts.latency_axis(axes)
    axes.set_ylabel("latency")
    _legend(axes)


def _failures(axes: Axes, record: RunRecord) -> None:
    series = record.series("due")
    seconds = np.arange(series.seconds) + 0.5
    axes.fill_between(seconds, series.lost, step="mid", color=charts.BAD, linewidth=0)
    axes.set_ylabel("failed/s")
    axes.set_ylim(0, max(1.0, 1.1 * float(series.lost.max())))
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))


def _legend(axes: Axes) -> None:
    axes.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, handlelength=1.2, borderaxespad=0,
        columnspacing=1.4, fontsize=8.5,
    )  # fmt: skip
