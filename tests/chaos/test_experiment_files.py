"""Experiment files: what is in experiments/, and what is said of a bad one."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from harness.catalog import project_root
from harness.catalog.expectations import Expectations
from harness.chaos import experiment, foreign
from harness.chaos.experiment import _Stages, experiment_names, load_experiment
from harness.chaos.method import ACTIONS
from harness.chaos.model import (
    LEAST_BEFORE_S,
    BaseLoad,
    BlastRadius,
    Experiment,
    Guards,
    Needs,
    Spike,
)
from harness.chaos.plan import SLACK_S, WARMUP_S, timeline
from harness.chaos.session import profile_of
from harness.chaos.validation import BOUNDS
from harness.cli import run
from harness.errors import ExperimentError
from harness.stats.recovery import LEAST_BASELINE
from harness.typed import fields_of

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
    heals = [each["provider"]["func"] for each in found.document["rollbacks"] or ()]
    assert heals == ["heal"]


def test_there_are_at_least_fourteen_experiments() -> None:
    """And a whole game day of them keeps below 15 minutes of load."""
    assert len(NAMES) >= 14
    every = [load_experiment(name, ROOT) for name in NAMES]
    stages = [
        each.timeline
        for each in every
        if "lab" in each.platforms and "extended" not in (each.document["tags"] or ())
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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["experiment", "show", "kill-replica", "--set", "region="], "region has no value"),
        (["gameday", "--experiments", ","], "names no experiment"),
    ],
)
def test_an_empty_value_is_refused_and_never_taken_for_everything(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As of a variable of CI that is not set."""
    assert run(words) == 2
    assert said in capsys.readouterr().err


def test_what_is_shown_of_an_experiment_holds_an_expectation_of_zero(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["experiment", "show", "kill-replica"]) == 0
    assert "lost_writes 0" in capsys.readouterr().out


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
        (lambda document: document["extensions"].append(document["extensions"][0]), "2 entries"),
        (_harness(load={"rate": "fast"}), "load.rate"),
        (_harness(expect={"recovery": 3}), "expect.recovery: no such field"),
        (_harness(incidents="x"), "incidents"),
        (_harness(needs={"replication": "eventual"}), "needs.replication"),
        (_provider(func="inject_everything"), "inject_everything"),
        (_provider(module="harness.chaos.nothing"), "harness.chaos.nothing"),
        (_provider(arguments={"fault": 3}), "arguments.fault is 3"),
        (_step(pauses={"after": "a while"}), "pause must be a number"),
        (_step(pauses={}), "a stage without seconds"),
        (_step(pauses={"after": -4}), "pauses.after is -4; give 0 to 86400 seconds"),
        (_step(timeout=0), "timeout is 0; give seconds"),
        (_step(timeout="soon"), "activity timeout must be a number"),
        (_harness(load={"rate": -1}), "load.rate is -1; give 0.1 to 1e+06"),
        (_harness(blast_radius={"share": 50}), "blast_radius.share is 50; give 0 to 1"),
        (_harness(expect={"recovery_s": -1}), "expect.recovery_s is -1"),
        (_harness(platforms=[]), "platforms: no platform ''; known are lab"),
        (_harness(guards=[]), "guards: give a mapping"),
        (_harness(name="Harness"), "extensions: 'Harness'; did you mean harness?"),
        (
            _harness(load={"spike": {"factor": 2, "at_s": 1, "duration_s": 500}}),
            "load.spike ends after the load does",
        ),
        (_step(pause={"after": 4}), "no field 'pause'; did you mean pauses?"),
        (_step(pauses={"afer": 4}), "pauses: no field 'afer'; did you mean after?"),
        (_provider(argument={}), "no field 'argument'"),
        (lambda document: document.update(rollback=[]), "no field 'rollback'"),
        (
            lambda document: document.update(runtime={"rollbacks": {"strateg": "never"}}),
            "runtime.rollbacks: no field 'strateg'; did you mean strategy?",
        ),
        (
            _step(tolerance={"type": "jsonpath", "path": "$.a", "expect_one_of": [1]}),
            "tolerance: no field 'expect_one_of'; ",
        ),
        (
            _step(tolerance={"type": "regex", "pattern": "a", "targt": "stdout"}),
            "tolerance: no field 'targt'; did you mean target?",
        ),
        (
            _step(tolerance={"type": "range", "range": [1, 2], "strict": True}),
            "tolerance: no field 'strict'; give one of type, name, range, target",
        ),
        (
            _step(tolerance={"type": "range", "range": [5, 1]}),
            "tolerance: no value is from 5 to 1; ",
        ),
        (
            lambda document: document["configuration"].update(place="in-${region}"),
            "configuration.place refers to ${region}",
        ),
        (lambda document: document.update(runtime=[]), "with runtime []"),
        (lambda document: document["method"].append("x"), "with method."),
        (_harness(platforms=["labb"]), "platforms: no platform 'labb'; did you mean lab?"),
        (_harness(elsewhere={"kubernets": {}}), "elsewhere: no platform 'kubernets'; did you mean"),
        (_harness(elsewhere="kubernetes"), "elsewhere is 'kubernetes'; give a mapping"),
    ],
)
def test_a_bad_experiment_names_file_and_field(
    spoil: Callable[[Document], object], said: str, tmp_path: Path
) -> None:
    """In one line with a remedy."""
    document = yaml.load((ROOT / "experiments" / "fail-region.yaml").read_text(), yaml.CSafeLoader)
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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"method": [], "method": []}', "'method' stands twice in one object"),
        ('{"method": NaN}', "method is nan; give a finite number"),
        ('{"method": [1e400]}', "method.0 is inf; give a finite number"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a mapping"),
    ],
)
def test_a_file_of_json_is_read_by_the_rules_of_yaml(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ExperimentError, match=said):
        load_experiment(str(path), ROOT)


