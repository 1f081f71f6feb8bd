"""A search as a picture: P95, share beyond the limit and concurrency over the rate."""

from __future__ import annotations

import html
import os
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from harness.capacity.model import CapacityResult, Step
from harness.errors import UsageError
from harness.report.charts import BAD, MUTED, ONE, SHADE, TWO, drawing, latency_axis
from harness.units import format_rate

COLOURS = {
    "--ink": "#1a1a1a", "--muted": "#666666", "--line": "#d0d0d0", "--series-1": "#1f77b4",
    "--series-2": "#2ca02c", "--series-3": "#9467bd", "--bad": "#c62828", "--shade": "#e8eef7",
}  # fmt: skip
"""Of the report's style sheet, so that the picture stands alone."""

MARKS = {"held": ("o", ONE), "missed": ("x", BAD), "unknown": ("s", MUTED), "warming": ("^", TWO)}


def write_plot(result: CapacityResult, limit_s: float | None, path: Path) -> None:
    """Write `path` as SVG or HTML, by its name; `limit_s` is the latency objective, if any.

    Raises UsageError for another suffix or a place that cannot be written.
    """
    check_plot(path)
    svg = capacity_chart(result, limit_s)
    title = html.escape(f"{result.service}: capacity")
    if path.suffix == ".html":
        text = f"<!doctype html><meta charset=utf-8><title>{title}</title><h1>{title}</h1>\n{svg}\n"
    else:
        text = svg
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "name a file that can be written") from None


def check_plot(path: Path) -> None:
    """Raise UsageError for a path that `write_plot` could not write: a search takes minutes."""
    if path.suffix not in {".svg", ".html"}:
        raise UsageError(f"{path}: a plot is .svg or .html", "name it so")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path}: its directory cannot be written", "name another")


def capacity_chart(result: CapacityResult, limit_s: float | None) -> str:
    """The picture as SVG with colours of its own."""
    steps = [step for step in result.steps if step.outcome in MARKS]
    with drawing(7.0) as (figure, render):
        latency, share, load = figure.subplots(3, 1, sharex=True)
        _points(latency, steps, [step.p95 for step in steps])
        _points(share, steps, [_worst(step) for step in steps])
        _points(load, steps, [step.concurrency for step in steps])
        if any(step.p95 for step in steps):
            latency_axis(latency)
        if limit_s is not None:
            latency.axhline(limit_s, color=BAD, linewidth=1, linestyle=(0, (4, 3)))
        share.axhline(1.0, color=BAD, linewidth=1, linestyle=(0, (4, 3)))
        share.set_yscale("symlog", linthresh=0.01)
        load.set_yscale("symlog", linthresh=1.0)
        for axes, label in (
            (latency, "P95"), (share, "bad share / limit"), (load, "concurrency"),
        ):  # fmt: skip
            axes.set_ylabel(label)
            if axes is not latency:
                axes.set_ylim(bottom=0)
                axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
            if result.low is not None and result.high is not None:
                axes.axvspan(result.low, result.high, color=SHADE, linewidth=0, zorder=0)
        load.set_xscale("log")
        load.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
        load.xaxis.set_major_formatter(FuncFormatter(lambda x, _: format_rate(x)))
        load.xaxis.set_minor_formatter(NullFormatter())
        load.set_xlabel("arrival rate")
        svg = render()
    for name, colour in COLOURS.items():
        svg = svg.replace(f"var({name})", colour)
    return svg


def _worst(step: Step) -> float | None:
    """The largest share of bad requests, as a multiple of its limit."""
    return max((share.share / share.limit for share in step.shares), default=None)


def _points(axes: Axes, steps: list[Step], values: list[float | None]) -> None:
    for outcome, (marker, colour) in MARKS.items():
        known = [
            (step.rate, value)
            for step, value in zip(steps, values, strict=True)
            if step.outcome == outcome and value is not None
        ]
        if known:
            x, y = zip(*known, strict=True)
            axes.plot(x, y, marker, color=colour, markersize=5, linestyle="none", label=outcome)
