"""Nginx: what the engine says it did is what the server's own log says."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.servers.containers import LARGE_BYTES, Server, nginx, nginx_log
from tests.servers.drive import drive, plan, weighted

pytestmark = pytest.mark.docker

PROTOCOLS = pytest.mark.parametrize(
    ("port", "http2", "protocol"), [(8080, False, "HTTP/1.1"), (8081, True, "HTTP/2.0")]
)


@PROTOCOLS
def test_each_request_is_one_line_of_the_access_log(
    image: str, port: int, http2: bool, protocol: str
) -> None:
    """Completed and failed requests of every status and method are all there, once each."""
    requests = [
        *weighted(["/item", "/missing", "/broken"]),
        {"name": "/moved", "path": "/moved", "checks": [{"kind": "status", "in": [200]}]},
        {"name": "/ITEM", "method": "POST", "path": "/item?post", "body": '{"a": "{id}"}'},
    ]
    with nginx(image) as server:
        driven = drive(
            plan(server.url(port), rate=1000, duration_s=3, http2=http2, requests=requests)
        )
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
    """A sequence feed arrives as 0, 1, 2, … n-1, each once."""
    with nginx(image) as server:
        drive(plan(server.url(), rate=2000, duration_s=2))
        log = nginx_log(server, expected=4000)
    assert sorted(int(line.uri.partition("id=")[2]) for line in log) == list(range(4000))


@PROTOCOLS
def test_a_server_that_closes_after_100_requests_loses_none(
    image: str, port: int, http2: bool, protocol: str
) -> None:
    """The connections of the engine are those of the server, none with more than 100 requests."""
    with nginx(image, keepalive_requests=100) as server:
        driven = drive(plan(server.url(port), rate=2000, duration_s=3, http2=http2))
        log = nginx_log(server, expected=6000)
    totals = driven.totals()
    per_connection = Counter(line.connection for line in log)
    assert (totals.completed, totals.failed) == (6000, 0)
    assert len(log) == 6000
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


@PROTOCOLS
def test_the_bytes_of_large_bodies_are_all_counted(
    image: str, port: int, http2: bool, protocol: str
) -> None:
    """Bodies of one megabyte arrive whole."""
    requests = weighted(["/large"])
    with nginx(image) as server:
        document = plan(server.url(port), rate=50, duration_s=2, http2=http2, requests=requests)
        totals = drive(document).totals()
    assert totals.completed == 100
    assert totals.bytes_in == 100 * LARGE_BYTES


@PROTOCOLS
def test_a_body_over_the_limit_fails_by_kind_and_harms_no_other_request(
    image: str, port: int, http2: bool, protocol: str
) -> None:
    """The small requests beside it all complete."""
    requests = weighted(["/large", "/item"])
    fields = {"requests": requests, "max_body_bytes": 65536, "http2": http2}
    with nginx(image) as server:
        driven = drive(plan(server.url(port), rate=200, duration_s=2, **fields))
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
