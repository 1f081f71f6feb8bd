"""An ordinary locustfile under the engine's accounting: every request of every user."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.load.plan import LoadPlan
from harness.traffic.model import Journey, Shape, TrafficModel
from harness.traffic.profiles import closed, shaped
from tests.load.conftest import Heard, hear
from tests.load.test_journeys import sums

pytestmark = pytest.mark.slow

LOCUSTFILE = """
from locust import FastHttpUser, HttpUser, LoadTestShape, between, constant, events, task

STATE = {}

@events.init.add_listener
def began(environment, **_):
    STATE["init"] = environment.runner is not None

@events.test_start.add_listener
def fetch(environment, **_):
    STATE["token"] = "abc"

@events.request.add_listener
def heard(name, **_):
    STATE[name] = STATE.get(name, 0) + 1

@events.test_stop.add_listener
def over(**_):
    print("test_stop", STATE["init"], STATE["/login"] == STATE["/logout"] == 3)

class Shopper(HttpUser):
    weight = 3
    wait_time = between(0.05, 0.1)

    def on_start(self):
        self.client.post("/login", json={"user": 1})

    def on_stop(self):
        self.client.get("/logout")

    @task(3)
    def browse(self):
        self.client.get("/items", headers={"authorization": STATE["token"]})
        self.client.get("/missing")

    @task
    def judge(self):
        with self.client.get("/items", name="judged", catch_response=True) as answer:
            answer.failure("not what was asked for")

class Quick(FastHttpUser):
    wait_time = constant(0.05)

    @task
    def moved(self):
        self.client.get("/moved")
        raise KeyError("absent")

class Leaving(FastHttpUser):
    wait_time = constant(0.1)

    @task
    def leave(self):
        self.client.get("/items", name="last")
        exit(0)

class Reader(FastHttpUser):
    weight = 3
    wait_time = constant(0.2)

    @task
    def read(self):
        self.client.get("/endless", name="fast")
        for _ in self.client.get("/endless", name="stream", stream=True).iter_content(1 << 20):
            pass

class Reading(HttpUser):
    wait_time = constant(0.2)

    @task
    def read(self):
        self.client.get("/endless", name="plain")

class Hanging(HttpUser):
    @task
    def hang(self):
        self.client.get("/hang")
"""

SHAPE = """
class Rise(LoadTestShape):
    def tick(self):
        return None if self.get_run_time() > 1.5 else (4, 8)
