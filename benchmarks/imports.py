"""An imported scenario against the service that was recorded, beside har2locust.

`python -m benchmarks.imports [REQUESTS]`: a browser's session with a small service is recorded as
HAR; the scenario that `harness import` writes of it is driven against the same service. Wanted: a
status that was recorded at that endpoint for 95 % of the requests, three lines an endpoint and ten
of frame. Where `har2locust` is installed, it reads the same file.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

LEAST_SHARE = 0.95
ENDPOINTS = (("GET", "/users/{}"), ("PUT", "/users/{}"), ("POST", "/orders"),
             ("GET", "/orders/{}/lines/{}"), ("DELETE", "/orders/{}"), ("POST", "/login"),
             ("GET", "/search"), ("GET", "/health"))  # fmt: skip


class _Shop(BaseHTTPRequestHandler):
    """Answers by what it is sent: ids beyond 90 are not there, bodies have to be what they are."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"] or 0)).decode()
        numbers = [int(part) for part in self.path.split("?")[0].split("/") if part.isdigit()]
        status = 404 if any(number > 90 for number in numbers) else 200
        if self.command in {"PUT", "POST"} and self.path != "/login":
            try:
                status = status if isinstance(json.loads(body)["qty"], int) else 422
            except (ValueError, KeyError, TypeError):
                status = 400
        if self.path == "/login":
            status = 302 if body.startswith("user=") else 401
        elif self.path.startswith("/search"):
            status = 200 if "q=" in self.path else 400
        elif self.command == "POST" and status == 200:
            status = 201
        elif self.command == "DELETE" and status == 200:
            status = 204
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815 - names of http.server

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def _shop() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Shop)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """A redirect is an answer like any other."""


def record(base: str, requests: int, seed: int = 1) -> dict[str, Any]:
    """A session with the service as a HAR."""
    chance, entries = random.Random(seed), []
    opener = build_opener(_NoRedirects())
    for number in range(requests):
        method, template = chance.choice(ENDPOINTS)
        path = template.format(chance.randint(1, 100), chance.randint(1, 9))
        path += "?q=shoes" if path == "/search" else ""
        body, kind = None, None
        if path == "/login":
            body, kind = "user=me&password=geheim", "application/x-www-form-urlencoded"
        elif method in {"PUT", "POST"}:
            body, kind = json.dumps({"qty": chance.randint(1, 5)}), "application/json"
        headers = {"accept": "*/*", **({"content-type": kind} if kind else {})}
        data = body.encode() if body else None
        made = Request(base + path, data, headers, method=method)  # noqa: S310
        try:
            with opener.open(made, timeout=10) as answer:
                status = answer.status
        except HTTPError as answer:
            status = answer.code
        entries.append({
            "startedDateTime": f"2026-11-01T10:{number // 60 % 60:02}:{number % 60:02}.000Z",
            "time": 1,
            "request": {
                "method": method, "url": base + path, "cookies": [], "queryString": [],
                "headers": [{"name": name, "value": value} for name, value in headers.items()],
                **({"postData": {"mimeType": kind, "text": body}} if body else {}),
            },
            "response": {"status": status, "headers": [], "content": {"mimeType": "text/plain"}},
        })  # fmt: skip
    return {"log": {"version": "1.2", "entries": entries, "pages": []}}


def drive(base: str, directory: Path) -> tuple[Counter[str], dict[str, Counter[str]]]:
    """Drive the imported scenario: statuses of all and of each endpoint."""
    words = ["harness", "perf", base, "--scenario", "shop.py", "--rate", "100", "--duration", "10s"]
    _run([sys.executable, "-m", *words, "--quiet"], directory)
    (slices,) = (directory / "results").glob("*/*/slices.jsonl")
    every: Counter[str] = Counter()
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for row in map(json.loads, slices.read_text().splitlines()):
        if row["axis"] == "due":
            found[row["endpoint"]].update(row.get("statuses", {}))
            every.update(row.get("statuses", {}))
    return every, found


def _run(words: list[str], directory: Path) -> tuple[float, str]:
    began = time.perf_counter()
    made = subprocess.run(words, cwd=directory, capture_output=True, text=True, check=False)
    return time.perf_counter() - began, made.stdout


def main(words: list[str]) -> int:
    """Print the figures; the exit code is 1 below LEAST_SHARE."""
    requests = int(words[0]) if words else 400
    with _shop() as base, tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        har = record(base, requests)
        (directory / "shop.har").write_text(json.dumps(har))
        importing = [sys.executable, "-m", "harness", "import", "har", "shop.har"]
        seconds, _ = _run(importing, directory)
        lines = len((directory / "shop.py").read_text().splitlines())
        every, found = drive(base, directory)
        recorded: dict[str, set[str]] = defaultdict(set)
        for entry in har["log"]["entries"]:
            path = entry["request"]["url"].removeprefix(base).partition("?")[0]
            shape = " ".join(part for part in path.split("/") if not part.isdigit())
            recorded[f"{entry['request']['method']}{shape}"].add(str(entry["response"]["status"]))
        right = 0
        for endpoint, statuses in found.items():
            method, _, path = endpoint.partition(" ")
            shape = " ".join(part for part in path.split("/") if not part.startswith("{"))
            right += sum(statuses[each] for each in recorded[f"{method}{shape}"])
        share = right / max(every.total(), 1)
        print(f"{requests} requests recorded, {len(found)} endpoints")
        print(f"harness import: {seconds:.1f} s, {lines} lines; {share:.1%} of {every.total():,}"
              f" answers have a status that was recorded there ({dict(every)})")  # fmt: skip
        if other := shutil.which("har2locust"):
            seconds, text = _run([other, "shop.har"], directory)
            print(f"har2locust: {seconds:.1f} s, {len(text.splitlines()):,} lines")
    return 0 if share >= LEAST_SHARE else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
