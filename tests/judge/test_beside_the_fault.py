"""What the platform did beside the fault stands in the reasons of a verdict that is not a pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.judge.experiment.beside import OWN
from harness.judge.experiment.verdict import judge_experiment
from tests.judge.made_experiment import HEAL, Event, Story, experiment

AFTER = 0.05
"""Share of errors that goes on after the undo: a fail."""


def event(reason: str, t: float = HEAL - 2.0) -> Event:
    said = {"object": "Deployment/memorai", "message": "Scaled up replica set memorai-2 to 1."}
    times = {"count": 1, "first": None, "last": None}
    return {"type": "platform_event", "t": t, "reason": reason, "level": "Normal", **said, **times}


def reasons(root: Path, *events: Event, kind: str = "pause-replicas", after: float = 0.0) -> str:
    inject = {"type": "chaos", "t": 19.9, "what": "inject", "kind": kind, "fault_id": "x"}
    healed = {**inject, "t": HEAL, "what": "healed"}
    record = experiment(root, Story(extra=(inject, healed, *events), after_errors=after))
    verdict = judge_experiment(record)
    assert verdict.outcome == ("fail" if after else "pass"), verdict.reasons
    return " ".join(verdict.reasons)


def test_a_rollout_beside_the_fault_is_named_with_its_second(tmp_path: Path) -> None:
    said = reasons(tmp_path, event("ScalingReplicaSet"), after=AFTER)
    assert (
        "Beside the fault, the platform reported: ScalingReplicaSet of Deployment/memorai at 30 s"
        " (Scaled up replica set memorai-2 to 1)." in said
    )


@pytest.mark.parametrize(
    ("reason", "kind"),
    [("ScalingReplicaSet", "bad-release"), ("Scheduled", "pause-replicas")],
    ids=["the fault's own", "an event that changes nothing"],
)
def test_other_events_are_not_named(tmp_path: Path, reason: str, kind: str) -> None:
    assert "Beside" not in reasons(tmp_path, event(reason), kind=kind, after=AFTER)


def test_a_pass_needs_no_explanation(tmp_path: Path) -> None:
    assert "Beside" not in reasons(tmp_path, event("ScalingReplicaSet"))


def test_only_the_first_few_are_named(tmp_path: Path) -> None:
    many = [event("Evicted", HEAL - 3 + each / 10) for each in range(5)]
    said = reasons(tmp_path, *many, after=AFTER)
    assert said.count("Evicted of") == 3
    assert "; and 2 more." in said


def test_the_kinds_that_bring_an_event_exist() -> None:
    from harness.faults.registry import kinds  # noqa: PLC0415 - only here

    assert set().union(*OWN.values()) <= set(kinds())
