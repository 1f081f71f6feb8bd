"""A lab that was told to be broken is broken in that way, and in no other that hides it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from harness.catalog.model import Service
from harness.errors import PlatformError
from harness.platform.lab.edge import HEALTH_INTERVAL_S, UNHEALTHY_AFTER
from harness.platform.lab.mutants import MUTANTS
from harness.platform.lab.options import LabOptions
from harness.platform.lab.platform import Lab
from harness.platform.model import Fault
from harness.platform.undo import UndoRecord
from tests.platform.conftest import Inside

Start = Callable[..., Inside]

US, EU = "us-east-1", "eu-west-1"
REPLICA, DOOR = f"memorai-{US}-0", "edge-memorai-global"
ITEM = "/api/memory/1"


def broken(start: Start, mutant: str, **options: Any) -> Inside:
    assert mutant in MUTANTS
    return start(LabOptions(regions=2, replicas=1, edges=True, mutants=(mutant,), **options))


def url(inside: Inside, name: str, path: str = ITEM) -> str:
    return next(place.url for place in inside.lab.places if place.id == name) + path


def inject(lab: Lab, service: Service, kind: str, **arguments: Any) -> UndoRecord:
    fault = Fault(kind, arguments)
    heal = lab.plan_heal(service, fault, "f1")
    lab.inject(service, fault, heal)
    return heal


def come_back(inside: Inside, service: Service) -> None:
    """The replica of the first region is paused and resumed."""
    inside.lab.heal(inject(inside.lab, service, "pause-replicas", region=US))
    inside.lab.wait_ready()
    view = f"edge-memorai-{US}>{REPLICA}"
    inside.until(lambda: inside.lab.observe(service).health.get(view) == "healthy")


def test_a_mutant_that_is_not_known_is_refused() -> None:
    with pytest.raises(PlatformError, match="no mutant 'x'"):
        LabOptions(mutants=("x",))


@pytest.mark.lab
def test_without_failover_the_global_edge_fails_with_its_region(
    start: Start, memorai: Service
) -> None:
    inside = broken(start, "no-failover")
    inject(inside.lab, memorai, "fail-region", region=US, mode="kill")
    inside.until(lambda: inside.lab.observe(memorai).health.get(f"{DOOR}>{US}") == "failed")
    assert {status for status, _, _ in inside.many(20, url(inside, DOOR))} == {503}
    assert inside.get(url(inside, f"edge-memorai-{EU}"))[0] == 200


@pytest.mark.lab
def test_without_fail_back_traffic_stays_where_it_went(start: Start, memorai: Service) -> None:
    """Though the first region is well again, and the entry point has checked it often enough."""
    inside = broken(start, "no-fail-back")
    assert inside.get(url(inside, DOOR))[2]["x-region"] == US
    heal = inject(inside.lab, memorai, "fail-region", region=US, mode="kill")
    inside.until(lambda: inside.get(url(inside, DOOR))[2].get("x-region") == EU)
    time.sleep(HEALTH_INTERVAL_S * (UNHEALTHY_AFTER + 1))  # ejected for its errors is not enough
    inside.until(lambda: inside.lab.observe(memorai).health.get(f"{DOOR}>{US}") == "failed")
    inside.lab.heal(heal)
    inside.lab.wait_ready()
    time.sleep(6)
    assert inside.get(url(inside, f"edge-memorai-{US}"))[0] == 200
    assert inside.get(url(inside, DOOR))[2]["x-region"] == EU


@pytest.mark.lab
def test_a_slow_health_check_does_not_see_a_dead_region(start: Start, memorai: Service) -> None:
    inside = broken(start, "slow-health-check")
    inject(inside.lab, memorai, "fail-region", region=US, mode="kill")
    time.sleep(5)
    assert inside.lab.observe(memorai).health[f"{DOOR}>{US}"] == "healthy"
    assert {status for status, _, _ in inside.many(10, url(inside, DOOR))} == {503}


@pytest.mark.lab
def test_a_replica_that_comes_back_answers_garbage(start: Start, memorai: Service) -> None:
    inside = broken(start, "garbage")
    assert all(isinstance(body, dict) for _, body, _ in inside.many(20, url(inside, REPLICA)))
    come_back(inside, memorai)
    answers = inside.many(40, url(inside, REPLICA))
    assert {status for status, _, _ in answers} == {200}
    assert 8 <= sum(body == "\x00garbage" for _, body, _ in answers) <= 32
    assert inside.left() == []


@pytest.mark.lab
@pytest.mark.parametrize("replication", ["async", "sync"])
def test_stopped_replication_keeps_acknowledging(
    start: Start, memorai: Service, replication: str
) -> None:
    """Synchronous or not, the write is confirmed, and in no other region."""
    inside = broken(start, "replication-stopped", replication=replication, replication_delay_s=0.0)
    body = '{"id":"w","value":1}'
    assert inside.ask(("POST", url(inside, DOOR, "/api/memory"), body))[0][0] == 201
    time.sleep(1)
    assert inside.get(url(inside, REPLICA, "/api/memory/w"))[0] == 200
    assert inside.get(url(inside, f"memorai-{EU}-0", "/api/memory/w"))[0] == 404


@pytest.mark.lab
def test_an_inert_fault_is_not_proven(start: Start, memorai: Service) -> None:
    """The packet rules are there and match nothing; its heal takes them away all the same."""
    inside = broken(start, "inert-fault")
    for kind, arguments in (
        ("partition-regions", {"regions": [US, EU]}),
        ("fail-region", {"region": US}),
        ("slow-replicas", {"add_s": 1.0}),
    ):
        heal = inject(inside.lab, memorai, kind, **arguments)
        proof = inside.lab.verify(heal)
        assert proof.in_effect is False
        assert bool(inside.left()) is (kind == "partition-regions")
        inside.lab.heal(heal)
        assert inside.left() == []
    assert inside.get(url(inside, DOOR))[2]["x-region"] == US


@pytest.mark.lab
def test_an_inert_heal_claims_success_and_is_found_out(start: Start, memorai: Service) -> None:
    inside = broken(start, "inert-heal")
    for kind, arguments in (
        ("delay-requests", {"delay_s": 0.1}),
        ("partition-regions", {"regions": [US, EU]}),
        ("fail-region", {"region": US}),
    ):
        heal = inject(inside.lab, memorai, kind, **arguments)
        before = len(inside.left())
        inside.lab.heal(heal)
        assert inside.lab.verify(heal).in_effect
        assert len(inside.left()) == before > 0


@pytest.mark.lab
def test_a_region_can_recover_in_the_median_only(start: Start, memorai: Service) -> None:
    """Three of a hundred requests are half a second slower, and stay so."""
    inside = broken(start, "median-only")
    come_back(inside, memorai)
    answers = sorted(float(each[2]["elapsed"]) for each in inside.many(300, url(inside, REPLICA)))
    assert 1 <= sum(seconds >= 0.5 for seconds in answers) <= 25
    assert answers[150] < 0.2


@pytest.mark.lab
def test_a_retry_storm_multiplies_the_requests_after_the_recovery(
    start: Start, memorai: Service
) -> None:
    """Replicas that come back fail, and each edge asks again, and again."""
    inside = broken(start, "retry-storm")
    come_back(inside, memorai)
    metrics = url(inside, REPLICA, "/metrics")
    before = asked(inside.get(metrics)[1])
    inside.many(30, url(inside, DOOR))
    assert asked(inside.get(metrics)[1]) - before > 60


def asked(metrics: str) -> int:
    lines = [line for line in metrics.splitlines() if line.startswith("http_requests_total{")]
    return sum(int(line.rpartition(" ")[2]) for line in lines)
