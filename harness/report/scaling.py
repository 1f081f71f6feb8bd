"""A scaling test for people and machines: terminal, JSON, one HTML page with its plot."""

from __future__ import annotations

import json
from typing import TextIO

import jinja2
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter
from rich.text import Text

from harness.judge.scaling import ScalingCheck, ScalingTrace, ScalingVerdict, trace
from harness.record.distribution import Floats
from harness.record.run import RunRecord
from harness.report import facts
from harness.report.charts import (
    BAD,
    LINE,
    MUTED,
    ONE,
    SHADE,
    THREE,
    TWO,
    _legend,
    _objective_lines,
    drawing,
    latency_axis,
)
from harness.report.terminal import COLOURS, _item, _table, make_console
from harness.units import format_duration, format_rate

_PAGE = jinja2.Environment(
    loader=jinja2.PackageLoader("harness.report", "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render_json(verdict: ScalingVerdict) -> str:
    """scaling.json, indented, keys in their order."""
    return json.dumps(verdict.as_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def title(record: RunRecord) -> str:
    """`memorai · 4.00/s to 20.0/s`."""
    rates = [segment.to_rate for segment in record.plan.profile.segments]
    return f"{record.service.name} · {format_rate(min(rates))} to {format_rate(max(rates))}"


def print_scaling(
    record: RunRecord, verdict: ScalingVerdict, stream: TextIO, *, width: int | None = None
) -> None:
    """Verdict, reasons, every figure with its limit, and where the page is."""
    console = make_console(stream, width)
    colour = COLOURS[verdict.outcome]
    console.print()
    head = Text(f" {verdict.outcome.upper()} ", style=f"bold reverse {colour}")
    console.print(head.append(f"  scaling of {title(record)}", style="bold not reverse"))
    for reason in verdict.reasons:
        _item(console, reason)
    table = _table(("scaling", "measured", "limit", "verdict"), ("measured", "limit"))
    for check in verdict.checks:
        word = check.outcome or "not judged"
        row = (check.name, value(check, check.measured), value(check, check.limit))
        table.add_row(*row, Text(word, style=COLOURS[word]))
    console.print()
    console.print(table)
    for check in verdict.checks:
        if check.outcome is None:
            _item(console, check.statement)
    console.print()
    for name, text in (("page", record.directory / "scaling.html"), ("record", record.directory)):
        console.print(Text(f"{name:<10}", style="dim").append(str(text), style="none"))


def value(check: ScalingCheck, number: float | None) -> str:
    """A figure with its unit; unknown is a dash."""
    if number is None:
        return facts.UNKNOWN
    if check.unit == "s":
        return format_duration(number)
    if check.unit == "of target":
        return f"{number:.0%} of target"
    return f"{number:,.0f} {check.unit}"


def render_html(
    record: RunRecord, verdict: ScalingVerdict, per_replica: float | None = None
) -> str:
    """The page; the same record and verdict give the same bytes."""
    page: str = _PAGE.get_template("scaling.html").render(
        record=record,
        verdict=verdict,
        title=f"scaling of {title(record)}",
        value=value,
        unknown=facts.UNKNOWN,
        # The SVG is ours: no text of the service gets into it but what matplotlib escapes.
        chart=Markup(chart(record, trace(record, per_replica))),  # noqa: S704
    )
    return page


def chart(record: RunRecord, seen: ScalingTrace) -> str:
    """Load, latency, replicas and the autoscaler's metric over one time axis, as SVG."""
    with drawing(7.6) as (drawn, render):
        panels = drawn.subplots(4, 1, sharex=True, height_ratios=(2, 2, 2, 1.4))
        times: Floats = np.add(np.arange(record.seconds), 0.5, dtype=np.float64)
        load, latency, replicas, metric = panels
        load.plot(times, seen.rate, color=MUTED, label="scheduled")
        completed = record.series("done").completed
        load.plot(times, completed, color=ONE, label="completed")
        load.set_ylabel("requests/s")
        latency.plot(times, seen.p95, color=ONE, label="p95")
        latency_axis(latency)
        _objective_lines(latency, record, mark=False)
        _steps(replicas, times, seen.desired, MUTED, "wanted by the autoscaler")
        _steps(replicas, times, seen.ready, ONE, "ready")
        if seen.needed is not None:
            _steps(replicas, times, seen.needed, THREE, "needed")
        replicas.set_ylabel("replicas")
        _steps(metric, times, seen.pressure, TWO, "metric of its target")
        metric.axhline(1.0, color=BAD, linewidth=1, linestyle=(0, (4, 3)))
        metric.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.0%}"))
        metric.set_xlabel("seconds from the start")
        for axes in panels:
            axes.axvspan(seen.rise, seen.fall, color=SHADE, linewidth=0, zorder=0)
            axes.set_xlim(0, max(record.seconds, 1))
            if axes is not latency:
                axes.set_ylim(bottom=0)
            _legend(axes)
        for event in record.events_of("worker_lost"):
            load.axvline(event["from_second"], color=LINE)
        text: str = render()
        return text


def _steps(axes: Axes, times: Floats, series: Floats, colour: str, label: str) -> None:
    axes.plot(times, series, color=colour, label=label, drawstyle="steps-mid")
