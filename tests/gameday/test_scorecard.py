"""What a scorecard says of its experiments, and how it is written."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from harness.gameday.model import FILE, GameDay, with_previous
from harness.judge.experiment import judge_experiment
from harness.report.gameday import (
    HEADER,
    cells,
    last_time,
    lost,
    reasons,
    recovered,
    summary,
)
from harness.report.gameday_files import write_experiment_reports, write_gameday
from harness.report.junit import render_junit
from harness.report.markdown import render_markdown
from tests.gameday.scorecards import day, entry
from tests.judge.made_experiment import experiment


@pytest.mark.parametrize(
    ("words", "expected", "code"),
    [
        (("pass", "pass"), "pass", 0),
        (("pass", "inconclusive"), "inconclusive", 3),
        (("pass", "inconclusive", "fail"), "fail", 1),
        (("fail", "invalid"), "fail", 1),
        (("pass", "inconclusive", "invalid"), "invalid", 4),
        (("pass", "not applicable"), "pass", 0),
        (("not applicable",), "inconclusive", 3),
        ((), "inconclusive", 3),
    ],
)
def test_the_worst_word_wins_and_what_does_not_apply_does_not_count(
    words: tuple[str, ...], expected: str, code: int
) -> None:
    found = day(*(entry(str(n), word) for n, word in enumerate(words)))
    assert (found.outcome, found.exit_code) == (expected, code)


def test_a_game_day_that_had_to_stop_has_failed() -> None:
    found = day(entry(), stopped="fail-region did not heal", skipped=("kill-replica",))
    assert found.outcome == "fail"
    assert reasons(found)[0] == "Stopped: fail-region did not heal."
    assert reasons(found)[-1] == "Not run: kill-replica."


def test_a_game_day_that_somebody_ended_is_no_pass_and_no_fail() -> None:
    halted = {"stopped": "it was halted by jane", "interrupted": True}
    assert day(entry(), **halted).outcome == "inconclusive"
    assert day(entry("a", "fail"), **halted).outcome == "fail"


def test_a_recovery_shows_its_interval_its_waiting_or_that_nobody_felt_it() -> None:
    assert recovered(entry()) == "5.00 s (4 to 5 s)"
    assert recovered(entry(censored=True, recovery_s=None, recovery_low=30.0)) == "> 30.0 s"
    assert recovered(entry(impact_s=None, recovery_s=0.0)) == "no impact"
    assert recovered(entry(recovery_s=None)) == "-"


def test_lost_writes_come_with_the_recovery_point() -> None:
    assert lost(entry()) == "0 of 1,730"
    assert lost(entry(lost_writes=12, rpo_s=0.25)) == "12 of 1,730, RPO 250 ms"
    assert lost(entry(lost_writes=None)) == "-"


def test_unknown_figures_are_dashes_never_zeros() -> None:
    row = cells(entry(impact_s=None, failed_over_s=None, error_ratio=None, budget_spent=None))
    assert row[HEADER.index("budget spent")] == "-"
    assert row[HEADER.index("failed over")] == "-"


def test_each_experiment_is_a_case_of_junit_with_its_word() -> None:
    found = day(
        entry("a"), entry("b", "fail"), entry("c", "inconclusive"), entry("d", "not applicable"),
        stopped="b did not heal", skipped=("e",),
    )  # fmt: skip
    suite = ET.fromstring(render_junit(summary(found)))[0]  # noqa: S314 - our own
    assert suite.attrib["tests"] == "5"
    assert [suite.attrib[k] for k in ("failures", "errors", "skipped")] == ["1", "1", "2"]


def test_markdown_holds_every_row_and_no_broken_table() -> None:
    text = render_markdown(summary(day(entry("a", reasons=()), entry("b|c", "fail"))))
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 4
    assert {row.count("|") for row in rows} == {10}
    assert "b&#124;c" in text


def test_the_last_game_day_of_the_same_kind_is_compared_with(tmp_path: Path) -> None:
    def store(found: GameDay) -> None:
        (tmp_path / found.id).mkdir()
        (tmp_path / found.id / FILE).write_text(json.dumps(found.as_dict()))

    store(day(entry(recovery_s=3.0), id="20261123T000000Z-aaaa"))
    store(day(entry(outcome="fail", recovery_s=9.0), id="20261124T000000Z-aaaa"))
    store(day(entry(recovery_s=1.0), id="20261124T120000Z-aaaa", mutants=("garbage",)))
    (tmp_path / "20261124T130000Z-aaaa").mkdir()
    (tmp_path / "20261124T130000Z-aaaa" / FILE).write_text("{")
    found = with_previous(day(entry(), entry("new")), tmp_path)
    assert last_time(found.entries[0]) == "fail, 9.00 s"
    assert last_time(found.entries[1]) == "-"


def test_the_reports_of_a_game_day_are_written_even_when_records_are_gone(tmp_path: Path) -> None:
    found = day(entry(runs=("20261125T180000Z-gone",)), entry("b", "not applicable", runs=()))
    write_gameday(found, tmp_path, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "fail-region" in page
    assert "<script" not in page
    assert json.loads((tmp_path / "out" / FILE).read_text())["outcome"] == "pass"


def test_one_experiment_s_reports_stand_beside_its_record(tmp_path: Path) -> None:
    record = experiment(tmp_path)
    write_experiment_reports(record, judge_experiment(record))
    page = (record.directory / "report.html").read_text()
    assert "PASS" in page
    assert "failed over" in page
    suite = ET.fromstring((record.directory / "junit.xml").read_text())[0]  # noqa: S314 - our own
    assert (suite.attrib["tests"], suite.attrib["failures"]) == ("1", "0")
    assert "fail-region" in (record.directory / "summary.md").read_text()


def test_a_recovery_time_lies_within_its_interval() -> None:
    assert recovered(entry(recovery_s=5.01, recovery_low=4.0, recovery_high=5.0)) == (
        "5.01 s (4 to 6 s)"
    )
