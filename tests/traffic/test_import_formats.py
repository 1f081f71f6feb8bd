"""More formats of what was seen elsewhere, and files that hold nothing of the kind."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from harness.cli import run
from harness.errors import ScenarioError
from harness.traffic.build import to_engine
from harness.traffic.imports.log import SKIPPED, read_log
from harness.traffic.replay import replay
from tests.traffic.test_imports import LINES, _model

ALB = (
    "https 2026-11-01T10:00:02.186641Z app/lb/50dc 192.168.131.39:2817 10.0.0.1:80 0.000 0.001 "
    '0.000 200 200 34 366 "GET https://www.example.com:443/users/7?a=1 HTTP/1.1" "curl/7" - - '
    'arn:aws:x "Root=1-5" "-" "-" 0 2026-11-01T10:00:01.500000Z "forward" "-" "-" "10.0.0.1:80" '
    '"200" "-" "-"\n'
    "2026-11-01T10:00:03.000000Z lb 192.168.131.39:2817 - -1 -1 -1 503 0 0 0 "
    '"POST http://www.example.com:80/users HTTP/1.1" "curl" - -\n'
    'h2 2026-11-01T10:00:04.000000Z app/lb/50dc 1.2.3.4:1 - -1 -1 -1 460 - 0 0 "- http://x:80- " '
    '"-" - -\n'
)


@pytest.mark.parametrize("packed", [False, True])
def test_logs_of_aws_load_balancers_are_read_packed_or_not(tmp_path: Path, packed: bool) -> None:  # noqa: FBT001
    """An arrival is when the balancer got the request, where it says so."""
    path = tmp_path / "alb.log"
    path.write_bytes(gzip.compress(ALB.encode()) if packed else ALB.encode())
    traffic = read_log(path)
    assert list(traffic.seen.endpoints) == [("GET", "/users/{users_id}"), ("POST", "/users")]
    assert list(traffic.spread()) == [0.0, 1.5]
    assert traffic.seen.left_out[SKIPPED] == 1
    if packed:
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(ScenarioError, match="ended before the end"):
            read_log(path)


def test_a_trace_names_the_endpoints_and_values_of_its_scenario(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replay sends what was logged, when it was logged."""
    monkeypatch.chdir(tmp_path)
    Path("shop.log").write_text(LINES)
    assert run(["import", "log", "shop.log", "--trace", "shop.csv"]) == 0
    assert Path("shop.csv").read_text().splitlines() == [
        "time,endpoint,users_id",
        "0.000000,GET /users/{users_id},8",
        "1.000000,GET /users/{users_id},7",
        "1.500000,POST /users,",
    ]
    profile = replay("shop.csv")
    plan = to_engine(_model(Path("shop.py")), profile)
    assert plan["arrivals"]["requests"] == [0, 0, 1]
    assert plan["feeds"]["users_id"]["values"] == ["8", "7", ""]


POSTMAN = {
    "info": {"schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"},
    "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "geheim"}]},
    "variable": [
        {"key": "base", "value": "https://{{host}}/v1"},
        {"key": "host", "value": "shop.example"},
        {"key": "api_token", "value": "geheim"},
        {"key": "mine", "value": "geheim", "type": "secret"},
        {"key": "a", "value": "{{b}}"},
        {"key": "b", "value": "{{a}}"},
    ],
    "item": [
        {"name": "users", "item": [{
            "name": "read",
            "event": [{"listen": "test"}],
            "request": {
                "method": "GET",
                "header": [
                    {"key": "x-mine", "value": "{{mine}}"},
                    {"key": "x-off", "value": "1", "disabled": True},
                ],
                "url": {
                    "raw": "{{base}}/users/:id?q={{a}}&off=1",
                    "query": [
                        {"key": "q", "value": "{{unknown}} x"},
                        {"key": "off", "value": "1", "disabled": True},
                    ],
                    "variable": [{"key": "id", "value": "17"}],
                },
            },
            "response": [{"code": 404}, {"code": 200}],
        }]},
        {"name": "make", "request": {
            "method": "POST",
            "auth": {"type": "noauth"},
            "url": {"host": ["{{host}}"], "path": ["v1", "users"], "protocol": "https"},
            "body": {
                "mode": "raw", "raw": '{"id": "{{$guid}}", "password": "geheim"}',
                "options": {"raw": {"language": "json"}},
            },
        }},
        {"name": "form", "request": {
            "method": "POST", "url": "{{base}}/form",
            "body": {"mode": "urlencoded", "urlencoded": [
                {"key": "a", "value": "1 2"}, {"key": "password", "value": "geheim"},
            ]},
        }},
        {"name": "upload", "request": {
            "method": "PUT", "url": "{{base}}/upload",
            "body": {"mode": "formdata", "formdata": [
                {"key": "f", "type": "file", "src": "x"}, {"key": "t", "value": "{x}"},
            ]},
        }},
        {"name": "plain", "request": "{{base}}/plain"},
    ],
}  # fmt: skip


