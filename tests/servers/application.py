"""A WSGI application that misbehaves on demand and keeps account of every request that reached it.

It runs inside the container under Debian's Python, so it imports the standard library only.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

Start = Callable[..., Any]

seen: Counter[str] = Counter()
ids: Counter[str] = Counter()
lock = threading.Lock()


def application(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    """Answers by path; what it does not know is 404."""
    path = environ["PATH_INFO"]
    query = parse_qs(environ["QUERY_STRING"])
    if path == "/account":
        with lock:
            return reply(start, {"pid": os.getpid(), "seen": seen, "ids": ids})
    with lock:
        seen[path] += 1
        if "id" in query:
            ids[query["id"][0]] += 1
    answer = ANSWERS.get(path)
    if answer is None:
        return reply(start, {"error": "no such path"}, "404 Not Found")
    return answer(environ, start)


def reply(start: Start, document: Any, status: str = "200 OK") -> list[bytes]:
    """A JSON answer with its length."""
    body = json.dumps(document).encode()
    head = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start(status, head)
    return [body]


def echo(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    """Gives the posted JSON document back."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    return reply(start, {"echo": json.loads(environ["wsgi.input"].read(length) or "null")})


def stream(environ: dict[str, Any], start: Start) -> Iterator[bytes]:
    """A body in chunks, without a length."""
    start("200 OK", [("Content-Type", "text/plain")])
    for i in range(5):
        yield f"part {i}\n".encode()


def slow(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    """Takes 50 ms."""
    time.sleep(0.05)
    return reply(start, {"ok": True})


def drop(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    """Ends the connection in an orderly way, without an answer."""
    environ["gunicorn.socket"].shutdown(socket.SHUT_RDWR)
    raise BrokenPipeError(errno.EPIPE, "dropped on demand")  # gunicorn takes it for a client's end


def half(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    """Promises more than it sends, then ends the connection."""
    environ["gunicorn.socket"].sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    return drop(environ, start)


def garbage(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    """Answers in no known protocol."""
    environ["gunicorn.socket"].sendall(b"\x00\x01 what is this?\r\n\r\n")
    return drop(environ, start)


def reset(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    """Ends the connection with a TCP reset."""
    link = environ["gunicorn.socket"]
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()
    raise BrokenPipeError(errno.EPIPE, "reset on demand")


def crash(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    """Takes the whole worker process down; gunicorn starts another."""
    os._exit(1)


ANSWERS: dict[str, Callable[[dict[str, Any], Start], Iterable[bytes]]] = {
    "/echo": echo,
    "/stream": stream,
    "/slow": slow,
    "/drop": drop,
    "/half": half,
    "/garbage": garbage,
    "/reset": reset,
    "/crash": crash,
}
