"""report.html of a game day: the scorecard, then each experiment with its timeline."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from markupsafe import Markup

from harness.errors import HarnessError
from harness.gameday.model import Entry, GameDay
from harness.judge.experiment import ExperimentVerdict, judge_experiment
from harness.judge.stored import stored_verdict
from harness.record.run import RunRecord
from harness.record.storage import read_object
from harness.report import gameday as words
from harness.report.experiment import HEADER, check_row, milestone_rows
from harness.report.experiment_charts import timeline_chart
from harness.report.happened import Happened, happened
from harness.report.html import PAGE, own_ids
from harness.report.own_word import HEADER as OWN_WORD_HEADER
from harness.report.own_word import OwnWord, own_word
from harness.units import NANOSECONDS, format_duration


@dataclass(frozen=True, slots=True)
class Part:
    """One experiment on the page."""

    entry: Entry
    teaches: str
    incident: str
    checks: list[tuple[tuple[str, str, str, str], str]]
    milestones: list[tuple[str, str, str]]
    writes: list[tuple[str, str]]
    chart: Markup | None
    happened: Happened | None = None
    own_word: OwnWord | None = None


def render_html(day: GameDay, runs: Path) -> str:
    """The page; `runs` holds the experiments' records by id."""
    began = datetime.fromtimestamp(day.began_unix_ns // NANOSECONDS, UTC)
    parts = [_part(entry, runs, number) for number, entry in enumerate(day.entries)]
    return PAGE.get_template("gameday.html").render(
        day=day,
        title=words.title(day),
        reasons=words.reasons(day),
        began=began.strftime("%Y-%m-%d %H:%M:%S UTC"),
        took=format_duration(day.duration_s),
        header=words.HEADER,
        rows=[(entry, words.cells(entry)) for entry in day.entries],
        parts=parts,
        check_header=HEADER,
        own_word_header=OWN_WORD_HEADER,
    )


def _part(entry: Entry, runs: Path, number: int) -> Part:
    """Everything of one experiment, read back from its record."""
    if not entry.runs:
        return Part(entry, "", "", [], [], [], None)
    try:
        record = RunRecord.load(runs / entry.runs[0])
        verdict = stored_verdict(record.directory)
        if not isinstance(verdict, ExperimentVerdict):
            verdict = judge_experiment(record)
        plan = read_object(record.directory / "plan.json")["experiment"]
    except (HarnessError, KeyError):
        return Part(entry, "", "", [], [], [], None)
    svg = timeline_chart(record, verdict)
    found = (*verdict.checks, *(each for each in entry.against if each not in verdict.checks))
    checks = [(check_row(check), check.statement) for check in found]
    return Part(
        entry,
        str(plan.get("teaches") or ""),
        str(plan.get("incident") or ""),
        checks,
        milestone_rows(verdict.milestones) if verdict.milestones else [],
        _writes(verdict),
        # The SVG is ours: what others named is escaped by matplotlib.
        None if svg is None else Markup(own_ids(svg, f"g{number}-")),  # noqa: S704
        happened(record),
        own_word(record),
    )


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
