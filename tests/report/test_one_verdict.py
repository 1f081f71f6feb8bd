"""A record has one verdict: every command repeats it, only `harness judge --write` replaces it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.cli import run
from harness.gameday.model import entry_of
from harness.gameday.run import _keep_verdicts
from harness.judge.experiment import Check, judge_experiment, write_experiment
from harness.judge.stored import stored_verdict
from harness.record import RunRecord, list_runs
from tests.judge.made_experiment import experiment
from tests.record.synthetic import record


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """An experiment that passed, though its objectives were missed while its fault was on."""
    found = experiment(tmp_path_factory.mktemp("results"))
    write_experiment(judge_experiment(found), found.directory)
    return found


def _files(found: RunRecord) -> dict[str, tuple[int, bytes]]:
    return {
        path.name: (path.stat().st_mtime_ns, path.read_bytes())
        for path in found.directory.iterdir()
        if path.is_file()
    }


def _words(found: RunRecord, *words: str) -> list[str]:
    return [*words, "--results", str(found.directory.parents[1])]


def _shown(capsys: pytest.CaptureFixture[str], found: RunRecord, *words: str) -> dict[str, Any]:
    run(_words(found, *words, "--json"))
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    return shown


def test_show_repeats_the_experiment_and_leaves_its_record_alone(
    broken: RunRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _files(broken)
    assert run(_words(broken, "show", broken.id)) == 0
    assert "PASS   memorai: fail-region" in capsys.readouterr().out
    assert _shown(capsys, broken, "show", broken.id)["outcome"] == "pass"
    assert _files(broken) == before


def test_runs_and_export_repeat_it_too(
    broken: RunRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    (row,) = list_runs(broken.directory.parents[1])
    assert row.outcome == "pass"
    assert run(_words(broken, "export", broken.id)) == 0
    assert 'harness_verdict="pass"} 1\n' in capsys.readouterr().out


def test_the_page_of_an_experiment_repeats_its_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = experiment(tmp_path)
    write_experiment(judge_experiment(found), found.directory)
    stored = (found.directory / "experiment.json").read_bytes()
    assert run(_words(found, "show", found.id, "--html")) == 0
    page = Path(capsys.readouterr().out.strip())
    assert "<title>PASS" in page.read_text()
    assert 'failures="0"' in (found.directory / "junit.xml").read_text()
    assert (found.directory / "experiment.json").read_bytes() == stored
    assert not (found.directory / "verdict.json").exists()


def test_a_verdict_on_objectives_beside_an_experiment_s_own_does_not_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Earlier versions wrote one when the record was shown."""
    found = experiment(tmp_path)
    write_experiment(judge_experiment(found), found.directory)
    (found.directory / "verdict.json").write_text('{"schema": 1, "outcome": "fail"}')
    assert list_runs(tmp_path)[0].outcome == "pass"
    assert _shown(capsys, found, "show", found.id)["outcome"] == "pass"


def test_what_was_stored_is_shown_whatever_the_rules_say_today(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = experiment(tmp_path)
    verdict = replace(judge_experiment(found), outcome="fail", reasons=("It was so then.",))
    write_experiment(verdict, found.directory)
    shown = _shown(capsys, found, "show", found.id)
    assert (shown["outcome"], shown["reasons"]) == ("fail", ["It was so then."])


def test_a_comparison_that_failed_the_game_day_fails_the_record(tmp_path: Path) -> None:
    found = experiment(tmp_path)
    verdict = judge_experiment(found)
    slower = Check("against stored runs", "fail", "9.0 s", "5.0 s", "It recovers more slowly.")
    entry = replace(entry_of("A title", (verdict,), 1.0), against=(slower,))
    _keep_verdicts(entry, [(found, verdict)])
    stored = stored_verdict(found.directory)
    assert stored is not None
    assert (stored.outcome, stored.reasons[0]) == ("fail", "It recovers more slowly.")
    assert stored.checks[-1] == slower  # type: ignore[union-attr]


def test_judging_anew_says_so_and_stores_nothing(
    broken: RunRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _files(broken)
    assert run(_words(broken, "judge", broken.id)) == 0
    said = capsys.readouterr()
    assert "PASS" in said.out
    assert "judged anew; the stored verdict (PASS) is unchanged" in said.err
    assert _files(broken) == before


def test_judging_anew_with_write_keeps_the_old_verdict_beside_the_new(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = record(tmp_path)
    old = '{"schema": 1, "outcome": "fail", "from": "a version with other rules"}'
    (found.directory / "verdict.json").write_text(old)
    assert run(_words(found, "judge", found.id, "--write")) == 0
    assert run(_words(found, "judge", found.id, "--write")) == 0
    assert (found.directory / "verdict.1.json").read_text() == old
    stored = stored_verdict(found.directory)
    assert stored is not None
    assert stored.outcome == "pass"
    assert (found.directory / "verdict.2.json").exists()
    assert "verdict.2.json" in capsys.readouterr().err


def test_a_run_without_a_verdict_is_judged_for_the_eye_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = record(tmp_path)
    assert run(_words(found, "show", found.id)) == 0
    assert "has no verdict; judged now, not stored" in capsys.readouterr().err
    assert not (found.directory / "verdict.json").exists()


def test_a_scaling_test_is_not_judged_by_the_objectives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = record(tmp_path)
    scaling = {
        "schema": 1, "exit_code": 3, "run": found.id, "service": "memorai",
        "outcome": "inconclusive", "reasons": ["It was not seen."], "checks": [], "validity": [],
        "autoscaler": {},
    }  # fmt: skip
    (found.directory / "scaling.json").write_text(json.dumps(scaling))
    assert list_runs(tmp_path)[0].outcome == "inconclusive"
    assert _shown(capsys, found, "show", found.id)["reasons"] == ["It was not seen."]
    assert run(_words(found, "judge", found.id)) == 2
    assert "run `harness scale-test` again" in capsys.readouterr().err
