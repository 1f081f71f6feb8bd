"""HAR files of browsers and proxies; sanitised ones and those without bodies as well."""

import base64
import binascii
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from harness.errors import ScenarioError
from harness.traffic.bodies import multipart_body
from harness.traffic.files import parsed, read_text
from harness.traffic.imports.seen import Exchange, mappings, text_of

MOST_BYTES = 100 << 20


def har_exchanges(path: Path) -> Iterator[Exchange]:
    """Each request of HTTP. Raises ScenarioError for a file that is no HAR, with the entry."""
    remedy = "save it again as HAR"
    found = parsed(path, read_text(path, MOST_BYTES, remedy), remedy)
    log = found.get("log") if isinstance(found, dict) else None
    entries = log.get("entries") if isinstance(log, dict) else None
    if not isinstance(entries, list):
        raise ScenarioError(f"{path}: no list log.entries", remedy)
    for number, entry in enumerate(entries):
        request = entry.get("request") if isinstance(entry, dict) else None
        if not isinstance(request, dict) or not isinstance(request.get("url"), str):
            raise ScenarioError(f"{path}: log.entries[{number}].request has no url", "remove it")
        yield _exchange(entry, request)


def _exchange(entry: dict[str, Any], request: dict[str, Any]) -> Exchange:
    response = entry.get("response")
    status = response.get("status") if isinstance(response, dict) else None
    headers = [
        (text_of(each.get("name")), text_of(each.get("value")))
        for each in mappings(request.get("headers"))
    ]
    posted = request.get("postData")
    left_out: list[str] = []
    body = _body(posted, headers, left_out) if isinstance(posted, dict) else None
    return Exchange(
        text_of(request.get("method")).upper() or "GET",
        request["url"],
        headers,
        body,
        status if isinstance(status, int) and status > 0 else None,
        _instant(entry.get("startedDateTime")),
        left_out=tuple(left_out),
    )


def _body(
    posted: dict[str, Any], headers: list[tuple[str, str]], left_out: list[str]
) -> str | None:
    """The body's text, or that of its fields where nothing else was kept (as Firefox does)."""
    text = text_of(posted.get("text"))
    if posted.get("encoding") == "base64":
        try:
            return base64.b64decode(text, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return None
    fields = mappings(posted.get("params"))
    if text or not fields:
        return text or None
    left_out += ["files of forms" for each in fields if each.get("fileName")]
    fields = [each for each in fields if not each.get("fileName")]
    pairs = [(text_of(each.get("name")), text_of(each.get("value"))) for each in fields]
    if "multipart" not in text_of(posted.get("mimeType")):
        return urlencode(pairs)
    kind, made = multipart_body(dict(pairs))
    headers[:] = [pair for pair in headers if pair[0].lower() != "content-type"]
    headers.append(("content-type", kind))
    return made if isinstance(made, str) else None


def _instant(value: Any) -> float | None:
    try:
        return datetime.fromisoformat(value).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
