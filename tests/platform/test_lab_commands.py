"""`harness lab` from up to down, as a user types it."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.catalog.model import Service
from harness.cli.lab import group
from harness.errors import HarnessError
from harness.platform.lab import runtime
from harness.platform.lab.platform import Lab
from harness.platform.model import Fault


@pytest.fixture(autouse=True)
def own_labs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Labs of this test only."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def run(*words: str) -> str:
    result = CliRunner().invoke(group, words, catch_exceptions=False, standalone_mode=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.lab
def test_up_status_exec_logs_down() -> None:
    """The lab outlives `up`, is looked at and entered, and `down` leaves nothing."""
    try:
        assert "memorai-us-east-1-0" in run("up", "memorai", "--replicas", "1")
        (lab,) = runtime.running()
        with pytest.raises(HarnessError, match="up already"):
            run("up")
        assert "explored" in run("status")
        (told,) = json.loads(run("status", "--json"))
        assert (told["explored"], told["faults"], told["mutants"]) == (True, [], [])
        assert told["processes"][0]["health"] == "ready"
        assert run("logs", "supervisor") == ""
        with pytest.raises(HarnessError, match="no log of 'x'"):
            run("logs", "x")
        for program, code in (("false", 1), ("no-such-program-anywhere", 127)):
            result = CliRunner().invoke(group, ["exec", program], standalone_mode=False)
            assert result.return_value == code
    finally:
        said = run("down")
    assert "ended" in said
    assert not lab.runtime.exists()
    assert runtime.remains(lab) == ()
    assert "no lab" in run("down")
    assert "no lab" in run("status")


def test_every_fault_kind_is_listed_with_its_arguments() -> None:
    said = run("faults")
    assert "kill-replicas         region count percent seed=1 hold=False" in said
    assert "clock-jump" in said
    assert "not here: " in said


@pytest.mark.lab
def test_a_lab_broken_on_purpose_says_so(memorai: Service) -> None:
    """As does one with a fault in effect, so that nobody wonders."""
    assert "no-fail-back" in run("up", "--mutant", "list")
    try:
        run("up", "memorai", "--replicas", "1", "--mutant", "garbage", "--replication", "sync")
        (running,) = runtime.running()
        lab = Lab.attach(running)
        assert lab.options.replication == "sync"
        fault = Fault("pause-replicas")
        lab.inject(memorai, fault, lab.plan_heal(memorai, fault, "f1"))
        said = run("status")
        assert "broken on purpose: garbage" in said
        assert "fault in effect" in said
    finally:
        run("down")


@pytest.mark.lab
def test_down_ends_a_lab_whose_supervisor_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped supervisor cannot end itself: it is killed, and its namespace with it."""
    monkeypatch.setattr("harness.platform.lab.control.TIMEOUT_S", 0.5)
    monkeypatch.setattr("harness.platform.lab.runtime.STOP_TIMEOUT_S", 1.0)
    run("up", "memorai", "--replicas", "1")
    (lab,) = runtime.running()
    assert lab.pid is not None
    os.kill(lab.pid, signal.SIGSTOP)
    assert "ended" in run("down", "--all")
    assert runtime.remains(lab) == ()


@pytest.mark.lab
def test_a_lab_ends_by_itself_when_its_time_is_over() -> None:
    run("up", "memorai", "--replicas", "1", "--ttl", "2")
    (lab,) = runtime.running()
    deadline = time.monotonic() + 15
    while lab.runtime.exists() or runtime.remains(lab):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    "words",
    [
        ["up", "--ttl", "0"],
        ["up", "--ttl", "nan"],
        ["up", "--regions", "7"],
        ["up", "nosuch"],
        ["logs"],
        ["exec", "true"],
    ],
)
def test_what_cannot_be_is_told_in_one_line(words: list[str]) -> None:
    with pytest.raises(HarnessError) as told:
        run(*words)
    assert "\n" not in str(told.value)
