"""Experiment files: what is in experiments/, and what is said of a bad one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.catalog import project_root
from harness.chaos.experiment import experiment_names, load_experiment
from harness.chaos.plan import SLACK_S, WARMUP_S
from harness.cli import run
from harness.errors import ExperimentError

ROOT = project_root()
NAMES = experiment_names(ROOT)
Document = dict[str, Any]


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_of_the_project_is_sound(name: str) -> None:
    """Loads, says what it teaches, leaves 10 s for the band, heals by its rollbacks too."""
    found = load_experiment(name, ROOT)
    stages = found.timeline
    assert len(found.teaches) > 60
    assert len(found.incident) > 60
    assert stages.before_s >= 10
    assert stages.after_s >= 10
    if "lab" in found.platforms:
        assert WARMUP_S + stages.before_s + stages.during_s + stages.after_s + SLACK_S < 50
    assert found.expect.recovery_s is not None or found.expect.error_ratio is not None
    heals = [each["provider"]["func"] for each in found.document["rollbacks"]]
    assert heals == ["heal"]


def test_there_are_at_least_fourteen_experiments() -> None:
    """And a whole game day of them keeps below 15 minutes of load."""
    assert len(NAMES) >= 14
    every = [load_experiment(name, ROOT) for name in NAMES]
    stages = [
        each.timeline
        for each in every
        if "lab" in each.platforms and "extended" not in each.document["tags"]
    ]
    total = sum(each.before_s + each.during_s + each.after_s + 6 for each in stages)
    assert total < 15 * 60


def test_a_bad_file_is_told_and_the_good_ones_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("experiments", "services"):
        (tmp_path / name).mkdir()
    good = ROOT / "experiments" / "kill-replica.yaml"
    (tmp_path / "experiments" / good.name).write_text(good.read_text())
    (tmp_path / "experiments" / "bad.yaml").write_text("title: [")
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))
    assert run(["experiment", "list"]) == 2
    told = capsys.readouterr()
    assert told.out.startswith("kill-replica  ")
    (line,) = told.err.strip().splitlines()
    assert "bad.yaml" in line


def test_a_parameter_takes_the_place_of_the_documents_own() -> None:
    """In the faults and in how long they hold."""
    found = load_experiment("fail-region", ROOT, {"region": "eu-west-1", "hold_s": 4})
    assert found.faults[0].arguments["region"] == "eu-west-1"
    assert found.timeline.during_s == 4


def test_an_unknown_parameter_is_refused_with_the_known_ones() -> None:
    """A mistyped one must not be ignored."""
    with pytest.raises(ExperimentError, match=r"no parameter 'zone'.*region"):
        load_experiment("fail-region", ROOT, {"zone": "a"})


def test_a_parameter_that_is_no_number_of_seconds_is_refused() -> None:
    """The document itself is sound; what was asked for is not."""
    with pytest.raises(ExperimentError, match=r"pauses.after is 'a while'; give seconds"):
        load_experiment("fail-region", ROOT, {"hold_s": "a while"})


def test_an_unknown_experiment_suggests_the_nearest() -> None:
    """By its name."""
    with pytest.raises(ExperimentError, match="did you mean fail-region"):
        load_experiment("fail-regoin", ROOT)


def _remove(key: str) -> Callable[[Document], object]:
    return lambda document: document.pop(key)


def _harness(**fields: Any) -> Callable[[Document], object]:
    return lambda document: document["extensions"][0].update(fields)


def _step(**fields: Any) -> Callable[[Document], object]:
    return lambda document: document["method"][0].update(fields)


def _provider(**fields: Any) -> Callable[[Document], object]:
    return lambda document: document["method"][0]["provider"].update(fields)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_remove("title"), "title"),
        (_remove("method"), "method"),
        (_remove("extensions"), "0 entries named 'harness'"),
        (_harness(load={"rate": "fast"}), "load.rate"),
        (_harness(expect={"recovery": 3}), "expect.recovery: no such field"),
        (_harness(incidents="x"), "incidents"),
        (_harness(needs={"replication": "eventual"}), "needs.replication"),
        (_provider(func="inject_everything"), "inject_everything"),
        (_provider(module="harness.chaos.nothing"), "harness.chaos.nothing"),
        (_provider(arguments={"fault": 3}), "arguments.fault is 3"),
        (_step(pauses={"after": "a while"}), "pause must be a number"),
        (_step(pauses={}), "a stage without seconds"),
    ],
)
def test_a_bad_experiment_names_file_and_field(
    spoil: Callable[[Document], object], said: str, tmp_path: Path
) -> None:
    """In one line with a remedy."""
    document = yaml.safe_load((ROOT / "experiments" / "fail-region.yaml").read_text())
    spoil(document)
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(ExperimentError, match=re.escape(said)) as problem:
        load_experiment(str(path), ROOT)
    assert str(path) in str(problem.value)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [("- a", "not a mapping"), ("a: [", "bad.yaml:2"), ("extensions: [3]", "bad.yaml")],
)
def test_a_file_that_is_no_experiment_is_said_so(text: str, said: str, tmp_path: Path) -> None:
    """Whatever stands in it."""
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ExperimentError, match=said):
        load_experiment(str(path), ROOT)


def test_an_extension_that_is_no_mapping_is_said_so(tmp_path: Path) -> None:
    """Instead of a traceback."""
    document = yaml.safe_load((ROOT / "experiments" / "fail-region.yaml").read_text())
    document["extensions"] = ["harness"]
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(ExperimentError, match=r"bad.yaml: not a Chaos Toolkit experiment"):
        load_experiment(str(path), ROOT)
