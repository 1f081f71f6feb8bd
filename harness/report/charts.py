"""The charts of a run's report."""

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from harness.record.distribution import Distribution, Floats
from harness.record.run import RunRecord
from harness.report import svg
from harness.report.svg import Axis, Panel, draw, latency, linear
from harness.units import NANOSECONDS, format_duration

MOST_POINTS = 900
"""Per line: a chart is about as many pixels wide; longer runs keep each stretch's worst second."""

BELOW = "seconds from the start"

_PERCENTILES = (0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999, 0.999999)


def percentile_chart(record: RunRecord) -> Markup | None:
    """Latency by percentile, the tail stretched: x is 1/(1-q), as HdrHistogram plots it."""
    response, service = record.distribution("response"), record.distribution("service")
    if not response.count:
        return None
    last = max(1.5 * response.count, 2)
    labels = [(1 / (1 - q), f"p{q * 100:g}") for q in _PERCENTILES if 1 / (1 - q) <= last]
    panel = Panel(Axis(1, last, labels, np.log10), 200, y=latency)
    for part, colour, name in (
        (service, svg.TWO, "service: sent to done"),
        (response, svg.ONE, "response: due to done"),
    ):
        if part.count:
            panel.line(*_percentile_curve(part), colour, name, held="before")
    latency_limits(panel, record)
    for objective in record.service.objectives:
        if objective.indicator == "latency" and objective.quantile and objective.quantile < 1:
            panel.dots([1 / (1 - objective.quantile)], [objective.threshold], svg.BAD)
    return draw([panel], "percentile")


def latency_chart(record: RunRecord) -> Markup | None:
    """p50, p95 and p99 of each second's requests, by when they were due."""
    if not np.isfinite(record.quantile_series(0.5)).any():
        return None
    panel = Panel(seconds_axis(record.seconds), 165, y=latency)
    latency_lines(panel, record)
    _phases(panel, record, heads=True)
    latency_limits(panel, record)
    return draw([panel], BELOW)


def throughput_chart(record: RunRecord) -> Markup | None:
    """Offered and completed requests a second, and below them those that failed."""
    if not record.seconds:
        return None
    due, done = record.series("due"), record.series("done")
    x = seconds_axis(record.seconds)
    above, below = Panel(x, 165, "requests/s"), failures_panel(x, due.lost)
    above.line(*thin(due.offered, np.maximum), svg.MUTED, "offered (by due time)")
    above.line(*thin(done.completed, np.minimum), svg.ONE, "completed (by end time)")
    _phases(above, record, heads=True)
    _phases(below, record, heads=False)
    return draw([above, below], BELOW)


def generator_chart(record: RunRecord) -> Markup | None:
    """The generator's own lateness beside what it measured."""
    lag = record.quantile_series(0.99, "lag") if record.seconds else np.empty(0)
    if not np.isfinite(lag).any():
        return None
    panel = Panel(seconds_axis(record.seconds), 120, y=latency)
    panel.line(*thin(record.quantile_series(0.99), np.fmax), svg.THREE, "response p99")
    panel.line(*thin(lag, np.fmax), svg.ONE, "generator lag p99")
    probes = np.array(record.measurements("probe", "p99_ns"))
    if len(probes):
        found = thin(np.divide(probes[:, 1], NANOSECONDS, dtype=np.float64), np.fmax)[1]
        times = np.linspace(probes[0, 0], probes[-1, 0], len(found))
        panel.line(times, found, svg.TWO, "control probe p99")
    _phases(panel, record, heads=False)
    return draw([panel], BELOW)


def seconds_axis(end: float) -> Axis:
    """From the start of the load to `end`."""
    return linear()(0, max(end, 1), 10)


def latency_lines(panel: Panel, record: RunRecord) -> None:
    """p99, p95 and p50 of each second."""
    for q, colour in ((0.99, svg.THREE), (0.95, svg.ONE), (0.5, svg.TWO)):
        panel.line(*thin(record.quantile_series(q), np.fmax), colour, f"p{q * 100:g}")


def latency_limits(panel: Panel, record: RunRecord) -> None:
    """Each latency objective as a line across."""
    for objective in record.service.objectives:
        if objective.indicator == "latency":
            limit = format_duration(objective.threshold)
            panel.limit(objective.threshold, f"objective {objective.name} < {limit}")


def failures_panel(x: Axis, lost: npt.NDArray[np.int64]) -> Panel:
    """Failed requests of each second."""
    panel = Panel(x, 55, "failed/s", linear(integers=True))
    panel.area(*thin(lost, np.maximum), svg.BAD)
    return panel


def _percentile_curve(part: Distribution) -> tuple[Floats, Floats]:
    """(1/(1-q), seconds); the last point is the maximum, drawn at its own rank."""
    below = np.cumsum(part.counts)
    rest = np.maximum(part.count - below, 0.5)
    return np.asarray(part.count / rest, np.float64), part.values


def thin(
    series: npt.NDArray[np.int64] | Floats, worst: np.ufunc
) -> tuple[Floats, npt.NDArray[np.int64] | Floats]:
    """(mid-second times, values), at most MOST_POINTS of them, each the worst of its stretch."""
    n = len(series)
    width = -(-n // MOST_POINTS) if n else 1
    starts = np.arange(0, n, width)
    times = starts + width / 2
    return times.astype(np.float64), worst.reduceat(series, starts) if n else series


def _phases(panel: Panel, record: RunRecord, *, heads: bool) -> None:
    """The judged phase shaded, every phase named above."""
    end = panel.x.high
    for phase, begin, until in record.plan.profile.phases():
        if begin >= end:
            break
        until = min(until, end)  # noqa: PLW2901 - an early end
        if phase == "hold":
            panel.band(begin, until)
        else:
            panel.band(until, until, svg.LINE)
        wide_enough = (until - begin) / end > 0.05  # noqa: PLR2004 - room for the word
        if heads and wide_enough:
            panel.head((begin + until) / 2, phase, svg.INK if phase == "hold" else svg.MUTED)
