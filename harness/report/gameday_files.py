"""The files of a game day, and of one experiment beside its record: HTML, JUnit, Markdown."""

from pathlib import Path

from harness.gameday.model import FILE, GameDay, entry_of
from harness.judge.experiment import ExperimentVerdict
from harness.record.run import RunRecord
from harness.report.formats import write_formats
from harness.report.gameday import summary
from harness.storage import make_directory, read_object, write_atomic, write_json


def write_experiment_reports(record: RunRecord, verdict: ExperimentVerdict) -> None:
    """A game day of one experiment, written into the record's directory.

    The page repeats the verdict that is stored there. Raises RecordError when the disk is full.
    """
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
    _write_pages(day, record.directory.parent, record.directory)


def write_gameday(day: GameDay, runs: Path, directory: Path) -> None:
    """gameday.json, junit.xml, summary.md and report.html in `directory`.

    `runs` holds the records of the experiments. Raises RecordError when the disk is full.
    """
    make_directory(directory)
    write_json(directory / FILE, day.as_dict(), finite=False)
    _write_pages(day, runs, directory)


def _write_pages(day: GameDay, runs: Path, directory: Path) -> None:
    from harness.report.gameday_html import render_html  # noqa: PLC0415 - Jinja is for pages only

    write_formats(summary(day), directory)
    write_atomic(directory / "report.html", render_html(day, runs))
