"""Journeys against a real server: all is accounted for, every visitor is new, nothing silent."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from benchmarks.conservation import count
from harness.load.plan import LoadPlan
from harness.traffic import Journey
from tests.load.conftest import Heard, hear

pytestmark = pytest.mark.slow

VISITOR = """
import time
import gevent
from gevent.pool import Group
from locust import events
from harness.traffic import journey
from harness.traffic.user import TrafficUser

TOKEN = {}

@events.test_start.add_listener
def fetch(environment, **_):
    TOKEN["t"] = "abc"

@events.request.add_listener
def seen(name, **_):
    TOKEN[name] = TOKEN.get(name, 0) + 1

@events.test_stop.add_listener
def stop(**_):
    print("test_stop", TOKEN["t"], TOKEN["first"] > 3)

class Visitor(TrafficUser):
    service = "memorai"

    def on_start(self):
        self.login = self.client.post("/login", name="log in").json()["ok"]

    @journey()
    def visit(self):
        assert self.login
        self.client.get("/first", name="first", headers={"authorization": TOKEN["t"]})
        gevent.sleep(0.3)
        self.client.get("/second", name="second")
        group = Group()
        for part in ("css", "js"):
            group.spawn(self.client.get, f"/{part}", name="part")
        group.join()
        self.client.get("/away", name="away")
        self.client.get("/away", name="followed", allow_redirects=True)
        self.client.get("/busy", name="busy")
        self.client.get("/gzip", name="gzip").json()["absent"]
"""

BURN = """
import time
from harness.traffic import journey
from harness.traffic.user import TrafficUser

class Burner(TrafficUser):
    service = "memorai"

    @journey()
    def sign(self):
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass
        self.client.get("/a", name="a")
"""


class _Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    heads: list[tuple[str, str | None, str | None, str | None]] = []  # noqa: RUF012

    def _answer(self) -> None:
        self.heads.append((
            self.path, self.headers["cookie"], self.headers["host"], self.headers["authorization"]
        ))  # fmt: skip
        body = b'\xef\xbb\xbf{"ok":true,"password":"geheim"}'
        status, more = 200, {"set-cookie": "sid=1; Path=/"} if self.path == "/login" else {}
        if self.path == "/away":
            status, more = 302, {"location": "/login2?token=geheim"}
        elif self.path == "/busy":
            status, more = 429, {"retry-after": "7"}
        elif self.path == "/gzip":
            body, more = gzip.compress(body), {"content-encoding": "gzip"}
        self.send_response(status)
        for name, value in {**more, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer  # noqa: N815 - names of http.server

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def shop() -> Iterator[str]:
    _Shop.heads.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Shop)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def _plan(plan: LoadPlan, tmp_path: Path, text: str, method: str, *urls: str) -> LoadPlan:
    source = tmp_path / "visitor.py"
    source.write_text(text)
    traffic = replace(
        plan.traffic, source=str(source), requests=(), journeys=(Journey(method, method),)
    )
    segment = replace(plan.profile.segments[0], duration_s=2.0, from_rate=10.0, to_rate=10.0)
    target = replace(plan.target, urls=urls or plan.target.urls)
    profile = replace(plan.profile, segments=(segment,))
    return replace(plan, traffic=traffic, profile=profile, target=target, probe=False)


def sums(heard: Heard) -> dict[str, dict[str, int]]:
    """Each endpoint's counters and statuses."""
    found: dict[str, dict[str, int]] = {}
    for message in heard.of("slice"):
        piece = message["slice"]
        if piece["axis"] == "due":
            mine = found.setdefault(piece["endpoint"], {})
            for part in ({"offered": piece["offered"]}, piece["errors"], piece.get("statuses", {})):
                for name, number in part.items():
                    mine[name] = mine.get(name, 0) + number
    return found


def test_a_visitor_is_new_and_what_becomes_of_each_request_is_counted(
    plan: LoadPlan, tmp_path: Path, shop: str
) -> None:
    """Cookies, addresses, Host, redirects, parallel steps, throttling, on_start, events."""
    here = shop.replace("127.0.0.1", "localhost")
    made = _plan(plan, tmp_path, VISITOR, "visit", shop, here)
    heard = hear(replace(made, target=replace(made.target, host="shop.example.com")))
    found = sums(heard)
    visits = found["log in"]["offered"]
    assert visits > 5
    assert heard.end["conserved"] is True
    assert found["first"] == found["second"] == {"offered": visits, "200": visits}
    assert found["part"]["offered"] == 2 * visits
    assert found["away"] == {"offered": visits, "status_3xx": visits, "302": visits}
    assert found["followed"] == {"offered": visits, "200": visits}
    assert found["busy"] == {"offered": visits, "throttled": visits, "429": visits}
    assert found["visit"] == {"offered": visits, "journey": visits}
    assert {host for _, _, host, _ in _Shop.heads} == {"shop.example.com"}
    assert {cookie for path, cookie, _, _ in _Shop.heads if path == "/login"} == {None}
    assert {token for path, _, _, token in _Shop.heads if path == "/first"} == {"abc"}
    assert "test_stop abc True" in heard.stderr


