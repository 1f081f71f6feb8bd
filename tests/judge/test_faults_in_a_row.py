"""Faults one after another in one experiment: each has its stage and its own recovery."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.judge.experiment import ExperimentVerdict, judge_experiment
from tests.judge.made_experiment import END, INJECT, US, WARM, Event, Story, experiment

AGAIN, HEALED = 40, 44
DOOR = "memorai-us-east-1-1"


def events(*, seen: bool) -> Iterator[Event]:
    for at, what in ((AGAIN, "inject"), (HEALED, "healed")):
        yield {"type": "chaos", "t": float(at), "what": what, "fault_id": "f2",
               "kind": "pause-replicas"}  # fmt: skip
    for name, begin, end in (("during", INJECT, HEALED), ("after", HEALED, END)):
        yield {"type": "stage", "t": float(END), "stage": name, "begin": begin, "end": end}
    for tick in range(WARM * 5, END * 5):
        t = tick / 5
        down = seen and AGAIN <= t < HEALED
        yield {"type": "canary", "t": t + 0.02, "where": DOOR, "connection": "new",
               "ok": not down, "error": "timeout" if down else None, "latency_s": 0.01,
               "region": None if down else US}  # fmt: skip


def judged(root: Path, second_outage: tuple[int, int], *, seen: bool = True) -> ExperimentVerdict:
    def failures(second: int, endpoint: str, offered: int) -> dict[str, int]:
        for begin, end in ((INJECT, 25), second_outage):
            if begin <= second < end:
                return {"timeout": offered // 2}
        return {}

    made: dict[str, Any] = {"failures": failures}
    expect = {"recovery_s": 8, "lost_writes": 0}
    story = replace(Story(), made=made, expect=expect, extra=tuple(events(seen=seen)))
    return judge_experiment(experiment(root, story))


def statement(verdict: ExperimentVerdict, name: str) -> str:
    return next(check.statement for check in verdict.checks if check.name == name)


def test_two_faults_that_each_recover_in_time_pass(tmp_path: Path) -> None:
    """Though from the first injection to the last recovery it takes far longer."""
    verdict = judged(tmp_path, (AGAIN, 43))
    assert verdict.outcome == "pass", verdict.reasons
    told = statement(verdict, "recovery")
    assert "Fault 1 (fail-region): " in told
    assert "Fault 2 (pause-replicas): " in told
    assert verdict.recovery is not None
    assert verdict.recovery.recovery == 43 - INJECT, "on the first injection's clock"
    measured = next(check.measured for check in verdict.checks if check.name == "recovery")
    assert measured == "5.00 s (4 to 5 s); 3.00 s (2 to 3 s)"


def test_the_fault_that_does_not_recover_in_time_fails_by_its_own_clock(tmp_path: Path) -> None:
    verdict = judged(tmp_path, (AGAIN, END))
    assert verdict.outcome == "fail"
    assert "Fault 2 (pause-replicas): It had not recovered" in statement(verdict, "recovery")


def test_a_second_fault_that_nobody_saw_proves_nothing(tmp_path: Path) -> None:
    verdict = judged(tmp_path, (AGAIN, AGAIN), seen=False)
    assert verdict.outcome == "inconclusive"
    assert "fault 2 (pause-replicas)" in verdict.reasons[0]
