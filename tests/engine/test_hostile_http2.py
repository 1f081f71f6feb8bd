"""Whatever an HTTP/2 server sends, every request is counted by kind, and memory is bounded."""

from __future__ import annotations

import resource
import socket
import struct
import time
from collections.abc import Callable

import pytest

from tests.engine.conftest import Outcome, Peer, make_plan, run_plan

Start = Callable[[Callable[[socket.socket, Peer], None]], Peer]
Answer = Callable[[socket.socket, Peer, int], None]

DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_STREAM, END_HEADERS = 1, 4
OK = b"\x88"
"""`:status: 200`, as the static table of HPACK has it."""

NO_ERROR, INTERNAL_ERROR, ENHANCE_YOUR_CALM = 0, 2, 11
MOST_GROWTH_KIB = 150 << 10
QUICK = [{"name": "one", "path": "/", "timeout_s": 1.0}]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return (
        struct.pack(">I", len(payload))[1:]
        + bytes([kind, flags])
        + struct.pack(">I", stream)
        + payload
    )


def ok(stream: int) -> bytes:
    return frame(HEADERS, END_HEADERS, stream, OK) + frame(DATA, END_STREAM, stream, b"ok")


def goaway(last: int, code: int) -> bytes:
    return frame(GOAWAY, 0, 0, struct.pack(">II", last, code))


def exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise OSError("closed")
        data += part
    return data


def speaking(answer: Answer) -> Callable[[socket.socket, Peer], None]:
    """A server that calls `answer` with the number of each stream that is opened."""

    def handle(connection: socket.socket, peer: Peer) -> None:
        exactly(connection, 24)
        connection.sendall(frame(SETTINGS, 0, 0))
        while True:
            head = exactly(connection, 9)
            exactly(connection, int.from_bytes(head[:3], "big"))
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
            if kind == SETTINGS and not flags & 1:
                connection.sendall(frame(SETTINGS, 1, 0))
            elif kind == HEADERS:
                answer(connection, peer, stream)

    return handle


def flood(*frames: bytes) -> Answer:
    """The same frames again and again, until the client has enough."""

    def answer(connection: socket.socket, peer: Peer, stream: int) -> None:
        while not peer.stopped.is_set():
            for each in frames:
                connection.sendall(each.replace(b"STREAM", struct.pack(">I", stream)) * 100)

    return answer


def resets(connection: socket.socket, peer: Peer, stream: int) -> None:
    connection.sendall(frame(RST, 0, stream, struct.pack(">I", INTERNAL_ERROR)))


def resets_in_the_body(connection: socket.socket, peer: Peer, stream: int) -> None:
    part = frame(HEADERS, END_HEADERS, stream, OK) + frame(DATA, 0, stream, b"half")
    connection.sendall(part + frame(RST, 0, stream, struct.pack(">I", INTERNAL_ERROR)))


def calms(connection: socket.socket, peer: Peer, stream: int) -> None:
    connection.sendall(goaway(0, ENHANCE_YOUR_CALM))


def endless_headers(connection: socket.socket, peer: Peer, stream: int) -> None:
    line = b"\x40\x01x" + b"\x7f\x80\x1e" + b"y" * 3967
    connection.sendall(frame(HEADERS, 0, stream, OK + line))
    while not peer.stopped.is_set():
        connection.sendall(frame(CONTINUATION, 0, stream, line))


def endless_body(connection: socket.socket, peer: Peer, stream: int) -> None:
    connection.sendall(frame(HEADERS, END_HEADERS, stream, OK))
    while not peer.stopped.is_set():
        connection.sendall(frame(DATA, 0, stream, b"z" * 16_000))


def empty_frames(connection: socket.socket, peer: Peer, stream: int) -> None:
    connection.sendall(frame(HEADERS, END_HEADERS, stream, OK))
    while not peer.stopped.is_set():
        connection.sendall(frame(DATA, 0, stream) * 1_000)


def interim(connection: socket.socket, peer: Peer, stream: int) -> None:
    """`:status: 103` again and again."""
    while not peer.stopped.is_set():
        connection.sendall(frame(HEADERS, END_HEADERS, stream, b"\x08\x03103") * 100)


def garbage(connection: socket.socket, peer: Peer, stream: int) -> None:
    connection.sendall(frame(99, 255, stream, b"?" * 100) + frame(HEADERS, 4, stream, b"\xff" * 9))