def test_a_postman_collection_gives_its_requests_without_its_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Variables in place, folders walked, what is disabled left out; all that was cut is listed."""
    monkeypatch.chdir(tmp_path)
    Path("shop.json").write_text(json.dumps(POSTMAN))
    assert run(["import", "postman", "shop.json"]) == 0
    told = capsys.readouterr().out
    for each in ("bearer authorization of read", "variable mine", "field password"):
        assert f"removed: {each}" in told
    for each in ("value of the variable unknown", "files of forms", "scripts of requests"):
        assert f"left out: {each}" in told
    text = Path("shop.py").read_text()
    assert "geheim" not in text
    assert len(text.splitlines()) <= 10 + 3 * 5
    found = {request.name: request for request in _model(Path("shop.py")).requests}
    assert list(found) == [
        "GET /v1/users/{users_id}", "POST /v1/users", "POST /v1/form", "PUT /v1/upload",
        "GET /v1/plain",
    ]  # fmt: skip
    assert found["GET /v1/users/{users_id}"].path == "/v1/users/{users_id}?q=unknown%20x"
    assert ("x-mine", "REMOVED") in found["GET /v1/users/{users_id}"].headers
    assert "x-off" not in dict(found["GET /v1/users/{users_id}"].headers)
    assert found["POST /v1/form"].body == "a=1%202&password=[redacted]"
    assert "multipart/form-data" in dict(found["PUT /v1/upload"].headers)["content-type"]
    assert "{{x}}" in (found["PUT /v1/upload"].body or "")


BAD = [
    ("postman", "{}", "no list item"),
    ("postman", "[]", "no list item"),
    ("postman", '{"info": {"schema": "x/v1.0.0/c"}, "item": []}', "the schema is 'x/v1.0.0/c'"),
    ("postman", '{"item": []}', "no request in it"),
    ("postman", '{"item": [{"request": {"url": {"raw": "{{a}}"}}, "name": 5}, 7, null]', "no JSON"),
    ("postman", '{"item": [' * 60, "no JSON"),
]


@pytest.mark.parametrize(("kind", "content", "problem"), BAD)
def test_a_file_of_another_kind_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    kind: str, content: str, problem: str,
) -> None:  # fmt: skip
    """Exit code 2, and no file is left."""
    monkeypatch.chdir(tmp_path)
    Path("x.json").write_text(content)
    assert run(["import", kind, "x.json"]) == 2
    error = capsys.readouterr().err
    assert problem in error
    assert len(error.strip().splitlines()) == 1
    assert not Path("x.py").exists()


HOSTILE = [
    b"", b"\x00" * 100, b"\xff\xfe{\x00}\x00", b"{" * 100_000, b"[" * 100_000, b"null", b'"x"',
    b"1", b"[]", b"{}", b'{"log":{"entries":[{}]}}', b'{"log":{"entries":[null]}}',
    b'{"log":{"entries":[{"request":{"url":"http://[::1"}}]}}', b'{"item":[{"request":5}]}',
    b'{"openapi":"3.0.0"}', b'{"openapi":"3.1.0","paths":[]}', b"openapi: 3.0.0\npaths: {/x: 5}",
    b'{"openapi":"3.0.0","paths":{"/x":{"$ref":"#/paths/~1x"}}}',
    b'{"openapi":"3.0.0","paths":{"/x":{"$ref":"http://evil.example/x"}}}',
    b'{"item":[{"request":{"url":"http://[::1"}}]}', b"\r\n\r\n", b"curl", b"curl 'http://x",
    b"curl http://[::1", b"GET / HTTP/1.1", b'1.2.3.4 - - [x] "GET / HTTP/1.1" 200 5',
    b'{"path":"/x","status":{}}', b'{"path":"http://[x","method":["a"]}', b"\x1f\x8b\x08broken",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["curl", "har", "log", "openapi", "postman"])
def test_no_file_whatsoever_ends_in_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """One line and exit code 2, or a scenario that is one."""
    monkeypatch.chdir(tmp_path)
    for number, content in enumerate(HOSTILE):
        path = Path(f"x{number}")
        path.write_bytes(content)
        code = run(["import", kind, str(path)])
        error = capsys.readouterr().err
        assert code in {0, 2}, (kind, content[:40], error)
        if code == 2:
            assert len(error.strip().splitlines()) == 1, (kind, content[:40], error)
        else:
            _model(Path(f"x{number}.py"))
