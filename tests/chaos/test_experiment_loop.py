"""The loop of an experiment beside its load: when it acts, what it records, what it undoes."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.catalog import project_root
from harness.catalog.model import Service
from harness.chaos import canary
from harness.chaos.alert import AlertGuard
from harness.chaos.canary import CanaryPlan
from harness.chaos.experiment import load_experiment
from harness.chaos.ledger import Ledger
from harness.chaos.plan import WARMUP_S, plan_experiment
from harness.chaos.probe_client import Endpoint
from harness.chaos.run import RUNNER, ExperimentRun
from harness.platform.undo import UndoRecord
from harness.session.drive import Drive
from harness.session.options import RunOptions
from harness.session.run import Session
from harness.traffic.model import TrafficModel
from harness.traffic.scenario import load_model
from tests.chaos.conftest import Remembering

START_NS = 1_000_000_000


class Load:
    """A load that only counts how often it is asked to stop."""

    stops = 0

    def stop(self) -> None:
        """Count."""
        self.stops += 1


class Toolkit:
    """Chaos Toolkit's process as the loop uses it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def go(self) -> None:
        """Begin."""
        self.asked.append("go")

    def close(self) -> None:
        """End."""
        self.asked.append("close")


class Events:
    """A record of events only."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.found: list[dict[str, Any]] = []

    def event(self, kind: str, /, **fields: Any) -> None:
        """Keep one."""
        self.found.append({"type": kind, **fields})


class Loop:
    """A run of kill-replica whose load goes on, and what goes on beside it."""

    def __init__(self, run: ExperimentRun, ledger: Ledger, directory: Path) -> None:
        self.run, self.ledger, self.load = run, ledger, Load()
        self.toolkit, self.events = Toolkit(), Events(directory / "record")
        self.events.directory.mkdir()
        wired: dict[str, Any] = {
            "_writer": self.events, "_ledger": ledger, "_scratch": directory,
            "_drive": Drive(self.events, run), "_toolkit": self.toolkit,  # type: ignore[arg-type]
            "_alert": AlertGuard(None),
        }  # fmt: skip
        vars(run).update(wired)
        run._drive.start_ns = START_NS

    def at(self, now_s: float | None) -> None:
        """One turn of the loop."""
        self.run.turn(self.load, now_s)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def traffic(service: Service) -> TrafficModel:
    return load_model(service, None, project_root())


@pytest.fixture
def loop(
    platform: Remembering, service: Service, traffic: TrafficModel, tmp_path: Path
) -> Iterator[Loop]:
    target = platform.target(service, "global", None)
    options = RunOptions("memorai", through="global")
    ready = Session(options, service, traffic, platform, target, project_root(), tmp_path)
    with Ledger.open() as ledger:
        yield Loop(ExperimentRun(ready, load_experiment("kill-replica", project_root())), ledger,
                   tmp_path)  # fmt: skip
        for entry in ledger.entries():
            ledger.forget(entry.fault_id)


def test_the_method_begins_once_half_a_second_before_the_stage_before_it_ends(loop: Loop) -> None:
    """Nothing is due before the load has started."""
    begin = WARMUP_S + loop.run.experiment.timeline.before_s - 0.5
    for now_s, asked in ((None, []), (begin - 0.01, []), (begin, ["go"]), (begin + 9, ["go"])):
        loop.at(now_s)
        assert loop.toolkit.asked == asked


def test_the_load_waits_until_chaos_toolkit_is_ready(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine the fault would come late, on a load that had long begun."""
    said = iter([None, None, "ready"])

    def speak(_: float) -> None:
        if (what := next(said)) is not None:
            loop.run._inbox.put({"type": "chaos_child", "what": what, "pid": 1})  # type: ignore[typeddict-item]

    monkeypatch.setattr("harness.chaos.run.time.sleep", speak)
    loop.run._wait_until_ready()
    assert next(said, "asked for no more") == "asked for no more"


def test_the_load_does_not_wait_for_a_chaos_toolkit_that_has_ended(loop: Loop) -> None:
    loop.run._inbox.put({"type": "child_ended", "module": RUNNER, "code": 1})
    loop.run._wait_until_ready()
    assert loop.run._state.aborted == "the chaos child died"


