"""A wait for a connection is charged to whoever caused it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.judge import judge
from harness.judge.connections import check_connections
from harness.judge.model import ValidityCheck
from harness.load.connections import longest_mean, needed_connections
from harness.record import RunRecord
from tests.record import synthetic
from tests.record.synthetic import Made, histogram, plan, record


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run whose requests wait so long for one of so many connections."""

    def make(
        connections: int, wait_s: float, in_flight: int, made: Made | None = None
    ) -> tuple[RunRecord, ValidityCheck]:
        made = made or Made(plan=plan(rate=1000.0))
        made = replace(made, plan=replace(made.plan, connections_per_target=connections))
        original = synthetic.messages

        def waiting(of: Made) -> Iterator[dict[str, Any]]:
            for message in original(of):
                if message["type"] == "tick":
                    yield message | {"in_flight": in_flight}
                elif message["type"] == "slice":
                    count = message["slice"]["completed"]
                    waits = histogram(np.full(count, wait_s))
                    lag = histogram(np.full(count, 5e-5))  # what the response has more is the wait
                    hist = message["slice"]["hist"] | {"wait": waits, "lag": lag}
                    yield message | {"slice": message["slice"] | {"hist": hist}}
                else:
                    yield message

        monkeypatch.setattr(synthetic, "messages", waiting)
        found = record(tmp_path, made)
        return found, check_connections(found)

    return make


def test_waiting_for_too_few_connections_is_the_generators(checked: Any) -> None:
    found, check = checked(64, 0.02, 80)
    assert not judge(found).valid
    assert check.ok is False
    assert check.costs == "invalid"
    assert "64 connections" in check.reason
    assert "--connections" in check.remedy


def test_a_miss_that_such_a_wait_explains_is_invalid_and_an_error_is_not(checked: Any) -> None:
    slow = Made(plan=plan(rate=1000.0), median_s=0.015, lag_s=0.05)
    waited, _ = checked(64, 0.2, 80, slow)
    assert judge(waited).objectives[0].outcome == "invalid"
    assert judge(waited).outcome == "invalid"
    failing = replace(slow, failures=lambda s, e, n: {"status_5xx": n // 20})
    assert judge(checked(64, 0.2, 80, failing)[0]).outcome == "fail"


def test_enough_connections_for_any_sound_service_leave_the_wait_to_the_service(
    checked: Any,
) -> None:
    _, check = checked(750, 0.5, 900)
    assert check.ok is True
    assert "the wait for one is its" in check.reason


def test_a_load_sized_by_the_harness_itself_is_never_short(checked: Any) -> None:
    """Chance offers more than was planned in every other run."""
    sized = needed_connections(1_000.0, longest_mean(synthetic.OBJECTIVES, 10.0))
    _, check = checked(sized, 0.5, sized)
    assert check.ok is True


def test_a_service_that_misses_its_objective_by_itself_has_no_excuse(checked: Any) -> None:
    made = Made(plan=plan(rate=1000.0), median_s=0.2)
    _, check = checked(64, 0.5, 80, made)
    assert check.ok is True


def test_the_making_of_connections_is_no_wait_for_a_free_one(checked: Any) -> None:
    _, check = checked(64, 0.02, 30)
    assert check.ok is True


@pytest.mark.parametrize(
    ("median_s", "wait_s", "ok"),
    [(0.004, 0.0009, True), (0.004, 0.0015, False), (0.03, 0.0025, True), (0.03, 0.005, False)],
)
def test_a_wait_counts_from_a_millisecond_and_a_tenth_of_the_response(
    checked: Any, median_s: float, wait_s: float, *, ok: bool
) -> None:
    made = Made(plan=plan(rate=1000.0), median_s=median_s)
    assert checked(64, wait_s, 80, made)[1].ok is ok


def test_a_closed_loop_is_labelled_as_one(checked: Any) -> None:
    made = Made(plan=plan(rate=200.0, users=20))
    _, check = checked(64, 0.0, 20, made)
    assert check.ok is True
    assert "Closed loop: 20 users" in check.reason