def huge_frame(connection: socket.socket, peer: Peer, stream: int) -> None:
    connection.sendall(b"\xff\xff\xff\x00\x00" + struct.pack(">I", stream) + b"z" * 100_000)


@pytest.mark.parametrize(
    ("answer", "kinds"),
    [
        (resets, {"reset"}),
        (resets_in_the_body, {"reset"}),
        (calms, {"reset", "eof"}),
        (endless_headers, {"protocol", "eof", "reset"}),
        (endless_body, {"body_too_large", "timeout", "protocol"}),  # it keeps no window
        (empty_frames, {"timeout", "protocol"}),
        (interim, {"timeout", "protocol"}),
        (flood(frame(PING, 0, 0, b"12345678")), {"timeout", "protocol"}),
        (flood(frame(SETTINGS, 0, 0)), {"timeout", "protocol"}),
        (garbage, {"protocol"}),
        (huge_frame, {"protocol"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_hostile_server_is_counted_by_kind(peer: Start, answer: Answer, kinds: set[str]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    plan = make_plan(
        peer(speaking(answer)).url, rate=20, http2=True, requests=QUICK, max_body_bytes=1_000_000
    )
    outcome = run_plan(plan)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert outcome.conserved()
    assert outcome.total("failed") == 6, outcome.errors
    assert set(outcome.errors) <= kinds, outcome.examples
    assert grown < MOST_GROWTH_KIB


def retried(outcome: Outcome) -> int:
    return sum(line.get("retried", 0) for line in outcome.slices if line["axis"] == "due")


def test_a_server_that_says_goodbye_after_each_answer_is_asked_on_another_connection(
    peer: Start,
) -> None:
    """GOAWAY is how a rolling update begins.

    With the highest number first (RFC 9113, 6.8), so that what is under way is answered, too. A
    request that leaves while the goodbye comes has not been processed, and is sent again.
    """

    def answer(connection: socket.socket, peer: Peer, stream: int) -> None:
        connection.sendall(goaway(2**31 - 1, NO_ERROR) + ok(stream))

    server = peer(speaking(answer))
    outcome = run_plan(make_plan(server.url, rate=10, duration=1.0, http2=True, requests=QUICK))
    assert outcome.conserved()
    assert outcome.errors == {}
    assert outcome.total("completed") == 10
    assert server.connections >= 5


def test_what_a_server_going_away_has_not_processed_is_sent_again_and_stays_due(
    peer: Start,
) -> None:
    """The first connection goes away after 0.2 s; of that the request is not relieved."""
    streams: list[int] = []

    def answer(connection: socket.socket, peer: Peer, stream: int) -> None:
        streams.append(stream)
        if len(streams) > 1:
            connection.sendall(ok(stream))
            return
        time.sleep(0.2)
        connection.sendall(goaway(0, NO_ERROR))

    server = peer(speaking(answer))
    outcome = run_plan(make_plan(server.url, rate=5, duration=0.2, http2=True, requests=QUICK))
    assert outcome.conserved()
    assert (outcome.total("completed"), retried(outcome)) == (1, 1)
    assert (len(streams), server.connections) == (2, 2)
    for kind in ("response", "service"):
        assert (outcome.histogram(kind).min or 0) >= 200_000_000


@pytest.mark.parametrize(
    ("last", "code", "asked"),
    [(2**31 - 1, NO_ERROR, 1), (1, INTERNAL_ERROR, 1), (0, NO_ERROR, 2)],
    ids=["all processed", "this one processed", "not processed, twice"],
)
def test_what_may_have_been_processed_is_not_sent_again_and_nothing_is_twice(
    peer: Start, last: int, code: int, asked: int
) -> None:
    def answer(connection: socket.socket, peer: Peer, stream: int) -> None:
        seen.append(stream)
        connection.sendall(goaway(last, code))
        connection.shutdown(socket.SHUT_WR)

    seen: list[int] = []
    outcome = run_plan(
        make_plan(peer(speaking(answer)).url, rate=5, duration=0.2, http2=True, requests=QUICK)
    )
    assert outcome.conserved()
    assert outcome.total("failed") == 1
    assert set(outcome.errors) <= {"eof", "reset"}
    assert len(seen) == asked
    assert retried(outcome) == asked - 1
