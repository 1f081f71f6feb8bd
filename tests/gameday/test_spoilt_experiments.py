"""What this machine spoilt is measured again, once all is as before."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.gameday import run as gameday

SPOILT = SimpleNamespace(outcome="invalid", again="the machine was busy", healed=True)
SOUND = SimpleNamespace(outcome="pass", again=None, healed=True)


@pytest.mark.parametrize(
    ("problem", "done", "outcome"),
    [
        (None, ["run", "restored", "run"], "pass"),
        ("no pod in us-east-1", ["run", "restored"], "invalid"),
    ],
)
def test_a_spoilt_experiment_is_repeated_only_after_all_is_restored(
    monkeypatch: pytest.MonkeyPatch, problem: str | None, done: list[str], outcome: str
) -> None:
    """What cannot be measured again keeps the verdict that it has."""
    order: list[str] = []

    class Run:
        def __init__(self, *_: object) -> None:
            pass

        def run(self) -> SimpleNamespace:
            order.append("run")
            return SimpleNamespace(directory=Path("record"))

    def steady(*_: object) -> str | None:
        order.append("restored")
        return problem

    def judged(record: object) -> SimpleNamespace:
        return SPOILT if order == ["run"] else SOUND

    def ignore(*_: object) -> None:
        pass

    for name, stand_in in (
        ("ExperimentRun", Run), ("_steady", steady), ("judge_experiment", judged),
        ("write_experiment", ignore),
    ):  # fmt: skip
        monkeypatch.setattr(gameday, name, stand_in)
    ready: Any = SimpleNamespace(halted=ignore)
    listener: Any = SimpleNamespace(hear=ignore, say=ignore)
    options: Any = SimpleNamespace(retries=1)
    experiment: Any = None
    _, verdict = gameday._measured(ready, experiment, options, listener)
    assert verdict.outcome == outcome
    assert order == done
