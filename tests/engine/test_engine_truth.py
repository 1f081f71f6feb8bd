"""Against a server whose delays are known, the engine reports them from the intended start."""

from __future__ import annotations

import socket

import pytest

from harness import _engine
from tests.engine.conftest import make_plan, run_plan


def test_a_stall_is_charged_to_every_request_that_was_due_in_it() -> None:
    """Of 200 requests/s, the 60 that are due in a 300 ms stall wait, 150 ms on average.

    Only one of them is held by the server: a generator that waits for answers before it sends
    would report that one (coordinated omission).
    """
    server = _engine.NullServer(stall={"every_s": 1.0, "for_s": 0.3})
    plan = make_plan(
        f"http://127.0.0.1:{server.port}", rate=200, duration=1.9, connections_per_target=1
    )
    outcome = run_plan(plan)
    server.stop()
    assert outcome.conserved()
    response = outcome.histogram("response")
    values, counts = response.buckets()
    slow = int(counts[values > 30e6].sum())
    assert 45 <= slow <= 70, "the requests due in the stall must all show it"
    p99 = response.quantile(0.99)
    assert p99 is not None
    assert 200e6 < p99 < 450e6
    service_values, service_counts = outcome.histogram("service").buckets()
    held = int(service_counts[service_values > 150e6].sum())
    assert held == 1, "only one was held by the server for most of the stall"


def test_the_truth_is_what_the_server_imposed() -> None:
    server = _engine.NullServer(latency={"median_s": 0.005, "p99_s": 0.03}, seed=3)
    plan = make_plan(f"http://127.0.0.1:{server.port}", rate=500, duration=1.0)
    outcome = run_plan(plan)
    truth = _engine.Histogram.decode(server.truth())
    server.stop()
    assert truth.count == outcome.total("completed") == 500
    for q in (0.5, 0.9):
        real, seen = truth.quantile(q), outcome.histogram("service").quantile(q)
        assert real is not None
        assert seen is not None
        assert real * 0.98 < seen < real * 1.3 + 2e6


def test_the_same_seed_imposes_the_same_delays() -> None:
    medians = []
    for _ in range(2):
        server = _engine.NullServer(latency={"median_s": 0.02, "p99_s": 0.05}, seed=9)
        run_plan(make_plan(f"http://127.0.0.1:{server.port}", rate=100, duration=0.5))
        medians.append(_engine.Histogram.decode(server.truth()).quantile(0.5))
        server.stop()
    assert medians[0] is not None
    assert medians[1] is not None
    assert abs(medians[0] - medians[1]) < 5e6


@pytest.mark.parametrize(
    "options",
    [
        {"latency": {"median_s": 0.02}},
        {"latency": {"median_s": 0.02, "p99_s": 0.01}},
        {"latency": {"median_s": 0.0, "p99_s": 0.01}},
        {"latency": {"median_s": float("nan"), "p99_s": 0.01}},
        {"stall": {"every_s": 1.0, "for_s": 1.0}},
        {"stall": {"every_s": 1.0, "for_s": 0.1, "x": 1.0}},
    ],
)
def test_delays_that_cannot_be_are_refused(options: dict[str, dict[str, float]]) -> None:
    with pytest.raises(ValueError, match=r"latency|stall"):
        _engine.NullServer(latency=options.get("latency"), stall=options.get("stall"))


def test_an_address_in_use_is_an_os_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(OSError, match="cannot listen on"):
            _engine.NullServer(address)


def test_the_null_server_survives_nonsense() -> None:
    server = _engine.NullServer()
    for nonsense in (b"\r\n\r\n", b"x" * 200_000, b"GET / HTTP/1.1\r\ncontent-length: -3\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(nonsense)
    outcome = run_plan(make_plan(f"http://127.0.0.1:{server.port}"))
    assert outcome.total("completed") == 30
    server.stop()
    server.stop()
