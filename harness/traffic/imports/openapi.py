"""OpenAPI 3.0 and 3.1 documents: each operation once, with values by its examples and schemas."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import quote, urlencode, urljoin, urlsplit

from harness.catalog.yaml_documents import read_mapping
from harness.errors import ScenarioError
from harness.traffic.bodies import FORM, multipart_body
from harness.traffic.files import parsed, read_text
from harness.traffic.imports.seen import Exchange, mappings

_FORMS = (FORM, "multipart/form-data")
METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
DEEPEST = 12
"""Levels of a schema that an example shows, and references in a row that are followed."""

Json = dict[str, object]

CYCLE = object()
"""Stands for the value of a schema that contains itself."""

_PARAMETER = re.compile(r"\{([^{}]+)\}")
_EXAMPLES: Mapping[str, object] = {
    "integer": 1, "number": 1.5, "boolean": True, "null": None, "string": "text",
}  # fmt: skip
_FORMATS: Mapping[str, str] = {
    "uuid": "123e4567-e89b-42d3-a456-426614174000", "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z", "email": "user@example.org", "uri": "https://example.org/",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Document:
    path: Path
    root: Json

    def resolve(self, value: object) -> Json:
        """A mapping with its references followed. Raises ScenarioError for what cannot be."""
        for _ in range(DEEPEST):
            reference = value.get("$ref") if isinstance(value, dict) else None
            if reference is None:
                return value if isinstance(value, dict) else {}
            if not isinstance(reference, str) or not reference.startswith("#/"):
                raise ScenarioError(
                    f"{self.path}: $ref {str(reference)[:80]!r} is not in this document",
                    "bundle the documents into one first",
                )
            value = self.root
            for part in reference[2:].split("/"):
                name = part.replace("~1", "/").replace("~0", "~")
                value = value.get(name) if isinstance(value, dict) else None
            if value is None:
                raise ScenarioError(f"{self.path}: $ref {reference!r} leads nowhere", "correct it")
        raise ScenarioError(f"{self.path}: $ref {reference!r} leads to itself", "correct it")

    def example(self, schema: object, within: tuple[str, ...] = ()) -> object:
        """A value that a schema allows, as far as its own examples and types tell.

        `within` are the schemas around it; one that contains itself ends there with CYCLE.
        """
        name = str(schema.get("$ref", "")) if isinstance(schema, dict) else ""
        if (name and name in within) or len(within) >= DEEPEST:
            return CYCLE
        found, within = self.resolve(schema), (*within, name)
        for key in ("example", "default", "const"):
            if key in found:
                return found[key]
        for key in ("examples", "enum"):
            if first := _first(found.get(key)):
                return first[0]
        for key in ("oneOf", "anyOf"):
            if first := _first(found.get(key)):
                return self.example(first[0], within)
        return self._by_type(found, within)

    def _by_type(self, found: Json, within: tuple[str, ...]) -> object:
        kind = (_first(found.get("type")) or [found.get("type")])[0]
        if kind == "array":
            item = self.example(found.get("items"), within)
            return [] if item is CYCLE else [item]
        if kind == "object" or "properties" in found or "allOf" in found:
            return self._object(found, within)
        if kind in {"integer", "number"}:
            return found.get("minimum", _EXAMPLES[str(kind)])
        return _FORMATS.get(str(found.get("format")), _EXAMPLES.get(str(kind), "text"))

    def _object(self, found: Json, within: tuple[str, ...]) -> Json:
        made: Json = {}
        for part in mappings(found.get("allOf")):
            inner = self.example(part, within)
            made |= inner if isinstance(inner, dict) else {}
        properties = found.get("properties")
        for name, schema in (properties if isinstance(properties, dict) else {}).items():
            value = self.example(schema, within)
            if value is not CYCLE and not self.resolve(schema).get("readOnly"):
                made[str(name)] = value
        return made


def openapi_exchanges(path: Path) -> Iterator[Exchange]:
    """One request for each operation; ScenarioError for no OpenAPI 3, or a reference to nothing."""
    document = _Document(path, _read(path))
    root = document.root
    version = str(root.get("openapi", ""))
    if not version.startswith("3."):
        raise ScenarioError(
            f"{path}: openapi is {version[:20]!r}", "convert it to OpenAPI 3.0 or 3.1 first"
        )
    server = next((each.get("url") for each in mappings(root.get("servers"))), None)
    base = urlsplit(urljoin("http://localhost/", str(server or "/"))).path.rstrip("/")
    paths = root.get("paths")
    for template, item in (paths if isinstance(paths, dict) else {}).items():
        found = document.resolve(item)
        for method in METHODS:
            if isinstance(operation := found.get(method), dict):
                yield _exchange(document, f"{base}{template}", method, found, operation)


def _read(path: Path) -> Json:
    text = read_text(path, remedy="save it in UTF-8")
    if not text.lstrip().startswith("{"):
        return read_mapping(path)
    return cast("Json", parsed(path, text, "correct it"))


def _exchange(document: _Document, path: str, method: str, item: Json, operation: Json) -> Exchange:
    query: list[tuple[str, str]] = []
    headers: list[tuple[str, str]] = []
    values: dict[str, str] = {}
    for parameter in _parameters(document, item, operation):
        name, where = str(parameter.get("name")), parameter.get("in")
        value = _value(document, parameter)
        if where == "path":
            values[name] = _simple(value)
        elif parameter.get("required") and where == "query":
            query += _in_query(name, parameter, value)
        elif parameter.get("required") and where == "header":
            headers.append((name, _simple(value)))
    left_out: list[str] = []
    body = _body(document, operation, headers, left_out)
    names = _PARAMETER.findall(path)
    split = (*_slots(path, names), tuple(values.get(name, "1") for name in names))
    url = f"{path}?{urlencode(query, quote_via=quote, safe='[]')}" if query else path
    codes = [str(code) for code in document.resolve(operation.get("responses"))]
    good = [int(code) for code in codes if re.fullmatch("[23][0-9][0-9]", code)]
    return Exchange(
        method.upper(), url, headers, body, min(good, default=None), split=split,
        left_out=tuple(left_out),
    )  # fmt: skip


def _parameters(document: _Document, item: Json, operation: Json) -> list[Json]:
    """Those of the path and of the operation, whose own stand for the path's of that name."""
    given = (*mappings(item.get("parameters")), *mappings(operation.get("parameters")))
    found = [document.resolve(each) for each in given]
    return list({(str(each.get("in")), str(each.get("name"))): each for each in found}.values())


