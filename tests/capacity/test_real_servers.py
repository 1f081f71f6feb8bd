"""Three real servers of known capacity through the whole command: engine, record, judge, search.

Steps of 4 s and brackets a factor of 1.45 wide, so that a search takes a minute: what is shown
here is that rates, counts and waits of real runs reach the search, and which side of the truth
they fall on. How exact the answer is, is what `benchmarks.capacity` measures in virtual time.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.capacity import CapacityResult, Search, find_capacity
from harness.capacity.measure import SessionMeasure
from harness.catalog.model import Objective
from harness.session.options import RunOptions
from harness.session.run import Session, session
from tests.capacity import toys

pytestmark = pytest.mark.slow

OBJECTIVES = (Objective("p95", "latency", 0.1, 0.95), Objective("errors", "error_ratio", 0.02))
"""2 % of errors, so that a step of four seconds decides at 50 requests/s."""

SHORT = {"hold_s": 4.0, "confirm_s": 6.0, "tolerance": 0.45, "budget_s": 200.0}

LEAST, MOST = 0.65, 1.3
"""Of the truth: a bracket of 1.45 that ends at the truth begins at 0.69 of it; on a busy machine
its ends are a step off. Half or twice the truth, as a pool of 64 connections or a hold that nothing
decides would give, is outside."""

Find = Callable[[str, Search], CapacityResult]


@pytest.fixture
def find(tmp_path: Path) -> Iterator[Find]:
    """A search against a server of a kind; the server is a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def run(kind: str, search: Search) -> CapacityResult:
        command = [sys.executable, toys.__file__, kind]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(server)
        assert server.stdout is not None
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        options = RunOptions("hub", target=url, results=tmp_path)
        with session(options) as ready:
            return find_capacity(SessionMeasure(_bare(ready)), search)

    yield run
    for server in started:
        server.kill()
        server.wait()


def _bare(ready: Session) -> Session:
    """With objectives that four seconds decide, without checks of bodies that toys do not have."""
    requests = tuple(replace(request, checks=()) for request in ready.traffic.requests)
    return replace(
        ready,
        service=replace(ready.service, objectives=OBJECTIVES),
        traffic=replace(ready.traffic, requests=requests),
    )


def _said(found: CapacityResult) -> str:
    return "\n".join(f"{s.rate:g} {s.purpose} {s.outcome} {s.reason}" for s in found.steps)


def test_a_queue_is_answered_near_its_workers_speed(find: Find) -> None:
    found = find("queue", Search(start=120.0, max_rate=400.0, **SHORT))
    speed = toys.WORKERS / toys.WORK_S
    assert found.low is not None, _said(found)
    assert found.high is not None, _said(found)
    assert LEAST * speed < found.low < speed, _said(found)
    assert found.high <= MOST * speed, _said(found)


def test_a_flat_service_is_not_capped_by_the_generators_connections(find: Find) -> None:
    found = find("flat", Search(start=1_000.0, max_rate=1_000.0, **SHORT | {"budget_s": 90.0}))
    assert not found.limit.startswith("the service"), _said(found)
    assert found.high is None, _said(found)


def test_a_rate_limit_is_found_below_what_it_admits(find: Find) -> None:
    found = find("limited", Search(start=90.0, max_rate=300.0, **SHORT))
    assert found.low is not None, _said(found)
    assert found.high is not None, _said(found)
    assert LEAST * toys.ALLOWED < found.low < toys.ALLOWED, _said(found)
    assert found.high <= MOST * toys.ALLOWED, _said(found)
