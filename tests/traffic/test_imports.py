"""What was seen elsewhere becomes a scenario that runs, without its secrets."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from harness.cli import run
from harness.errors import HarnessError
from harness.traffic.build import model_of
from harness.traffic.imports import log as logs
from harness.traffic.imports import seen as all_seen
from harness.traffic.imports.har import har_exchanges
from harness.traffic.imports.log import read_log
from harness.traffic.imports.openapi import openapi_exchanges
from harness.traffic.imports.seen import Exchange, Seen, of_one_service, split_path
from harness.traffic.imports.write import scenario_text
from harness.traffic.model import TrafficModel

CURL = """curl 'http://shop.example/orders/17?token=geheim&page=2' \\
  -H 'authorization: Bearer geheim' -H 'accept: application/json' -b sid=geheim --compressed
curl -sSXPOST http://u:geheim@shop.example/orders -H 'content-type: application/json' \\
  --data-raw $'{"qty": 3, "note": "it\\'s {x}", "password": "geheim"}' ;
curl -d a=1 --data-urlencode 'b=x y' shop.example/form & curl -I http://shop.example/orders/18
curl -G -d q=1 http://shop.example/find -u me:geheim -X GET
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _model(path: Path) -> TrafficModel:
    """The model of a scenario that was written, imported as Python without Locust."""
    text = path.read_text().replace("harness.traffic.user", "harness.traffic.declared")
    path.write_text(text.replace("TrafficUser", "Declared"))
    return model_of(runpy.run_path(str(path))["User"], str(path))


