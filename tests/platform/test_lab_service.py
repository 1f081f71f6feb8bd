"""The reference service keeps its contract, one replica at a time and without a lab."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest

from harness.platform.lab.options import Behaviour, Slowdown
from harness.platform.lab.service import Router


@pytest.fixture(scope="module")
def replica() -> Iterator[httpx.Client]:
    """A replica without a database, on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    plan: dict[str, object] = {
        "service": "memorai",
        "id": "r",
        "region": "us-east-1",
        "replication": "async",
        "routes": ["/api/memory", "/api/mfa/{action}"],
        "behaviour": {},
        "health_path": "/api/health",
        "listen": ["127.0.0.1", port],
        "database": None,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.platform.lab.service", json.dumps(plan)],
        stdin=subprocess.PIPE,
    )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        deadline = time.monotonic() + 15
        while True:
            try:
                client.get("/ready")
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        yield client
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(5) == 0, "it ends with its owner"


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


def test_variables_in_a_route_match_one_segment() -> None:
    router = Router("logai", ["/api/mfa/{action}", "/api/users", "/api/users/{id}"])
    assert router.find("/api/mfa/setup") == ("/api/mfa/setup", None)
    assert router.find("/api/mfa/setup/7") == ("/api/mfa/setup", "7")
    assert router.find("/api/mfa") is None
    assert router.find("/api/users/7") == ("/api/users", "7")


def test_a_service_without_routes_has_the_generic_ones() -> None:
    router = Router("id", [])
    assert router.find("/api/v1/id") == ("/api/v1/id", None)
    assert router.find("/api/v1/id/7") == ("/api/v1/id", "7")


def test_a_replica_that_is_not_ready_ends_its_established_connections(
    behave: httpx.Client,
) -> None:
    """Who balances connections and not requests would else leave it none of its old ones."""
    assert "connection" not in behave.get("/api/memory/1").headers
    behave.put("/__lab/behaviour", json=Behaviour(ready=False).document()).raise_for_status()
    assert behave.get("/ready").status_code == 503
    answer = behave.get("/api/memory/1")
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")
