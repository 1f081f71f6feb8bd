"""The files of a run's report, each whole or not there."""

from pathlib import Path

from harness.judge.model import Verdict
from harness.record.run import RunRecord
from harness.report.formats import write_formats
from harness.report.run import summary
from harness.storage import write_atomic, write_json


def write_reports(record: RunRecord, verdict: Verdict, directory: Path | None = None) -> None:
    """Write verdict.json, junit.xml, summary.md and report.html, by default beside the record.

    Raises RecordError when the disk does not take them.
    """
    directory = record.directory if directory is None else directory
    write_json(directory / "verdict.json", verdict.as_dict())
    write_pages(record, verdict, directory)


def write_pages(record: RunRecord, verdict: Verdict, directory: Path) -> None:
    """Write junit.xml, summary.md and report.html, which repeat a verdict; raises RecordError."""
    from harness.report.run_html import render_html  # noqa: PLC0415 - Jinja is for pages only

    write_formats(summary(record, verdict), directory)
    write_atomic(directory / "report.html", render_html(record, verdict))