def _slots(path: str, names: list[str]) -> tuple[str, tuple[str, ...]]:
    """The template of a path whose parameters are feeds, and their names."""
    slots = tuple(re.sub(r"\W", "_", name) for name in names)
    for name, slot in zip(names, slots, strict=True):
        path = path.replace(f"{{{name}}}", f"{{{slot}}}", 1)
    return path, slots


def _value(document: _Document, parameter: Json) -> object:
    value = parameter.get("example")
    if value is None:
        value = document.example(parameter.get("schema") or {"type": "string"})
    return "text" if value is CYCLE else value


def _in_query(name: str, parameter: Json, value: object) -> list[tuple[str, str]]:
    """A parameter as its style writes it (OpenAPI 3.1, Style Values; by default form, exploded)."""
    style = parameter.get("style", "form")
    exploded = parameter.get("explode", style == "form")
    if isinstance(value, dict) and style == "deepObject":
        return [(f"{name}[{key}]", _plain(each)) for key, each in value.items()]
    if isinstance(value, dict) and exploded:
        return [(str(key), _plain(each)) for key, each in value.items()]
    if isinstance(value, list) and exploded:
        return [(name, _plain(each)) for each in value]
    return [(name, _simple(value, {"spaceDelimited": " ", "pipeDelimited": "|"}.get(str(style))))]


def _simple(value: object, between: str | None = None) -> str:
    """Lists, and names with their values, in a row."""
    if isinstance(value, dict):
        value = [part for pair in value.items() for part in pair]
    return (between or ",").join(map(_plain, value)) if isinstance(value, list) else _plain(value)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _body(
    document: _Document, operation: Json, headers: list[tuple[str, str]], left_out: list[str]
) -> str | None:
    """The body as a text; `headers` gets its content type, `left_out` the kinds that are none."""
    content = document.resolve(operation.get("requestBody")).get("content")
    kinds = {str(name): each for name, each in content.items()} if isinstance(content, dict) else {}
    kind = next((name for want in ("json", *_FORMS) for name in kinds if want in name), None)
    if kind is None:
        left_out += [f"bodies of the kind {name[:80]}" for name in kinds]
        return None
    media = document.resolve(kinds[kind])
    value = media["example"] if "example" in media else document.example(media.get("schema"))
    pairs = value.items() if isinstance(value, dict) else ()
    fields = {str(name): _plain(each) for name, each in pairs}
    text: object = json.dumps(value, ensure_ascii=False, default=str)
    if FORM in kind:
        text = urlencode(fields)
    elif "json" not in kind:
        kind, text = multipart_body(fields)
    headers.append(("content-type", kind))
    return text if isinstance(text, str) else None


def _first(value: object) -> list[object]:
    """The first of a list, in a list; nothing where there is none."""
    return value[:1] if isinstance(value, list) else []
