"""A Prometheus on loopback that answers each query by the first of its words that stands in it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class FakePrometheus:
    """`answers`: word -> the number of each second, None for no series; the rest has no series.

    `status` and `body` stand in place of every answer where they are set.
    """

    url: str = ""
    answers: dict[str, float | str] = field(default_factory=dict)
    status: int = 200
    body: str | None = None
    asked: list[dict[str, str]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, str]:
        """Status and text of one answer."""
        self.asked.append({"path": path, **query})
        if self.body is not None or self.status != 200:
            return self.status, self.body or ""
        found = next((n for word, n in self.answers.items() if word in query["query"]), None)
        result: list[dict[str, Any]] = []
        if found is not None and path.endswith("/query"):
            result = [{"metric": {}, "value": [1.0, str(found)]}]
        elif found is not None:
            start, end, step = (float(query[name]) for name in ("start", "end", "step"))
            count = int((end - start) / step) + 1
            result = [
                {"metric": {}, "values": [[start + i * step, str(found)] for i in range(count)]}
            ]
        kind = "vector" if path.endswith("/query") else "matrix"
        return 200, json.dumps(
            {"status": "success", "data": {"resultType": kind, "result": result}}
        )

    def queries(self) -> list[str]:
        """What was asked."""
        return [each["query"] for each in self.asked]


@contextmanager
def serving() -> Iterator[FakePrometheus]:
    """One that knows nothing yet."""
    fake = FakePrometheus()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            fake.authorizations.append(self.headers["authorization"])
            query = {key: value[0] for key, value in parse_qs(parts.query).items()}
            status, text = fake.answer(parts.path, query)
            self.send_response(status)
            self.send_header("content-length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        fake.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield fake
        server.shutdown()
