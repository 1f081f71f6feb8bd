"""Secrets do not reach the disk: what a name speaks of, and every value that is known to be one."""

import base64
import binascii
import contextlib
import html
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

REDACTED = "[redacted]"
LEAST = 8
"""Characters of a value that is looked for everywhere: a shorter one stands in ordinary words."""

_SECRET_NAME = re.compile(
    r"authorization|cookie|api[-_]?key|token|secret|passw(or)?d|passphrase|credential|jwt"
    r"|(private|access|subscription|functions)[-_]?key|session[-_]?id|signature|assertion"
    r"|(^|[-_.])(auth|pwd|pw|pass|pin|otp|sid|sig|vault)([-_.]|$)",
    re.IGNORECASE,
)
_IN_TRANSIT = re.compile(r"(^|[-_.])(key|code)$|^(x-)?session$", re.IGNORECASE)
"""Secret as the name of a header or parameter; an ordinary word as a field's."""

_STEMS = (
    "auth", "cookie", "key", "token", "secret", "pass", "credential", "jwt", "session", "sign",
    "assertion", "pwd", "pw", "pin", "otp", "sid", "sig", "vault", "code",
)  # fmt: skip
"""One of them is in every such name: most texts of megabytes have none."""

_USERINFO = re.compile(
    r"(?P<scheme>(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,30}://)(?P<value>[^/?#\s@\"']{1,500})@",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"\b(?P<kind>Bearer|Basic)\s{1,9}(?P<value>[A-Za-z0-9._~+/=-]{6,})")
_PARAMETER = re.compile(
    r"(?P<name>(?:^|[?&;])[^=&;#\s\"'?/:<>{}]{1,99})=(?P<value>[^&;#\s\"']+)", re.MULTILINE
)
_ASSIGNED = re.compile(
    r"(?P<head>(?<=\s)(?P<name>[A-Za-z_][\w.-]{0,98})=)"
    r"(?P<value>\"[^\"\r\n]*\"|'[^'\r\n]*'|[^&;#\s\"']+)"
)
"""Within a line, as programs log what they were started with."""
_FIELD = re.compile(
    r"(?P<head>(?P<mark>[\"'])(?P<name>[^\"'\\]{1,99})(?P=mark)\s{0,9}:\s{0,9})"
    r"(?P<value>\"[^\"\\]*+(?:\\.[^\"\\]*+)*+\"|'[^'\\]*+(?:\\.[^'\\]*+)*+'|-?\d{4,}(?:\.\d+)?)"
)
_ELEMENT = re.compile(
    r"(?P<head><(?P<name>[A-Za-z_][\w:.-]{0,99})(?:\s[^<>]{0,500})?>)(?P<value>[^<>]+)"
)
_PART = re.compile(
    r"(?P<head>\bname=\"(?P<name>[^\"\r\n]{1,99})\"[^\r\n]{0,500}\r?\n"
    r"(?:[^\r\n]{1,500}\r?\n){0,4}\r?\n)(?P<value>[^\r\n]+)"
)
"""A field of a multipart form."""
_LINE = re.compile(
    r"(?P<head>(?:^|\\n|\s)(?P<name>[A-Za-z]{1,30}(?:-[A-Za-z]{1,30}){1,5}|authorization|cookie)"
    r":[ \t]{1,9})(?P<value>[^\s\\\"'][^\r\n\\\"']*)",
    re.IGNORECASE,
)
"""A header in a text: servers and clients echo those of a request."""
_OF_SHELLS = {"PWD", "OLDPWD"}
_PLACEHOLDER = re.compile(r"\{\w+\}")
_STRUCTURE = {"kind", "order", "name", "header"}
_HEADER_NAME = re.compile(r"[\w-]+")
_PAIR = 2
_NUMBERS = {bool, int, float, type(None)}

Seen = Callable[[str], None]


