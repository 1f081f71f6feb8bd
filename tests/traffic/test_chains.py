"""Chains: requests one after another, with what the answers before them said."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from harness import _engine
from harness.errors import ScenarioError
from harness.traffic import chain, cookie, get, header, json_value, post, regex, status, uuid
from harness.traffic import json as from_json
from harness.traffic.build import model_of, to_engine
from harness.traffic.model import TrafficModel
from harness.traffic.profiles import resolve_profile
from tests.engine.conftest import Outcome, finish

SERVED = 20
PAGE = '<form><input name="csrf" value="a+b/{n}=="></form>'


class _Shop(BaseHTTPRequestHandler):
    """Logs in, shows a form, and takes an order only with everything that it gave out."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    lock = threading.Lock()
    given: dict[str, str]
    heard: list[tuple[str, dict[str, str], str]]

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"] or 0)).decode()
        with self.lock:
            self.heard.append((self.path, dict(self.headers), body))
            number = len(self.heard)
        code, text, more = 200, "{}", {}
        if self.path == "/login":
            text = json.dumps({"token": f"t-{number}", "n": number, "none": None})
            more = {"Set-Cookie": f"sid=s-{number}; HttpOnly", "X-Id": f"x{number}"}
        elif self.path == "/form":
            text = PAGE.replace("{n}", str(number))
        elif self.path == "/broken":
            code = 500
        payload = text.encode()
        self.send_response(code)
        for name, value in {**more, "Content-Length": str(len(payload))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_POST = _answer  # noqa: N815 - of http.server

    def log_message(self, *_: Any) -> None:
        """Nothing."""


Heard = list[tuple[str, dict[str, str], str]]
Drive = Callable[..., tuple[Outcome, Heard, list[dict[str, Any]]]]


@pytest.fixture
def drive() -> Iterator[Drive]:
    handler = type("Handler", (_Shop,), {"heard": [], "given": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def run(
        *mix: Any, feeds: dict[str, Any] | None = None, **changes: Any
    ) -> tuple[Outcome, Heard, list[dict[str, Any]]]:
        profile = resolve_profile("constant", rate=100, duration=SERVED / 100)
        plan = {**to_engine(_model(*mix, feeds=feeds), profile), **changes}
        url = f"http://127.0.0.1:{server.server_port}"
        engine = _engine.Engine(json.dumps({"drain_s": 5.0, **plan, "targets": [url]}))
        engine.start()
        outcome = finish(engine)
        assert outcome.conserved()
        examples = [json.loads(line) for line in outcome.examples]
        return outcome, handler.heard, examples  # type: ignore[attr-defined]

    yield run
    server.shutdown()
    server.server_close()


def _model(*mix: Any, feeds: dict[str, Any] | None = None) -> TrafficModel:
    return model_of(type("User", (), {"service": "shop", "mix": list(mix), "feeds": feeds or {}}))


def _counts(outcome: Outcome, field: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in outcome.slices:
        if line["axis"] == "due" and line[field]:
            found[line["endpoint"]] = found.get(line["endpoint"], 0) + line[field]
    return found


LOGIN = get(
    "/login",
    capture={
        "token": from_json("/token"),
        "n": from_json("/n"),
        "sid": cookie("sid"),
        "id": header("x-id"),
    },
)


def test_a_step_has_what_the_answers_before_it_said_wherever_a_value_can_stand(
    drive: Drive,
) -> None:
    """In path, header, JSON body, form and check; each chain its own, and one value of a feed."""
    outcome, heard, _ = drive(
        chain(
            "buy",
            LOGIN,
            get(
                "/form", headers={"cookie": "sid={sid}"}, capture={"csrf": regex('value="([^"]*)')}
            ),
            post(
                "/order/{id}",
                headers={"authorization": "Bearer {token}", "x-visit": "{visit}"},
                json_body={"n": json_value("n"), "visit": "{visit}"},
                checks=[status(200)],
            ),
            post("/pay", form={"csrf": "{csrf}", "visit": "{visit}"}),
        ),
        feeds={"visit": uuid()},
    )
    assert outcome.errors == {}
    names = ["buy: GET /login", "buy: GET /form", "buy: POST /order/{id}", "buy: POST /pay"]
    assert _counts(outcome, "completed") == dict.fromkeys(names, SERVED)
    numbers = {int(head["authorization"][9:]) for _, head, _ in heard if "authorization" in head}
    assert len(numbers) == SERVED
    for path, head, body in heard:
        if path.startswith("/order/"):
            number = head["authorization"].removeprefix("Bearer t-")
            assert path == f"/order/x{number}"
            assert json.loads(body) == {"n": int(number), "visit": head["x-visit"]}
        elif path == "/pay":
            assert "csrf=a%2Bb%2F" in body
    visits = {head["x-visit"] for _, head, _ in heard if "x-visit" in head}
    assert visits == {body.rpartition("=")[2] for path, _, body in heard if path == "/pay"}


def _units(outcome: Outcome, field: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in outcome.slices:
        if line["axis"] == "chain":
            found[line["endpoint"]] = found.get(line["endpoint"], 0) + line[field]
    return found


def test_a_chain_counts_as_a_unit_beside_its_requests(drive: Drive) -> None:
    """Its time is that of its requests, without think times; it fails with the first that does."""
    outcome, _, _ = drive(
        chain("good", get("/login"), get("/form", think_s=0.2)),
        chain("bad", get("/form"), get("/broken"), get("/login")),
        get("/form"),
    )
    begun = _units(outcome, "offered")
    assert begun["good"] == _units(outcome, "completed")["good"]
    assert begun["bad"] == _units(outcome, "failed")["bad"]
    assert _counts(outcome, "offered")["bad: GET /broken"] == begun["bad"]
    took = outcome.histogram("response", "chain")
    assert took.count == begun["good"]
    assert took.quantile(0.5) < 150_000_000  # type: ignore[operator]
    steps = outcome.histogram("response")
    assert took.quantile(0.5) >= steps.quantile(0.5)  # type: ignore[operator]


def test_a_chain_that_the_end_of_the_run_cuts_has_begun_and_not_ended(drive: Drive) -> None:
    outcome, _, _ = drive(chain("a", get("/login"), get("/form", think_s=9)), drain_s=0.1)
    assert _units(outcome, "offered") == {"a": SERVED}
    assert _units(outcome, "completed") == {"a": 0}


def test_after_a_failure_the_rest_of_a_chain_is_not_offered(drive: Drive) -> None:
    """A status that is not wanted, or a capture without a value, which is named with its reason."""
    outcome, _, examples = drive(
        chain("a", get("/broken"), get("/login")),
        chain("b", get("/login", capture={"x": from_json("/none")}), get("/form?{x}")),
    )
    offered = _counts(outcome, "offered")
    assert set(offered) == {"a: GET /broken", "b: GET /login"}
    assert outcome.errors == {
        "status_5xx": offered["a: GET /broken"],
        "capture": offered["b: GET /login"],
    }
    said = {example["message"] for example in examples if example["kind"] == "capture"}
    assert said == {'no value for {x}: null at "/none"'}


def test_a_step_is_due_after_its_think_time_and_that_is_no_latency(drive: Drive) -> None:
    """200 ms between the two are in neither response time; none is cut by the end of arrivals."""
    outcome, _, _ = drive(chain("a", get("/login"), get("/form", think_s=0.2)))
    assert _counts(outcome, "completed") == {"a: GET /login": SERVED, "a: GET /form": SERVED}
    response = outcome.histogram("response")
    assert response.count == 2 * SERVED
    assert response.quantile(0.5) < 150_000_000  # type: ignore[operator]


def test_a_chain_stands_beside_requests_by_its_weight_and_in_a_closed_model(drive: Drive) -> None:
    """A user's next arrival comes after the chain."""
    outcome, heard, _ = drive(
        get("/form", weight=1),
        chain("a", LOGIN, get("/order/{id}"), weight=3),
        arrivals={"kind": "closed", "users": 3, "duration_s": 0.4},
    )
    counts = _counts(outcome, "completed")
    assert counts["a: GET /login"] == counts["a: GET /order/{id}"] > counts["GET /form"] > 0
    assert len(heard) == sum(counts.values())


def test_a_chain_works_over_http_1_with_connections_of_one_request(drive: Drive) -> None:
    """The next step finds another connection."""
    outcome, _, _ = drive(chain("a", LOGIN, get("/order/{id}")), connection_life={"requests": 1})
    assert outcome.total("connects") == outcome.total("completed") == 2 * SERVED


@pytest.mark.parametrize(
    ("mix", "says"),
    [
        ([get("/a"), chain("c")], r"mix\[1\]\.steps: empty"),
        ([get("/{x}", capture={"x": header("x")})], r"mix\[0\]: think_s and capture are for steps"),
        ([get("/a", think_s=1)], r"mix\[0\]: think_s"),
        ([chain("c", get("/a", think_s=1))], r"mix\[0\]\.steps\[0\]\.think_s: the first step"),
        ([chain("c", get("/{x}"), get("/", capture={"x": header("x")}))], r"no feed \"x\""),
        ([chain("c", get("/", capture={"x": header("")}))], r"capture\.x: the name is empty"),
        ([chain("c", get("/", capture={"x": from_json("a")}))], r"does not begin with a slash"),
        (
            [chain("c", get("/", capture={"x": regex("(")}))],
            r"the pattern \"\(\": .*unclosed group",
        ),
        ([chain("c", get("/", capture={"f": header("x")}))], r"\"f\" is a feed as well"),
        ([chain("c", get("/", capture={"a b": header("x")}))], r"\"a b\" is no name"),
        ([chain("c", get("/a", name="a")), get("/b", name="a")], r"\"a\" is empty or used twice"),
        ([chain("", get("/a"))], r"mix\[0\]\.name: \"\" is empty or used twice"),
        ([chain("c", get("/a"), weight=0)], r"mix\[0\]: weight is 0"),
        ([chain("c", get("/a"), get("/b", think_s=-1))], r"steps\[1\]\.think_s"),
    ],
)
def test_a_chain_that_cannot_be_is_refused_by_its_place(mix: list[Any], says: str) -> None:
    with pytest.raises(ScenarioError, match=says):
        _model(*mix, feeds={"f": uuid()})


def test_a_step_that_is_none_is_refused() -> None:
    with pytest.raises(ScenarioError, match="chain 'c': step 2 is '/b'"):
        chain("c", get("/a"), "/b")  # type: ignore[arg-type]


def test_a_step_keeps_the_name_it_was_given() -> None:
    steps = chain("c", get("/a?x=1"), get("/b", name="GET b"), get("/c", params={"q": 1})).steps
    assert [step.name for step in steps] == ["c: GET /a?x=1", "GET b", "c: GET /c"]
