"""Platform events, in the reports of a run and of an experiment."""

from __future__ import annotations

import re
from pathlib import Path

from harness.judge import judge
from harness.judge.experiment import judge_experiment
from harness.report.gameday_files import write_experiment_reports
from harness.report.platform_events import platform_events
from harness.report.run_html import render_html
from tests.judge.made_experiment import Story, experiment
from tests.record.synthetic import Made, record

EVENT = {
    "type": "platform_event",
    "object": "Pod/memorai-1",
    "reason": "Unhealthy",
    "message": "probe failed",
    "count": 3,
    "level": "Warning",
    "first": None,
    "last": None,
}


def test_a_run_on_a_platform_that_tells_nothing_has_no_such_section(tmp_path: Path) -> None:
    found = record(tmp_path)
    assert "Platform events" not in render_html(found, judge(found))


def test_the_newest_fifty_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    told = tuple({**EVENT, "message": f"number {number}."} for number in range(53))
    found = record(tmp_path, Made(messages=told))
    shown = platform_events(found)
    assert (len(shown.table.rows), shown.omitted) == (50, 3)
    page = render_html(found, judge(found))
    assert re.findall(r"number (\d+)\. \(3 times\)", page) == [str(n) for n in range(3, 53)]
    assert "3 earlier ones are in events.jsonl" in page


def test_an_experiments_page_shows_it_beside_the_timeline(tmp_path: Path) -> None:
    pod = {"type": "service_pod", "t": 21.25, "pod": "memorai-1", "node": "n1", "what": "unready"}
    found = experiment(tmp_path, Story(extra=(pod, {**EVENT, "t": 22.0})))
    write_experiment_reports(found, judge_experiment(found))
    page = (found.directory / "report.html").read_text()
    assert "pod unready" in page
    assert "21.2 s" in page
    assert "probe failed (3 times)" in page
