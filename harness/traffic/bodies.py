"""Templates of queries and bodies, with each literal written as its place wants it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.errors import ScenarioError
from harness.traffic.files import file_text, json_text
from harness.traffic.model import Request

FORM = "application/x-www-form-urlencoded"
ENCODED = ".form"
"""What is put behind a feed's name for the feed of its values as a form writes them."""

_PIECES = re.compile(r"(\{\{|\}\}|\{[^{}]*\})")
_UNSEEN = ("sequence", "uniform", "zipf", "given")
"""Feeds whose values are numbers, or known only once the load begins."""


@dataclass(frozen=True, slots=True)
class Bare:
    """A feed's value in a JSON body, without quotes."""

    feed: str


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file of a multipart body, or a body."""

    path: Path
    text: str
    content_type: str


def json_value(feed: str) -> Bare:
    """In a `json_body`: the feed's value as a number, true, false or null, not as a text."""
    return Bare(feed)


def file(path: str | Path, content_type: str = "application/octet-stream") -> FilePart:
    """A text file in UTF-8 to send as `body=` or within `multipart=`, beside the scenario.

    Raises ScenarioError where it cannot be read, is no text or has more than 16 MiB.
    """
    return FilePart(*file_text(path), content_type)


def with_params(path: str, params: Mapping[str, object]) -> str:
    """The path with these parameters behind it; `{feed}` stands in names and values."""
    return f"{path}{'&' if '?' in path else '?'}{_pairs(params)}" if params else path


def form_body(form: Mapping[str, object]) -> str:
    """A body as a form of a page sends it."""
    return _pairs(form)


def multipart_body(parts: Mapping[str, object]) -> tuple[str, str]:
    """(content type, body) of texts and files; a boundary that stands in none of them."""
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
    boundary = f"harness-{digest}"
    lines: list[str] = []
    for name, part in parts.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"'
        if isinstance(part, FilePart):
            head += f'; filename="{_quoted(part.path.name)}"\r\nContent-Type: {part.content_type}'
        lines.append(f"{head}\r\n\r\n{body_text(part)}\r\n")
    return f"multipart/form-data; boundary={boundary}", "".join(lines) + f"--{boundary}--\r\n"


def body_text(body: object) -> str:
    """The template of a body: a file's own braces are no feeds."""
    if isinstance(body, FilePart):
        return body.text.replace("{", "{{").replace("}", "}}")
    return json_text(body)


def json_template(value: object) -> str:
    """JSON text whose own braces are escaped and whose strings' `{feed}` are not."""
    if isinstance(value, Bare):
        return f"{{{value.feed}}}"
    if isinstance(value, dict):
        items = (f"{json_template(str(k))}:{json_template(v)}" for k, v in value.items())
        return "{{" + ",".join(items) + "}}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(json_template(item) for item in value) + "]"
    return json.dumps(value)


def _quoted(text: str) -> str:
    """A name within the quotes of a header (WHATWG, multipart/form-data)."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _pairs(values: Mapping[str, object]) -> str:
    pairs = [
        f"{_encoded(name)}={_encoded(json_text(item))}"
        for name, value in values.items()
        for item in (value if isinstance(value, (list, tuple)) else [value])
        if item is not None
    ]
    return "&".join(pairs)


def _encoded(template: str) -> str:
    """The template with its literals percent-encoded; slots stay, for the engine or `finished`."""
    braces = {"{{": "%7B", "}}": "%7D"}
    return "".join(
        braces.get(piece) or (piece if piece.startswith("{") else quote(piece, safe=""))
        for piece in _PIECES.split(template)
    )


def finished(
    where: str, request: Request, feeds: dict[str, dict[str, Any]]
) -> tuple[Request, dict[str, dict[str, Any]]]:
    """The request, and the feeds that it needs besides, with its values as its body wants them.

    Raises ScenarioError for values that cannot stand where the body has them.
    """
    body = request.body or ""
    kind = next((v for k, v in request.headers if k.lower() == "content-type"), "").lower()
    if "json" in kind:
        for name in _bare_slots(body):
            _check_bare(where, name, feeds.get(name) or {})
    if kind != FORM:
        return request, {}
    more: dict[str, dict[str, Any]] = {}
    for name in set(_slots(body)):
        if (feeds.get(name) or {}).get("kind") == "given":
            more[f"{name}{ENCODED}"] = feeds[name]
            body = body.replace(f"{{{name}}}", f"{{{name}{ENCODED}}}")
            continue
        values = (feeds.get(name) or {}).get("values")
        if not values or all(quote(str(value), safe="") == str(value) for value in values):
            continue
        if feeds[name]["kind"] != "cycle" and f"{{{name}}}" in request.path:
            raise ScenarioError(
                f"{where}: {name} stands in the path and in the form",
                f"let the feed {name} be drawn in turn, or use a second feed",
            )
        encoded = [quote(str(value), safe="") for value in values]
        more[f"{name}{ENCODED}"] = {**feeds[name], "values": encoded}
        body = body.replace(f"{{{name}}}", f"{{{name}{ENCODED}}}")
    return replace(request, body=body), more


def _slots(template: str) -> Iterator[str]:
    """The names of feeds in a template."""
    for piece in _PIECES.split(template):
        if piece.startswith("{") and piece != "{{":
            yield piece[1:-1]


def _bare_slots(template: str) -> Iterator[str]:
    """Those that stand outside of the strings of a JSON body."""
    within = False
    for piece in _PIECES.split(template):
        if piece in {"{{", "}}"}:
            continue
        if piece.startswith("{"):
            if not within:
                yield piece[1:-1]
        elif len(re.sub(r"\\.", "", piece).split('"')) % 2 == 0:
            within = not within


def _check_bare(where: str, name: str, feed: Mapping[str, Any]) -> None:
    if not feed or feed.get("kind") in _UNSEEN:
        return
    for value in feed.get("values") or ["a UUID"]:
        try:
            json.loads(str(value))
        except ValueError:
            raise ScenarioError(
                f"{where}.body: {str(value)[:40]!r} of the feed {name} is no JSON value",
                f'write "{{{name}}}" for a text',
            ) from None
