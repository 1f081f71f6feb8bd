"""Names that a file or a server chose reach terminal, pages and reports as harmless text."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from harness.catalog.model import Objective
from harness.judge import judge
from harness.judge.model import Verdict
from harness.record import RunRecord
from harness.report.openmetrics import render_openmetrics
from harness.report.run import print_report
from harness.report.run_files import write_reports
from tests.record import synthetic

HOSTILE = (
    "\x1b[31mred\x1b[0m\x00\x9b @everyone [x](http://evil.example) <img> $x_$ \ud800 \n# head |"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunRecord, Verdict]:
    """A run whose endpoint and objective have such a name."""
    plan = synthetic.plan()
    request = replace(plan.traffic.requests[0], name=HOSTILE)
    plan = replace(plan, traffic=replace(plan.traffic, requests=(request,)))
    objectives = (*synthetic.OBJECTIVES, Objective(HOSTILE, "latency", 0.1, 0.95))
    service = synthetic.service(objectives)
    made = synthetic.Made(plan=plan)
    record = synthetic.record(tmp_path_factory.mktemp("hostile"), made, of=service)
    verdict = judge(record, record.service)
    write_reports(record, verdict, record.directory)
    return record, verdict


def test_no_report_is_missing_and_none_has_a_control_character(
    run: tuple[RunRecord, Verdict],
) -> None:
    record, _ = run
    names = {path.name for path in record.directory.iterdir()}
    assert {"report.html", "junit.xml", "summary.md", "verdict.json"} <= names
    for path in record.directory.iterdir():
        text = path.read_text(encoding="utf-8")
        assert not set(text) & {"\x1b", "\x00"}, path.name
    ET.parse(record.directory / "junit.xml")  # noqa: S314 - our own


def test_a_comment_mentions_and_links_nobody(run: tuple[RunRecord, Verdict]) -> None:
    text = (run[0].directory / "summary.md").read_text()
    assert "@everyone" not in text
    assert "http://evil" not in text
    assert "<img>" not in text
    assert "\n# head" not in text


def test_a_terminal_gets_no_escape_of_theirs(run: tuple[RunRecord, Verdict]) -> None:
    shown = io.StringIO()
    print_report(*run, shown)
    exported = render_openmetrics(*run)
    for text in (shown.getvalue(), exported):
        assert all(char.isprintable() or char in "\n " for char in text)
        text.encode("utf-8")


def test_the_record_is_read_again_by_the_same_names(run: tuple[RunRecord, Verdict]) -> None:
    record = RunRecord.load(Path(run[0].directory))
    assert record.endpoints == (record.plan.traffic.requests[0].name,)
