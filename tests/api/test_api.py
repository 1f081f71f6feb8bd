"""What scripts and notebooks call gives what the commands say."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import api
from harness.errors import BaselineError, RecordError, UsageError
from harness.judge import judge
from harness.record import RunRecord
from tests.record.synthetic import Made, plan, record


def runs(root: Path, first_seed: int, median_s: float = 0.01) -> list[RunRecord]:
    return [record(root, Made(seed=first_seed + n, median_s=median_s)) for n in range(6)]


def test_a_record_is_read_by_its_name_and_judged_as_the_commands_judge_it(tmp_path: Path) -> None:
    made = record(tmp_path)
    found = api.read("memorai/latest", tmp_path)
    assert found.id == made.id
    assert api.judge(found) == judge(made)
    assert api.verdict_of(found) == judge(made)
    with pytest.raises(RecordError):
        api.read("nowhere", tmp_path)


def test_runs_are_compared_as_the_gate_compares_them(tmp_path: Path) -> None:
    before, same = runs(tmp_path / "a", 1), runs(tmp_path / "b", 11)
    slow = runs(tmp_path / "c", 21, median_s=0.02)
    assert api.compare(before, same).outcome in {"pass", "inconclusive"}
    worse = api.compare(before, slow)
    assert worse.outcome == "fail"
    assert worse.service == "memorai"


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    made = record(tmp_path)
    with pytest.raises(UsageError, match="nothing to compare"):
        api.compare([made], [])
    other = record(tmp_path / "other", Made(plan=plan(rate=100.0)))
    with pytest.raises(BaselineError, match="conditions"):
        api.compare([made], [other])
    unfit = record(tmp_path / "unfit", Made(end=None))
    with pytest.raises(BaselineError, match="is failed"):
        api.compare([made], [unfit])


def test_a_run_is_reported_unless_it_has_a_report_of_its_own(tmp_path: Path) -> None:
    made = record(tmp_path)
    options = api.reporting(api.RunOptions("memorai"))
    assert options.report is not None
    options.report(made, judge(made))
    assert (made.directory / "report.html").is_file()
    seen: list[str] = []
    own = api.RunOptions("memorai", report=lambda found, verdict: seen.append(found.id))
    assert api.reporting(own).report is own.report


def test_only_what_a_run_starts_for_itself_may_be_broken_unasked() -> None:
    assert api.RunOptions("memorai").disposable
    assert not api.RunOptions("memorai", target="http://localhost:1").disposable
    assert not api.RunOptions("memorai", environment="staging").disposable
    assert not any(api.RunOptions("memorai", platform=p).disposable for p in ("kubernetes", "?"))
