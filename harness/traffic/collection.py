"""A collection and its items, as every service of the platform offers them, in a scenario's words.

What is alike in scenarios stands here: keys, ids, what a right answer is. What differs is theirs:
which names, how often, of how skewed a choice.
"""

from collections.abc import Mapping
from typing import Any

from harness.traffic.declare import (
    delete,
    get,
    json_pointer,
    post,
    put,
    sequence,
    status,
    uniform,
    uuid,
    zipf,
)
from harness.traffic.model import Audit, Request

KEYED = {"x-api-key": "load-{key}"}
"""A key may ask 100 times a minute: a load needs many."""

ITEMS = 1000
OLD = 100_000
"""From here on ids are deleted: what is read never is."""

TOKENS = 10
"""Of a streamed answer: a turn is a few words, so that two cores carry a rate of them."""

Part = tuple[str, float] | None
"""A request's name and weight; None: users do not do it."""


def feeds_of(skew: float) -> dict[str, dict[str, object]]:
    """Feeds of `api`: `item` by Zipf's law with this exponent, `new`, `old` and `key`."""
    return {
        "item": zipf(ITEMS, s=skew),
        "new": uuid(),
        "old": sequence(start=OLD),
        "key": uniform(1, 20_000),
    }


def api(
    path: str,
    *,
    find: Part = None,
    read: Part = None,
    create: Part = None,
    change: Part = None,
    remove: Part = None,
    body: Mapping[str, object] | None = None,
) -> list[Request]:
    """The requests that users send to the collection at `path`; `body` is what they write."""
    written = dict(body or {"note": "made by a load test"})
    item = f"{path}/{{item}}"
    same = [status(200), json_pointer("/id", equals="{item}")]
    made = [status(201), json_pointer("/id", equals="{new}")]
    asked: list[tuple[Part, Any, str, dict[str, object]]] = [
        (find, get, path, {"checks": [status(200), json_pointer("/items")]}),
        (read, get, item, {"checks": same}),
        (create, post, path, {"checks": made, "json_body": {"id": "{new}", **written}}),
        (change, put, item, {"checks": same, "json_body": written}),
        (remove, delete, f"{path}/{{old}}", {"checks": [status(200)]}),
    ]
    return [
        method(where, name=part[0], weight=part[1], headers=KEYED, **more)
        for part, method, where, more in asked
        if part is not None
    ]


def turn(number: str, message: str, max_tokens: int = TOKENS) -> dict[str, Any]:
    """The body that asks for a streamed answer to a message that nobody sent before.

    `number` is unique, such as `{new}`: a cache of prefixes would answer a repeated one without
    work. The length is pinned, or runs could not be compared.
    """
    return {
        "messages": [
            {"role": "system", "content": f"Conversation {number}."},
            {"role": "user", "content": message},
        ],
        "max_tokens": max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def audited(path: str, write: str) -> Audit:
    """Reading back by their ids what the request of this name has made at `path`."""
    return Audit(
        write=write, id="new", read=f"{path}/{{id}}", canary=f"{path}/1", expected='"id":"1"'
    )
