"""Postman collections, v2.0 and v2.1: each request once, with the collection's own variables."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.errors import ScenarioError
from harness.redact import is_secret_name
from harness.traffic.bodies import FORM, multipart_body
from harness.traffic.files import parsed, read_text
from harness.traffic.imports.seen import REMOVED, Exchange, mappings, text_of

DEEPEST = 50
"""Folders within each other, and variables that stand for others."""

_VARIABLE = re.compile(r"\{\{([^{}]+)\}\}")
_DYNAMIC = {
    "$guid": "123e4567-e89b-42d3-a456-426614174000",
    "$randomUUID": "123e4567-e89b-42d3-a456-426614174000",
    "$timestamp": "1767225600",
    "$isoTimestamp": "2026-01-01T00:00:00Z",
}


@dataclass(slots=True)
class _Collection:
    """The variables, and what was seen of one request that a scenario cannot have."""

    variables: dict[str, str]
    secret: set[str]
    removed: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def fill(self, value: Any, depth: int = 0) -> str:
        """A text with its variables in place; one without a value stands for itself."""
        return _VARIABLE.sub(lambda match: self._value(match[1].strip(), depth), _text(value))

    def _value(self, name: str, depth: int) -> str:
        if name in self.secret:
            self.removed.append(f"variable {name}")
            return REMOVED
        if name.startswith("$"):
            return _DYNAMIC.get(name, "1")
        if not self.variables.get(name) or depth > DEEPEST:
            self.left_out.append(f"value of the variable {name}")
            return name
        return self.fill(self.variables[name], depth + 1)


def postman_exchanges(path: Path) -> Iterator[Exchange]:
    """One request for each of a collection. Raises ScenarioError for a file that is none."""
    remedy = "export it again"
    found = parsed(path, read_text(path, remedy=remedy), remedy)
    found = found.get("collection", found) if isinstance(found, dict) else {}
    schema = text_of(_mapping(found.get("info")).get("schema")) if isinstance(found, dict) else ""
    if not isinstance(found, dict) or not isinstance(found.get("item"), list):
        raise ScenarioError(f"{path}: no list item", "export it as Collection v2.1")
    if schema and "/v2." not in schema:
        raise ScenarioError(
            f"{path}: the schema is {schema[:80]!r}", "export it as Collection v2.1"
        )
    variables = [each for each in mappings(found.get("variable")) if not each.get("disabled")]
    names = {text_of(each.get("key") or each.get("id")): each for each in variables}
    secret = {n for n, each in names.items() if each.get("type") == "secret" or is_secret_name(n)}
    values = {name: _text(each.get("value")) for name, each in names.items()}
    for item, auth in _requests(path, found, None, 0):
        yield _exchange(_Collection(values, secret), item, auth)


def _requests(
    path: Path, folder: Mapping[str, Any], auth: Any, depth: int
) -> Iterator[tuple[dict[str, Any], Any]]:
    """(item with a request, the authorization that holds for it), folders walked."""
    if depth > DEEPEST:
        raise ScenarioError(f"{path}: folders more than {DEEPEST} deep", "flatten them")
    auth = folder.get("auth") or auth
    for item in mappings(folder.get("item")):
        if isinstance(item.get("item"), list):
            yield from _requests(path, item, auth, depth + 1)
        elif isinstance(request := item.get("request"), str):
            yield {**item, "request": {"url": request}}, auth
        elif isinstance(request, dict):
            yield item, request.get("auth") or auth


def _exchange(collection: _Collection, item: Mapping[str, Any], auth: Any) -> Exchange:
    request = item["request"]
    method = collection.fill(request.get("method") or "GET").upper()
    url = _url(collection, request.get("url"))
    headers = [
        (collection.fill(each.get("key")), collection.fill(each.get("value")))
        for each in mappings(request.get("header"))
        if not each.get("disabled") and each.get("key")
    ]
    body = _body(collection, _mapping(request.get("body")), headers)
    kind = text_of(_mapping(auth).get("type"))
    if kind not in {"", "noauth"}:
        collection.removed.append(f"{kind} authorization of {item.get('name') or method}")
    if item.get("event"):
        collection.left_out.append("scripts of requests")
    codes = [each.get("code") for each in mappings(item.get("response"))]
    good = next((c for c in codes if isinstance(c, int) and 200 <= c < 300), None)  # noqa: PLR2004
    return Exchange(
        method, url, headers, body, good,
        removed=tuple(collection.removed), left_out=tuple(collection.left_out),
    )  # fmt: skip


def _url(collection: _Collection, value: Any) -> str:
    """The URL of a request, its path variables and enabled parameters in place."""
    parts = {"raw": value} if isinstance(value, str) else _mapping(value)
    raw = text_of(parts.get("raw")) or _joined(parts)
    if isinstance(parts.get("query"), list):
        pairs = "&".join(
            f"{quote(collection.fill(each.get('key')), safe='')}"
            f"={quote(collection.fill(each.get('value')), safe='')}"
            for each in mappings(parts["query"])
            if not each.get("disabled") and each.get("key")
        )
        raw = raw.partition("?")[0] + (f"?{pairs}" if pairs else "")
    for each in mappings(parts.get("variable")):
        filled = "/" + quote(collection.fill(each.get("value")) or "1", safe="")
        name = re.escape(text_of(each.get("key")))
        raw = re.sub(rf"/:{name}(?=[/?#]|$)", filled.replace("\\", "%5C"), raw)
    url = collection.fill(raw)
    url = re.sub(r"\s", "%20", url.strip())
    return url if "://" in url else f"http://{url}"


def _joined(parts: Mapping[str, Any]) -> str:
    """A URL that is given in pieces only."""
    host, path = parts.get("host"), parts.get("path")
    host = ".".join(map(_text, host)) if isinstance(host, list) else _text(host)
    path = "/".join(map(_text, path)) if isinstance(path, list) else _text(path).lstrip("/")
    port = f":{_text(parts['port'])}" if parts.get("port") else ""
    return f"{_text(parts.get('protocol')) or 'http'}://{host or 'localhost'}{port}/{path}"


def _body(
    collection: _Collection, body: Mapping[str, Any], headers: list[tuple[str, str]]
) -> str | None:
    """The body as a text; `headers` gets its content type where none is said."""
    mode = text_of(body.get("mode"))
    kind, text = "", None
    if mode == "raw":
        text = collection.fill(body.get("raw"))
        language = _mapping(_mapping(body.get("options")).get("raw")).get("language")
        kind = "application/json" if language == "json" else ""
    elif mode == "urlencoded":
        fields = _fields(collection, body.get(mode))
        text = "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in fields.items())
        kind = FORM
    elif mode == "formdata":
        kind, made = multipart_body(_fields(collection, body.get(mode)))
        text = made if isinstance(made, str) else None
    elif mode == "graphql":
        found = _mapping(body.get(mode))
        query, variables = collection.fill(found.get("query")), found.get("variables")
        text = json.dumps({"query": query, "variables": variables or {}})
        kind = "application/json"
    elif mode:
        collection.left_out.append(f"bodies of the kind {mode}")
    if text and kind and not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("content-type", kind))
    return text or None


def _fields(collection: _Collection, value: Any) -> dict[str, str]:
    found = {}
    for each in mappings(value):
        if each.get("disabled") or not each.get("key"):
            continue
        if each.get("type") == "file":
            collection.left_out.append("files of forms")
            continue
        name = collection.fill(each["key"])
        if is_secret_name(name):
            collection.removed.append(f"field {name}")
        found[name] = REMOVED if is_secret_name(name) else collection.fill(each.get("value"))
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
