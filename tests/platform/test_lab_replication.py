"""Regions share their writes as they promise: later, or before the acknowledgement."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from harness.catalog.model import Service
from harness.platform.lab.options import LabOptions, Replication
from harness.platform.model import Fault
from tests.platform.conftest import Inside

pytestmark = pytest.mark.lab
Start = Callable[..., Inside]

SLOW_S = 30.0


def url(inside: Inside, region: str, number: int = 0) -> str:
    places = {place.id: place.url for place in inside.lab.places}
    return places[f"memorai-{region}-{number}"] + "/api/memory"


def body(key: str) -> str:
    return json.dumps({"id": key, "value": key})


def test_a_write_is_found_at_every_replica_of_its_region(start: Start) -> None:
    """Right after the acknowledgement, though the replicas' copies trail the database."""
    inside = start()
    first, second = url(inside, "us-east-1", 0), url(inside, "us-east-1", 1)
    requests: list[tuple[str, str, str | None]] = []
    for number in range(50):
        requests.append(("POST", first, body(f"w{number}")))
        requests.append(("GET", f"{second}/w{number}", None))
    answers = inside.ask(*requests)
    assert [status for status, _, _ in answers] == [201, 200] * 50


def test_writes_reach_the_other_regions_after_a_while(start: Start) -> None:
    inside = start(LabOptions(regions=3, replicas=1))
    assert inside.ask(("POST", url(inside, "us-east-1"), body("w")))[0][0] == 201
    for region in ("eu-west-1", "ap-southeast-1"):
        place = f"{url(inside, region)}/w"
        inside.until(lambda place=place: inside.get(place)[0] == 200)  # type: ignore[misc]


@pytest.mark.parametrize(("replication", "survives"), [("async", False), ("sync", True)])
def test_a_dead_region_loses_only_what_was_acknowledged_early(
    start: Start, memorai: Service, replication: Replication, *, survives: bool
) -> None:
    """The asynchronous tail dies with its region; synchronous writes do not."""
    inside = start(
        LabOptions(regions=2, replicas=1, replication=replication, replication_delay_s=SLOW_S)
    )
    assert inside.ask(("POST", url(inside, "us-east-1"), body("w")))[0][0] == 201
    fault = Fault("fail-region", {"region": "us-east-1", "mode": "kill"})
    heal = inside.lab.plan_heal(memorai, fault, "f1")
    inside.lab.inject(memorai, fault, heal)
    there = f"{url(inside, 'eu-west-1')}/w"
    assert (inside.get(there)[0] == 200) is survives
    inside.lab.heal(heal)
    inside.lab.wait_ready()
    here = f"{url(inside, 'us-east-1')}/w"
    if survives:
        inside.until(lambda: inside.get(here)[0] == 200)
    else:
        assert inside.get(here)[0] == 404


@pytest.mark.parametrize(("replication", "survives"), [("async", False), ("sync", True)])
def test_what_the_global_edge_acknowledged_is_read_from_the_survivor(
    start: Start, memorai: Service, replication: Replication, *, survives: bool
) -> None:
    """Written through the global edge, read through it again after it failed over.

    The asynchronous tail (as long as the replication delay) is lost for good, what is older is not.
    """
    inside = start(
        LabOptions(
            regions=2, replicas=1, edges=True, replication=replication, replication_delay_s=2.0
        )
    )
    entry_point = inside.lab.target(memorai, "global").urls[0] + "/api/memory"
    assert inside.ask(("POST", entry_point, body("old")))[0][0] == 201
    time.sleep(4)
    answers = inside.ask(*[("POST", entry_point, body(f"w{number}")) for number in range(20)])
    assert {(status, headers["x-region"]) for status, _, headers in answers} == {(201, "us-east-1")}
    with inside.broken(memorai, "fail-region", {"region": "us-east-1", "mode": "kill"}):
        inside.until(lambda: inside.get(f"{entry_point}/1")[2].get("x-region") == "eu-west-1")
        assert inside.get(f"{entry_point}/old")[0] == 200
        found = inside.ask(*[("GET", f"{entry_point}/w{number}", None) for number in range(20)])
        assert {status for status, _, _ in found} == {200 if survives else 404}
        assert inside.ask(("POST", entry_point, body("meanwhile")))[0][0] == 201
    inside.until(lambda: inside.get(f"{entry_point}/1")[2].get("x-region") == "us-east-1")
    found = inside.ask(
        *[("GET", f"{entry_point}/{key}", None) for key in ("w0", "w19", "meanwhile")]
    )
    assert [status for status, _, _ in found] == [200 if survives else 404] * 2 + [200]


def test_one_request_can_ask_for_synchronous_replication(start: Start) -> None:
    inside = start(LabOptions(regions=2, replicas=1, replication_delay_s=SLOW_S))
    here = url(inside, "us-east-1")
    assert inside.ask(("POST", f"{here}?replication=sync", body("w")))[0][0] == 201
    assert inside.get(f"{url(inside, 'eu-west-1')}/w")[0] == 200


def test_a_partition_holds_writes_back_and_its_heal_lets_them_through(
    start: Start, memorai: Service
) -> None:
    """The backlog shows while the regions are apart, and is gone after."""
    inside = start(LabOptions(regions=2, replicas=1, replication_delay_s=0.0))
    here, there = url(inside, "us-east-1"), url(inside, "eu-west-1")
    fault = Fault("partition-regions", {"regions": ["us-east-1", "eu-west-1"]})
    heal = inside.lab.plan_heal(memorai, fault, "f1")
    inside.lab.inject(memorai, fault, heal)
    assert inside.ask(("POST", here, body("w")))[0][0] == 201
    assert inside.ask(("POST", f"{here}?replication=sync", body("s")))[0][0] in {201, 503}
    assert inside.get(f"{there}/w")[0] == 404
    inside.lab.heal(heal)
    inside.until(lambda: inside.get(f"{there}/w")[0] == 200)


def test_without_its_database_a_region_is_not_ready_and_refuses_writes(
    start: Start, memorai: Service
) -> None:
    inside = start(LabOptions(replicas=1))
    here = url(inside, "us-east-1")
    fault = Fault("kill-database", {"region": "us-east-1", "hold": True})
    heal = inside.lab.plan_heal(memorai, fault, "f1")
    inside.lab.inject(memorai, fault, heal)
    ready = here.removesuffix("/api/memory") + "/ready"
    inside.until(lambda: inside.get(ready)[0] == 503)
    statuses = [a[0] for a in inside.ask(("POST", here, body("w")), ("GET", f"{here}/1", None))]
    assert statuses == [503, 200]
    inside.lab.heal(heal)
    inside.until(lambda: inside.get(ready)[0] == 200)
