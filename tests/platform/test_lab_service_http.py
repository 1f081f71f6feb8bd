"""The reference service reads HTTP/1.1 as RFC 9112 has it, whole or in pieces."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.engine.conftest import make_plan, run_plan
from tests.platform.replica import serving

ITEM = "/api/memory/1"
ENDS = "connection: close\r\n"


@pytest.fixture(scope="module")
def replica() -> Iterator[httpx.Client]:
    with serving() as client:
        yield client


def exchange(replica: httpx.Client, *pieces: str) -> str:
    """Send the pieces one after the other; what comes back until the end of the connection."""
    url = replica.base_url
    with socket.create_connection((url.host, url.port or 80), timeout=5) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            line.sendall(piece.encode())
        return b"".join(iter(lambda: line.recv(65536), b"")).decode()


def get(path: str = ITEM, headers: str = "", method: str = "GET", version: str = "1.1") -> str:
    return f"{method} {path} HTTP/{version}\r\nhost: lab\r\n{headers}\r\n"


def status(text: str) -> int:
    return int(text.split(" ", 2)[1])


def test_requests_in_one_packet_are_answered_in_their_order(replica: httpx.Client) -> None:
    text = exchange(replica, get() + get("/nope") + get("/api/memory/2", ENDS))
    assert [part[:3] for part in text.split("HTTP/1.1 ")[1:]] == ["200", "404", "200"]
    assert text.index('"id":"1"') < text.index("no such path") < text.index('"id":"2"')


def test_what_is_no_request_after_one_that_is_gets_an_answer_of_its_own(
    replica: httpx.Client,
) -> None:
    text = exchange(replica, get() + "nonsense\r\n\r\n")
    assert [part[:3] for part in text.split("HTTP/1.1 ")[1:]] == ["200", "400"]


def test_a_request_in_pieces_is_one_request(replica: httpx.Client) -> None:
    head, body = get("/api/memory", f"{ENDS}content-length: 12\r\n", "POST"), '{"id":"pcs"}'
    text = exchange(replica, head[:7], head[7:30], head[30:], body[:5], body[5:])
    assert status(text) == 201
    assert text.endswith('{"id":"pcs","service":"memorai","region":"us-east-1"}')


def test_a_body_in_chunks_is_joined(replica: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"id":"chunked",'
        yield b'"value":[1]}'

    assert replica.post("/api/memory", content=chunks()).json()["id"] == "chunked"
    assert replica.get("/api/memory/chunked").json()["value"] == [1]


def test_a_head_has_the_length_and_not_the_body(replica: httpx.Client) -> None:
    answer = replica.head(ITEM)
    assert (answer.status_code, answer.content) == (405, b"")
    assert int(answer.headers["content-length"]) > 0
    assert replica.get(ITEM).status_code == 200


def test_who_waits_for_a_continue_is_given_one(replica: httpx.Client) -> None:
    url = replica.base_url
    with socket.create_connection((url.host, url.port or 80), timeout=5) as line:
        wanted = f"{ENDS}expect: 100-continue\r\ncontent-length: 2\r\n"
        line.sendall(get("/api/memory", wanted, "POST").encode())
        assert line.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.sendall(b"{}")
        assert line.recv(100).startswith(b"HTTP/1.1 201 ")


def test_the_connection_of_an_older_client_ends(replica: httpx.Client) -> None:
    assert status(exchange(replica, get(version="1.0"))) == 200


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("nonsense\r\n\r\n", 400),
        (get(headers="content-length: 1\r\ncontent-length: 2\r\n"), 400),
        (get(headers="content-length: 2\r\ntransfer-encoding: chunked\r\n"), 400),
        (get(headers="transfer-encoding: gzip\r\n"), 501),
        (get(headers="transfer-encoding: chunked\r\n") + "zz\r\n", 400),
        (get(headers="content-length: 99999999\r\n"), 413),
        (get(headers="x: y\r\n" * 101), 431),
        ("GET / HTTP/1.1\r\nx: " + "y" * 70_000, 431),
    ],
)
def test_what_is_no_request_ends_its_connection_with_the_reason(
    replica: httpx.Client, text: str, refused: int
) -> None:
    assert status(exchange(replica, text)) == refused
    assert replica.get(ITEM).status_code == 200


def test_http_2_is_answered_by_the_same_replica(replica: httpx.Client) -> None:
    """With prior knowledge: reads, and writes with a body, on the same port."""
    requests = [
        {"name": "read", "path": ITEM, "checks": [{"kind": "body_contains", "text": '"id":"1"'}]},
        {"name": "write", "method": "POST", "path": "/api/memory", "body": '{{"id":"h2"}}'},
    ]
    plan = make_plan(str(replica.base_url).rstrip("/"), http2=True, requests=requests)
    outcome = run_plan(plan)
    assert outcome.errors == {}
    assert outcome.snapshot["completed"] == outcome.snapshot["offered"] == 30
    assert replica.get("/api/memory/h2").status_code == 200
