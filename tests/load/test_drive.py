"""A load is recorded to its end, and stopped where the run fails for certain."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from harness.errors import ScenarioError
from harness.judge.early_end import EarlyEnd
from harness.record import RunRecord, RunWriter
from harness.session import drive
from harness.session.drive import Drive, Watched
from tests.record.synthetic import OBJECTIVES, Made, messages, plan, service


class _Load:
    """A made-up run that says everything at once, then ends."""

    def __init__(self, made: Made, began_s_ago: float) -> None:
        self._messages = messages(made)
        self._began_ns = time.monotonic_ns() - round(began_s_ago * 1e9)
        self.ended = False
        self.stops = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.ended = True

    def poll(self, timeout_s: float) -> list[Any]:
        said = []
        for message in self._messages:
            if message["type"] == "start":
                message["monotonic_ns"] = self._began_ns
            if message["type"] != "end":
                said.append(message)
        self.ended = not said
        return said

    def stop(self) -> None:
        self.stops += 1

    def kill(self) -> None:
        self.ended = True


def _driven(root: Path, made: Made, *, early: bool) -> tuple[RunRecord, _Load, list[str]]:
    load = _Load(made, began_s_ago=60.0)
    heard: list[str] = []
    watch = EarlyEnd(made.plan, OBJECTIVES) if early else None
    with RunWriter.create(root, service(), made.plan, {}) as writer:
        beside = Watched(writer, lambda message: heard.append(message["type"]), watch)
        driven = Drive(writer, beside)
        driven.run(load)
        driven.finish()
        assert driven.interrupts == 0
    return RunRecord.load(writer.directory), load, heard


def _all_refused(second: int, endpoint: str, offered: int) -> dict[str, int]:
    return {"refused": offered}


def _later_refused(second: int, endpoint: str, offered: int) -> dict[str, int]:
    return {"refused": offered} if second > 10 else {}


def test_a_run_that_fails_for_certain_is_stopped_and_says_so(tmp_path: Path) -> None:
    made = Made(plan=plan(hold_s=120.0), failures=_later_refused)
    found, load, heard = _driven(tmp_path, made, early=True)
    assert load.stops == 1
    assert "early_end" in heard
    (event,) = found.events_of("early_end")
    assert event["rule"] == "certain failure"
    assert found.status == "complete"


def test_a_target_that_never_answered_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive, "ABORT_S", 0.0)
    made = Made(plan=plan(hold_s=120.0), failures=_all_refused)
    found, load, _ = _driven(tmp_path, made, early=True)
    assert load.stops == 2
    (event,) = found.events_of("early_end")
    assert event["rule"] == "no answer"


def test_without_early_end_it_goes_on(tmp_path: Path) -> None:
    made = Made(plan=plan(hold_s=120.0), failures=_all_refused)
    found, load, heard = _driven(tmp_path, made, early=False)
    assert load.stops == 0
    assert not found.events_of("early_end")
    assert "early_end" not in heard


class _Scripted:
    """A load that is interrupted, or says what it was given, then ends."""

    def __init__(self, said: Sequence[dict[str, Any]] = (), interrupts: int = 0) -> None:
        self._said, self._interrupts = list(said), interrupts
        self.ended = False
        self.asked: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.ended = True

    def poll(self, timeout_s: float) -> list[Any]:
        if self._interrupts:
            self._interrupts -= 1
            raise KeyboardInterrupt
        said, self._said = self._said, []
        self.ended = not said
        return said

    def stop(self) -> None:
        self.asked.append("stop")

    def kill(self) -> None:
        self.asked.append("kill")


def _followed(root: Path, load: _Scripted) -> tuple[Drive, RunWriter]:
    writer = RunWriter.create(root, service(), plan(), {})
    driven = Drive(writer, Watched(writer))
    driven.run(load)
    return driven, writer


def test_the_first_interrupts_drain_the_load_and_the_third_kills_it(tmp_path: Path) -> None:
    load = _Scripted(interrupts=3)
    driven, writer = _followed(tmp_path, load)
    driven.finish()
    assert load.asked == ["stop", "stop", "kill"]
    assert RunRecord.load(writer.directory).status == "interrupted"


def test_a_set_up_that_failed_is_raised_when_the_record_is_closed(tmp_path: Path) -> None:
    refused = {"type": "refused", "problem": "no token", "remedy": "log in", "no_answer": False}
    driven, writer = _followed(tmp_path, _Scripted([refused]))
    with pytest.raises(ScenarioError, match="no token"):
        driven.finish()
    assert RunRecord.load(writer.directory).status == "failed"


def test_what_went_wrong_first_is_what_the_record_says(tmp_path: Path) -> None:
    died = {"type": "child_died", "code": 1, "stderr": "boom"}
    driven, writer = _followed(tmp_path, _Scripted([died]))
    driven.fail("a fault was not healed")
    driven.finish()
    assert "boom" in str(RunRecord.load(writer.directory).meta["problem"])
