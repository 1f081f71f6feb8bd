"""Rules of an experiment's parts that only a whole run would show otherwise."""

import queue
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from harness._engine import Histogram
from harness.catalog import project_root
from harness.catalog.model import Service
from harness.chaos import plan, probes, toolkit_runner
from harness.chaos.audit import judge
from harness.chaos.experiment import learn_document, load_experiment
from harness.chaos.guards import Watch
from harness.chaos.ledger import Ledger
from harness.chaos.model import Guards
from harness.chaos.plan import plan_experiment
from harness.chaos.probe_client import Answer, Endpoint
from harness.chaos.session import logged
from harness.chaos.subprocesses import Child
from harness.errors import ExperimentError
from harness.messages import SliceRow
from harness.platform.undo import UndoRecord
from harness.redact import redact
from harness.traffic.scenario import load_model
from tests.chaos.conftest import Remembering

RECOVERS: tuple[Literal["heal", "inject"], ...] = ("heal", "inject")


@pytest.mark.parametrize(
    ("status", "body", "seen"),
    [
        (404, b"", (False, None)),
        (503, b'{"id": "k"}', (None, None)),
        (None, b"", (None, None)),
        (200, b"[]", (None, None)),
        (200, b'{"id": "k"}', (True, True)),
        (200, b'{"id": "other"}', (True, False)),
    ],
)
def test_a_write_is_missing_only_where_the_answer_says_so(
    status: int | None, body: bytes, seen: tuple[bool | None, bool | None]
) -> None:
    assert judge(Answer(status, body, None, 0.1, None), "k") == seen


def test_only_the_audited_write_is_logged(service: Service) -> None:
    traffic = load_model(service, None, project_root())
    assert traffic.audit is not None
    found = {each.name: each.log for each in logged(traffic).requests}
    assert {name for name, log in found.items() if log} == {traffic.audit.write}
    without = replace(traffic, audit=None)
    assert logged(without) is without


def test_a_guard_of_the_p95_names_its_limit(service: Service) -> None:
    """Failed requests count as slow; fast ones never break it."""
    for seconds, said in ((0.5, "the p95 since the injection is above 200 ms"), (0.1, None)):
        histogram = Histogram()
        for _ in range(200):
            histogram.record(round(seconds * 1e9))
        watch = Watch(Guards(error_ratio=None, p95_s=0.2), service)
        row: dict[str, Any] = {
            "axis": "done", "endpoint": "all", "offered": 200, "failed": 0, "completed": 200,
            "unfinished": 0, "errors": {}, "bytes_in": 0, "bytes_out": 0, "connects": 0,
            "hist": {"response": histogram.encode()},
        }  # fmt: skip
        for second in range(5):
            made: SliceRow = {**row, "second": second}  # type: ignore[typeddict-item]
            watch.add(made)
        assert watch.broken(0) == said


def test_an_experiment_has_the_stages_of_its_platform() -> None:
    lab, cluster = (
        load_experiment("fail-region", project_root(), platform=each)
        for each in ("lab", "kubernetes")
    )
    assert lab.timeline != cluster.timeline


def test_variables_of_a_configuration_are_secrets_as_those_of_secrets_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SMALL_RULES_A", "value-of-configuration")
    document: Any = {"configuration": {"a": {"type": "env", "key": "SMALL_RULES_A"}}}
    learn_document(document)
    assert "value-of-configuration" not in redact("asked with value-of-configuration")


def test_nobody_is_said_to_feel_a_fault_of_a_service_without_a_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or of one that the catalogue does not know."""
    assert plan._felt.__wrapped__("nobody") == ()
    monkeypatch.setattr(plan, "project_root", lambda: tmp_path)
    assert plan._felt.__wrapped__("wallet") == ()


def test_a_probe_connects_to_the_host_of_its_url() -> None:
    connection = Endpoint("here", "http://192.0.2.7:81").connect(1.0)
    assert (connection.host, connection.port) == ("192.0.2.7", 81)


def test_a_probe_that_is_answered_wrongly_elsewhere_is_no_error_of_the_experiment(
    monkeypatch: pytest.MonkeyPatch, service: Service
) -> None:
    """Where the load's network is another, another process asks and ends with 1."""

    class Inside(Remembering):
        def target(self, *words: Any) -> Any:
            return replace(super().target(*words), exec_prefix=("env",))

    context = type("Made", (), {"platform": Inside(), "service": service, "expected": None})
    context.path = "/"  # type: ignore[attr-defined]
    monkeypatch.setattr(probes, "current", lambda: context)
    assert probes.answers() is False


@pytest.mark.parametrize(
    ("document", "strategy"),
    [
        ({"title": "T"}, "default"),
        ({"extensions": [{"name": "harness"}]}, "continuous"),
        ({"title": "T", "runtime": {"hypothesis": {"strategy": "before-method-only"}}},
         "before-method-only"),
    ],
)  # fmt: skip
def test_the_steady_state_is_checked_all_the_time_in_files_of_the_harness_only(
    document: Any, strategy: str
) -> None:
    document["method"] = []
    assert toolkit_runner._strategy(document).value == strategy


def test_a_child_ends_with_its_input_and_says_whether_it_has(tmp_path: Path) -> None:
    """Python's own prompt reads its input to the end."""
    with Child("code", ["-q"], queue.SimpleQueue(), log=tmp_path / "log") as child:
        listed = subprocess.run(
            ["ps", "-o", "args=", "-p", str(child.pid)], capture_output=True, text=True, check=True
        )
        assert sys.executable in listed.stdout
        assert not child.wait(0.01)
        child.close()
        child.close()
        assert child.wait(20.0)
        assert not child.running


def test_a_ledger_whose_directory_was_taken_along_is_made_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "state" / "run")
    ledger.intend(UndoRecord("f", "kill-replicas"), {})
    ledger.intend(UndoRecord("g", "kill-replicas"), {})
    assert [each.fault_id for each in ledger.read()[0]] == ["g", "f"]


def test_half_a_second_is_a_stage_and_none_is_not() -> None:
    found = load_experiment("fail-region", project_root(), {"hold_s": 0.5})
    assert found.timeline.during_s == 0.5
    with pytest.raises(ExperimentError, match="a stage without seconds"):
        load_experiment("fail-region", project_root(), {"hold_s": 0})


def test_a_recovery_that_begins_with_the_heal_costs_the_faults_time_too(service: Service) -> None:
    """Of the error budget, in proportion to the seconds in which requests may fail."""
    made = load_experiment("fail-region", project_root())
    allowed = made.expect.recovery_s
    assert allowed is not None
    at_heal, at_once = (
        plan_experiment(
            replace(made, expect=replace(made.expect, recovery_from=since)), service, Remembering()
        ).budget_cost
        for since in RECOVERS
    )
    assert at_heal is not None
    assert at_once is not None
    ratio = (allowed + made.timeline.during_s) / allowed
    assert at_heal / at_once == pytest.approx(ratio)
