"""Rows of files, queries and bodies arrive at a server as a client of theirs would write them."""

from __future__ import annotations

import json
import threading
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from harness._engine import Engine
from harness.errors import ScenarioError
from harness.traffic import (
    Request,
    choice,
    csv_rows,
    file,
    get,
    head,
    json_rows,
    json_value,
    options,
    patch,
    post,
    uuid,
)
from harness.traffic import files as feed_files
from harness.traffic.build import model_of, to_engine
from harness.traffic.profiles import resolve_profile

USERS = 'user,password,note\nada,pä ss&1,"a ""b"", c"\nbob,x=2,line\n'


class _Echo(BaseHTTPRequestHandler):
    heard: list[tuple[str, str, str, bytes]]

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        self.heard.append((self.command, self.path, self.headers["content-type"] or "", body))
        self.send_response(200)
        self.end_headers()

    do_GET = do_POST = do_PATCH = do_HEAD = do_OPTIONS = _answer  # noqa: N815 - of http.server

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def _sent(request: Request, **feeds: dict[str, Any]) -> list[tuple[str, str, str, bytes]]:
    """What a server hears of ten of these requests, sent by the engine."""
    user = type("User", (), {"service": "shop", "mix": [request], "feeds": feeds})
    handler = type("Handler", (_Echo,), {"heard": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    profile = resolve_profile("constant", rate=100, duration=0.1)
    plan = to_engine(model_of(user), profile)
    engine = Engine(json.dumps({**plan, "targets": [f"http://127.0.0.1:{server.server_port}"]}))
    engine.start()
    assert engine.join(20)
    server.shutdown()
    server.server_close()
    assert len(handler.heard) == 10  # type: ignore[attr-defined]
    return handler.heard  # type: ignore[attr-defined,no-any-return]


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users.csv"
    path.write_text(USERS)
    return path


ROWS = {("ada", "pä ss&1", 'a "b", c'), ("bob", "x=2", "line")}


def test_the_columns_of_a_row_stand_together_in_a_form_and_its_query(users: Path) -> None:
    """Each value is encoded for its place; a literal, too."""
    fields = {"user": "{user}", "password": "{password}", "a&b": "c d"}
    heard = _sent(post("/in", form=fields, params={"n": "{note}", "page": 2}), **csv_rows(users))
    found = {
        (form["user"], form["password"], query["n"])
        for _, path, _, body in heard
        for form in [dict(parse_qsl(body.decode(), strict_parsing=True))]
        for query in [dict(parse_qsl(urlsplit(path).query))]
        if form["a&b"] == "c d" and query["page"] == "2"
    }
    assert found == ROWS
    assert {kind for _, _, kind, _ in heard} == {"application/x-www-form-urlencoded"}


def test_the_fields_of_a_line_keep_their_type_where_the_body_asks_for_a_value(
    tmp_path: Path,
) -> None:
    """Numbers, booleans and null without quotes, texts within."""
    rows: list[dict[str, Any]] = [
        {"n": 3, "ok": True, "no": None, "t": 'q"{}'},
        {"n": 0.5, "ok": False, "no": 1, "t": ""},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n\n".join(map(json.dumps, rows)) + "\n")
    body = {"n": json_value("n"), "in": [json_value("ok"), {"x": json_value("no")}], "t": "{t}"}
    heard = _sent(post("/", json_body=body), **json_rows(path))
    found = {body for _, _, _, body in heard}
    assert sorted((json.loads(body) for body in found), key=lambda each: float(each["n"])) == [
        {"n": row["n"], "in": [row["ok"], {"x": row["no"]}], "t": row["t"]} for row in rows[::-1]
    ]


def test_a_multipart_body_has_fields_and_files(users: Path) -> None:
    """A file's braces are no feeds."""
    (users.parent / "a.txt").write_text("{not a feed}\n")
    parts = {"who": "{user}", "file": file(users.parent / "a.txt", "text/plain")}
    _, _, kind, body = _sent(post("/", multipart=parts), **csv_rows(users))[0]
    message = BytesParser(policy=HTTP).parsebytes(
        b"content-type: " + kind.encode() + b"\r\n\r\n" + body
    )
    who, sent = message.iter_parts()
    assert who.get_content().strip() in {"ada", "bob"}
    assert sent.get_filename() == "a.txt"
    assert sent.get_content().strip() == "{not a feed}"


def test_a_file_is_a_body_and_every_method_has_its_word(users: Path) -> None:
    """PATCH, HEAD, OPTIONS."""
    heard = _sent(patch("/", body=file(users, "text/csv")))
    assert heard[0] == ("PATCH", "/", "text/csv", USERS.encode())
    assert _sent(head("/a"))[0][:2] == ("HEAD", "/a")
    assert _sent(options("/a", params={"x": [1, 2], "y": None}))[0][:2] == ("OPTIONS", "/a?x=1&x=2")
    assert get("/a", params={"q": "{q}"}).path == "/a?q={q}"


def test_a_request_has_one_body() -> None:
    """And says which two it was given."""
    with pytest.raises(ScenarioError, match="form and body; a request has one body"):
        post("/", form={}, body="")


def test_what_cannot_stand_where_the_body_has_it_is_refused(users: Path) -> None:
    """A text as a JSON value."""
    user = {"service": "shop", "feeds": csv_rows(users) | {"new": uuid()}}
    for name, value in (("user", "'ada'|'bob'"), ("new", "'a UUID'")):
        mix = [post("/", json_body={"x": json_value(name)})]
        with pytest.raises(
            ScenarioError, match=f"mix\\[0\\].body: ({value}) of the feed {name} is no"
        ):
            model_of(type("User", (), {**user, "mix": mix}))
    with pytest.raises(ScenarioError, match=r"body is \{'a': 1\}; give a text, bytes or a file"):
        post("/", body={"a": 1})  # type: ignore[arg-type]


def test_one_value_is_encoded_for_each_place_that_it_stands_in() -> None:
    """In the path, in a form and as it is in a text."""
    odd = choice(["a&b /ü"])
    _, path, _, body = _sent(post("/{odd}", form={"x": "{odd}"}), odd=odd)[0]
    assert (path, body) == ("/a%26b%20%2F%C3%BC", b"x=a%26b%20%2F%C3%BC")
    assert _sent(post("/", body="{odd}"), odd=odd)[0][3] == "a&b /ü".encode()


def test_bytes_arrive_as_they_are_beside_texts_with_values(tmp_path: Path) -> None:
    """As a body, from a file, and within multipart."""
    raw = bytes(range(256)) * 300
    (tmp_path / "a.bin").write_bytes(raw)
    assert {body for *_, body in _sent(post("/", body=raw))} == {raw}
    assert _sent(post("/", body=b"{text}"))[0][3] == b"{text}"
    assert _sent(post("/", body=file(tmp_path / "a.bin")))[0][3] == raw
    parts = {"who": "{who}", "file": file(tmp_path / "a.bin"), "more": b"\xff"}
    _, _, kind, body = _sent(post("/", multipart=parts), who=choice(["ada"]))[0]
    message = BytesParser(policy=HTTP).parsebytes(
        b"content-type: " + kind.encode() + b"\r\n\r\n" + body
    )
    who, sent, more = message.iter_parts()
    assert who.get_content().strip() == "ada"
    assert raw in body
    assert sent.get_filename() == "a.bin"
    assert more.get_payload(decode=True) == b"\xff"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.csv", b"a,b\n1,2\n3\n", "a.csv:3: 1 values, the header has 2"),
        ("a.csv", b'a,b\n"x\ny",2\n1,2,3\n', "a.csv:4: 3 values"),
        ("a.csv", b'a,b\n"x,2\n', "a.csv:2: unexpected end of data"),
        ("a.csv", b"a,b\n", "no rows"),
        ("a.csv", b"", "no rows"),
        ("a.csv", b"a,a\n1,2\n", "several columns 'a'"),
        ("a.csv", b"a\n\xff\n", "the feed needs a file in UTF-8"),
        ("a.jsonl", b'{"a":1}\n[2]\n', "a.jsonl:2: no JSON object"),
        ("a.jsonl", b'{"a":1}\n{"a":', "a.jsonl:2: no JSON ("),
        ("a.jsonl", b'{"a":1}\n{"b":1}\n', "a.jsonl:2: no field 'a'; it has b"),
        ("a.jsonl", b'{"a":[1]}\n', "a.jsonl:1: a is nested"),
        ("a.jsonl", b"\n\n", "no rows"),
        ("a.jsonl", b"[" * 100_000, "a.jsonl:1: no JSON ("),
    ],
)
def test_a_file_of_rows_that_cannot_be_is_refused_with_its_line(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    """Short and long rows, quotes that are not closed, other texts."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ScenarioError) as caught:
        csv_rows(path) if name.endswith("csv") else json_rows(path)
    assert problem in str(caught.value)


def test_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bytes and rows; no directory, no FIFO."""
    path = tmp_path / "a.csv"
    path.write_text("a\n1\n2\n")
    monkeypatch.setattr(feed_files, "MOST_ROWS", 1)
    with pytest.raises(ScenarioError, match="2 rows; take 1 at most"):
        csv_rows(path)
    with path.open("ab") as stream:
        stream.truncate(feed_files.MOST_BYTES + 1)
    with pytest.raises(ScenarioError, match="larger than 64 MiB"):
        csv_rows(path)
    with pytest.raises(ScenarioError, match="larger than 16 MiB"):
        file(path)
    with pytest.raises(ScenarioError, match="Is a directory"):
        json_rows(tmp_path)


def test_secrets_of_a_row_are_marked_by_their_name(users: Path) -> None:
    """A column that speaks of a secret."""
    rows = csv_rows(users)
    assert [name for name, feed in rows.items() if feed.get("secret")] == ["password"]
