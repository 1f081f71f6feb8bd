"""report.html of a game day: the scorecard, then each experiment with its timeline."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from harness.errors import HarnessError
from harness.gameday.model import Entry, GameDay
from harness.judge.experiment import Check, ExperimentVerdict, judge_experiment
from harness.judge.failover import Milestones, traffic_of
from harness.judge.stored import stored_verdict
from harness.record.run import RunRecord
from harness.report import gameday as words
from harness.report.charts import failures_panel, latency_lines, seconds_axis
from harness.report.experiment import HEADER, MILESTONES, after, check_row, milestone_rows
from harness.report.html import began_text, render_page
from harness.report.platform_events import PlatformEvents, platform_events
from harness.report.service_metrics import ServiceMetrics, service_metrics
from harness.report.summary import Table
from harness.report.svg import BAD, ONE, THREE, TWO, Axis, Panel, draw, latency, linear
from harness.storage import read_object
from harness.units import format_duration


@dataclass(frozen=True, slots=True)
class Part:
    """One experiment on the page."""

    entry: Entry
    teaches: str
    incident: str
    checks: Table
    milestones: list[tuple[str, str, str]]
    writes: list[tuple[str, str]]
    chart: Markup | None
    events: PlatformEvents | None = None
    server: ServiceMetrics | None = None


def render_html(day: GameDay, runs: Path) -> str:
    """The page; `runs` holds the experiments' records by id."""
    began, took = began_text(day.began_unix_ns), format_duration(day.duration_s)
    return render_page(
        words.summary(day),
        f"{began} · {took} · {day.id}",
        template="gameday.html",
        header=words.HEADER,
        rows=[(entry, words.cells(entry)) for entry in day.entries],
        parts=[_part(entry, runs) for entry in day.entries],
    )


def _part(entry: Entry, runs: Path) -> Part:
    """Everything of one experiment, read back from its record."""
    if not entry.runs:
        return Part(entry, "", "", _checks(()), [], [], None)
    try:
        record = RunRecord.load(runs / entry.runs[0])
        verdict = stored_verdict(record.directory)
        if not isinstance(verdict, ExperimentVerdict):
            verdict = judge_experiment(record)
        plan = read_object(record.directory / "plan.json")["experiment"]
    except (HarnessError, KeyError):
        return Part(entry, "", "", _checks(()), [], [], None)
    found = (*verdict.checks, *(each for each in entry.against if each not in verdict.checks))
    return Part(
        entry,
        str(plan.get("teaches") or ""),
        str(plan.get("incident") or ""),
        _checks(found),
        milestone_rows(verdict.milestones) if verdict.milestones else [],
        _writes(verdict),
        timeline_chart(record, verdict),
        platform_events(record),
        service_metrics(record),
    )


def _checks(found: Iterable[Check]) -> Table:
    rows = ((*check_row(check), check.statement) for check in found)
    return Table((*HEADER, "in words"), tuple(rows))


def _writes(verdict: ExperimentVerdict) -> list[tuple[str, str]]:
    """What the audit found, as (word, figure) pairs, with examples of what was lost."""
    found = verdict.writes
    if found is None:
        return []
    rows = [
        ("acknowledged", f"{found.acknowledged:,} of {found.attempted:,} attempted"),
        ("lost", f"{len(found.lost):,}"),
        ("stale for a while", f"{found.stale:,}, the worst {format_duration(found.worst_stale_s)}"),
        ("never read", f"{found.never_read:,}"),
        ("duplicated or wrong", f"{found.duplicated + found.corrupt:,}"),
        ("indeterminate", f"{found.indeterminate:,} ({found.recovered:,} are there)"),
    ]
    if found.lost and found.rpo_s is not None:
        rows.append(("oldest lost (RPO)", f"{format_duration(found.rpo_s)} before the fault"))
        rows.append(("for example", ", ".join(found.lost[:3])))
    return rows


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
