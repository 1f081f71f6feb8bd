"""Whatever a server sends to a journey, it is counted by kind, in bounded time and memory."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

Handler = Callable[[socket.socket], None]

SCENARIO = """
from harness.traffic import journey
from harness.traffic.user import TrafficUser

class Visitor(TrafficUser):
    network_timeout = 3.0
    service = "shop"

    @journey()
    def visit(self):
        for path in (PATHS):
            self.client.get(path, name=path)
"""
MOST_MIB = 400
"""Of the load process: as much as it has without any of these, and 150 beside."""

HEAD = b"HTTP/1.1 200 OK\r\n"


def endless_stream(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b"z" * 65536 + b"\r\n")


def ten_gigabytes(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"content-length: 10000000000\r\n\r\n")
    while True:
        connection.sendall(b"z" * 65536)


def one_byte(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"content-length: 10\r\n\r\nz")
    threading.Event().wait(20)


def bomb(connection: socket.socket) -> None:
    body = gzip.compress(bytes(64 << 20), 1)
    coding = b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body)
    connection.sendall(HEAD + coding + body)


def endless_headers(connection: socket.socket) -> None:
    connection.sendall(HEAD)
    while True:
        connection.sendall((b"x-more: " + b"y" * 4000 + b"\r\n") * 10)


def endless_header(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"x-long: ")
    while True:
        connection.sendall(b"y" * 65536)


def interim(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 100)


def huge_chunk(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n8000000000000000\r\nabc")


def cut_gzip(connection: socket.socket) -> None:
    body = gzip.compress(b"text " * 1000)
    connection.sendall(HEAD + b"content-encoding: gzip\r\n\r\n" + body[:20])


KINDS: dict[Handler, set[str]] = {
    endless_stream: {"body_too_large"},
    ten_gigabytes: {"body_too_large"},
    one_byte: {"timeout"},
    bomb: {"body_too_large"},
    endless_headers: {"protocol"},
    endless_header: {"protocol"},
    interim: {"timeout", "protocol"},
    huge_chunk: {"eof", "protocol"},
    cut_gzip: {"protocol", "eof"},
}


@pytest.fixture
def server() -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    known = {f"/{each.__name__}": each for each in KINDS}

    def converse(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            path = connection.recv(65536).decode().split(" ")[1]
            handle = known.get(path)
            if handle is None:
                connection.sendall(HEAD + b"content-length: 0\r\nconnection: close\r\n\r\n")
            else:
                handle(connection)

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=converse, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_each_answer_of_a_hostile_server_is_counted_by_kind(server: str, tmp_path: Path) -> None:
    paths = ", ".join(repr(f"/{each.__name__}") for each in KINDS)
    (tmp_path / "shop.py").write_text(SCENARIO.replace("PATHS", f"{paths},"))
    measured = (
        "import resource, sys; from harness.cli import run; code = run(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10, code)"
    )
    words = [
        "perf", f"{server}/", "--scenario", "shop.py", "--rate", "2", "--duration", "1s",
        "--no-early-end", "--quiet",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", measured, *words],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    mebibytes = int(done.stdout.split()[-2])
    (slices,) = tmp_path.glob("results/*/*/slices.jsonl")
    found: dict[str, dict[str, int]] = {}
    for line in slices.read_text().splitlines():
        row = json.loads(line)
        if row["axis"] == "due":
            counts = found.setdefault(row["endpoint"].strip("/"), {})
            for kind, count in row["errors"].items():
                counts[kind] = counts.get(kind, 0) + count
    wrong = {
        each.__name__: counts
        for each, kinds in KINDS.items()
        if not (counts := found[each.__name__]) or not set(counts) <= kinds
    }
    assert not wrong, done.stdout
    assert mebibytes < MOST_MIB
