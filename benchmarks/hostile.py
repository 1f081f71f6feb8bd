"""Memory of the engine against servers that answer with as much as they can, for RESULTS.md.

`python -m benchmarks.hostile [--show] [NAME…]`. Each server answers 128 requests over 64
connections from a process of its own; the engine runs in another, whose peak is measured beyond
what it had before the run. What a request came to is counted by kind.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from benchmarks.run import machine, table, write
from harness import _engine

TITLE = "15. Memory against hostile servers"
MIB = 1 << 20
BODY = 16 * MIB - 64
"""A little below what the engine takes of one body."""

JSON_CHECK = {"kind": "json", "pointer": "/end", "equals": True}
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\n%scontent-length: %d\r\n\r\n"
REQUESTS, CONNECTIONS, RATE = 128, 64, 64.0
LONGEST_S = 120.0


def numbers(size: int) -> bytes:
    """A JSON document of this size that is as large as can be once it is parsed."""
    start, end = b'{"a":[', b'0],"end":true}'
    return start + b"1," * ((size - len(start) - len(end)) // 2) + end


def framed(body: bytes, kind: bytes = b"application/json", more: bytes = b"") -> bytes:
    """A response with this body."""
    return HEAD % (kind, more, len(body)) + body


def packed(body: bytes) -> bytes:
    """The same, compressed."""
    return framed(gzip.compress(body, 9), more=b"content-encoding: gzip\r\n")


@dataclass(frozen=True, slots=True)
class Server:
    """What one sends; `held` is how many of its last bytes it keeps back until the client gives up.

    `http2`: the body comes over HTTP/2, from granian.
    """

    about: str
    answer: Callable[[], bytes]
    request: Mapping[str, object] = field(default_factory=dict)
    held: int = 0
    http2: bool = False
    endless: bytes = b""


CHECKED: Mapping[str, object] = {"checks": [JSON_CHECK]}
SERVERS: dict[str, Server] = {
    "idle": Server("answers of 2 bytes", lambda: framed(b"ok")),
    "json": Server("16 MiB of JSON numbers, checked", lambda: framed(numbers(BODY)), CHECKED),
    "held": Server("the same without its last byte, all at once", lambda: framed(numbers(BODY)),
                   CHECKED, held=1),
    "texts": Server("16 MiB, searched for a text", lambda: framed(b"x" * BODY),
                    {"checks": [{"kind": "body_contains", "text": "end"}]}),
    "gzip": Server("16 MiB of JSON numbers in 16 kB of gzip", lambda: packed(numbers(BODY)),
                   CHECKED),
    "bomb": Server("1 GiB in 1 MB of gzip", lambda: packed(bytes(1 << 30)), CHECKED),
    "capture": Server("16 MiB of JSON numbers, one captured", lambda: framed(numbers(BODY)),
                      {"capture": {"end": {"kind": "json", "pointer": "/end"}}}),
    "headers": Server("99 headers of 4 kB, one of them captured", lambda: (
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: %s\r\n" % (k, b"y" * 3_900) for k in range(98))
        + b"content-length: 0\r\n\r\n"),
        {"capture": {"x": {"kind": "header", "name": "x-5"}}}),
    "head": Server("headers without an end", lambda: b"HTTP/1.1 200 OK\r\n",
                   endless=b"x-more: " + b"y" * 4_000 + b"\r\n"),
    "unread": Server("4 GiB that nobody keeps", lambda: HEAD % (b"text/plain", b"", 4 << 30),
                     endless=b"z" * MIB),
    "event": Server("an event without an end", lambda: (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: "),
        {"stream": {}}, endless=b"x" * MIB),
    "interim": Server("1xx without an end", lambda: b"",
                      endless=b"HTTP/1.1 103 Early\r\n\r\n" * 9_999),
    "http2": Server("16 MiB of JSON numbers over HTTP/2, checked", lambda: numbers(BODY), CHECKED,
                    http2=True),
    "http2-unread": Server("16 MiB over HTTP/2 that nobody keeps", lambda: b"x" * BODY, http2=True),
}  # fmt: skip


# -- the servers -----------------------------------------------------------------------------------


def serve(name: str) -> None:
    """Answer on a port of loopback, which is printed, until standard input ends."""
    server, answer = SERVERS[name], SERVERS[name].answer()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=_accept, args=(listener, server, answer), daemon=True).start()
    sys.stdin.read()


def _accept(listener: socket.socket, server: Server, answer: bytes) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_talk, args=(connection, server, answer), daemon=True).start()


def _talk(connection: socket.socket, server: Server, answer: bytes) -> None:
    view = memoryview(answer)[: len(answer) - server.held]
    with suppress(OSError), connection:
        while connection.recv(65536):
            connection.sendall(view)
            while server.endless:
                connection.sendall(server.endless)


ANSWER = b""


async def application(scope: Any, receive: Any, send: Any) -> None:
    """What granian serves."""
    global ANSWER  # noqa: PLW0603 - one process, one answer
    if scope["type"] != "http":
        return
    ANSWER = ANSWER or SERVERS[os.environ["HOSTILE"]].answer()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": ANSWER})


@contextmanager
def running(name: str) -> Iterator[str]:
    """The server's URL."""
    if SERVERS[name].http2:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = int(probe.getsockname()[1])
        words = ["granian", "--interface", "asgi", "--http", "2", "--port", str(port), "--no-ws"]
        words += ["--log-level", "error", "benchmarks.hostile:application"]
    else:
        words, port = ["benchmarks.hostile", "--serve", name], 0
    child = subprocess.Popen(
        [sys.executable, "-m", *words], env={**os.environ, "HOSTILE": name},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    if child.stdout is None:
        raise AssertionError
    try:
        if port == 0:
            port = int(child.stdout.readline())
        else:
            _await(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait(60)


def _await(port: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise SystemExit("granian did not come up")


# -- the engine ------------------------------------------------------------------------------------


def plan(url: str, server: Server) -> dict[str, object]:
    """All requests within two seconds."""
    request = {"name": "one", "path": "/", "timeout_s": 20.0, **server.request}
    segments = [{"duration_s": REQUESTS / RATE, "from_rate": RATE, "to_rate": RATE}]
    chained = "capture" in request
    return {
        "seed": 1,
        "arrivals": {"kind": "profile", "spacing": "constant", "segments": segments},
        "targets": [url],
        "connections_per_target": CONNECTIONS,
        "http2": server.http2,
        "drain_s": 40.0,
        **({"chains": [{"name": "c", "steps": [request]}]} if chained
           else {"requests": [request]}),
    }  # fmt: skip


def drive(text: str) -> None:
    """Run a plan and print what it took: bytes beyond those before, what it came to, seconds."""
    engine = _engine.Engine(text)
    before, began = _peak(), time.monotonic()
    engine.start()
    engine.join(LONGEST_S)
    seconds = time.monotonic() - began
    counts: Counter[str] = Counter()
    for line in map(json.loads, engine.poll()):
        if line["axis"] == "due":
            counts.update({"completed": line["completed"], **line["errors"]})
    print(json.dumps([_peak() - before, dict(+counts), seconds]))


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(name: str) -> tuple[int, dict[str, int], float]:
    """Peak bytes, outcomes and seconds against one server."""
    with running(name) as url:
        text = json.dumps(plan(url, SERVERS[name]))
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.hostile", "--drive", text],
            capture_output=True, text=True, check=False, timeout=2 * LONGEST_S,
        )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr[-500:]}")
    peak, counts, seconds = json.loads(done.stdout)
    return peak, counts, seconds


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SERVERS)}")
    parser.add_argument("--show", action="store_true", help="print only, write nothing")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--drive", help=argparse.SUPPRESS)
    asked = parser.parse_args(words)
    if asked.serve:
        serve(asked.serve)
        return 0
    if asked.drive:
        drive(asked.drive)
        return 0
    rows = []
    for name in asked.names or SERVERS:
        peak, counts, seconds = measure(name)
        came = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
        rows.append([SERVERS[name].about, f"{peak / MIB:,.0f} MiB", came, f"{seconds:.1f} s"])
        print(*rows[-1], sep=" | ", flush=True)
    if not asked.show:
        shown = table(("the server sends", "memory beyond that at rest", "requests", "took"), rows)
        write(TITLE, f"{machine()}\n\n{REQUESTS} requests, {CONNECTIONS} connections.\n\n{shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
