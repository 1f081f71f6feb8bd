"""Connections are sized by what the load needs, never by what is convenient for the generator."""

from __future__ import annotations

import resource

import pytest

from harness.catalog.model import Objective
from harness.errors import UsageError
from harness.load.connections import (
    LEAST_CONNECTIONS,
    MOST_CONNECTIONS,
    check_connections,
    connections_for,
    longest_mean,
    most_connections,
    needed_connections,
    peak_rate,
)
from harness.traffic.model import LoadProfile, Request, Segment, TrafficModel

P95 = Objective("p95", "latency", 0.1, 0.95)


def _traffic(timeout_s: float = 10.0) -> TrafficModel:
    request = Request("GET", "GET", "/", timeout_s=timeout_s)
    return TrafficModel("memorai", "memorai", "scenarios/memorai.py", (request,))


def _profile(rate: float) -> LoadProfile:
    return LoadProfile("perf", (Segment("ramp", 5, 0, rate), Segment("hold", 10, rate, rate)))


@pytest.mark.parametrize("rate", [100.0, 1_000.0, 10_000.0])
def test_a_service_that_meets_its_objective_never_fills_the_connections(rate: float) -> None:
    worst_mean = 0.95 * 0.1 + 0.05 * 10
    found = connections_for([P95], _traffic(), _profile(rate))
    assert found > rate * worst_mean
    assert found < 2 * rate * worst_mean + LEAST_CONNECTIONS


def test_a_high_rate_is_held_to_the_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1_000_000))
    assert connections_for([P95], _traffic(), _profile(1e6)) == MOST_CONNECTIONS


def test_the_ceiling_leaves_files_to_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4_096))
    assert most_connections() == 3_096
    assert most_connections(addresses=3) == 1_032
    assert most_connections(addresses=3, workers=2) == 2_064


def test_more_connections_than_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the load would have fewer than it was asked for, or end by itself."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4_096))
    check_connections(3_096)
    check_connections(1_032, addresses=3)
    with pytest.raises(UsageError, match="--connections is 3,097, and this user may open files"):
        check_connections(3_097)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, resource.RLIM_INFINITY))
    check_connections(65_000)


def test_without_a_latency_objective_a_request_may_last_as_long_as_its_timeout() -> None:
    assert longest_mean([], 3.0) == 3.0
    assert longest_mean([Objective("errors", "error_ratio", 0.001)], 3.0) == 3.0
    assert longest_mean([Objective("reads", "latency", 0.01, 0.95, ("GET *",))], 3.0) == 3.0


def test_the_tightest_latency_objective_decides() -> None:
    p50 = Objective("p50", "latency", 0.01, 0.5)
    assert longest_mean([p50, P95], 10.0) == pytest.approx(0.95 * 0.1 + 0.05 * 10)


def test_every_user_of_a_closed_loop_has_a_connection() -> None:
    profile = LoadProfile("perf", (Segment("hold", 10, 1, 1),), users=500)
    assert connections_for([P95], _traffic(), profile) == 500


def test_a_replay_is_sized_by_its_busiest_second() -> None:
    due = tuple(int(s * 1e9) for s in (0.1, 0.2, 1.1, 1.2, 1.3, 1.4, 2.5))
    assert peak_rate(LoadProfile("replay", (), replay_ns=due)) == 4


def test_room_for_chance_grows_with_the_root_of_the_load() -> None:
    assert needed_connections(10_000, 0.01) == 150
