"""What was seen of some traffic: requests by endpoint, without secrets."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from harness.errors import ScenarioError
from harness.redact import is_secret_name, redact

MOST_ENDPOINTS = 1_000
"""Beyond it paths are not told apart from their values, and a scenario cannot be read."""

MOST_VALUES = 1_000
"""Rows of values that are kept of an endpoint: its first ones."""

MOST_BODY = 64 << 10
"""Characters of an example body."""

REMOVED = "REMOVED"

SHORTEST_WORD = 16
"""Letters from which a word may be hexadecimal."""

_VALUE = re.compile(
    r"\d+|[0-9a-fA-F]{16,}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|(?=[^/]*\d)[A-Za-z0-9_-]{20,}"
)
"""A segment of a path that stands for a thing: a number, hex, a UUID, an opaque name."""

_STATIC = {
    *("css", "js", "mjs", "map", "png", "jpg", "jpeg", "gif", "svg", "webp", "avif", "ico"),
    *("woff", "woff2", "ttf", "otf", "eot", "mp4", "webm"),
}
"""How the names of files of a page end."""

_OF_THE_CLIENT = re.compile(
    r"(?i)host|content-length|connection|accept-encoding|user-agent|origin|referer|pragma"
    r"|cache-control|priority|te|upgrade.*|sec-.*|if-.*|x-forwarded-.*|:.*"
)
"""Headers that say what a client is, or that the engine sets itself."""


@dataclass(slots=True)
class Exchange:
    """A request as it was seen, and the status of its answer (None: not known)."""

    method: str
    url: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: str | None = None
    status: int | None = None
    instant_s: float | None = None
    split: tuple[str, tuple[str, ...], tuple[str, ...]] | None = None
    """Its path as `split_path` gives it, where that is known."""

    removed: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    """What its file has besides and a scenario has not: secrets, and what is no request."""


@dataclass(slots=True)
class Endpoint:
    """Requests of one method to one path: how often, with what values, and one example."""

    method: str
    template: str
    slots: tuple[str, ...]
    count: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    rows: dict[tuple[str, ...], None] = field(default_factory=dict)
    query: list[tuple[str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    number: int = 0
    """Its place among those that were seen."""


@dataclass(slots=True)
class Seen:
    """All that was seen, with what was left out and what was removed of it."""

    source: str
    endpoints: dict[tuple[str, str], Endpoint] = field(default_factory=dict)
    hosts: Counter[str] = field(default_factory=Counter)
    removed: dict[str, None] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    first_s: float | None = None
    last_s: float | None = None

    @property
    def count(self) -> int:
        """Requests of all endpoints."""
        return sum(each.count for each in self.endpoints.values())

    @property
    def rate(self) -> float | None:
        """Requests/s between the first and the last; None where there are no instants."""
        if self.first_s is None or self.last_s is None or self.last_s <= self.first_s:
            return None
        return self.count / (self.last_s - self.first_s)

    def add(self, exchange: Exchange) -> tuple[int, tuple[str, ...]]:
        """Count a request: (number of its endpoint, values of its slots).

        Raises ScenarioError where the endpoints are too many to be any.
        """
        path, _, query = _target(exchange.url).partition("?")
        template, slots, values = exchange.split or split_path(path or "/")
        key = (exchange.method, template)
        endpoint = self.endpoints.get(key)
        if endpoint is None:
            if len(self.endpoints) >= MOST_ENDPOINTS:
                raise ScenarioError(
                    f"{self.source}: more than {MOST_ENDPOINTS:,} endpoints",
                    "keep the part of it that is traffic of one service",
                )
            endpoint = Endpoint(exchange.method, template, slots, number=len(self.endpoints))
            self.endpoints[key] = endpoint
            self._example(endpoint, query, exchange)
        self.removed.update(dict.fromkeys(exchange.removed))
        self.left_out.update(exchange.left_out)
        self._count(endpoint, values, exchange.status, exchange.instant_s)
        return endpoint.number, values

    def add_line(
        self, method: str, url: str, status: int | None, instant_s: float | None
    ) -> tuple[int, tuple[str, ...]]:
        """The same of what a line of a log says; it is cheaper where the endpoint is known."""
        template, _, values = split_path(_target(url).partition("?")[0] or "/")
        endpoint = self.endpoints.get((method, template))
        if endpoint is None:
            return self.add(Exchange(method, url, status=status, instant_s=instant_s))
        self._count(endpoint, values, status, instant_s)
        return endpoint.number, values

    def _count(
        self, endpoint: Endpoint, values: tuple[str, ...], status: int | None, now: float | None
    ) -> None:
        endpoint.count += 1
        if status:
            endpoint.statuses[status] += 1
        if values and len(endpoint.rows) < MOST_VALUES:
            endpoint.rows[values] = None
        if now is not None:
            if self.first_s is None or now < self.first_s:
                self.first_s = now
            if self.last_s is None or now > self.last_s:
                self.last_s = now

    def _example(self, endpoint: Endpoint, query: str, exchange: Exchange) -> None:
        """What the first request of an endpoint carried, without its secrets."""
        where = f"{endpoint.method} {endpoint.template}"
        for name, value in parse_qsl(query, keep_blank_values=True):
            hidden = is_secret_name(name)
            if hidden:
                self.removed[f"parameter {name} of {where}"] = None
            endpoint.query.append((name, REMOVED if hidden else value))
        for name, value in exchange.headers:
            if is_secret_name(name) or name.lower() in {"authorization", "cookie"}:
                self.removed[f"header {name.lower()} of {where}"] = None
            elif not _OF_THE_CLIENT.fullmatch(name):
                endpoint.headers[name.lower()] = value
        endpoint.body = self._clean(where, exchange.body)

    def _clean(self, where: str, body: str | None) -> str | None:
        if not body:
            return None
        if len(body) > MOST_BODY:
            self.left_out[f"body of {where}, {len(body):,} characters long"] += 1
            return None
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            cleaned: str = redact(body)
        else:
            cleaned = json.dumps(redact(value), ensure_ascii=False)
            body = json.dumps(value, ensure_ascii=False)
        if cleaned != body:
            self.removed[f"fields in the body of {where}"] = None
        return cleaned


@lru_cache(1 << 12)
def _stem(word: str) -> str:
    return re.sub(r"\W+", "_", word).strip("_")[:30] or "path"


@lru_cache(1 << 14)
def split_path(path: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """(template, names of its slots, their values): /users/7 is /users/{users_id} and 7."""
    pieces: list[str] = []
    slots: list[str] = []
    values: list[str] = []
    before = "path"
    for piece in path.split("/"):
        if piece.isalpha() and len(piece) < SHORTEST_WORD:
            pieces.append(piece)
            before = piece
        elif not piece:
            pieces.append(piece)
        elif _VALUE.fullmatch(plain := unquote(piece) if "%" in piece else piece):
            stem = _stem(before)
            name = f"{stem}_id" if f"{stem}_id" not in slots else f"{stem}_id{len(slots) + 1}"
            slots.append(name)
            values.append(plain)
            pieces.append(f"{{{name}}}")
        else:
            pieces.append(piece.replace("{", "{{").replace("}", "}}"))
            before = plain or before
    return "/".join(pieces), tuple(slots), tuple(values)


def of_one_service(
    source: str, exchanges: Iterable[Exchange], host: str | None, *, everything: bool
) -> Seen:
    """The exchanges with one host (by default the one asked most), static files left out.

    `everything` keeps static files. Raises ScenarioError where nothing is left.
    """
    seen, kept = Seen(source), []
    for each in exchanges:
        if not is_url(each.url):
            seen.left_out["URLs of another form"] += 1
        elif (scheme := urlsplit(each.url).scheme) not in {"http", "https", ""}:
            seen.left_out[f"URLs of {scheme}:"] += 1
        else:
            kept.append(each)
    seen.hosts = Counter(urlsplit(each.url).netloc.rpartition("@")[2] for each in kept)
    chosen = host or (seen.hosts.most_common(1)[0][0] if seen.hosts else "")
    for each in kept:
        parts = urlsplit(each.url)
        netloc = parts.netloc.rpartition("@")[2]
        if netloc != chosen:
            seen.left_out[f"host {netloc or 'of no name'}"] += 1
        elif is_static(parts.path) and not everything:
            seen.left_out["static files"] += 1
        else:
            if "@" in parts.netloc:
                seen.removed[f"user information of {netloc}"] = None
            seen.add(each)
    return checked(seen, chosen)


def checked(seen: Seen, host: str = "") -> Seen:
    """The same, if there is something in it."""
    if not seen.endpoints:
        known = ", ".join(name for name, _ in seen.hosts.most_common(5) if name)
        raise ScenarioError(
            f"{seen.source}: no request{f' to {host}' if host else ''} in it",
            f"it has {known}; choose one with --host" if known else "name a file with requests",
        )
    return seen


def _target(url: str) -> str:
    """Path and query of a URL, or of a path that is given as one."""
    if url.startswith("/"):
        return url.partition("#")[0]
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def is_url(url: str) -> bool:
    """Whether a URL can be taken apart: `http://[::1` cannot."""
    try:
        urlsplit(url)
    except ValueError:
        return False
    return True


def is_static(path: str) -> bool:
    """Whether a path is that of a file of a page."""
    return path.rpartition(".")[2].lower() in _STATIC


def mappings(value: Any) -> list[dict[str, Any]]:
    """The mappings of a list, whatever a file has in its place."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def text_of(value: Any) -> str:
    """A text, whatever a file has in its place."""
    return value if isinstance(value, str) else ""