def test_every_number_of_the_extension_has_bounds() -> None:
    parts = {"load": BaseLoad, "load.spike": Spike, "needs": Needs, "timeline": _Stages,
             "blast_radius": BlastRadius, "guards": Guards, "expect": Expectations}  # fmt: skip
    numbers = {
        f"{name}.{field}"
        for name, part in parts.items()
        for field, (_, hint) in fields_of(part).items()
        if {int, float} & {hint, *get_args(hint)}
    }
    assert numbers == set(BOUNDS)


def test_an_extension_that_is_no_mapping_is_said_so(tmp_path: Path) -> None:
    """Instead of a traceback."""
    document = yaml.load((ROOT / "experiments" / "fail-region.yaml").read_text(), yaml.CSafeLoader)
    document["extensions"] = ["harness"]
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(ExperimentError, match=r"bad.yaml: not a Chaos Toolkit experiment"):
        load_experiment(str(path), ROOT)


def _case(**changes: Any) -> Document:
    text = (ROOT / "experiments" / "kill-replica.yaml").read_text()
    document: Document = yaml.load(text, yaml.CSafeLoader)
    return document | changes


def _load(tmp_path: Path, document: Document) -> Experiment:
    path = tmp_path / "case.yaml"
    path.write_text(yaml.safe_dump(document))
    return load_experiment(str(path), ROOT)


def _inject(fault: str, after: float, **fields: Any) -> Document:
    arguments = {"fault": fault, "region": "us-east-1", "count": 1}
    provider = {"type": "python", "module": ACTIONS, "func": "inject", "arguments": arguments}
    return {"type": "action", "name": fault, "provider": provider, "pauses": {"after": after}} | (
        fields
    )


def _heal(after: float = 2) -> Document:
    provider = {"type": "python", "module": ACTIONS, "func": "heal"}
    return {"type": "action", "name": "heal", "provider": provider, "pauses": {"after": after}}


