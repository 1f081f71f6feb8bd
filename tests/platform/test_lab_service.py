"""The reference service keeps its contract, one replica at a time and without a lab."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from harness.platform.lab.options import Behaviour, Slowdown
from tests.platform.replica import serving


@pytest.fixture(scope="module")
def replica() -> Iterator[httpx.Client]:
    """A replica without a database."""
    with serving() as client:
        yield client


@pytest.fixture
def behave(replica: httpx.Client) -> Iterator[httpx.Client]:
    """The replica, whose behaviour is put back after the test."""
    yield replica
    replica.put("/__lab/behaviour", json=Behaviour().document()).raise_for_status()


def test_collections_hold_the_first_thousand_ids(replica: httpx.Client) -> None:
    for key in ("1", "1000"):
        answer = replica.get(f"/api/memory/{key}")
        assert answer.status_code == 200
        assert answer.json()["id"] == key
        assert answer.json()["service"] == "memorai"
    assert replica.get("/api/memory/1001").status_code == 404
    assert replica.get("/api/memory/0").status_code == 404


def test_a_listing_has_at_most_twenty_items_and_ignores_the_query(replica: httpx.Client) -> None:
    body = replica.get("/api/memory?q=x&limit=500").json()
    assert len(body["items"]) == 20
    assert body["count"] >= 1000


def test_what_is_created_can_be_read_changed_and_deleted(replica: httpx.Client) -> None:
    made = replica.post("/api/memory", json={"value": {"text": 'a "quoted" ü'}})
    assert made.status_code == 201
    assert made.json()["region"] == "us-east-1"
    path = f"/api/memory/{made.json()['id']}"
    assert replica.get(path).json()["value"] == {"text": 'a "quoted" ü'}
    assert replica.put(path, json={"value": 2}).status_code == 200
    assert replica.get(path).json()["value"] == 2
    count = replica.get("/api/memory").json()["count"]
    assert replica.delete(path).status_code == 200
    assert replica.delete(path).status_code == 200
    assert replica.get(path).status_code == 404
    assert replica.get("/api/memory").json()["count"] == count - 1


def test_an_id_of_the_client_is_kept(replica: httpx.Client) -> None:
    answer = replica.post("/api/memory", json={"id": "mine-1", "value": 1})
    assert answer.json()["id"] == "mine-1"
    assert replica.get("/api/memory/mine-1").json() == {
        "id": "mine-1",
        "value": 1,
        "service": "memorai",
    }


def test_a_seeded_item_can_be_deleted_and_made_again(replica: httpx.Client) -> None:
    assert replica.delete("/api/memory/500").status_code == 200
    assert replica.get("/api/memory/500").status_code == 404
    assert replica.put("/api/memory/500", json={"value": "back"}).status_code == 200
    assert replica.get("/api/memory/500").json()["value"] == "back"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nope", None, 404),
        ("GET", "/api/memory/1/2", None, 404),
        ("GET", "/api/memory/", None, 404),
        ("POST", "/api/memory", b"not json", 400),
        ("POST", "/api/memory", b"\xff\xfe", 400),
        ("POST", "/api/memory", b"", 201),
        ("POST", "/api/memory", b"[1,2]", 201),
        ("POST", "/api/memory", b'{"id": null, "value": null}', 201),
        ("OPTIONS", "/api/memory", None, 405),
        ("PUT", "/__lab/behaviour", b'{"error_ratio": NaN}', 400),
        ("PUT", "/__lab/behaviour", b"[]", 400),
        ("PUT", "/__lab/behaviour", b'{"colour": 1}', 400),
    ],
)
def test_odd_requests_get_a_clear_status(
    replica: httpx.Client, method: str, path: str, body: bytes | None, status: int
) -> None:
    assert replica.request(method, path, content=body).status_code == status


def test_health_ready_and_metrics_answer(replica: httpx.Client) -> None:
    for path in ("/health", "/api/health", "/ready"):
        assert replica.get(path).status_code == 200
    replica.get("/api/memory/1")
    text = replica.get("/metrics").text
    assert 'http_requests_total{service="memorai",status="200"}' in text
    assert 'http_request_duration_seconds_bucket{service="memorai",le="+Inf"}' in text


def test_errors_garbage_and_readiness_can_be_told(behave: httpx.Client) -> None:
    def put(**values: object) -> None:
        behave.put("/__lab/behaviour", json=values).raise_for_status()

    put(error_ratio=1.0)
    assert behave.get("/api/memory/1").status_code == 500
    put(garbage_ratio=1.0)
    answer = behave.get("/api/memory/1")
    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r".*"):
        answer.json()
    put(ready=False)
    assert behave.get("/ready").status_code == 503
    assert behave.get("/health").status_code == 200


def test_one_route_can_be_slower_than_the_others(behave: httpx.Client) -> None:
    behaviour = Behaviour(latency_median_s=0.001, slow={"/api/memory": Slowdown(add_s=0.2)})
    behave.put("/__lab/behaviour", json=behaviour.document()).raise_for_status()
    assert behave.get("/api/memory/1").elapsed.total_seconds() >= 0.2
    assert behave.get("/api/mfa/setup").elapsed.total_seconds() < 0.2


def test_a_key_has_its_share_of_a_minute(behave: httpx.Client) -> None:
    behave.put("/__lab/behaviour", json={"rate_limit": 2}).raise_for_status()
    if time.monotonic() % 60 > 58:
        time.sleep(2.5)
    statuses = [
        behave.get("/api/memory/1", headers={"x-api-key": "k"}).status_code for _ in range(4)
    ]
    assert statuses == [200, 200, 429, 429]
    assert behave.get("/api/memory/1", headers={"x-api-key": "other"}).status_code == 200
    for _ in range(4):
        answer = behave.get("/api/memory/1", headers={"x-api-key": "load-test"})
        assert answer.status_code == 200


def test_a_replica_that_is_not_ready_ends_its_established_connections(
    behave: httpx.Client,
) -> None:
    """Who balances connections and not requests would else leave it none of its old ones."""
    assert "connection" not in behave.get("/api/memory/1").headers
    behave.put("/__lab/behaviour", json=Behaviour(ready=False).document()).raise_for_status()
    assert behave.get("/ready").status_code == 503
    answer = behave.get("/api/memory/1")
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")


def test_a_replica_may_end_every_connection() -> None:
    with serving(closes="always") as client:
        assert client.get("/api/memory/1").headers["connection"] == "close"
        assert client.get("/api/memory/1").status_code == 200


def test_beyond_its_concurrency_a_replica_refuses(behave: httpx.Client) -> None:
    """One request waits for its delay; another one is one too many."""
    slow = Behaviour(concurrency=1, slow={"/api/memory": Slowdown(add_s=1.0)})
    behave.put("/__lab/behaviour", json=slow.document()).raise_for_status()
    first = threading.Thread(target=behave.get, args=("/api/memory/1",))
    first.start()
    deadline = time.monotonic() + 5
    while "http_requests_in_flight{" not in (text := behave.get("/metrics").text) or (
        'in_flight{service="memorai"} 1' not in text
    ):
        assert time.monotonic() < deadline
    assert behave.get("/api/mfa/setup").status_code == 503
    first.join()
    assert behave.get("/api/mfa/setup").status_code == 200


def test_an_answer_can_cost_cpu_time(behave: httpx.Client) -> None:
    """The slowest way to answer one at a time: twenty answers cost twenty times as much."""
    behave.put("/__lab/behaviour", json={"cpu_s": 0.01}).raise_for_status()
    began = time.monotonic()
    for _ in range(20):
        behave.get("/api/memory/1")
    assert time.monotonic() - began >= 0.2


def test_the_behaviour_shown_is_the_whole_one(behave: httpx.Client) -> None:
    """What the supervisor compares with what it asked for."""
    wanted = Behaviour(0.001, 0.002, {"/api/memory": Slowdown(2.0)}, rate_limit=7, seed=9)
    shown = behave.put("/__lab/behaviour", json=wanted.document()).json()
    assert shown == wanted.document() == behave.get("/__lab/behaviour").json()


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ("{}", "missing field `service`"),
        ("not json", "expected"),
        ('{"service": "m", "colour": 1}', "colour"),
        ('{"service": "m", "id": 7}', "field id"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused_in_one_line(config: str, named: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness.platform.lab.service", config],
        capture_output=True,
        text=True,
        check=False,
        timeout=15,
    )
    assert done.returncode != 0
    assert named in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_address_that_is_taken_is_named(replica: httpx.Client) -> None:
    listen = [replica.base_url.host, replica.base_url.port]
    config: dict[str, object] = {
        "service": "m",
        "id": "r",
        "region": "x",
        "replication": "async",
        "routes": [],
        "behaviour": {},
        "health_path": "/health",
        "listen": listen,
        "database": None,
    }
    done = subprocess.run(
        [sys.executable, "-m", "harness.platform.lab.service", json.dumps(config)],
        capture_output=True,
        text=True,
        check=False,
        timeout=15,
    )
    assert f"cannot listen on {listen[0]}:{listen[1]}" in done.stderr
