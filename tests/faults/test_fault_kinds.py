"""The kinds of faults: what is given to one is checked, named and documented in one place."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.catalog import project_root
from harness.chaos.experiment import experiment_names, load_experiment
from harness.cli import run
from harness.errors import CapabilityMissing, ExperimentError, PlatformError
from harness.faults.arguments import Replicas
from harness.faults.draw import Among, draw
from harness.faults.model import OnKubernetes, OnLab
from harness.faults.pages import page
from harness.faults.registry import arguments_of, kinds

ROOT = project_root()


def test_the_page_of_all_faults_is_what_the_models_say() -> None:
    """Run `python -m harness.faults.pages docs/faults.md` after a change."""
    assert (ROOT / "docs" / "faults.md").read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("name", kinds())
def test_a_kind_and_each_of_its_arguments_say_what_they_are(name: str) -> None:
    kind = kinds()[name]
    assert kind.summary.endswith(".")
    assert all(info.description for info in kind.arguments.model_fields.values())
    fields = set(kind.arguments.model_fields)
    if isinstance(kind.lab, OnLab):
        assert {*kind.lab.lacks, *kind.lab.limits} <= fields
    if isinstance(kind.kubernetes, OnKubernetes):
        assert {*kind.kubernetes.lacks, *kind.kubernetes.ignores} <= fields


@pytest.mark.parametrize("platform", ["lab", "kubernetes"])
def test_every_experiment_gives_its_platforms_what_they_take(platform: str) -> None:
    for name in experiment_names(ROOT):
        found = load_experiment(name, ROOT, platform=platform)
        for fault in found.faults if platform in found.platforms else ():
            with suppress(CapabilityMissing):
                arguments_of(fault.kind, fault.arguments, platform)


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        ("kil-replicas", {}, "no fault 'kil-replicas'; did you mean kill-replicas?"),
        ("kill-replicas", {"cuont": 1}, "no argument 'cuont'; did you mean count? it takes region"),
        ("kill-replicas", {"region": None}, "region is empty"),
        ("kill-replicas", {"region": ""}, "kill-replicas: region ''; give a name"),
        ("kill-replicas", {"count": 0}, "count 0; give a whole number of at least 1"),
        ("kill-replicas", {"count": 1.5}, "count 1.5; give a whole number"),
        ("kill-replicas", {"count": "1"}, "count '1'; give a whole number"),
        ("kill-replicas", {"count": True}, "count True; give a whole number"),
        ("kill-replicas", {"percent": -5}, "percent -5; give a number above 0, up to 100"),
        ("kill-replicas", {"percent": 150}, "percent 150; give a number above 0, up to 100"),
        ("kill-replicas", {"percent": math.nan}, "percent nan; give a number"),
        ("kill-replicas", {"percent": math.inf}, "percent inf; give a number"),
        ("kill-replicas", {"count": 1, "percent": 100}, "count and percent; give one of them"),
        ("kill-replicas", {"hold": "yes"}, "hold 'yes'; give true or false"),
        ("fail-region", {"mode": "burn"}, "mode 'burn'; give one of pause, kill, cut"),
        ("partition-regions", {}, "no regions named; give two of them"),
        ("partition-regions", {"regions": "a"}, "regions 'a'; give two of them"),
        ("partition-regions", {"regions": ["a"]}, "regions ['a']; give two of them"),
        ("partition-regions", {"regions": ["a", "a"]}, "regions ['a', 'a']; give two of them"),
        ("lose-packets", {"regions": ["a", "b"], "share": 0}, "share 0; give a number 0.0001 to 1"),
        ("delay-link", {"regions": ["a", "b"], "delay_s": 2}, "above 0, up to 1"),
        ("abort-requests", {"status": 200}, "status 200; give a whole number 400 to 599"),
        ("bad-release", {"env": {}}, "env {}; give a mapping"),
        ("bad-release", {"grace_s": 1.0}, "nothing is worse in it; give latency_s, error_ratio"),
        ("slow-replicas", {"factor": 1.0}, "neither add_s nor factor; give one of them"),
        ("scale", {"replicas": -1}, "replicas -1; give a whole number 0 to 10000"),
        ("scale", {}, "no replicas named"),
    ],
)
def test_an_argument_that_cannot_be_is_named_with_what_it_must_be(
    kind: str, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(PlatformError) as problem:
        arguments_of(kind, given)
    assert said in str(problem.value)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("bad-release", {"latency_s": 0.1}),
        ("bad-release", {"env": {"A": 1}}),
        ("slow-replicas", {"factor": 2.0}),
        ("slow-replicas", {"add_s": 0.1}),
        ("kill-replicas", {"count": 1}),
        ("kill-replicas", {"percent": 100}),
        ("delay-link", {"regions": ("a", "b"), "delay_s": 1.0}),
    ],
)
def test_an_argument_that_can_be_is_taken_as_it_is_given(kind: str, given: dict[str, Any]) -> None:
    assert arguments_of(kind, given).model_dump(exclude_unset=True) == given


@pytest.mark.parametrize(
    ("kind", "given", "platform", "said"),
    [
        ("cpu-pressure", {"workers": 9}, "lab", "workers 9; give a whole number 1 to 8"),
        ("fail-region", {"mode": "cut"}, "lab", "mode 'cut'; give one of pause, kill$"),
        ("reset-connections", {"port": 1}, "lab", "no argument 'port'"),
        ("reset-connections", {"edge": "a"}, "kubernetes", "no argument 'edge'"),
        ("fail-zone", {"zone": "a"}, "lab", "the lab has no zones"),
        ("kill-edge", {}, "kubernetes", "ingress controller"),
        ("kill-replicas", {}, "url", "url cannot inject faults"),
    ],
)
def test_what_a_platform_lacks_is_refused_there_alone(
    kind: str, given: dict[str, Any], platform: str, said: str
) -> None:
    arguments_of(kind, given)
    with pytest.raises(PlatformError, match=said):
        arguments_of(kind, given, platform)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ({"fault": "kil-replicas"}, "no fault 'kil-replicas'; did you mean kill-replicas?"),
        ({"fault": "kill-replicas", "cuont": 1}, "did you mean count?"),
        ({"fault": "kill-replicas", "region": ""}, "region ''; give a name"),
        ({"fault": "kill-replicas", "count": -1}, "count -1; give a whole number of at least 1"),
    ],
)
def test_a_file_with_such_an_argument_is_a_usage_error(
    spoil: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Named by file and step, and never *not applicable*."""
    document = yaml.load((ROOT / "experiments" / "kill-replica.yaml").read_text(), yaml.CSafeLoader)
    document["method"][0]["provider"]["arguments"] = spoil
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(ExperimentError) as problem:
        load_experiment(str(path), ROOT)
    assert said in str(problem.value)
    assert run(["experiment", "plan", str(path)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"bad.yaml: {document['method'][0]['name']}: " in line


def test_a_kind_takes_on_a_platform_what_has_a_meaning_there() -> None:
    """All of them where it cannot be carried out: there is nothing to choose from."""
    pause, restart = kinds()["pause-edge"], kinds()["bad-release"]
    assert {"grace_s", "count"} <= {*restart.takes("lab")} - {*restart.takes("kubernetes")}
    assert {"image", "env"} <= {*restart.takes("kubernetes")} - {*restart.takes("lab")}
    assert pause.takes("kubernetes") == tuple(pause.arguments.model_fields) != ()


def test_fault_list_and_show_print_what_the_models_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fault", "list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(kinds())
    assert run(["fault", "list", "--json"]) == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)] == list(kinds())
    assert run(["fault", "show", "kill-replicas"]) == 0
    said = capsys.readouterr().out
    assert "percent: a number above 0, up to 100 %" in said
    assert "permissions delete pods" in said
    assert run(["fault", "show", "kill-replicas", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["platforms"] == {"lab": None, "kubernetes": None}
    assert run(["fault", "show", "kill-repilcas"]) == 2
    assert "did you mean kill-replicas?" in capsys.readouterr().err


def test_replicas_are_drawn_by_seed_rounded_up_and_never_among_the_held() -> None:
    names = [f"m-{n}" for n in range(5)]
    assert len(draw("kill", names, percent=50)) == 3
    assert Replicas(count=2, seed=4).draw("kill", names) == draw("kill", names, count=2, seed=4)
    held = Among(held=frozenset(names[:4]))
    assert draw("kill", names, held, count=1) == ["m-4"]
    with pytest.raises(
        PlatformError, match="2 of 1 ready replicas, 4 more are held by a fault before it; heal"
    ):
        draw("kill", names, held, count=2)
    assert draw("kill", names, Among(confirmed=frozenset({"m-1"})), count=3) == ["m-1"]