def test_failures_leave_examples_without_secrets(plan: LoadPlan, tmp_path: Path, shop: str) -> None:
    """The exception with its line, where a redirect leads, how long a throttled client waits."""
    heard = hear(_plan(plan, tmp_path, VISITOR, "visit", shop))
    examples = heard.of("failure_example")
    by_kind = {example["kind"]: example for example in examples}
    line = VISITOR.splitlines().index(
        '        self.client.get("/gzip", name="gzip").json()["absent"]'
    )
    assert by_kind["journey"]["exception"] == "KeyError"
    assert by_kind["journey"]["place"].endswith(f"visitor.py:{line + 1}")
    assert by_kind["status_3xx"]["location"].startswith("/login2?token=[redacted]")
    assert by_kind["throttled"]["retry_after_s"] == 7
    assert by_kind["throttled"]["head"].startswith('{"ok":true')
    assert "geheim" not in json.dumps(examples)
    assert sum(example["kind"] == "journey" for example in examples) == 5


def test_a_pause_is_no_latency_and_the_interpreters_time_is_lag(
    plan: LoadPlan, tmp_path: Path
) -> None:
    """20 ms of Python before a request are the generator's; 300 ms of thinking are nobody's."""
    from harness._engine import Histogram  # noqa: PLC0415

    def quantile(heard: Heard, endpoint: str, kind: str, q: float) -> float:
        merged = Histogram()
        for message in heard.of("slice"):
            piece = message["slice"]
            if (piece["axis"], piece["endpoint"]) == ("due", endpoint) and kind in piece["hist"]:
                merged.add(Histogram.decode(piece["hist"][kind]))
        return (merged.quantile(q) or 0) / 1e9

    burnt = hear(_plan(plan, tmp_path, BURN, "sign"))
    assert quantile(burnt, "a", "lag", 0.5) > 0.019
    text = VISITOR.replace('name="log in").json()["ok"]', 'name="log in")')
    thought = hear(_plan(plan, tmp_path, text, "visit"))
    assert 0 < quantile(thought, "second", "response", 0.5) < 0.15


def test_no_request_of_a_random_journey_is_lost() -> None:
    """Hangs, raises, resets, steps beside others, kills; to the end, and cut at a moment."""
    for seed, cut in ((1, None), (2, 1.3)):
        found = count(40.0, 2.0, seed, cut)
        assert found.offered > 40
        assert found.unfinished > 0
        assert found.conserved
        assert found.lost == 0


def test_bodies_are_decoded_within_a_bound() -> None:
    """gzip, deflate and brotli; a bomb and a cut body raise."""
    script = """
import gzip, zlib, brotli
from harness.load import session
for coding, body in (("gzip", gzip.compress(b"x")), ("deflate", zlib.compress(b"x")),
                     ("deflate", zlib.compress(b"x")[2:-4]), ("br", brotli.compress(b"x")),
                     ("", b"x"), ("what", b"x")):
    assert session.decode(body, coding) == b"x", coding
bomb = bytes(session.MOST_BYTES + 1)
for coding, body in (("gzip", gzip.compress(bomb)), ("br", brotli.compress(bomb))):
    try:
        session.decode(body, coding)
    except session.BodyTooLarge:
        continue
    raise AssertionError(coding)
try:
    session.decode(gzip.compress(b"x")[:-9], "gzip")
except zlib.error:
    pass
else:
    raise AssertionError("cut")
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_timeout_that_the_interpreter_caused_is_the_generators() -> None:
    """From a tenth of it on: the answer may have been there, with nobody to read it."""
    script = """
from harness.load import lateness, visit

class Engine:
    now, kinds = 0, []
    def now_ns(self): return self.now
    def begin(self, *words): return 1
    def end(self, step, sent, head, done, kind, **more): self.kinds.append(kind)

for late_s, kind in ((0.9, "timeout"), (1.1, "local")):
    engine = Engine()
    found = visit.Visit(engine, 0, None)
    step = found.begin("a")
    engine.now = 10_000_000_000
    lateness.turns_ns = lambda: int(late_s * 1e9)
    found.end(step, "timeout")
    assert engine.kinds.pop() == kind
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


EXITS = """
import sys
from harness.traffic import journey
from harness.traffic.user import TrafficUser

class Leaver(TrafficUser):
    service = "memorai"

    @journey()
    def leave(self):
        self.client.get("/a", name="a")
        try:
            self.client.get("relative")
        except ValueError as error:
            assert "neither with a slash" in str(error)
            sys.exit(0)
"""


def test_a_journey_that_exits_ends_itself_and_not_the_load(plan: LoadPlan, tmp_path: Path) -> None:
    heard = hear(_plan(plan, tmp_path, EXITS, "leave"))
    found = sums(heard)
    assert found["a"]["offered"] == found["leave"]["journey"] >= 10
    (first, *_) = heard.of("failure_example")
    assert (first["exception"], first["place"].rpartition(":")[2]) == ("SystemExit", "16")