"""


class _Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    tokens: set[str | None] = set()  # noqa: RUF012
    hung = threading.Event()

    def _answer(self) -> None:
        self.rfile.read(int(self.headers["content-length"] or 0))
        if self.path == "/hang":
            self.hung.wait(60)
            return
        if self.path == "/items":
            self.tokens.add(self.headers["authorization"])
        self.send_response({"/missing": 404, "/moved": 302}.get(self.path, 200))
        self.send_header("location", "/items")
        if self.path == "/endless":
            self.close_connection = True
            self.end_headers()
            while not self.hung.is_set():
                self.wfile.write(bytes(1 << 20))
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST = _answer  # noqa: N815 - names of http.server

    def log_message(self, *_: Any) -> None:
        """Nothing."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """A client that went away is expected."""


@pytest.fixture
def shop() -> Iterator[str]:
    _Shop.tokens.clear()
    _Shop.hung.clear()
    server = _Server(("127.0.0.1", 0), _Shop)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    _Shop.hung.set()
    server.shutdown()


def _hear(plan: LoadPlan, path: Path, shop: str, text: str, *classes: str, **more: Any) -> Heard:
    """The load of a locustfile that keeps these classes only, 4 users of it."""
    head, *rest = text.split("\n\nclass ")
    kept = [part for part in rest if part.split("(")[0] in classes]
    source = path / "locustfile.py"
    source.write_text("\n\nclass ".join([head, *kept]))
    profile = replace(closed(4, 1.0, spawn_rate=8.0), segments=closed(4, 1.0).segments[1:])
    traffic = TrafficModel(
        "memorai", "locustfile", str(source), (),
        tuple(Journey(name, name) for name in classes if "Shape" not in name),
        locustfile=True, shape=more.get("shape"),
    )  # fmt: skip
    profile = profile if traffic.shape is None else shaped(traffic.shape, None)
    target = replace(plan.target, urls=(shop,))
    made = replace(plan, traffic=traffic, profile=profile, target=target, probe=False)
    return hear(replace(made, drain_s=more.get("drain_s", 3.0)))


def test_a_task_that_exits_is_a_failure_and_not_the_end(
    plan: LoadPlan, tmp_path: Path, shop: str
) -> None:
    """exit() would end the process, and with it the load of all users."""
    found = sums(_hear(plan, tmp_path, shop, LOCUSTFILE, "Leaving"))
    assert found["last"]["200"] == found["Leaving"]["journey"] > 4


def test_users_loop_and_each_request_is_counted(plan: LoadPlan, tmp_path: Path, shop: str) -> None:
    """Weights, on_start, on_stop, listeners, redirects, statuses and failures as in Locust."""
    heard = _hear(plan, tmp_path, shop, LOCUSTFILE, "Shopper", "Quick")
    found = sums(heard)
    assert heard.end["conserved"] is True
    assert heard.end["errors"] == []
    assert found["/login"] == found["/logout"] == {"offered": 3, "200": 3}
    assert found["/missing"]["status_4xx"] == found["/missing"]["offered"] > 3
    assert found["judged"]["check"] == found["judged"]["offered"]
    assert found["/moved"]["200"] == found["Quick"]["journey"] == found["Quick"]["offered"] > 3
    assert "abc" in _Shop.tokens
    assert "test_stop True True" in heard.stderr
    places = {example.get("place") for example in heard.of("failure_example")}
    assert any(place and "locustfile.py:" in place for place in places)


def test_bodies_are_bounded_and_what_hangs_is_unfinished(
    plan: LoadPlan, tmp_path: Path, shop: str
) -> None:
    """Endless answers read at once or as a stream, by either client; a request without answer."""
    heard = _hear(
        plan, tmp_path, shop, LOCUSTFILE, "Reader", "Reading", "Hanging", drain_s=1.0
    )  # fmt: skip
    found = sums(heard)
    assert heard.end["conserved"] is True
    assert found["fast"]["body_too_large"] == found["fast"]["offered"] > 0
    assert found["plain"]["body_too_large"] == found["plain"]["offered"] > 0
    assert found["Reader"]["journey"] > 0
    assert found["/hang"] == {"offered": heard.end["totals"]["unfinished"]}


def test_a_listener_of_test_start_that_raises_is_an_error_of_the_run(
    plan: LoadPlan, tmp_path: Path, shop: str
) -> None:
    """Nothing is sent, and the run says which listener raised what, and where."""
    heard = _hear(plan, tmp_path, shop, LOCUSTFILE.replace('STATE["token"] = "abc"', "1 / 0"),
                  "Quick")  # fmt: skip
    error, *_ = heard.end["errors"]
    assert "the listener fetch raised ZeroDivisionError" in error
    assert "locustfile.py:" in error
    assert heard.end["totals"]["offered"] == 0


def test_a_shape_says_how_many_users_there_are_and_when_it_ends(
    plan: LoadPlan, tmp_path: Path, shop: str
) -> None:
    """Its clock is the load's; the run ends with it, not with the time it might have taken."""
    text = LOCUSTFILE + SHAPE
    heard = _hear(plan, tmp_path, shop, text, "Quick", "Rise", shape=Shape("Rise", 4, 8.0))
    found = sums(heard)
    assert heard.end["conserved"] is True
    assert found["/moved"]["offered"] > 4
    assert max(message["slice"]["second"] for message in heard.of("slice")) in {1, 2, 3}
