"""A sound experiment passes; the same one with a defect that says nothing of itself does not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.stats.experiments import caught
from harness.judge.experiment import judge_experiment
from harness.record import RunRecord
from harness.storage import read_object
from tests.judge.made_experiment import END, HEAL, INJECT, Event, Story, experiment

BACK = 25
"""The second in which the sound service has recovered."""


def _losing(every: int) -> Any:
    """Half of the requests fail in the outage; after it one of `every`, evenly."""

    def failures(second: int, endpoint: str, offered: int) -> dict[str, int]:
        if INJECT <= second < BACK:
            return {"timeout": offered // 2}
        if second < BACK:
            return {}
        before = (second - BACK) * offered
        return {"status": (before + offered) // every - before // every}

    return failures


def _exit_code(record: RunRecord) -> None:
    """The action ended with exit code 1, and Chaos Toolkit calls that a success."""
    run = {
        "activity": {"type": "action", "name": "fill the disk", "provider": {"type": "process"}},
        "status": "succeeded",
        "output": {"status": 1, "stdout": "", "stderr": "No such file"},
    }
    path = record.directory / "journal.json"
    path.write_text(json.dumps(read_object(path) | {"run": [run]}))


def _still_there() -> tuple[Event, ...]:
    """What the platform shows each second after a heal that came back without a word."""
    return tuple(
        {"type": "proof", "t": t + 0.5, "fault_id": "f1", "in_effect": True, "statement": "there"}
        for t in range(HEAL, END)
    )


def _gone(t: float) -> Event:
    return {"type": "proof", "t": float(t), "fault_id": "f1", "in_effect": False, "statement": "-"}


UNDO = Story(extra=_still_there(), canary_ends=False)


@pytest.mark.parametrize(
    ("mutant", "story", "outcomes", "said"),
    [
        ("none", Story(), {"pass"}, ""),
        ("an action that fails silently", Story(), {"inconclusive"}, "ended with exit code 1"),
        (
            "a recovery that loses one request in 500",
            Story(made={"failures": _losing(500)}),
            {"inconclusive", "fail"},
            "more than allowed, which is hardly chance",
        ),
        (
            "a recovery that loses one request in 5,000",
            Story(made={"failures": _losing(5000)}),
            {"pass"},
            "",
        ),
        ("an undo that does nothing", UNDO, {"fail"}, "but not end at"),
        (
            "a fault that returns after its undo, which no user feels",
            Story(extra=_still_there()),
            {"fail"},
            "was in effect again 500 ms after its undo had reported success (there); it is left",
        ),
        (
            "a fault that returns for two seconds",
            Story(extra=(*_still_there()[3:5], _gone(HEAL + 6))),
            {"fail"},
            "it was undone once more",
        ),
        (
            "one look that is mistaken",
            Story(extra=(_still_there()[3], _gone(HEAL + 4))),
            {"pass"},
            "",
        ),
    ],
)
def test_a_verdict_sees_what_nobody_says(
    mutant: str, story: Story, outcomes: set[str], said: str, tmp_path: Path
) -> None:
    record = experiment(tmp_path, story)
    if "silently" in mutant:
        _exit_code(record)
    verdict = judge_experiment(record)
    assert verdict.outcome in outcomes, verdict.reasons
    assert said in " ".join(verdict.reasons)


@pytest.mark.parametrize(
    ("rate", "every", "fails", "doubts"),
    [(200, 1000, (0, 0.0007), (0, 0.025)), (1000, 1000, (0, 0.0007), (0, 0.025)),
     (200, 500, (0.04, 0.05), (0.35, 0.4)), (1000, 500, (0.5, 0.7), (0.9, 1)),
     (2000, 500, (0.9, 1), (0.99, 1))],
)  # fmt: skip
def test_how_often_a_recovery_that_loses_too_much_is_caught(
    rate: int, every: int, fails: tuple[float, float], doubts: tuple[float, float]
) -> None:
    """And one that loses exactly what is allowed is not."""
    for chance, (least, most) in zip(caught(rate, 1 / every), (fails, doubts), strict=True):
        assert least <= chance <= most


def _replaced(t: float) -> Event:
    return {"type": "proof", "t": t, "fault_id": "f1", "in_effect": False,
            "statement": "database-0 at 10.0.0.8 is not met", "replaced": True}  # fmt: skip


@pytest.mark.parametrize(
    "story", [Story(), Story(after_errors=0.5), Story(lost=3)], ids=["sound", "failing", "losing"]
)
@pytest.mark.parametrize(
    ("t", "held"), [(INJECT - 1.0, True), (INJECT + 4.4, False), (HEAL + 0.2, True)]
)
def test_a_fault_that_was_not_in_effect_to_its_heal_neither_passes_nor_fails(
    story: Story, t: float, tmp_path: Path, *, held: bool
) -> None:
    verdict = judge_experiment(experiment(tmp_path, replace(story, extra=(_replaced(t),))))
    sound = story == Story()
    assert verdict.outcome == ("inconclusive" if not held else "pass" if sound else "fail")
    said = "was not in effect from second 24 of the load on: database-0 at 10.0.0.8 is not met."
    assert (said in verdict.reasons[0]) is not held


@pytest.mark.parametrize(
    ("every", "fails", "doubts"),
    [(500, (0.97, 1), (0.998, 1)), (1000, (0, 0.0006), (0, 0.025)), (2000, (0, 1e-6), (0, 1e-4))],
)
def test_a_game_day_of_fifteen_sees_what_none_of_its_experiments_can(
    every: int, fails: tuple[float, float], doubts: tuple[float, float]
) -> None:
    """At the rate of the lab's experiments; a service within its objective still passes."""
    found = caught(200, 1 / every, experiments=15)
    for chance, (least, most) in zip(found, (fails, doubts), strict=True):
        assert least <= chance <= most
