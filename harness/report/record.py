"""A record with its one verdict, of whatever kind: on a terminal, as JSON, as a page."""

from pathlib import Path
from typing import TextIO

from harness.judge.experiment import ExperimentVerdict
from harness.judge.scaling import ScalingVerdict
from harness.judge.stored import RecordVerdict
from harness.record.run import RunRecord
from harness.report import experiment
from harness.report.gameday_files import write_experiment_reports
from harness.report.run import beside, print_report
from harness.report.run_files import write_pages
from harness.report.terminal import print_summary


def print_record(record: RunRecord, verdict: RecordVerdict, stream: TextIO) -> None:
    """The verdict, what it rests on, and where the record is."""
    if isinstance(verdict, ExperimentVerdict):
        print_summary(experiment.summary(verdict), stream, [("record", str(record.directory))])
    elif isinstance(verdict, ScalingVerdict):
        from harness.report.scaling import print_scaling  # noqa: PLC0415 - Jinja is for pages only

        print_scaling(record, verdict, stream)
    else:
        print_report(record, verdict, stream)


def record_json(record: RunRecord, verdict: RecordVerdict) -> dict[str, object]:
    """The verdict's own keys, what was seen beside it, and the record's path."""
    return verdict.as_dict() | beside(record) | {"record": str(record.directory)}


def write_record_pages(record: RunRecord, verdict: RecordVerdict) -> None:
    """Write the record's report.html, junit.xml and summary.md; the stored verdict stays as it is.

    A scaling test has its own page, scaling.html, which is made with its run.
    """
    if isinstance(verdict, ExperimentVerdict):
        write_experiment_reports(record, verdict)
    elif not isinstance(verdict, ScalingVerdict):
        write_pages(record, verdict, record.directory)


def page_of(record: RunRecord, verdict: RecordVerdict) -> Path:
    """The page that repeats the verdict; it is made where it is missing."""
    scaling = isinstance(verdict, ScalingVerdict)
    page = record.directory / ("scaling.html" if scaling else "report.html")
    if not page.is_file():
        write_record_pages(record, verdict)
    return page
