"""The files of one experiment's verdict, beside its record: report.html, junit.xml, summary.md."""

from __future__ import annotations

from harness.gameday.model import GameDay, entry_of
from harness.judge.experiment import ExperimentVerdict
from harness.record.run import RunRecord
from harness.record.storage import read_object, write_atomic
from harness.report.gameday import render_junit, render_markdown


def write_experiment_reports(record: RunRecord, verdict: ExperimentVerdict) -> None:
    """A game day of one experiment, written into the record's directory.

    The page repeats the verdict that is stored there. Raises RecordError when the disk is full.
    """
    from harness.report.gameday_html import render_html  # noqa: PLC0415 - matplotlib is slow

    plan = read_object(record.directory / "plan.json")
    title = str(plan["experiment"].get("title") or verdict.experiment)
    seconds = float(record.seconds)
    target = record.environment.get("target") or {}
    day = GameDay(
        id=record.id,
        service=record.service.name,
        platform=str(record.environment.get("platform") or "unknown"),
        mutants=tuple(target.get("mutants") or ()),
        entries=(entry_of(title, (verdict,), seconds),),
        skipped=(),
        stopped=None,
        began_unix_ns=record.start_wall_ns or 0,
        duration_s=seconds,
    )
    directory = record.directory
    write_atomic(directory / "junit.xml", render_junit(day))
    write_atomic(directory / "summary.md", render_markdown(day))
    write_atomic(directory / "report.html", render_html(day, directory.parent))
