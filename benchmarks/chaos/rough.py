"""An HTTP proxy before an API server that is not calm: refusals and broken answers by a seed.

It answers some requests itself, as a busy, restarting or upgraded server does, breaks some
connections off, and lets a token expire now and then: the next one stands in the token's file.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import yaml

Trouble = Literal["429", "409", "410", "500", "dropped", "cut"]

MIX: dict[Trouble, float] = {
    "429": 0.03, "500": 0.02, "410": 0.01, "409": 0.01, "dropped": 0.005, "cut": 0.005,
}  # fmt: skip
"""The share of requests that each meets."""

TOKEN_S = 15.0
"""How long a token is taken on average."""

BURST = 3
"""How many requests in a row a refusal lasts at most: what is busy is so for a while."""

OWN = ("authorization", "host", "connection", "content-length", "transfer-encoding")


@dataclass
class Rough:
    """What becomes of each request, drawn by a seed; `met` counts it."""

    seed: int
    tokens: Path
    met: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._lock = threading.Lock()
        self._again: list[Trouble] = []
        self._number = 0
        self._until = 0.0
        self._renew()

    def _renew(self) -> None:
        self._number += 1
        self.tokens.write_text(f"token-{self.seed}-{self._number}")
        self._until = time.monotonic() + self._random.expovariate(1 / TOKEN_S)

    def trouble(self, method: str, token: str) -> Trouble | Literal["401"] | None:
        """What a request meets; 409 only for one that changes something, as servers answer it."""
        with self._lock:
            if time.monotonic() > self._until:
                self._renew()
            if token != f"Bearer token-{self.seed}-{self._number}":
                self.met["401"] += 1
                return "401"
            found = self._again.pop() if self._again else self._drawn()
            if found == "409" and method in {"GET", "DELETE"}:
                found = None
            if found == "410" and method != "GET":
                found = None
            if found is not None:
                self.met[found] += 1
            self.met["all"] += 1
            return found

    def _drawn(self) -> Trouble | None:
        (found,) = self._random.choices([*MIX, None], [*MIX.values(), 1 - sum(MIX.values())])
        if found in {"429", "500"}:
            self._again = [found] * self._random.randrange(BURST)
        return found


@contextmanager
def before(server: str, rough: Rough, **own: str) -> Iterator[str]:
    """Serve on loopback in front of an API server that speaks plain HTTP; the proxy's URL.

    `own` are headers that the server gets instead of the token.
    """
    parts = urlsplit(server)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def _serve(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(size) if size else None
            found = rough.trouble(self.command, str(self.headers.get("authorization")))
            if found == "dropped":
                self.close_connection = True
                return
            if found is not None and found != "cut":
                message = {"kind": "Status", "code": int(found), "message": "not calm"}
                self._answer(int(found), json.dumps(message).encode())
                return
            headers = {k: v for k, v in self.headers.items() if k.lower() not in OWN} | own
            upstream = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
            try:
                upstream.request(self.command, self.path, body, headers)
                answer = upstream.getresponse()
                content = answer.read()
                kind = answer.getheader("content-type") or "application/json"
            finally:
                upstream.close()
            self._answer(answer.status, content, kind, cut=found == "cut")

        def _answer(
            self, code: int, content: bytes, kind: str = "application/json", *, cut: bool = False
        ) -> None:
            self.send_response(code)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if cut else content)
            self.close_connection = self.close_connection or cut

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{proxy.server_port}"
        proxy.shutdown()


def kubeconfig_of(path: Path, server: str, tokens: Path) -> Path:
    """A kubeconfig of one context with a token that is read from a file."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "rough", "cluster": {"server": server}}],
        "users": [{"name": "rough", "user": {"tokenFile": str(tokens)}}],
        "contexts": [{"name": "rough", "context": {"cluster": "rough", "user": "rough"}}],
        "current-context": "rough",
    }
    path.write_text(yaml.safe_dump(document))
    return path
