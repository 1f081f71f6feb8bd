"""What other tools' users complain of in imports: lost requests, parameters and bodies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ScenarioError
from harness.traffic.imports.curl import curl_exchanges
from harness.traffic.imports.har import har_exchanges
from harness.traffic.imports.openapi import openapi_exchanges
from harness.traffic.imports.seen import Exchange, of_one_service
from harness.traffic.imports.write import scenario_text


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("curl http://h/a http://h/b -H 'x: 1'", ["http://h/a", "http://h/b"]),
        ("curl h/a | jq . > out.json; curl h/b 2>/dev/null && echo done", ["http://h/a", "http://h/b"]),
        ("curl h/a > out.json 2>&1\ncurl h/b >>log", ["http://h/a", "http://h/b"]),
        ("curl -G -d q=1 h/a h/b?c=2", ["http://h/a?q=1", "http://h/b?c=2&q=1"]),
        ("curl -G h/a --data-urlencode '=a&b' --data-urlencode 'n=c d' --data-urlencode 'e f'",
         ["http://h/a?a%26b&n=c%20d&e%20f"]),
    ],
)  # fmt: skip
def test_every_url_of_a_curl_command_is_a_request_and_nothing_else_is(
    tmp_path: Path, text: str, urls: list[str]
) -> None:
    (tmp_path / "c").write_text(text)
    assert [each.url for each in curl_exchanges(tmp_path / "c")] == urls


@pytest.mark.parametrize("text", ['curl "http://h/a" ^\r\n  -H "x: 1"', 'curl ^"http://h/a^"'])
def test_a_command_for_cmd_of_windows_is_refused_with_the_remedy(tmp_path: Path, text: str) -> None:
    (tmp_path / "c").write_text(text)
    with pytest.raises(ScenarioError, match=r"copy it as cURL \(bash\)"):
        list(curl_exchanges(tmp_path / "c"))


def _har(path: Path, *requests: dict[str, Any]) -> list[Exchange]:
    entries = [{"request": {"method": "POST", **each}, "response": None} for each in requests]
    path.write_text(json.dumps({"log": {"entries": entries}}))
    return list(har_exchanges(path))


def test_a_body_of_a_har_that_is_kept_as_fields_only_is_sent(tmp_path: Path) -> None:
    """Firefox keeps no text of forms; files are not in a HAR at all."""
    fields = [{"name": "a", "value": "1 2"}, {"name": "f", "fileName": "x.png"}]
    form, upload = _har(
        tmp_path / "x.har",
        {"url": "http://h/f", "postData": {"mimeType": "x-www-form-urlencoded", "params": fields}},
        {"url": "http://h/u", "headers": [{"name": "Content-Type", "value": "multipart/x"}],
         "postData": {"mimeType": "multipart/form-data; boundary=b", "params": fields}},
    )  # fmt: skip
    assert form.body == "a=1+2"
    assert form.left_out == ("files of forms",)
    ((_, kind),) = upload.headers
    assert kind.startswith("multipart/form-data; boundary=harness-")
    assert kind.partition("boundary=")[2] in (upload.body or "")
    assert 'name="a"\r\n\r\n1 2\r\n' in (upload.body or "")


def test_what_is_no_request_of_http_is_counted_as_left_out(tmp_path: Path) -> None:
    found = _har(
        tmp_path / "x.har",
        *({"url": url} for url in ("wss://h/s", "data:image/png;base64,x", "http://h/a")),
    )
    seen = of_one_service("x.har", found, None, everything=False)
    assert seen.count == 1
    assert dict(seen.left_out) == {"URLs of wss:": 1, "URLs of data:": 1}


def test_a_secret_in_a_multipart_body_is_removed_and_listed(tmp_path: Path) -> None:
    body = '--b\r\nContent-Disposition: form-data; name="password"\r\n\r\ngeheim\r\n--b--\r\n'
    kind = {"name": "Content-Type", "value": "multipart/form-data; boundary=b"}
    found = _har(
        tmp_path / "x.har", {"url": "http://h/a", "headers": [kind], "postData": {"text": body}}
    )
    seen = of_one_service("x.har", found, None, everything=False)
    assert "geheim" not in scenario_text(seen, tmp_path / "x.py", "h")
    assert list(seen.removed) == ["fields in the body of POST /a"]


def _openapi(path: Path, operation: dict[str, Any], **item: Any) -> Exchange:
    document = {"openapi": "3.1.0", "paths": {"/a/{ids}": {"post": operation, **item}}}
    path.write_text(json.dumps(document))
    (found,) = openapi_exchanges(path)
    return found


LIST = {"type": "array", "items": {"type": "integer"}, "example": [1, 2]}
OBJECT = {"type": "object", "properties": {"id": {"type": "integer"}, "by": {"example": "a b"}}}


@pytest.mark.parametrize(
    ("parameter", "query"),
    [
        ({"schema": LIST}, "q=1&q=2"),
        ({"schema": LIST, "explode": False}, "q=1%2C2"),
        ({"schema": LIST, "style": "pipeDelimited"}, "q=1%7C2"),
        ({"schema": LIST, "style": "spaceDelimited"}, "q=1%202"),
        ({"schema": OBJECT}, "id=1&by=a%20b"),
        ({"schema": OBJECT, "explode": False}, "q=id%2C1%2Cby%2Ca%20b"),
        ({"schema": OBJECT, "style": "deepObject"}, "q[id]=1&q[by]=a%20b"),
        ({"schema": {"type": "boolean"}}, "q=true"),
    ],
)
def test_a_parameter_of_openapi_is_written_as_its_style_says(
    tmp_path: Path, parameter: dict[str, Any], query: str
) -> None:
    """An operation's own stands for the path's of the same name."""
    mine = {"name": "q", "in": "query", "required": True, **parameter}
    usual = {"name": "q", "in": "query", "required": True, "example": "never"}
    ids = {"name": "ids", "in": "path", "schema": LIST}
    found = _openapi(tmp_path / "x.json", {"parameters": [mine]}, parameters=[usual, ids])
    assert found.url == f"/a/{{ids}}?{query}"
    assert found.split is not None
    assert found.split[2] == ("1,2",)


@pytest.mark.parametrize(
    ("codes", "wanted"),
    [(["400", "200", "201"], 200), (["404"], None), (["default", "2XX"], None), (["302"], 302)],
)
def test_the_status_that_is_wanted_of_an_operation_is_no_error(
    tmp_path: Path, codes: list[str], wanted: int | None
) -> None:
    found = _openapi(tmp_path / "x.json", {"responses": {each: {} for each in codes}})
    assert found.status == wanted


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-www-form-urlencoded", "id=1&by=a+b"),
        ("multipart/form-data", 'name="by"\r\n\r\na b\r\n'),
        ("application/octet-stream", None),
    ],
)
def test_forms_of_openapi_have_a_body_and_other_kinds_are_listed(
    tmp_path: Path, kind: str, body: str | None
) -> None:
    operation = {"requestBody": {"content": {kind: {"schema": OBJECT}}}}
    found = _openapi(tmp_path / "x.json", operation)
    if body is None:
        assert found.body is None
        assert found.left_out == (f"bodies of the kind {kind}",)
    else:
        assert body in (found.body or "")
        assert dict(found.headers)["content-type"].startswith(kind)
