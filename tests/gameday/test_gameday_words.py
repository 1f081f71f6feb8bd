"""The words of `harness gameday`: what is wrong is told in one line before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.catalog import project_root
from harness.chaos.experiment import experiment_names, load_experiment
from harness.cli import run
from harness.cli.gameday import Progress, command
from harness.errors import UsageError
from harness.gameday.model import GameDayOptions
from harness.gameday.run import chosen, grouped
from harness.session.options import RunOptions
from tests.gameday.scorecards import entry

ROOT = project_root()


def failing(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["gameday", *words]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return told


def test_an_unknown_experiment_is_named_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = failing(["--experiments", "fail-regoin"], capsys)
    assert "did you mean fail-region" in told


def test_an_unknown_parameter_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "sped" in failing(["--experiments", "fail-region", "--set", "sped=1"], capsys)


def test_an_unknown_mutant_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "grabage" in failing(["--experiments", "fail-region", "--mutant", "grabage"], capsys)


def test_another_platform_is_not_hit_without_a_word_of_consent(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "--yes" in failing(["--platform", "kubernetes"], capsys)


def test_the_help_tells_the_exit_codes() -> None:
    told = CliRunner().invoke(command, ["--help"]).output
    assert "1 one failed" in told


def test_without_names_every_experiment_is_held_once_the_extended_on_request() -> None:
    usual = [each.name for each in chosen(GameDayOptions(RunOptions("memorai")), ROOT)]
    every = [
        each.name for each in chosen(GameDayOptions(RunOptions("memorai"), extended=True), ROOT)
    ]
    assert every == list(experiment_names(ROOT))
    assert 12 <= len(usual) < len(every)
    assert "cpu-pressure" not in usual


def test_a_parameter_goes_to_every_experiment_that_has_it() -> None:
    options = GameDayOptions(
        RunOptions("memorai"), ("fail-region", "kill-replica"), parameters={"hold_s": "3"}
    )
    assert [each.timeline.during_s for each in chosen(options, ROOT)] == [3.0, 3.0]


def test_one_deployment_serves_all_experiments_of_one_replication() -> None:
    every = [load_experiment(name, ROOT) for name in experiment_names(ROOT)]
    groups = list(grouped(every, "lab"))
    assert sum(map(len, groups)) == len(every)
    for group in groups:
        assert len({each.needs.replication for each in group}) == 1
        assert group[0].needs.regions == max(each.needs.regions for each in group)
    assert len(groups) == 2
    assert [len(group) for group in grouped(every, "kubernetes")] == [len(every)]


def test_progress_is_plain_lines_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = Progress()
    progress.begin(1, 2, load_experiment("fail-region", ROOT))
    progress.hear({"type": "chaos", "what": "injected", "t": 14.2, "kind": "fail-region"})
    progress.hear({"type": "tick", "t": 15.0, "failed": 3, "in_flight": 2})
    progress.end(entry())
    progress.end(entry(outcome="fail"))
    told = capsys.readouterr().err
    assert "\r" not in told
    assert "[1/2] fail-region" in told
    assert "injected fail-region" in told
    assert "PASS, recovered in 5.00 s (4 to 5 s)" in told
    assert "FAIL: It did." in told


def test_a_project_without_experiments_says_so(
    tmp_path: Path,
) -> None:
    (tmp_path / "services").mkdir()
    with pytest.raises(UsageError, match="holds no experiment"):
        chosen(GameDayOptions(RunOptions("memorai")), tmp_path)


def test_a_small_project_has_the_experiments_of_the_harness(tmp_path: Path) -> None:
    assert experiment_names(tmp_path) == experiment_names(ROOT)


def test_experiments_of_an_own_program_share_one_deployment_at_the_rate_asked_for() -> None:
    options = GameDayOptions(RunOptions("mine", rate=50.0), ("kill-replica", "lose-region-sync"))
    every = chosen(options, ROOT)
    assert [each.load.rate for each in every] == [50.0, 50.0]
    assert len(list(grouped(every, "own program"))) == 1
