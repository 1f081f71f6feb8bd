"""Whatever the other end does, every request is accounted for, by kind, and the engine lives on."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import pytest

from tests.engine.conftest import OK, Peer, answering, make_plan, reset, run_plan, then_close

Start = Callable[[Callable[[socket.socket, Peer], None]], Peer]
Handler = Callable[[socket.socket, Peer], None]

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
QUICK = [{"name": "one", "path": "/", "timeout_s": 0.3}]


def endless_headers(connection: socket.socket, peer: Peer) -> None:
    peer.read_head(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not peer.stopped.is_set():
        connection.sendall(b"x-more: " + b"y" * 4000 + b"\r\n")


def endless_body(connection: socket.socket, peer: Peer) -> None:
    peer.read_head(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n")
    while not peer.stopped.is_set():
        connection.sendall(b"z" * 65536)


def endless_interim(connection: socket.socket, peer: Peer) -> None:
    peer.read_head(connection)
    while not peer.stopped.is_set():
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 100)


def drip(connection: socket.socket, peer: Peer) -> None:
    peer.read_head(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    while not peer.stopped.wait(0.02):
        connection.sendall(b"z")


def silent(connection: socket.socket, peer: Peer) -> None:
    peer.stopped.wait(30)


def reset_after_head(connection: socket.socket, peer: Peer) -> None:
    peer.read_head(connection)
    reset(connection)


def half_body_then_reset(connection: socket.socket, peer: Peer) -> None:
    peer.read_head(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nabc")
    time.sleep(0.02)
    reset(connection)


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        (then_close(b""), "eof"),
        (then_close(b"HTTP/1.1 200 OK\r\ncontent-le"), "protocol"),
        (then_close(b"\x00\xff\x16\x03 garbage that is not HTTP \r\n\r\n"), "protocol"),
        (then_close(b"SSH-2.0-OpenSSH_9.2\r\n"), "protocol"),
        (then_close(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"), "eof"),
        (
            then_close(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n"),
            "protocol",
        ),
        (then_close(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"), "protocol"),
        (reset_after_head, "reset"),
        (half_body_then_reset, "reset"),
        (endless_headers, "protocol"),
        (endless_interim, "protocol"),
        (then_close(CHUNKED + b"8000000000000000\r\nabc"), "eof"),
        (then_close(CHUNKED + b"10000000000000000\r\nabc"), "protocol"),
        (endless_body, "body_too_large"),
        (drip, "timeout"),
        (silent, "timeout"),
    ],
    ids=[
        "closes without a word",
        "half a head",
        "garbage",
        "another protocol",
        "half a body",
        "a bad chunk",
        "a negative length",
        "resets",
        "resets in the body",
        "endless headers",
        "endless interim answers",
        "a chunk of 2^63",
        "a chunk of 2^64",
        "endless body",
        "drips",
        "never answers",
    ],
)
def test_a_bad_peer_is_counted_by_kind(peer: Start, handler: Handler, kind: str) -> None:
    outcome = run_plan(
        make_plan(peer(handler).url, rate=60, requests=QUICK, max_body_bytes=1_000_000)
    )
    assert outcome.errors == {kind: 18}
    assert outcome.conserved()
    assert outcome.histogram("failed").count == 18
    assert outcome.histogram("response").count == 0


def test_an_answer_that_never_pauses_does_not_put_off_its_timeout(peer: Start) -> None:
    """There is always more to read: the deadline must be looked at between reads."""
    began = time.monotonic()
    plan = make_plan(peer(endless_body).url, rate=10, requests=QUICK, max_body_bytes=10**12)
    outcome = run_plan(plan)
    assert outcome.errors == {"timeout": 3}
    assert outcome.conserved()
    assert time.monotonic() - began < 5.0


def test_a_dead_port_is_refused(dead_port: int) -> None:
    outcome = run_plan(make_plan(f"http://127.0.0.1:{dead_port}"))
    assert outcome.errors == {"refused": 30}
    assert outcome.conserved()


def test_a_name_that_does_not_resolve_is_counted() -> None:
    outcome = run_plan(make_plan("http://no-such-name.invalid", rate=10, requests=QUICK))
    assert set(outcome.errors) <= {"resolve", "timeout"}
    assert outcome.total("failed") == 3
    assert outcome.conserved()


def test_a_full_backlog_is_a_connect_timeout() -> None:
    """Nobody accepts: after the backlog is full, the handshake goes unanswered."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        fill = [socket.socket() for _ in range(4)]
        for filler in fill:
            filler.setblocking(False)  # noqa: FBT003 - the standard library's own signature
            filler.connect_ex(("127.0.0.1", port))
        time.sleep(0.1)
        plan = make_plan(f"http://127.0.0.1:{port}", rate=20, connect_timeout_s=0.2)
        outcome = run_plan(plan)
        for filler in fill:
            filler.close()
    assert outcome.errors == {"connect_timeout": 6}
    assert outcome.conserved()