def test_recent_writes_are_read_back_once_four_seconds_before_the_fault_ends(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those from five seconds before the injection on: older ones have been replicated."""
    read: list[tuple[str, ...]] = []
    monkeypatch.setattr(loop.run, "_audit_survivors", read.append)
    loop.run._state.injected = 20.0
    loop.run._state.writes = {"old": 14.9, "edge": 15.0, "new": 21.0}
    due = 20.0 + loop.run.experiment.timeline.during_s - 4.0
    for now_s, found in ((due - 0.01, []), (due, [("edge", "new")]), (due + 1, [("edge", "new")])):
        loop.at(now_s)
        assert read == found


def test_once_healed_nothing_is_read_back_beside_the_load(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[str, ...]] = []
    monkeypatch.setattr(loop.run, "_audit_survivors", read.append)
    loop.run._state.injected, loop.run._state.healed = 20.0, 21.0
    loop.at(1000.0)
    assert read == []


@pytest.mark.parametrize(("what", "stops"), [("abort", 0), ("halt", 1)])
def test_an_alert_stops_the_experiment_once_and_the_load_only_where_it_halts(
    loop: Loop, what: str, stops: int
) -> None:
    vars(loop.run)["_alert"] = SimpleNamespace(stop=lambda *, injected: (what, "the alert fired"))
    for _ in range(2):
        loop.at(1.0)
    said = [each for each in loop.events.found if each.get("what") == what]
    assert [each["detail"] for each in said] == ["the alert fired"]
    assert (loop.toolkit.asked, loop.load.stops) == (["close"], stops)


def test_what_is_about_to_be_injected_is_left_to_the_process_that_injects_it(
    loop: Loop, platform: Remembering
) -> None:
    """Undone before its act, the act would be on no ledger."""
    loop.ledger.intend(UndoRecord("intended", "kill-replicas"), platform.handle())
    loop.ledger.injected(loop.ledger.intend(UndoRecord("done", "kill-replicas"), {}))
    platform.effects = ["done"]
    loop.run._stop(loop.load, "abort", "a guard")  # type: ignore[arg-type]
    assert [entry.fault_id for entry in loop.ledger.entries()] == ["intended"]
    assert platform.effects == []


def test_events_of_other_processes_stand_on_the_load_s_clock(loop: Loop) -> None:
    loop.run._event({"type": "health", "id": "r", "was": None, "now": "ready",
                     "monotonic_ns": START_NS + 2_500_000_000})  # fmt: skip
    assert [each["t"] for each in loop.events.found] == [2.5]


@pytest.mark.parametrize(
    ("log", "problem"),
    [
        ("Traceback\nValueError: no such fault\n\n", ": ValueError: no such fault (see chaos.log)"),
        ("", ""),
    ],
)
def test_where_chaos_toolkit_ends_by_itself_the_record_has_the_last_line_of_its_log(
    loop: Loop, tmp_path: Path, log: str, problem: str
) -> None:
    (tmp_path / "chaos.log").write_text(log)
    loop.run._chaos_ended({"type": "child_ended", "module": RUNNER, "code": 3})
    assert loop.run._drive.problem == f"Chaos Toolkit ended by itself (code 3){problem}"


def test_the_probes_and_the_audit_are_processes_with_a_plan_of_their_own(
    loop: Loop, platform: Remembering, service: Service, tmp_path: Path
) -> None:
    run = loop.run
    plan = plan_experiment(run.experiment, service, platform)
    target = platform.target(service, "global", None)
    assert run._canary(plan, target, ()).module == "harness.chaos.canary"
    assert json.loads((tmp_path / "canary.json").read_text())["path"] == run._asked_for[0]
    entry_points = (Endpoint("global", "http://127.0.0.1:1"),)
    reader = run._reader("after", entry_points, ("a", "b"))
    assert reader is not None
    assert reader.module == "harness.chaos.audit"
    assert json.loads((tmp_path / "audit-after.json").read_text())["ids"] == ["a", "b"]
    assert run._reader("after", entry_points, ()) is None
    assert run._reader("after", (), ("a",)) is None


def test_the_probes_go_on_until_their_standard_input_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[object] = []
    monkeypatch.setattr(canary, "take_over_stdout", lambda: None)
    monkeypatch.setattr(canary, "send", said.append)
    monkeypatch.setattr(sys, "stdin", io.StringIO("go\ngo\n"))
    (tmp_path / "plan.json").write_text(json.dumps(asdict(CanaryPlan((), "/"))))
    assert canary.main(tmp_path / "plan.json") == 0
    assert sys.stdin.read() == ""
    assert said == [{"type": "canary_child", "what": "ready", "entry_points": []}]