def redact(value: object) -> Any:
    """A copy of a JSON-like value without secrets.

    Replaced by `[redacted]`: values under a name that speaks of a secret (headers given as pairs
    and feeds marked `secret` included), the user information of URLs, secret query and form
    parameters, JSON fields and XML elements inside strings, bearer and basic credentials; and
    every value that was registered, as text, URL-encoded, escaped as in JSON or HTML, or in
    base64. A `{placeholder}` is no secret and stays. Linear in the text.
    """
    return _walk(value, lambda _: None, secret=False)


def register(values: Iterable[str], public: Iterable[str] = ()) -> None:
    """Remember values of 8 characters or more as secrets, for as long as this process lives.

    What stands in one of the `public` texts is none: a region's name may come from a variable.
    """
    known = "\n".join(public)
    for value in values:
        for part in _parts(value):
            if len(part) >= LEAST and part not in known and not _PLACEHOLDER.fullmatch(part):
                _KNOWN.add(part)


def learn(value: object, public: Iterable[str] = ()) -> None:
    """Register everything that `redact` would hide in a value because of its name or place."""
    found: list[str] = []
    _walk(value, found.append, secret=False)
    register(found, public)


def learn_environment(names: Iterable[str] = (), public: Iterable[str] = ()) -> None:
    """Register the values of these variables, and of all whose name speaks of a secret.

    A path is none: a shell's PWD, a file or socket that holds what is secret.
    """
    wanted = ({*names, *filter(is_secret_name, os.environ)} & {*os.environ}) - _OF_SHELLS
    values = (os.environ[name] for name in wanted)
    register((each for each in values if not (each.startswith("/") and _exists(each))), public)


def _exists(path: str) -> bool:
    try:
        return os.path.lexists(path)
    except ValueError:
        return False


@lru_cache(4096)
def is_secret_name(name: str) -> bool:
    """Whether a name speaks of a secret."""
    return _SECRET_NAME.search(name) is not None


class _Known:
    """Values looked for at once, in time linear in the text, however many they are.

    Each is known by its head, the first LEAST characters. Of the positions that are looked at,
    every _STRIDE-th of the text, one lies so that the _GRAM characters from it are within the head.
    """

    _GRAM = 4
    _STRIDE = LEAST - _GRAM + 1

    def __init__(self) -> None:
        self._grams: set[str] = set()
        self._lengths: dict[str, list[int]] = {}
        self._forms: set[str] = set()

    def add(self, value: str) -> None:
        for form in _forms(value):
            if form in self._forms or len(form) < LEAST:
                continue
            self._forms.add(form)
            head = form[:LEAST]
            lengths = self._lengths.setdefault(head, [])
            if len(form) not in lengths:
                lengths.append(len(form))
                lengths.sort(reverse=True)
            self._grams |= {head[at : at + self._GRAM] for at in range(self._STRIDE)}

    def hide(self, text: str) -> str:
        if not self._grams:
            return text
        gram, stride, grams = self._GRAM, self._STRIDE, self._grams
        looked = range(0, len(text), stride)
        if grams.isdisjoint(text[at : at + gram] for at in looked):
            return text
        parts: list[str] = []
        done = 0
        for at in looked:
            if text[at : at + gram] not in grams:
                continue
            for begin in range(max(done, at - stride + 1), at + 1):
                if end := self._end(text, begin):
                    parts += [text[done:begin], REDACTED]
                    done = end
                    break
        return "".join([*parts, text[done:]])

    def _end(self, text: str, begin: int) -> int | None:
        """Where the longest value that begins there ends."""
        for length in self._lengths.get(text[begin : begin + LEAST], ()):
            if text[begin : begin + length] in self._forms:
                return begin + length
        return None


_KNOWN = _Known()


def _parts(value: str) -> Iterator[str]:
    """A credential and what it is made of: the token of a scheme, the pairs of a cookie."""
    yield value
    _, _, token = value.strip().partition(" ")
    if token and " " not in token:
        yield token
        with contextlib.suppress(binascii.Error, ValueError):
            yield base64.b64decode(token, validate=True).decode().partition(":")[2]
    if ";" in value or ":" in value or "=" in value:
        yield from (part.strip().partition("=")[2] for part in value.split(";"))
        yield value.partition(":")[2]


