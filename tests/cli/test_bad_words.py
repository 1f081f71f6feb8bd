"""Bad words on the command line: one line that names the remedy, exit code 2, no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import run
from harness.cli.perf import command as perf

CASES = [
    ("perf memorei", "did you mean memorai"),
    ("perf memorai --rate 0", "the rate is 0"),
    ("perf memorai --rate=-5", "is not a rate"),
    ("perf memorai --rate nan", "is not a rate"),
    ("perf memorai --rate 99M", "the rate is"),
    ("perf memorai --duration 0", "the duration is 0"),
    ("perf memorai --duration 9d", "the duration is"),
    ("perf memorai --duration soon", "is not a duration"),
    ("perf memorai --profile perv", "did you mean perf"),
    ("perf memorai --scenario nope", "no scenario 'nope'"),
    ("perf memorai --target 127.0.0.1:1", "no scheme"),
    ("perf memorai --target http://127.0.0.1:1", "nothing accepts connections"),
    ("perf memorai --target http://no-such-host.invalid", "add --allow-target no-such-host"),
    (
        "perf memorai --target http://no-such-host.invalid --allow-target no-such-host.invalid",
        "does not resolve",
    ),
    ("perf memorai --environment nope", "it has development, staging, production"),
    ("perf memorai --environment production", "add --production"),
    ("perf memorai --target http://a --environment staging", "exclude each other"),
    ("perf memorai --region mars", "the lab has no region 'mars'"),
    ("perf memorai --platform mars", "'mars' is not one of 'lab', 'kubernetes', 'url'"),
    ("perf memorai --workers 0", "not in the range"),
    ("perf memorai --seed=-1", "the seed is -1"),
    ("experiment run kill-replica --service=", "'--service': it is empty"),
    ("experiment run kill-replica --load=", "'--load': it is empty"),
    ("experiment run kill-replica --results=", "'--results': it is empty"),
    (
        "experiment run kill-replica --platform kubernetes --namespace=",
        "'--namespace': it is empty",
    ),
    ("halt --platform kubernetes --namespace=", "'--namespace': it is empty"),
    ("gameday --context=", "'--context': it is empty"),
    ("perf", "neither a service nor a URL was named"),
    ("capacity memorai --start 0", "climbs from a rate above 0"),
    ("capacity memorai --hold 1s", "a step needs"),
    ("gate memorai no-such-run", "no run 'no-such-run'"),
    ("gate memorai --alpha 60%", "between 0 and 50 %"),
    ("gate memorai --interleave http://127.0.0.1:1", "needs both sides"),
    ("gate memorai --false-alarms inf", "--false-alarms is inf"),
    ("gate memorai latest --time-budget 1m", "leave one of them out"),
    ("gate memorai latest --interleave http://127.0.0.1:1", "leave one of them out"),
    ("show latest --html --json", "exclude each other"),
    ("baseline show /etc", "/etc has no baseline"),
    ("baseline prune no-such-service", "has no baseline"),
    ("show no-such-run", "no run 'no-such-run'"),
    ("services nope", "no service 'nope'"),
    ("no-such-command", "No such command"),
]


@pytest.mark.parametrize(("words", "said"), CASES, ids=[words for words, _ in CASES])
def test_a_bad_word_is_one_line_with_a_remedy(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, one line on standard error that says what to do."""
    assert run(words.split()) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("harness: ")
    assert said in last
    assert "Traceback" not in last


def test_production_is_refused_also_when_it_is_named_by_its_url(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The URL of a production environment needs the same word as its name."""
    url = "http://memorai.codai-production.svc.cluster.local:3001/"
    assert run(["perf", "memorai", "--target", url]) == 2
    assert "add --production" in capsys.readouterr().err


def test_results_that_cannot_be_written_are_told_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file where results/ should be is named, and no lab is started for it."""
    blocked = tmp_path / "results"
    blocked.write_text("a file")
    assert run(["perf", "memorai", "--results", str(blocked / "below")]) == 2
    said = capsys.readouterr().err
    assert "cannot write here" in said
    assert "processes" not in said


def test_a_scenario_with_a_syntax_error_names_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The user's own mistake is shown where it is."""
    file = tmp_path / "broken.py"
    file.write_text("x = 1\ndef broken(:\n")
    assert run(["perf", "memorai", "--scenario", str(file)]) == 2
    assert "broken.py:2" in capsys.readouterr().err


@pytest.mark.parametrize("revision", ["", "two words", "a\x1b[31m", "x" * 201])
def test_what_names_no_revision_of_the_service_is_refused(revision: str) -> None:
    said = CliRunner().invoke(perf, ["memorai", "--service-commit", revision])
    assert said.exit_code == 2
    assert "--service-commit" in said.output