def test_an_http_1_server_cannot_be_taken_for_http_2(peer: Start) -> None:
    handler = then_close(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
    outcome = run_plan(make_plan(peer(handler).url, http2=True, requests=QUICK))
    assert set(outcome.errors) <= {"protocol", "eof", "reset"}
    assert outcome.total("failed") == 30
    assert outcome.conserved()


def test_statuses_fail_by_their_class_unless_a_check_allows_them(peer: Start) -> None:
    answer = b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"
    url = peer(answering(answer)).url
    assert run_plan(make_plan(url)).errors == {"status_5xx": 30}
    allowed = [{"name": "one", "path": "/", "checks": [{"kind": "status", "in": [503]}]}]
    assert run_plan(make_plan(url, requests=allowed)).errors == {}


def test_a_failed_check_fails_the_request(peer: Start) -> None:
    body = b'{"id": "7", "items": []}'
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    url = peer(answering(answer)).url
    checks: list[tuple[list[dict[str, object]], bool]] = [
        ([{"kind": "body_contains", "text": '"id"'}], True),
        ([{"kind": "body_contains", "text": "nowhere"}], False),
        ([{"kind": "json", "pointer": "/id", "equals": "{id}"}], True),
        ([{"kind": "json", "pointer": "/items"}], True),
        ([{"kind": "json", "pointer": "/items/0"}], False),
        ([{"kind": "status", "in": [204]}], False),
    ]
    for check, good in checks:
        requests = [{"name": "one", "path": "/{id}", "checks": check}]
        feeds = {"id": {"kind": "choice", "values": ["7"]}}
        outcome = run_plan(make_plan(url, rate=30, requests=requests, feeds=feeds))
        assert outcome.errors == ({} if good else {"check": 9}), check


def test_a_server_that_dies_and_comes_back_is_found_again(peer: Start) -> None:
    """The connections of the dead one fail or are dropped; new ones are made by themselves."""
    first = peer(answering())
    address = first.listener.getsockname()
    revived: list[Peer] = []

    def swap() -> None:
        first.stop()
        time.sleep(0.3)
        again = Peer(socket.create_server(address), answering())
        threading.Thread(target=again.serve, daemon=True).start()
        revived.append(again)

    timer = threading.Timer(0.5, swap)
    timer.start()
    outcome = run_plan(make_plan(first.url, duration=1.5))
    timer.join()
    revived[0].stop()
    assert outcome.conserved()
    assert set(outcome.errors) <= {"refused", "reset", "eof", "protocol"}
    assert 10 <= outcome.total("failed") <= 60
    assert revived[0].heads


def test_a_server_that_closes_after_each_answer_loses_nothing(peer: Start) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
    outcome = run_plan(make_plan(peer(then_close(answer)).url))
    assert outcome.total("completed") == outcome.total("connects") == 30
    assert outcome.conserved()


def test_an_answer_given_before_the_whole_request_was_read_counts(peer: Start) -> None:
    """A refusal of a large body comes while the body is still on its way out."""

    def refuse(connection: socket.socket, peer: Peer) -> None:
        connection.recv(1_000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        peer.stopped.wait(5)

    large = [{"name": "one", "method": "POST", "path": "/", "body": "x" * 8_000_000}]
    outcome = run_plan(make_plan(peer(refuse).url, rate=10, requests=large))
    assert outcome.errors == {"status_4xx": 3}
    # What is still being written keeps a connection from being used again.
    assert outcome.total("connects") == 3
    assert outcome.conserved()


def test_idle_connections_that_the_server_closed_are_not_used(peer: Start) -> None:
    """Nothing is sent on a connection that is known to be closed: no request fails for it."""

    def one_then_close_silently(connection: socket.socket, peer: Peer) -> None:
        peer.read_head(connection)
        connection.sendall(OK)
        time.sleep(0.02)

    outcome = run_plan(make_plan(peer(one_then_close_silently).url, rate=10, duration=1))
    assert outcome.total("completed") == 10
    assert outcome.conserved()


def test_one_dead_target_of_two_costs_its_share_and_no_more(peer: Start, dead_port: int) -> None:
    alive = peer(answering())
    outcome = run_plan(make_plan(alive.url, f"http://127.0.0.1:{dead_port}"))
    assert outcome.errors == {"refused": 15}
    assert outcome.total("completed") == 15


def test_what_was_sent_on_a_connection_that_was_closed_then_is_not_sent_again(peer: Start) -> None:
    """The service may have carried it out: over HTTP/1.1 nobody says that it has not."""

    def reads_the_second_and_closes(connection: socket.socket, peer: Peer) -> None:
        peer.read_head(connection)
        connection.sendall(OK)
        peer.read_head(connection)

    server = peer(reads_the_second_and_closes)
    outcome = run_plan(make_plan(server.url, rate=10, duration=0.4))
    assert outcome.conserved()
    assert outcome.errors == {"eof": 2}
    assert len(server.heads) == 4
