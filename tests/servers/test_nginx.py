"""Nginx: what the engine says it did is what the server's own log says."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.servers.containers import LARGE_BYTES, Server, nginx, nginx_log
from tests.servers.drive import drive, plan, weighted

pytestmark = pytest.mark.docker

PORTS = {"HTTP/1.1": 8080, "HTTP/2.0": 8081}
each_protocol = pytest.mark.parametrize("protocol", PORTS)


def over(protocol: str, server: Server, **fields: Any) -> dict[str, Any]:
    """A plan that speaks `protocol` to nginx, without TLS."""
    return plan(server.url(PORTS[protocol]), http2=protocol == "HTTP/2.0", **fields)


@each_protocol
def test_each_request_is_one_line_of_the_access_log(image: str, protocol: str) -> None:
    """Completed and failed requests of every status and method are all there, once each."""
    requests = [
        *weighted(["/item", "/missing", "/broken"]),
        {"name": "/moved", "path": "/moved", "checks": [{"kind": "status", "in": [200]}]},
        {"name": "/ITEM", "method": "POST", "path": "/item?post", "body": '{{"a": "{id}"}}'},
    ]
    with nginx(image) as server:
        driven = drive(over(protocol, server, rate=1000, duration_s=3, requests=requests))
        log = nginx_log(server, expected=3000)
    assert driven.totals().offered == 3000 == len(log)
    assert {line.protocol for line in log} == {protocol}
    said = Counter((line.status, line.method) for line in log)
    assert said == {
        (200, "GET"): driven.totals("/item").completed,
        (200, "POST"): driven.totals("/ITEM").completed,
        (301, "GET"): driven.totals("/moved").errors["status_3xx"],
        (404, "GET"): driven.totals("/missing").errors["status_4xx"],
        (503, "GET"): driven.totals("/broken").errors["status_5xx"],
    }


def test_no_request_is_sent_twice(image: str) -> None:
    """A sequence feed arrives as 0, 1, 2, … n-1, each once, from whichever of two threads."""
    with nginx(image) as server:
        drive(plan(server.url(), rate=2000, duration_s=2, threads=2))
        log = nginx_log(server, expected=4000)
    assert sorted(int(line.uri.partition("id=")[2]) for line in log) == list(range(4000))


def test_a_closed_model_is_counted_as_exactly_as_an_open_one(image: str) -> None:
    """As many as 16 users got through in a second, however many that was."""
    arrivals = {"kind": "closed", "users": 16, "duration_s": 1, "think_s": 0.005}
    with nginx(image) as server:
        totals = drive(plan(server.url(), rate=1, duration_s=1, arrivals=arrivals)).totals()
        log = nginx_log(server, expected=totals.completed)
    assert len(log) == totals.completed == totals.offered > 500
    assert len({line.connection for line in log}) <= 16


@each_protocol
def test_a_server_that_closes_after_100_requests_loses_none_in_silence(
    image: str, protocol: str
) -> None:
    """The connections of the engine are those of the server, none with more than 100 requests.

    HTTP/1.1 announces the end with the last answer, so nothing fails. HTTP/2 announces it by GOAWAY
    while more requests may be on their way (RFC 9113, 6.8): those fail by kind, none is answered.
    """
    with nginx(image, keepalive_requests=100) as server:
        driven = drive(over(protocol, server, rate=2000, duration_s=3))
        log = nginx_log(server, expected=driven.totals().completed)
    totals = driven.totals()
    per_connection = Counter(line.connection for line in log)
    assert totals.offered == 6000
    assert len(log) == totals.completed
    assert set(totals.errors) <= ({"reset", "eof"} if protocol == "HTTP/2.0" else set())
    assert totals.completed > 4500
    assert max(per_connection.values()) <= 100
    assert len(per_connection) == totals.connects


def test_a_server_without_keep_alive_gets_a_connection_for_each_request(image: str) -> None:
    """With keepalive_timeout 0 every response closes its connection, and none is lost."""
    with nginx(image, keepalive_timeout="0") as server:
        totals = drive(plan(server.url(), rate=500, duration_s=2)).totals()
        log = nginx_log(server, expected=1000)
    assert (totals.completed, totals.connects) == (1000, 1000)
    assert len({line.connection for line in log}) == 1000


def test_a_request_that_meets_an_idle_connection_being_closed_is_counted(image: str) -> None:
    """Bursts as far apart as the server's idle limit: answered and logged, or failed by kind."""
    burst, gap_ns, bursts = 20, 1_000_000_000, 5
    due = [int(i * gap_ns) + k * 200_000 for i in range(bursts) for k in range(burst)]
    with nginx(image, keepalive_timeout="1s") as server:
        arrivals = {"kind": "replay", "due_ns": due}
        totals = drive(plan(server.url(), rate=1, duration_s=1, arrivals=arrivals)).totals()
        log = nginx_log(server, expected=totals.completed)
    assert totals.offered == burst * bursts
    assert len(log) == totals.completed
    assert set(totals.errors) <= {"eof", "reset"}


@each_protocol
def test_the_bytes_of_large_bodies_are_all_counted(image: str, protocol: str) -> None:
    """Bodies of one megabyte arrive whole."""
    requests = weighted(["/large"])
    with nginx(image) as server:
        document = over(protocol, server, rate=50, duration_s=2, requests=requests)
        totals = drive(document).totals()
    assert totals.completed == 100
    assert totals.bytes_in == 100 * LARGE_BYTES


@each_protocol
def test_a_body_over_the_limit_fails_by_kind_and_harms_no_other_request(
    image: str, protocol: str
) -> None:
    """The small requests beside it all complete."""
    requests = weighted(["/large", "/item"])
    fields = {"requests": requests, "max_body_bytes": 65536}
    with nginx(image) as server:
        driven = drive(over(protocol, server, rate=200, duration_s=2, **fields))
    large, small = driven.totals("/large"), driven.totals("/item")
    assert large.errors == {"body_too_large": large.offered}
    assert small.completed == small.offered > 0


def test_several_addresses_are_driven_in_equal_shares(image: str) -> None:
    """Round-robin over three servers, by the servers' own logs."""
    with nginx(image) as a, nginx(image) as b, nginx(image) as c:
        servers: list[Server] = [a, b, c]
        totals = drive(plan(*(s.url() for s in servers), rate=1500, duration_s=2)).totals()
        shares = [len(nginx_log(server, expected=1000)) for server in servers]
    assert totals.completed == 3000 == sum(shares)
    assert max(shares) - min(shares) <= 30
