"""A first version of a file is sound, and a folder of files is checked for CI."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.chaos.experiment import load_experiment
from harness.cli import run
from harness.errors import PlatformError
from harness.session import own


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("experiments", "services"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))
    return tmp_path


def test_a_fault_that_is_none_is_said_so_without_a_file(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for fault, said in (("", "no fault ''"), ("kill-replica", "did you mean kill-replicas?")):
        assert run(["experiment", "new", "x", "--fault", fault]) == 2
        told = capsys.readouterr().err
        assert said in told
        assert str(home) not in told


def new(name: str, *words: str) -> int:
    return run(["experiment", "new", name, "--fault", "kill-replicas", *words])


def test_a_new_experiment_is_one_that_can_be_planned(home: Path) -> None:
    assert new("lose-one", "--set", "region=us-east-1", "--set", "count=1", "--hold", "7") == 0
    found = load_experiment("lose-one", home)
    assert [(f.kind, dict(f.arguments)) for f in found.faults] == [
        ("kill-replicas", {"region": "us-east-1", "count": 1})
    ]
    assert found.timeline.during_s == 7
    assert run(["experiment", "lint"]) == 0


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("../x", (), "is no name of an experiment"),
        ("taken", (), "exists; give another name"),
        ("short", ("--hold", "0"), "a stage without seconds"),
        ("endless", ("--hold", "nan"), "pauses.after is 'nan'; give 0 to 86400 seconds"),
    ],
)
def test_a_new_experiment_that_cannot_be_leaves_nothing(
    home: Path, capsys: pytest.CaptureFixture[str], name: str, words: tuple[str, ...], said: str
) -> None:
    (home / "experiments" / "taken.yaml").write_text("mine")
    assert new(name, *words) == 2
    assert said in capsys.readouterr().err
    assert [each.name for each in (home / "experiments").iterdir()] == ["taken.yaml"]
    assert (home / "experiments" / "taken.yaml").read_text() == "mine"


def test_lint_names_each_bad_file_and_reads_the_others(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new("good")
    (home / "experiments" / "bad.json").write_text("{")
    assert run(["experiment", "lint", str(home / "experiments")]) == 2
    bad, good = capsys.readouterr().out.splitlines()[-2:]
    assert "bad.json: not JSON" in bad
    assert good.endswith("good.yaml: sound")
    assert run(["experiment", "lint", str(home / "services")]) == 2


@pytest.mark.parametrize(("function", "code"), [("terminate_pods", 0), ("no_such_action", 2)])
def test_a_file_may_use_the_actions_of_chaostoolkit_kubernetes_as_steps_of_its_own(
    function: str, code: int, home: Path
) -> None:
    provider = {"type": "python", "module": "chaosk8s.pod.actions", "func": function}
    step = {"type": "action", "name": "lose pods", "provider": provider}
    document = {"title": "pods", "description": "ordinary", "method": [step], "rollbacks": []}
    file = home / "experiments" / "pods.json"
    file.write_text(json.dumps(document))
    assert run(["experiment", "lint", str(file)]) == code


def test_an_ordinary_file_asks_no_lab_which_may_be_damaged(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: object) -> None:
        raise PlatformError("plan.json: without units", "harness lab down")

    monkeypatch.setattr(own, "find_own", damaged)
    document = {"title": "T", "description": "D", "method": []}
    file = home / "experiments" / "nothing.json"
    file.write_text(json.dumps(document))
    assert run(["experiment", "run", str(file), "--results", str(tmp_path / "results")]) == 3
