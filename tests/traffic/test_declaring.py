"""The words of a scenario file make the documents that the engine reads, without Locust."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ScenarioError
from harness.traffic import (
    body_contains,
    choice,
    csv_column,
    delete,
    get,
    json_pointer,
    post,
    put,
    request,
    sequence,
    status,
    uniform,
    uuid,
    zipf,
)
from harness.traffic.build import model_of


def test_declaring_traffic_needs_neither_locust_nor_the_engine() -> None:
    """Importing Locust would patch the whole process."""
    code = (
        "import sys, harness.traffic, harness.catalog;"
        "print([m for m in ('locust', 'gevent', 'harness._engine', 'numpy') if m in sys.modules])"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "[]"


def test_the_short_words_are_requests_with_their_method() -> None:
    """The name is method and path unless one is given."""
    made = [word("/api/a") for word in (get, post, put, delete)]
    assert [item.method for item in made] == ["GET", "POST", "PUT", "DELETE"]
    assert made[0].name == "GET /api/a"
    assert request("PATCH", "/api/a", name="touch").name == "touch"


def test_checks_and_feeds_are_written_as_the_engine_reads_them() -> None:
    """The vocabulary of docs/contracts.md."""
    assert status(200, 201) == {"kind": "status", "in": [200, 201]}
    assert body_contains("ok {id}") == {"kind": "body_contains", "text": "ok {id}"}
    assert json_pointer("/id") == {"kind": "json", "pointer": "/id"}
    assert json_pointer("/id", equals=None)["equals"] is None
    assert sequence(5, 2) == {"kind": "sequence", "start": 5, "step": 2}
    assert uniform(1, 9) == {"kind": "uniform", "low": 1, "high": 9}
    assert zipf(10, s=1.5) == {"kind": "zipf", "n": 10, "s": 1.5}
    assert uuid() == {"kind": "uuid"}
    assert sequence(fixed=True) == {"kind": "sequence", "start": 0, "step": 1, "fixed": True}
    assert uuid(fixed=True) == {"kind": "uuid", "fixed": True}
    assert choice([1, "b"]) == {"kind": "choice", "values": ["1", "b"]}
    assert choice(["a", "b"], [1, 2])["weights"] == [1, 2]


def test_what_is_expected_is_a_status_check() -> None:
    """One or several; a second one would contradict it."""
    assert get("/", expect=201).checks == (status(201),)
    made = get("/", expect=[201, 409], checks=[body_contains("x")])
    assert made.checks == (status(201, 409), body_contains("x"))
    with pytest.raises(ScenarioError, match="say in one of them"):
        get("/", expect=200, checks=[status(200)])


def test_a_json_body_says_that_it_is_one() -> None:
    """Unless the author says otherwise."""
    assert ("content-type", "application/json") in post("/", json_body={}).headers
    own = post("/", json_body={}, headers={"content-type": "application/x-own"})
    assert own.headers == (("content-type", "application/x-own"),)


def rendered(template: str, values: dict[str, str]) -> str:
    """What the engine makes of a template."""
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", value)
    return template.replace("{{", "{").replace("}}", "}")


plain_text = st.text(st.characters(exclude_characters="{}", exclude_categories=["Cs"]), max_size=9)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | plain_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(plain_text, inner, max_size=4),
    max_leaves=15,
)


@given(json_values.filter(lambda value: value is not None))
def test_a_json_body_arrives_as_the_value_that_was_declared(value: Any) -> None:
    """Its own braces are escaped, whatever is nested in it."""
    body = post("/", json_body=value).body
    assert body is not None
    assert json.loads(rendered(body, {})) == value


def test_a_feed_in_a_json_body_is_replaced_in_place() -> None:
    """In strings, at any depth."""
    body = post("/", json_body={"id": "{new}", "in": [{"user": "u-{user}"}]}).body
    assert body is not None
    assert json.loads(rendered(body, {"new": "7", "user": "8"})) == {
        "id": "7",
        "in": [{"user": "u-8"}],
    }


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "users.csv"
    path.write_text('\ufeffid,name\n1,"Ada, Countess"\n2,Béla\n', encoding="utf-8")
    return path


def test_a_csv_column_is_drawn_at_random_or_in_turn(table: Path) -> None:
    """Quotes, commas, byte order mark and all."""
    assert csv_column(table, "name") == {"kind": "choice", "values": ["Ada, Countess", "Béla"]}
    assert csv_column(table, "id", order="sequence") == {"kind": "cycle", "values": ["1", "2"]}


def test_two_columns_of_one_file_are_of_one_row_in_one_request(table: Path) -> None:
    """Else a user would get the password of another one; a column alone is drawn as before."""
    other = table.with_name("other.csv")
    other.write_text("id\n3\n4\n")
    feeds = {"id": csv_column(table, "id"), "name": csv_column(table, "name")}
    feeds["other"] = csv_column(other, "id")
    mix = [get("/{id}?n={name}&o={other}")]
    found = model_of(type("User", (), {"service": "shop", "mix": mix, "feeds": feeds})).feeds
    pairs = set(zip(found["id"]["values"], found["name"]["values"], strict=True))
    assert pairs == {("1", "Ada, Countess"), ("2", "Béla")}
    assert [found[name]["kind"] for name in feeds] == ["cycle", "cycle", "choice"]


def test_a_relative_csv_is_looked_for_beside_the_scenario(table: Path) -> None:
    """Not in whatever directory the command was started in."""
    scope: dict[str, Any] = {"__file__": str(table.parent / "scenario.py"), "csv": csv_column}
    exec("feed = csv('users.csv', 'id')", scope)  # noqa: S102 - a scenario's own globals
    assert scope["feed"]["values"] == ["1", "2"]


@pytest.mark.parametrize(
    ("content", "column", "problem"),
    [
        (b"id\n1\n", "name", "no column 'name'; it has id"),
        (b"", "id", "no column 'id'"),
        (b"id\n", "id", "column 'id' is empty"),
        (b"id\n\xff\n", "id", "the feed needs a file in UTF-8"),
    ],
)
def test_a_csv_without_the_values_is_refused(
    tmp_path: Path, content: bytes, column: str, problem: str
) -> None:
    """Naming file, column and remedy."""
    path = tmp_path / "feed.csv"
    path.write_bytes(content)
    with pytest.raises(ScenarioError) as caught:
        csv_column(path, column)
    assert problem in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_csv_or_a_strange_order_is_refused(tmp_path: Path, table: Path) -> None:
    """In one line."""
    with pytest.raises(ScenarioError, match="No such file"):
        csv_column(tmp_path / "none.csv", "id")
    with pytest.raises(ScenarioError, match="order is 'backwards'"):
        csv_column(table, "id", order="backwards")  # type: ignore[arg-type]