def test_curl_commands_become_a_scenario_without_their_secrets(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As browsers copy them; what was removed is listed, and stands nowhere."""
    (here / "shop.sh").write_text(CURL)
    assert run(["import", "curl", "shop.sh"]) == 0
    said = capsys.readouterr().out
    for part in ("parameter token", "header authorization", "header cookie", "fields in the body",
                 "user information"):  # fmt: skip
        assert f"removed: {part}" in said
    written = "".join(path.read_text() for path in here.glob("shop*") if path.suffix != ".sh")
    assert "geheim" not in written + said
    found = {each.name: each for each in _model(here / "shop.py").requests}
    assert set(found) == {
        "GET /orders/{orders_id}", "HEAD /orders/{orders_id}", "POST /orders", "POST /form",
        "GET /find",
    }  # fmt: skip
    assert found["GET /orders/{orders_id}"].path == "/orders/{orders_id}?token=REMOVED&page=2"
    body = (found["POST /orders"].body or "").replace("{{", "{").replace("}}", "}")
    assert json.loads(body)["qty"] == 3
    assert json.loads(body)["note"] == "it's {x}"
    assert found["POST /form"].body == "a=1&b=x%20y"
    assert found["GET /find"].path == "/find?q=1"
    assert (here / "shop_orders_id.csv").read_text() == "orders_id\n17\n18\n"
    assert run(["import", "curl", "shop.sh"]) == 2
    assert "shop.py is there already" in capsys.readouterr().err


def _entry(url: str, method: str = "GET", status: int = 200, **request: Any) -> dict[str, Any]:
    return {
        "startedDateTime": "2026-11-01T10:00:00Z",
        "request": {"method": method, "url": url, "headers": [], **request},
        "response": {"status": status},
    }


def _seen(path: Path, entries: list[Any], host: str | None = None) -> Seen:
    path.write_text(json.dumps({"log": {"entries": entries}}))
    return of_one_service("x.har", har_exchanges(path), host, everything=False)


def test_a_har_is_grouped_by_endpoint_and_host(tmp_path: Path) -> None:
    """Weights are counts; third parties, static files and other schemes are left out."""
    entries = [
        *(_entry(f"https://shop.example/users/{n}/orders/{n * 7}") for n in range(3)),
        _entry("https://shop.example/users/9", status=404),
        _entry("https://shop.example/a.css"),
        _entry("https://cdn.example/x"),
        _entry("data:,x"),
    ]
    found = _seen(tmp_path / "x.har", entries)
    text = scenario_text(found, tmp_path / "x.py", "shop")
    assert "get('/users/{users_id}/orders/{orders_id}', weight=3)," in text
    assert "get('/users/{users_id_2}', weight=1, expect=[404])," in text
    assert "csv_rows('x_orders_id.csv'), **csv_rows('x_users_id_2.csv')" in text
    assert dict(found.left_out) == {
        "static files": 1, "host cdn.example": 1, "URLs of data:": 1,
    }  # fmt: skip
    assert len(text.splitlines()) <= 10 + 3 * len(found.endpoints)
    assert list(_seen(tmp_path / "x.har", entries, "cdn.example").endpoints) == [("GET", "/x")]


def test_bodies_of_a_har_may_be_base64_binary_or_missing(tmp_path: Path) -> None:
    """A text is kept, other bytes are not."""
    posted = [{"text": "aGk=", "encoding": "base64"}, {"text": "//8=", "encoding": "base64"}, {}]
    path = tmp_path / "x.har"
    path.write_text(json.dumps({"log": {"entries": [
        _entry("https://h/", "POST", 0, postData=each) for each in posted
    ]}}))  # fmt: skip
    assert [each.body for each in har_exchanges(path)] == ["hi", None, None]


LINES = """10.0.0.1 - - [01/Nov/2026:10:00:01 +0000] "GET /users/7?x=1 HTTP/1.1" 200 5 "-" "x [y] z"
10.0.0.1 - me [01/Nov/2026:10:00:00 +0000] "GET /users/8 HTTP/1.1" 404 5
10.0.0.1 - - [01/Nov/2026:10:00:01 +0000] "GET /a.png HTTP/1.1" 200 5
10.0.0.1 - - [01/Nov/2026:10:00:01 +0000] "POST /users HTTP/2.0" 201 5 "-" "-"
half a li
"""

JSON_LINES = """{"start_time":"2026-11-01T10:00:01.250Z","path":"/a","response_code":200}
{"time_iso8601":"2026-11-01T10:00:01+00:00","request":"POST /b HTTP/1.1","status":"503"}
{"time":1793527202000,"method":"GET","path":"/a","status":0}
{"path":3}
{"a":
"""


def test_a_log_gives_weights_statuses_and_instants_spread_within_a_second(tmp_path: Path) -> None:
    """Whole seconds are spread evenly, in order; what is no request is counted."""
    path = tmp_path / "access.log"
    path.write_text(LINES)
    found = read_log(path)
    assert [(e.method, e.template, e.count) for e in found.seen.endpoints.values()] == [
        ("GET", "/users/{users_id}", 2), ("POST", "/users", 1),
    ]  # fmt: skip
    assert dict(found.seen.left_out) == {"static files": 1, logs.SKIPPED: 1}
    assert list(found.spread()) == [0.0, 1.0, 1.5]


def test_a_log_of_json_lines_keeps_its_own_instants(tmp_path: Path) -> None:
    """Envoy's names, an ingress' names, epochs in milliseconds."""
    path = tmp_path / "access.json"
    path.write_text(JSON_LINES)
    found = read_log(path)
    assert list(found.spread()) == [0.0, 0.25, 1.0]
    assert dict(found.seen.left_out) == {logs.SKIPPED: 2}
    endpoint = found.seen.endpoints["GET", "/a"]
    assert (endpoint.count, dict(endpoint.statuses)) == (2, {200: 1})


def _openapi(path: Path, **document: Any) -> list[Exchange]:
    path.write_text(json.dumps({"openapi": "3.1.0", **document}))
    return list(openapi_exchanges(path))


def test_an_openapi_document_gives_each_operation_with_values_of_its_schemas(
    tmp_path: Path,
) -> None:
    """Examples first; a schema that contains itself ends; parameters of a path are feeds."""
    pet = {"type": "object", "properties": {
        "name": {"type": "string", "example": "Rex"}, "id": {"type": "integer", "readOnly": True},
        "parent": {"$ref": "#/components/schemas/Pet"}, "kind": {"enum": ["cat", "dog"]},
        "friends": {"type": "array", "items": {"$ref": "#/components/schemas/Pet"}},
    }}  # fmt: skip
    least = {"minimum": 5, "type": "integer"}
    found = _openapi(
        tmp_path / "api.json",
        servers=[{"url": "https://x/api/v1/"}],
        components={"schemas": {"Pet": pet}},
        paths={
            "/pets/{pet-id}": {
                "parameters": [{"name": "pet-id", "in": "path", "schema": {"format": "uuid"}}],
                "get": {"parameters": [
                    {"name": "n", "in": "query", "required": True, "schema": least},
                    {"name": "m", "in": "query", "schema": {"type": "integer"}},
                ]},
            },
            "/pets": {"post": {"requestBody": {"content": {"application/json": {
                "schema": {"$ref": "#/components/schemas/Pet"}}}}, "responses": {"201": {}}}},
        },
    )  # fmt: skip
    first, second = found
    assert first.split == (
        "/api/v1/pets/{pet_id}", ("pet_id",), ("123e4567-e89b-42d3-a456-426614174000",),
    )  # fmt: skip
    assert first.url.endswith("?n=5")
    assert json.loads(second.body or "") == {"name": "Rex", "kind": "cat", "friends": []}
    assert second.status == 201


@pytest.mark.parametrize(
    ("kind", "content", "problem"),
    [
        ("curl", b"", "no curl command in it"),
        ("curl", b"wget http://x", "'wget' is no curl command"),
        ("curl", b"curl -H 'x", "close the quotes"),
        ("curl", b"curl -X", "command 1: nothing behind -X"),
        ("curl", b"curl http://h/\ncurl -d a", "command 2: no URL"),
        ("curl", b"curl ftp://h/", "is no URL of HTTP"),
        ("curl", b"curl --proxy p http://h", "the option --proxy is not understood"),
        ("curl", b"curl -d @f http://h", "put the file's content in its place"),
        ("har", b"", "no JSON"),
        ("har", b'{"log": {"entries": [', "no JSON"),
        ("har", b'{"log": 3}', "no list log.entries"),
        ("har", b'{"log": {"entries": [3]}}', "log.entries[0].request has no url"),
        ("har", b'{"log": {"entries": []}}', "no request in it"),
        ("har", b"\xff\xfe", "save it again as HAR"),
        ("har", b"[" * 100_000, "no JSON"),
        ("log", b"", "no request in it"),
        ("log", b"\xff\xff\n\x00\n", "no request in it"),
        ("openapi", b"swagger: '2.0'\n", "convert it to OpenAPI 3.0 or 3.1"),
        (
            "openapi",
            b"openapi: 3.0.0\npaths: {/a: {$ref: other.yaml}}\n",
            "is not in this document",
        ),
        ("openapi", b"openapi: 3.0.0\npaths: {/a: {$ref: '#/paths/~1a'}}\n", "leads to itself"),
        ("openapi", b"openapi: 3.0.0\npaths: {/a: {$ref: '#/x'}}\n", "leads nowhere"),
        ("openapi", b"openapi: 3.0.0\n", "no request in it"),
        ("openapi", b"- 1\n", "not a mapping"),
    ],
)
def test_a_file_that_cannot_be_imported_is_one_line_and_leaves_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], kind: str, content: bytes, problem: str
) -> None:
    """Empty, cut, of another encoding, of another form; exit code 2."""
    (here / "file").write_bytes(content)
    assert run(["import", kind, "file"]) == 2
    said = capsys.readouterr().err
    assert problem in said
    assert said.count("\n") == 1
    assert [path.name for path in here.iterdir()] == ["file"]


def test_a_missing_file_or_a_directory_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("curl", "har", "log", "openapi"):
        for name in ("none", "."):
            assert run(["import", kind, name]) == 2
            assert capsys.readouterr().err.count("\n") == 1


def test_endpoints_and_values_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths that are not told from their values make no scenario."""
    monkeypatch.setattr(all_seen, "MOST_ENDPOINTS", 3)
    monkeypatch.setattr(all_seen, "MOST_VALUES", 2)
    seen = Seen("x")
    for number in range(9):
        seen.add(Exchange("GET", f"/a/{number}"))
    assert len(seen.endpoints["GET", "/a/{a_id}"].rows) == 2
    for letter in "bc":
        seen.add(Exchange("GET", f"/{letter}"))
    with pytest.raises(HarnessError, match="more than 3 endpoints"):
        seen.add(Exchange("GET", "/d"))


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/users/7", "/users/{users_id}"),
        ("/users/7/8", "/users/{users_id}/{users_id2}"),
        ("/a/0123456789abcdef", "/a/{a_id}"),
        ("/a/deadbeefdeadbeef", "/a/{a_id}"),
        ("/a/123e4567-e89b-42d3-a456-426614174000", "/a/{a_id}"),
        ("/a/sk_live_51Habcdefgh12", "/a/{a_id}"),
        ("/a/internationalisation", "/a/internationalisation"),
        ("/a/v2", "/a/v2"),
        ("/7", "/{path_id}"),
        ("/a{b}/7", "/a{{b}}/{a_b_id}"),
    ],
)
def test_a_segment_that_stands_for_a_thing_is_a_value(path: str, template: str) -> None:
    """Numbers, hex, UUIDs and opaque names; words are not."""
    assert split_path(path)[0] == template
