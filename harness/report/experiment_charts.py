"""One experiment over time: its milestones, latency, failures and traffic per region."""

from markupsafe import Markup

from harness.judge.experiment import ExperimentVerdict
from harness.judge.failover import Milestones, traffic_of
from harness.record.run import RunRecord
from harness.report.charts import failures_panel, latency_lines, seconds_axis
from harness.report.experiment import MILESTONES, after
from harness.report.svg import BAD, ONE, THREE, TWO, Axis, Panel, draw, latency, linear

_LATE = 0.62
"""The share of the width beyond which a label stands to the left of its dot."""

_ROW = 16
"""Points from one milestone to the next."""


def timeline_chart(record: RunRecord, verdict: ExperimentVerdict) -> Markup | None:
    """Milestones above latency, failures and requests/s of each region; one axis of time."""
    stages, marks = verdict.stages, verdict.milestones
    if stages is None or marks is None or not record.seconds:
        return None
    x = seconds_axis(min(record.seconds, int(stages.end) + 1))
    panels = [
        _milestones(marks, x),
        Panel(x, 140, "latency", latency),
        failures_panel(x, record.series("due").lost),
    ]
    latency_lines(panels[1], record)
    if traffic := traffic_of(record):
        panels.append(Panel(x, 85, "answered/s", linear(integers=True)))
        for colour, (name, rates) in zip((ONE, TWO, THREE), traffic.rates.items(), strict=False):
            panels[-1].line(traffic.seconds, rates, colour, name)
    for panel in panels:
        panel.band(stages.inject, stages.heal)
    return draw(panels, "seconds from the start of the load; shaded: the fault holds")


def _milestones(marks: Milestones, x: Axis) -> Panel:
    """A row for each instant, its distance from the injection (or the heal) beside it."""
    found = [(at, word) for name, word in MILESTONES if (at := getattr(marks, name)) is not None]
    count = len(found)
    panel = Panel(x, _ROW * count, y=lambda *_: Axis(-count, 0, ()))
    for row, (at, word) in enumerate(sorted(found, key=lambda each: each[0])):
        text = word if word == "injected" else f"{word} {after(at - marks.injected)}"
        bad = word in {"injected", "first impact"}
        panel.dots([at], [-row - 0.5], BAD if bad else ONE)
        panel.note(at, -row - 0.5, text, before=at > _LATE * x.high)
    return panel
