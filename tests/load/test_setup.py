"""Set-up hooks in a real load: before it, renewed during it, never written down."""

from __future__ import annotations

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

from harness.load.plan import LoadPlan
from harness.traffic.model import TrafficModel
from harness.typed import adapter
from tests.load.conftest import hear

pytestmark = pytest.mark.slow

SCENARIO = """
from harness.traffic import get, journey, post, setup
from harness.traffic.user import TrafficUser

class Member(TrafficUser):
    service = "memorai"
    mix = [
        get("/me", name="me", headers={"authorization": "Bearer {token}"}),
        post("/form", name="form", form={"token": "{token}"}),
    ]

    @setup("key")
    def find_key(self):
        return {"key": ["key/one:1", "key/two:2"]}

    @setup("token", refresh="1s")
    def log_in(self):
        found = self.client.post("/login", json={"key": self.values.get("key", "none")}, name="in")
        return {"token": found.json()["token"]}

    @journey(weight=0.5)
    def visit(self):
        key, token = self.values["key"], self.values["token"]
        self.client.get(f"/visit?key={key}", headers={"authorization": f"Bearer {token}"})
"""


class _Members(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str, str]] = []  # noqa: RUF012
    logins = 0

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"] or 0)).decode()
        answer = {}
        if self.path == "/login":
            type(self).logins += 1
            answer = {"token": f"secret+token/{self.logins:03}"}
        self.seen.append((self.path, str(self.headers["authorization"]), body))
        data = json.dumps(answer).encode()
        self.send_response(200 if self.path != "/me" or self.logins < 3 else 403)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = _answer  # noqa: N815 - names of http.server

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def members() -> Iterator[str]:
    _Members.seen.clear()
    _Members.logins = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Members)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def _plan(plan: LoadPlan, tmp_path: Path, text: str, url: str, **more: Any) -> LoadPlan:
    source = tmp_path / "member.py"
    source.write_text(text)
    segment = replace(plan.profile.segments[0], from_rate=20.0, to_rate=20.0)
    profile = replace(plan.profile, segments=(segment,))
    return replace(
        plan, traffic=_described(source), profile=profile,
        target=replace(plan.target, urls=(url,)), probe=False, **more,
    )  # fmt: skip


def _described(source: Path) -> TrafficModel:
    words = [sys.executable, "-m", "harness.traffic", "describe", str(source)]
    found = subprocess.run(words, capture_output=True, check=True).stdout
    return adapter(TrafficModel).validate_json(found.strip())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_token_is_fetched_before_the_load_and_renewed_for_new_requests(
    plan: LoadPlan, tmp_path: Path, members: str, workers: int
) -> None:
    """By one process for all; requests of hooks count nowhere, and no value is written down."""
    heard = hear(_plan(plan, tmp_path, SCENARIO, members, workers=workers))
    assert heard.end["conserved"] is True
    assert not heard.end["errors"]
    mine = [each for each in _Members.seen if each[0] != "/login"]
    assert len(mine) == heard.end["totals"]["offered"] >= 40
    assert 3 <= _Members.logins <= 8
    used = [sign for path, sign, _ in mine if path == "/me"]
    assert used[0] == "Bearer secret+token/001" or workers > 1  # they begin two seconds later
    assert len(set(used)) >= 3
    forms = {body for path, _, body in mine if path == "/form"}
    assert {f"token=secret%2Btoken%2F{used[0][-3:]}"} <= forms
    assert {path for path, *_ in mine if "/visit" in path} == {
        "/visit?key=key/one:1", "/visit?key=key/two:2",
    }  # fmt: skip
    assert _Members.seen[0][2] == '{"key": "key/one:1"}'
    said = json.dumps(heard.messages)
    assert "secret+token" not in said
    assert "key/one" not in said
    assert "403" in said


REFUSALS = [
    ('raise KeyError("access")', False, "raised KeyError: 'access'"),
    ("return None", False, "returned NoneType; return a dictionary with token"),
    ('return {"tokn": 1}', False, "returned the keys ['tokn']"),
    ('return {"token": []}', False, "token is empty"),
    ('return {"token": "two\\nlines"}', False, "a header cannot hold; strip it"),
    ('return {"token": self.client.get("/nothing").json()["t"]}', True, "got no answer to"),
]


@pytest.mark.parametrize(("body", "no_answer", "problem"), REFUSALS)
def test_a_hook_that_fails_ends_the_run_before_any_load(
    plan: LoadPlan, tmp_path: Path, body: str, *, no_answer: bool, problem: str
) -> None:
    """With one line that says what failed."""
    text = SCENARIO.partition('    @setup("key")')[0]
    text += f'    @setup("token")\n    def log_in(self):\n        {body}\n'
    url = "http://127.0.0.1:1"
    heard = hear(_plan(plan, tmp_path, text, url))
    (refused,) = heard.of("refused")
    assert problem in f"{refused['problem']}; {refused['remedy']}"
    assert refused["no_answer"] is no_answer
    assert not heard.of("start")
    assert heard.of("child_died")[0]["code"] == 2
