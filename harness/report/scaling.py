"""A scaling test for people and machines: terminal, JSON, one HTML page with its plot."""

from typing import TextIO

import numpy as np
from markupsafe import Markup

from harness.judge.model import Judged
from harness.judge.scaling import ScalingCheck, ScalingTrace, ScalingVerdict, trace
from harness.messages import WorkerLost
from harness.record.distribution import Floats
from harness.record.run import RunRecord
from harness.report import figures
from harness.report.charts import BELOW, latency_limits, seconds_axis
from harness.report.html import Chart, render_page, validity_table
from harness.report.summary import Summary, Table, word_of
from harness.report.svg import LINE, MUTED, ONE, THREE, TWO, Panel, draw, latency, linear
from harness.report.terminal import print_summary
from harness.storage import write_atomic
from harness.units import format_duration, format_rate


def title(record: RunRecord) -> str:
    """`memorai · 4.00/s to 20.0/s`."""
    rates = [segment.to_rate for segment in record.plan.profile.segments]
    return f"{record.service.name} · {format_rate(min(rates))} to {format_rate(max(rates))}"


def judged(check: ScalingCheck) -> Judged:
    """A figure as every report shows it."""
    return Judged(
        check.name, check.outcome, check.statement, wanted=value(check, check.limit),
        measured=value(check, check.measured), group="scaling",
    )  # fmt: skip


def summary(record: RunRecord, verdict: ScalingVerdict) -> Summary:
    """A scaling test's verdict in text."""
    checks = tuple(map(judged, verdict.checks))
    rows = tuple((check.name, check.measured, check.wanted, word_of(check)) for check in checks)
    header = ("scaling", "measured", "limit", "verdict")
    return Summary(
        subject=f"{verdict.service} scaling",
        service=verdict.service,
        title=f"scaling of {title(record)}",
        outcome=verdict.outcome,
        reasons=verdict.reasons,
        judged=checks,
        tables=(Table(header, rows, numbers=("measured", "limit")),),
        notes=tuple(check.statement for check in checks if check.outcome is None),
    )


def print_scaling(
    record: RunRecord, verdict: ScalingVerdict, stream: TextIO, *, width: int | None = None
) -> None:
    """Verdict, reasons, every figure with its limit, and where the page is."""
    places = (("page", str(record.directory / "scaling.html")), ("record", str(record.directory)))
    print_summary(summary(record, verdict), stream, places, width=width)


def value(check: ScalingCheck, number: float | None) -> str:
    """A figure with its unit; unknown is a dash."""
    if number is None:
        return figures.UNKNOWN
    if check.unit == "s":
        return format_duration(number)
    if check.unit == "of target":
        return f"{number:.0%} of target"
    return f"{number:,.0f} {check.unit}"


def render_html(
    record: RunRecord, verdict: ScalingVerdict, per_replica: float | None = None
) -> str:
    """The page; the same record and verdict give the same bytes."""
    scaler = verdict.autoscaler
    state = "" if record.status == "complete" else f" · {record.status}"
    bounds = ", ".join((f"{scaler['least']} to {scaler['most']} pods", *scaler["targets"]))
    found = summary(record, verdict)
    asked = Table(
        ("figure", "measured", "limit", "verdict", "in words"),
        tuple((c.name, c.measured, c.wanted, word_of(c), c.statement) for c in found.judged),
        numbers=("measured", "limit"),
    )
    drawing = Chart(
        "Load, latency and replicas",
        (
            "The shaded stretch is the rise and the peak. Replicas needed are the scheduled rate"
            " by what one replica carries."
        ),
        chart(record, trace(record, per_replica)),
    )
    return render_page(
        found,
        subtitle=f"run {record.id}{state} · autoscaler {scaler['name']}, {bounds}",
        charts=[drawing],
        sections=[
            ("What was asked", asked),
            ("Can the measurement be trusted?", validity_table(verdict.validity)),
        ],
    )


def write_page(
    record: RunRecord, verdict: ScalingVerdict, per_replica: float | None = None
) -> None:
    """scaling.html in the record; raises RecordError when the disk does not take it."""
    page = render_html(record, verdict, per_replica)
    write_atomic(record.directory / "scaling.html", page)


def chart(record: RunRecord, seen: ScalingTrace) -> Markup:
    """Load, latency, replicas and the autoscaler's metric over one time axis, as SVG."""
    x = seconds_axis(record.seconds)
    times: Floats = np.add(np.arange(record.seconds), 0.5, dtype=np.float64)
    load, served = Panel(x, 100, "requests/s"), Panel(x, 100, "latency", latency)
    replicas = Panel(x, 100, "replicas", linear(integers=True))
    metric = Panel(x, 70, y=linear("{:.0%}".format))
    load.line(times, seen.rate, MUTED, "scheduled")
    load.line(times, record.series("done").completed, ONE, "completed")
    served.line(times, seen.p95, ONE, "p95")
    latency_limits(served, record)
    replicas.line(times, seen.desired, MUTED, "wanted by the autoscaler", held="around")
    replicas.line(times, seen.ready, ONE, "ready", held="around")
    if seen.needed is not None:
        replicas.line(times, seen.needed, THREE, "needed", held="around")
    metric.line(times, seen.pressure, TWO, "metric of its target", held="around")
    metric.limit(1.0)
    for panel in (load, served, replicas, metric):
        panel.band(seen.rise, seen.fall)
    for event in record.of(WorkerLost):
        load.band(event["from_second"], event["from_second"], LINE)
    return draw([load, served, replicas, metric], BELOW)
