"""What is counted of every second: requests under way, those that were refused, and lags."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.judge import evidence, wording
from harness.judge.evidence import Evidence, gather
from harness.judge.objectives import queue_growth
from harness.stats.shares import Stall
from tests.record.synthetic import Made, plan, record


@pytest.mark.parametrize(("latency_s", "grew"), [(1.0, True), (1.1, False)])
def test_a_queue_counts_beyond_what_the_latency_objective_lets_be_under_way(
    latency_s: float,
    grew: bool,  # noqa: FBT001
) -> None:
    """200/s of which 8/s stay: the median second of the last third has 204 more under way."""
    assert (queue_growth(_growing(30), latency_s) > 0) is grew


def test_a_queue_that_grows_for_a_quarter_of_an_hour_has_the_same_slope() -> None:
    assert queue_growth(_growing(900), 1.0) == pytest.approx(8 / 200)


def _growing(seconds: int) -> Evidence:
    offered, zero = np.full(seconds, 200), np.zeros(seconds, np.int64)
    values, counts = np.array([0.01]), np.full((seconds, 1), 180)
    return Evidence(
        seconds=np.arange(seconds), offered=offered, lost=zero, own=zero, completed=offered,
        failed=zero, done=np.full(seconds, 192), values=values, counts=counts, lag_values=values,
        lag_counts=counts, delays=np.zeros(seconds),
    )  # fmt: skip


@pytest.mark.parametrize(("errors", "own"), [({}, 0), ({"in_flight_limit": 3, "local": 2}, 5)])
def test_what_a_bound_that_is_too_low_refused_is_the_generators(
    errors: dict[str, int], own: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "bound_is_too_low", lambda record, rate: True)
    counts = {name: np.full(5, count) for name, count in errors.items()}
    due: Any = SimpleNamespace(seconds=5, errors=counts, offered=np.full(5, 200))
    record: Any = SimpleNamespace(seconds_of=lambda phase: np.arange(5), series=lambda axis: due)
    assert list(evidence._own(record, due)) == [own] * 5


@pytest.mark.parametrize(("lag_s", "own"), [(0.2, 0), (0.24, 100)])
@pytest.mark.parametrize("endpoints", [(), ("GET recall",)])
def test_what_a_late_generator_left_unfinished_may_be_its_own(
    tmp_path: Path, lag_s: float, own: int, endpoints: tuple[str, ...]
) -> None:
    """A lag of this mean has its p99 at 4.6 times as much; a tenth of the drain is 1 s."""
    assert plan().drain_s == 10.0
    made = record(tmp_path, Made(lag_s=lag_s, unfinished=100))
    found = gather(made, made.seconds_of("hold"), endpoints)
    assert (int(found.own.sum()), int(found.lost.sum())) == (own, 100)
    assert gather(made, made.seconds_of("hold"), ("POST *",)).own.sum() == 0


def test_the_lag_of_a_lone_request_is_the_lag_of_its_second() -> None:
    """And of the next one, in which its answer may come."""
    found = replace(_growing(3), lag_values=np.array([0.05]), lag_counts=np.array([[0], [1], [0]]))
    assert [list(lags) for lags in found._lags] == [[0, 0.05, 0.05]] * len(found._lags)


@pytest.mark.parametrize(
    ("begin", "end", "said"),
    [(0, 30, "every second missed it"), (10, 30, "second 10"), (0, 12, "second 12")],
)
def test_a_sustained_miss_names_the_second_in_which_it_changed(
    begin: int, end: int, said: str
) -> None:
    found: Any = SimpleNamespace(why="sustained", stalls=(Stall(begin, end, 9),))
    assert wording.method(found, _growing(30)).endswith(said)