def _forms(value: str) -> Iterator[str]:
    """How a value may stand in a text."""
    yield value
    for encoded in (quote(value, safe=""), quote(value), quote_plus(value)):
        yield encoded
        yield re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), encoded)
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield html.escape(value)
    raw = value.encode("utf-8", "surrogatepass")
    for before, skipped in ((0, 0), (1, 2), (2, 3)):  # bytes of what may stand in front of it
        whole = base64.b64encode(bytes(before) + raw).decode()
        core = whole[skipped : (before + len(raw)) * 8 // 6]
        yield core
        yield core.translate(str.maketrans("+/", "-_"))


def _walk(value: object, seen: Seen, *, secret: bool) -> object:
    if isinstance(value, dict):
        marked = secret or value.get("secret") is True
        return {
            key: inner
            if type(inner) in _NUMBERS  # most of what a record has of a second
            else _walk(
                inner, seen, secret=(marked and key not in _STRUCTURE) or is_secret_name(str(key))
            )
            for key, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        if not secret and _is_header(value):
            return [value[0], _header(value[0], value[1], seen)]
        return [_walk(inner, seen, secret=secret) for inner in value]
    if isinstance(value, str):
        return _hide(value, seen) if secret else _KNOWN.hide(_clean(value, seen))
    return value


@lru_cache(4096)
def _is_sent_secretly(name: str) -> bool:
    """Whether a header or parameter of that name carries a secret."""
    return is_secret_name(name) or _IN_TRANSIT.search(name) is not None


def _header(name: str, value: str, seen: Seen) -> str:
    if _is_sent_secretly(name):
        return _hide(value, seen)
    return _KNOWN.hide(_clean(value, seen))


def _is_header(value: list[Any] | tuple[Any, ...]) -> bool:
    """Whether this is a (name, value) pair of a header."""
    texts = len(value) == _PAIR and all(isinstance(part, str) for part in value)
    return texts and _HEADER_NAME.fullmatch(value[0]) is not None


def _hide(text: str, seen: Seen) -> str:
    if not text or text == REDACTED or _PLACEHOLDER.fullmatch(text):
        return text
    seen(text)
    return REDACTED


def _clean(text: str, seen: Seen) -> str:
    """The text without what its own names and forms show to be secret."""
    if "://" in text and "@" in text:
        text = _USERINFO.sub(lambda match: _without_value(match, seen), text)
    if "Bearer" in text or "Basic" in text:
        text = _SCHEME.sub(lambda match: _without_value(match, seen), text)
    if not ("=" in text or ":" in text or "</" in text):
        return text
    folded = text.lower()
    if not any(stem in folded for stem in _STEMS):
        return text
    if "=" in text:
        text = _PARAMETER.sub(lambda match: _parameter(match, seen), text)
        text = _ASSIGNED.sub(lambda match: _field(match, seen), text)
    if "form-data" in folded:
        text = _PART.sub(lambda match: _field(match, seen), text)
    if ":" in text:
        text = _FIELD.sub(lambda match: _field(match, seen), text)
        text = _LINE.sub(lambda match: _line(match, seen), text)
    return _ELEMENT.sub(lambda match: _field(match, seen), text) if "</" in text else text


def _without_value(match: re.Match[str], seen: Seen) -> str:
    return match[0].replace(match["value"], _hide(match["value"], seen), 1)


def _parameter(match: re.Match[str], seen: Seen) -> str:
    if not _is_sent_secretly(match["name"].lstrip("?&;")):
        return match[0]
    return f"{match['name']}={_hide(match['value'], seen)}"


def _line(match: re.Match[str], seen: Seen) -> str:
    if not _is_sent_secretly(match["name"]) or REDACTED in match["value"]:
        return match[0]
    return f"{match['head']}{_hide(match['value'].rstrip(), seen)}"


def _field(match: re.Match[str], seen: Seen) -> str:
    if not is_secret_name(match["name"]):
        return match[0]
    value = match["value"]
    mark = value[0] if value[0] in "\"'" else ""
    inner = value[1:-1] if mark else value
    return f"{match['head']}{mark}{_hide(inner, seen)}{mark}"
