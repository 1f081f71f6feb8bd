"""Whatever requests come in whatever order, a replica answers as a plain model of it does."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.platform.replica import serving

Request = tuple[str, str, bytes | None]
Said = tuple[int, Any]

COLLECTIONS = ("/api/memory", "/api/mfa/setup", "/api/mfa/b%20c")
IDS = ("1", "1000", "0", "1001", "01", "k", "a%2Fb", "%C3%BC", "x y", "100%25")
ELSEWHERE = ("/", "/nope", "/api/mfa", "/api/memory/", "/api/memory/1/2", "/api/mfa/a/b/c")
BODIES = (
    None,
    b"",
    b"{}",
    b"[1, 2]",
    b"7",
    b'"text"',
    b"null",
    b'{"id": "k", "value": {"text": "a \\"quoted\\" \\u00fc"}}',
    b'{"id": null, "value": null}',
    b'{"id": 5, "value": 1.5}',
    b'{"id": "999"}',
    b'{"value": [true, {"x": []}]}',
    b"not json",
    b"{",
    b"\xff\xfe",
)
METHODS = ("GET", "GET", "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

bodies = st.sampled_from(BODIES) | st.builds(
    lambda value: json.dumps({"value": value}).encode(),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    ),
)
items = st.builds("{}/{}".format, st.sampled_from(COLLECTIONS), st.sampled_from(IDS))
paths = st.sampled_from(COLLECTIONS) | items | st.sampled_from(ELSEWHERE)
queries = st.sampled_from(("", "", "?q=x&limit=500", "?replication=sync"))
requests = st.lists(
    st.tuples(st.sampled_from(METHODS), st.builds("{}{}".format, paths, queries), bodies),
    min_size=1,
    max_size=12,
)


class Model:
    """Collections as dictionaries: what the service says it is."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.newest: dict[str, deque[str]] = {}

    def answer(self, method: str, target: str, body: bytes | None, made: str) -> Said:
        """Status and decoded body; `made` is the id that the service makes if it has to."""
        path = unquote(target.partition("?")[0])
        collection, key = self._find(path)
        if collection is None:
            return 404, {"error": "no such path"}
        held = self.items.setdefault(collection, {str(n): seed(n) for n in range(1, 1001)})
        newest = self.newest.setdefault(collection, deque(map(str, range(981, 1001)), maxlen=20))
        if method == "GET":
            return self._read(held, newest, key)
        if method == "DELETE":
            held.pop(key or "", None)
            return 200, {"deleted": True, "service": "memorai"}
        if method == "OPTIONS":
            return 405, {"error": "method not allowed"}
        try:
            document = json.loads(body.decode()) if body else {}
        except ValueError:
            return 400, {"error": "the body is not JSON"}
        mapping = document if isinstance(document, dict) else {"value": document}
        chosen = mapping.get("id")
        key = key or (made if chosen is None else str(chosen))
        if key not in held:
            newest.append(key)
        held[key] = mapping.get("value", mapping)
        status = 201 if method == "POST" else 200
        return status, {"id": key, "service": "memorai", "region": "us-east-1"}

    def _find(self, path: str) -> tuple[str | None, str | None]:
        for pattern in (r"/api/memory", r"/api/mfa/[^/]+"):
            found = re.fullmatch(rf"({pattern})(?:/([^/]+))?", path)
            if found:
                return found[1], found[2]
        return None, None

    def _read(self, held: dict[str, Any], newest: deque[str], key: str | None) -> Said:
        if key is None:
            listed = [{"id": each, "value": held[each]} for each in newest if each in held]
            return 200, {"items": listed, "count": len(held), "service": "memorai"}
        if key not in held:
            return 404, {"error": "no such id"}
        return 200, {"id": key, "value": held[key], "service": "memorai"}


def seed(number: int) -> dict[str, Any]:
    """What an id holds from the start."""
    pad = (
        "lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt"
    )
    return {"number": number, "text": f"{number} {pad}"}


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[httpx.Client, Model]]:
    """A replica and its model, which go through the same requests from first to last."""
    with serving() as client:
        yield client, Model()


@settings(max_examples=60, deadline=None)
@given(requests)
def test_a_replica_answers_as_its_model(
    both: tuple[httpx.Client, Model], sequence: list[Request]
) -> None:
    """Statuses and decoded bodies, whatever was written before."""
    replica, model = both
    for method, target, body in sequence:
        answer = replica.request(method, target, content=body)
        said = answer.status_code, answer.json()
        assert said == model.answer(method, target, body, str(said[1].get("id"))), (method, target)
