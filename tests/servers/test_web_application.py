"""A Python web application under gunicorn: every way in which it ends a request is counted."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import httpx
import pytest

from tests.servers.containers import Server, web_application
from tests.servers.drive import drive, plan, weighted

pytestmark = pytest.mark.docker

BENCHMARKING = ip_network("198.18.0.0/15")  # RFC 2544: what .ci/docker-engine gives to containers


def account(server: Server) -> dict[str, Any]:
    document: dict[str, Any] = httpx.get(f"{server.url()}/account", timeout=5).json()
    return document


def test_each_way_to_end_a_request_has_its_kind_and_count(image: str) -> None:
    """Answered, streamed, dropped, cut in half, garbled, not found: as many as the server did."""
    paths = ["/slow", "/stream", "/drop", "/half", "/garbage", "/nowhere"]
    with web_application(image) as server:
        document = plan(server.url(), rate=200, duration_s=3, requests=weighted(paths))
        driven = drive(document)
        seen = account(server)["seen"]
    by_path = {path: driven.totals(path) for path in paths}
    assert {path: totals.offered for path, totals in by_path.items()} == seen
    assert {path: dict(totals.errors) for path, totals in by_path.items()} == {
        "/slow": {},
        "/stream": {},
        "/drop": {"eof": seen["/drop"]},
        "/half": {"eof": seen["/half"]},
        "/garbage": {"protocol": seen["/garbage"]},
        "/nowhere": {"status_4xx": seen["/nowhere"]},
    }
    assert by_path["/stream"].bytes_in == seen["/stream"] * len(b"part 0\n") * 5


def test_a_request_whose_connection_was_dropped_is_not_sent_again(image: str) -> None:
    """The application saw each id once, though it dropped every one of them unanswered."""
    request = {"name": "drop", "path": "/drop?id={id}"}
    with web_application(image) as server:
        totals = drive(plan(server.url(), rate=200, duration_s=2, requests=[request])).totals()
        ids = account(server)["ids"]
    assert totals.errors == {"eof": 400}
    assert ids == {str(i): 1 for i in range(400)}


def test_a_tcp_reset_is_kind_reset(image: str) -> None:
    """Straight to the container's address: Docker's proxy would end the connection in order."""
    request = {"name": "reset", "path": "/reset"}
    with web_application(image) as server:
        if ip_address(server.address) not in BENCHMARKING:
            pytest.skip(f"the containers' addresses ({server.address}) are not known to be ours")
        url = f"http://{server.address}:8080"
        totals = drive(plan(url, rate=200, duration_s=1, requests=[request])).totals()
    assert totals.errors == {"reset": 200}


def test_checks_read_the_answer_to_what_was_sent(image: str) -> None:
    """A JSON pointer finds the value that the request posted; a wrong expectation is `check`."""
    post = {"method": "POST", "path": "/echo", "body": '{{"n": "{id}", "more": [1, null]}}'}
    pointer = {"kind": "json", "pointer": "/echo/n"}
    requests = [
        {"name": "right", "checks": [pointer | {"equals": "{id}"}]} | post,
        {"name": "wrong", "checks": [pointer | {"equals": "x{id}"}]} | post,
        {"name": "absent", "checks": [{"kind": "json", "pointer": "/echo/m"}]} | post,
        {"name": "text", "checks": [{"kind": "body_contains", "text": '"n": "{id}"'}]} | post,
    ]
    with web_application(image) as server:
        driven = drive(plan(server.url(), rate=200, duration_s=2, requests=requests))
    for name in ("right", "text"):
        assert driven.totals(name).completed == driven.totals(name).offered > 0
    for name in ("wrong", "absent"):
        assert driven.totals(name).errors == {"check": driven.totals(name).offered}


def test_a_worker_that_crashes_fails_what_it_held_and_its_successor_serves(image: str) -> None:
    """Gunicorn starts a new process; the failures are resets and ends of connection, by kind."""
    with web_application(image) as server:

        def crash() -> None:
            with pytest.raises(httpx.TransportError):
                httpx.get(f"{server.url()}/crash", timeout=5)

        before = account(server)["pid"]
        document = plan(server.url(), rate=200, duration_s=4, requests=weighted(["/slow"]))
        driven = drive(document, (1.0, crash))
        after = account(server)
    totals = driven.totals()
    assert after["pid"] != before
    assert set(totals.errors) <= {"reset", "eof"}
    assert 0 < totals.failed < 200
    assert driven.totals(second=3).completed == 200