SLEEP: Document = {"type": "action", "name": "wait", "provider": {
    "type": "process", "path": "sleep", "arguments": "3"}}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rollbacks": [_inject("fail-region", 0)]}, "its rollbacks inject a fault"),
        (
            {"method": [_inject("kill-replicas", 4)], "rollbacks": []},
            "nothing heals kill-replicas; end the method, or the rollbacks, with",
        ),
        ({"configuration": "x"}, "configuration is 'x'; give a mapping"),
        ({"configuration": {"region": {"type": "vault"}}}, "configuration.region: type 'vault'"),
        ({"configuration": {"region": {"type": ["env"]}}}, "configuration.region: type ['env']"),
        (
            {"configuration": {"region": {"type": "probe"}}},
            "configuration.region: a probe without a provider",
        ),
        ({"extensions": 3}, "extensions is 3; give a list"),
        (
            {"controls": [{"name": "c", "provider": {"type": "python", "module": "no_such"}}]},
            "control 'c' cannot be loaded: No module named 'no_such'",
        ),
    ],
)
def test_a_file_that_cannot_end_well_is_refused(
    changes: Document, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ExperimentError, match=re.escape(said)):
        _load(tmp_path, _case(**changes))


@pytest.mark.parametrize(
    ("entry", "value", "said"),
    [
        ({"type": "env"}, None, "type env without key; name the variable"),
        ({"type": "env", "key": "HELD"}, None, "the variable HELD is not set"),
        ({"type": "env", "key": "HELD"}, "", "the variable HELD is empty; set it"),
        ({"type": "env", "key": "HELD", "default": "x"}, "", "the variable HELD is empty; set it"),
        ({"type": "env", "key": "HELD", "env_var_type": "int"}, "s3cret", "HELD is no int"),
        ({"type": "env", "key": "HELD", "env_var_type": "float"}, "nan", "HELD is nan"),
    ],
)
@pytest.mark.parametrize("part", ["configuration", "secrets"])
def test_a_variable_that_holds_nothing_usable_is_named_and_not_its_value(
    part: str,
    entry: Document,
    value: str | None,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if value is not None:
        monkeypatch.setenv("HELD", value)
    known = {"region": "us-east-1", "hold_s": 4} if part == "configuration" else {}
    with pytest.raises(ExperimentError, match=said) as problem:
        _load(tmp_path, _case(**{part: {**known, "held": entry}}))
    assert "s3cret" not in str(problem.value)


def test_a_secret_that_the_file_does_not_have_is_named(tmp_path: Path) -> None:
    provider = {"type": "python", "module": "os", "func": "getpid", "secrets": ["aip"]}
    step = {"type": "action", "name": "ask", "provider": provider}
    with pytest.raises(ExperimentError, match=r"ask: no secret 'aip'; did you mean api\?"):
        _load(tmp_path, _case(secrets={"api": {"token": "t"}}, rollbacks=[step]))


def test_a_before_too_short_for_a_range_is_refused(tmp_path: Path) -> None:
    document = _case()
    document["extensions"][0]["timeline"]["before_s"] = 9.5
    with pytest.raises(ExperimentError, match=r"before_s is 9\.5; give at least 10"):
        _load(tmp_path, document)
    assert LEAST_BEFORE_S == LEAST_BASELINE


def test_faults_in_a_row_each_have_their_place_and_the_load_lasts_for_all(tmp_path: Path) -> None:
    method = [_inject("pause-replicas", 4), _heal(), SLEEP, _inject("kill-replicas", 4), _heal()]
    found = _load(tmp_path, _case(method=method))
    steps = [(step.at_s, step.what.split()[0]) for step in timeline(found)]
    begin = WARMUP_S + found.timeline.before_s
    acts = [(0, "inject"), (4, "heal"), (9, "inject"), (13, "heal")]
    assert [step for step in steps if step[1] in {"inject", "heal"}] == [
        (begin + at, what) for at, what in acts
    ]
    assert found.timeline.during_s == 13
    assert profile_of(found).duration_s == steps[-1][0] == begin + 13 + 14 + SLACK_S


def test_the_load_does_not_wait_for_a_process_that_sleeps_for_more_than_a_minute(
    tmp_path: Path,
) -> None:
    for seconds, lasts in (("60", 60), ("61", 0)):
        slept = copy.deepcopy(SLEEP)
        slept["provider"]["arguments"] = seconds
        method = [_inject("pause-replicas", 4), slept, _heal()]
        assert _load(tmp_path, _case(method=method)).timeline.during_s == 4 + lasts


def test_what_the_method_does_first_and_in_the_background_has_its_time(tmp_path: Path) -> None:
    method = [SLEEP, _inject("kill-replicas", 4, background=True), SLEEP, _heal()]
    found = _load(tmp_path, _case(method=method))
    assert (found.timeline.lead_s, found.timeline.during_s) == (3, 3)
    last = timeline(found)[-1].at_s
    assert profile_of(found).duration_s == last


def test_a_parameter_that_a_probe_answers_is_resolved_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = {"type": "process", "path": "echo", "arguments": "us-east-1"}
    asked = {"type": "probe", "name": "which", "provider": provider}
    monkeypatch.setenv("HOLD", "7")
    held = {"type": "env", "key": "HOLD", "env_var_type": "int"}
    found = _load(tmp_path, _case(configuration={"region": asked, "hold_s": held}))
    assert found.faults[0].arguments["region"] == "us-east-1"
    assert found.timeline.during_s == 7
    assert (found.document["configuration"] or {})["region"] == "us-east-1"
    provider["path"] = "false"
    with pytest.raises(ExperimentError, match=r"region: its probe 'which' ended with exit code 1"):
        _load(tmp_path, _case(configuration={"region": asked, "hold_s": 3}))
    monkeypatch.setattr(experiment, "CONFIGURED_S", 0.1)
    provider |= {"path": "sleep", "arguments": "600"}
    with pytest.raises(ExperimentError, match=r"'which' failed: it did not end within 0\.1 s"):
        _load(tmp_path, _case(configuration={"region": asked, "hold_s": 3}))


@pytest.mark.parametrize("suffix", ["json", "yaml", "yml"])
def test_an_ordinary_file_needs_no_extension(suffix: str, tmp_path: Path) -> None:
    wait = {"type": "action", "name": "wait", "provider": {
        "type": "python", "module": "time", "func": "sleep", "arguments": {"s": 1}}}  # fmt: skip
    document = {"title": "T", "description": "What it does", "method": [wait]}
    path = tmp_path / f"ordinary.{suffix}"
    dumped = json.dumps(document, indent="\t") if suffix == "json" else yaml.safe_dump(document)
    path.write_text(dumped)
    found = load_experiment(str(path), ROOT)
    assert (found.ordinary, found.faults, found.teaches) == (True, (), "What it does")
    path.write_text("{")
    with pytest.raises(ExperimentError, match=rf"ordinary\.{suffix}"):
        load_experiment(str(path), ROOT)


@pytest.mark.parametrize(
    ("module", "function", "arguments", "said"),
    [
        ("os", "_exit", {"status": 7}, "'which' failed: its process ended with code 7"),
        ("ctypes", "string_at", {"ptr": 0}, "'which' failed: its process was ended by SIGSEGV"),
        ("signal", "raise_signal", {"signalnum": 15}, "'which' failed: .*ended by SIGTERM"),
        ("sys", "exit", {"status": 4}, "'which' failed: 4; correct the probe"),
        ("time", "sleep", {"secs": 600}, r"'which' failed: it did not end within 0\.1 s"),
        ("own_exits", "f", {}, "own_exits cannot be imported: its process ended with code 3"),
        ("own_hangs", "f", {}, "own_hangs cannot be imported: it did not end within 3 s"),
    ],
)
def test_a_probe_of_the_configuration_that_ends_its_process_or_hangs_is_named(
    module: str,
    function: str,
    arguments: Document,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "own_exits.py").write_text("import os\nos._exit(3)\n")
    (tmp_path / "own_hangs.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(experiment, "CONFIGURED_S", 0.1)
    monkeypatch.setattr(foreign, "START_S", 3.0 if module == "own_hangs" else 60.0)
    provider = {"type": "python", "module": module, "func": function, "arguments": arguments}
    asked = {"type": "probe", "name": "which", "provider": provider}
    with pytest.raises(ExperimentError, match=said):
        _load(tmp_path, _case(configuration={"region": asked, "hold_s": 3}))
