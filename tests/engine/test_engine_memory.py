"""What the engine keeps of answers is bounded for all connections together."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.conftest import Peer, answering, make_plan, run_plan

Start = Callable[[Callable[[socket.socket, Peer], None]], Peer]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MIB = 1 << 20
CHECKED = [
    {
        "name": "one",
        "path": "/",
        "timeout_s": 5.0,
        "checks": [{"kind": "json", "pointer": "/end", "equals": True}],
    }
]


def peak() -> int:
    """The most memory that this process has had since `forget_peak`, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def numbers(size: int) -> bytes:
    """A document that would be sixteen times as large once it is built."""
    return b'{"a":[' + b"1," * (size // 2) + b'0],"end":true}'


def framed(body: bytes, *, promised: int = 0) -> bytes:
    length = len(body) + promised
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % length + body


def test_a_large_document_is_checked_without_being_built(peer: Start) -> None:
    server = peer(answering(framed(numbers(15 * MIB))))
    plan = make_plan(server.url, rate=40, duration=0.1, requests=CHECKED)
    forget_peak()
    before = peak()
    outcome = run_plan(plan)
    assert outcome.total("completed") == 4
    assert peak() - before < 180 * MIB


def test_what_the_generator_has_no_room_for_fails_as_its_own_limit(peer: Start) -> None:
    """Eight answers of 33 MiB that never end; each is reserved up to 66 MiB as it grows."""
    piece = b"1" * MIB

    def never_ends(connection: socket.socket, peer: Peer) -> None:
        peer.read_head(connection)
        connection.sendall(framed(b"", promised=1 << 30))
        for _ in range(33):
            connection.sendall(piece)
        peer.stopped.wait(10)

    requests = [{**CHECKED[0], "timeout_s": 2.0}]
    plan = make_plan(
        peer(never_ends).url, rate=80, duration=0.1, requests=requests, max_body_bytes=1 << 31
    )
    forget_peak()
    before = peak()
    outcome = run_plan(plan)
    assert outcome.conserved()
    assert set(outcome.errors) == {"local", "timeout"}
    assert peak() - before < 300 * MIB
    said = {json.loads(line)["message"] for line in outcome.examples if '"local"' in line}
    assert len(said) == 1
    assert "256 MiB that the generator keeps" in said.pop()
