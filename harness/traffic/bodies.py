"""Templates of queries and bodies, with each literal written as its place wants it."""

import base64
import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from harness.errors import ScenarioError
from harness.traffic.files import file_content, json_text
from harness.traffic.model import Request

FORM = "application/x-www-form-urlencoded"
_PIECES = re.compile(r"(\{\{|\}\}|\{[^{}]*\})")
_UNSEEN = ("sequence", "uniform", "zipf", "given")
"""Feeds whose values are numbers, or known only once the load begins."""


Piece = str | dict[str, str]
Body = str | tuple[Piece, ...]
"""A template, or templates and bytes (`{"base64": …}`) one after another."""


@dataclass(frozen=True, slots=True)
class Bare:
    """A feed's value in a JSON body, without quotes."""

    feed: str


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file of a multipart body, or a body."""

    path: Path
    content: bytes
    content_type: str


def json_value(feed: str) -> Bare:
    """In a `json_body`: the feed's value as a number, true, false or null, not as a text."""
    return Bare(feed)


def file(path: str | Path, content_type: str = "application/octet-stream") -> FilePart:
    """A file beside the scenario to send as `body=` or within `multipart=`, byte for byte.

    Raises ScenarioError where it cannot be read or has more than 16 MiB.
    """
    return FilePart(*file_content(path), content_type)


def with_params(path: str, params: Mapping[str, object]) -> str:
    """The path with these parameters behind it; `{feed}` stands in names and values."""
    return f"{path}{'&' if '?' in path else '?'}{_pairs(params)}" if params else path


def form_body(form: Mapping[str, object]) -> str:
    """A body as a form of a page sends it."""
    return _pairs(form)


def multipart_body(parts: Mapping[str, object]) -> tuple[str, Body]:
    """(content type, body) of texts, bytes and files; a boundary that stands in none of them."""
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
    boundary = f"harness-{digest}"
    pieces: list[Piece] = []
    for name, part in parts.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"'
        if isinstance(part, FilePart):
            head += f'; filename="{_quoted(part.path.name)}"\r\nContent-Type: {part.content_type}'
        pieces += [f"{head}\r\n\r\n", _piece(part), "\r\n"]
    return f"multipart/form-data; boundary={boundary}", joined([*pieces, f"--{boundary}--\r\n"])


def body_of(given: object) -> Body:
    """What is sent for a text with feeds, bytes or a file, whose braces are no feeds."""
    return joined([_piece(given)])


def joined(pieces: Sequence[Piece]) -> Body:
    """One template where all are texts; else the texts between the bytes joined."""
    found: list[Piece] = []
    for piece in pieces:
        if found and isinstance(found[-1], str) and isinstance(piece, str):
            found[-1] += piece
        else:
            found.append(piece)
    match found:
        case [str(text)]:
            return text
        case _:
            return tuple(found)


def _piece(given: object) -> Piece:
    if isinstance(given, FilePart):
        given = given.content
    if isinstance(given, (bytes, bytearray, memoryview)):
        raw = bytes(given)
        try:
            return raw.decode().replace("{", "{{").replace("}", "}}")
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(raw).decode()}
    return json_text(given)


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
    """The template with its literals percent-encoded; slots stay, for the engine."""
    braces = {"{{": "%7B", "}}": "%7D"}
    return "".join(
        braces.get(piece) or (piece if piece.startswith("{") else quote(piece, safe=""))
        for piece in _PIECES.split(template)
    )


def check_json_values(
    where: str,
    request: Request,
    feeds: Mapping[str, Mapping[str, object]],
    captured: Collection[str] = (),
) -> None:
    """Raise ScenarioError for values that no JSON body can have; `captured` ones come later."""
    kind = next((v for k, v in request.headers if k.lower() == "content-type"), "").lower()
    if "json" in kind:
        for name in _bare_slots(request.body or ""):
            if name not in captured:
                _check_bare(where, name, feeds.get(name) or {})


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


def _check_bare(where: str, name: str, feed: Mapping[str, object]) -> None:
    if not feed or feed.get("kind") in _UNSEEN:
        return
    values = feed.get("values")
    for value in values if values and isinstance(values, list | tuple) else ["a UUID"]:
        try:
            json.loads(str(value))
        except ValueError:
            raise ScenarioError(
                f"{where}.body: {str(value)[:40]!r} of the feed {name} is no JSON value",
                f'write "{{{name}}}" for a text',
            ) from None
