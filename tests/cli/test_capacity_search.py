"""The search for a capacity: its answer is what was measured, and no more."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness import capacity
from harness.capacity import CapacityResult, Held, Search, Step, find_capacity
from harness.cli import run
from harness.cli.capacity import _summary

Answer = Callable[[float], Held]


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], CapacityResult]:
    """A search from 100/s to 1,600/s whose steps end as a function of their rate says."""

    def find(outcome: Answer) -> CapacityResult:
        def step(session: object, rate: float, hold_s: float) -> Step:
            return Step("a run", rate, outcome(rate), rate, 0.01, 0.0, None, 0.1, "the reason")

        monkeypatch.setattr(capacity, "_step", step)
        session = cast("Any", SimpleNamespace(service=SimpleNamespace(name="memorai")))
        return find_capacity(session, Search(start=100, most=1600))

    return find


def test_the_capacity_lies_between_what_held_and_what_missed(
    search: Callable[[Answer], CapacityResult],
) -> None:
    found = search(lambda rate: "held" if rate < 700 else "missed")
    assert found.low is not None
    assert found.high is not None
    assert found.low < 700 <= found.high <= 1.1 * found.low
    assert found.limit.startswith("the service")


@pytest.mark.parametrize("outcome", ["generator", "unknown"])
def test_what_could_not_be_measured_bounds_no_service(
    search: Callable[[Answer], CapacityResult], outcome: Held
) -> None:
    found = search(lambda rate: "held" if rate < 700 else outcome)
    assert found.low is not None
    assert 600 < found.low < 700
    assert found.high is None
    assert "the reason" in found.limit
    assert "or more" in _summary(found)


def test_a_generator_too_weak_for_the_first_rate_leaves_the_capacity_unknown(
    search: Callable[[Answer], CapacityResult],
) -> None:
    found = search(lambda rate: "generator")
    assert (found.low, found.high) == (None, None)
    assert "capacity unknown" in _summary(found)


def test_a_search_takes_no_arrivals_of_the_user(capsys: pytest.CaptureFixture[str]) -> None:
    """It chooses rates and holds itself; a word that it would ignore is refused."""
    assert run(["capacity", "memorai", "--rate", "50"]) == 2
    assert "--rate" in capsys.readouterr().err
