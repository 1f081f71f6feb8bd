"""Secrets do not reach the disk."""

from __future__ import annotations

import re
from typing import Any

REDACTED = "[redacted]"

_SECRET_NAME = re.compile(
    r"authorization|cookie|api[-_]?key|apikey|token|secret|passw(or)?d|passphrase|credential"
    r"|private[-_]?key|session[-_]?id|(^|[-_])auth([-_]|$)",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/?#\s@\"']*@", re.IGNORECASE)
_PARAMETER = re.compile(r"(?P<name>[?&;][^=&;#\s\"']+)=(?P<value>[^&;#\s\"']+)")
_FIELD = re.compile(r"\"(?P<name>[^\"\\]+)\"(?P<colon>\s*:\s*)\"(?P<value>(?:[^\"\\]|\\.)*)\"")
_SCHEME = re.compile(r"\b(?P<kind>Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}")
_PLACEHOLDER = re.compile(r"\{\w+\}")
_STRUCTURE = {"kind", "order", "name", "header"}
_HEADER_NAME = re.compile(r"[\w-]+")
_PAIR = 2


def redact(value: Any) -> Any:
    """A copy of a JSON-like value without secrets.

    Replaced by `[redacted]`: values under a name that speaks of a secret (headers given as pairs
    included), the user information of URLs, secret query parameters and JSON fields inside
    strings, bearer and basic credentials. A `{placeholder}` is no secret and stays.
    """
    return _walk(value, secret=False)


def _walk(value: Any, *, secret: bool) -> Any:
    if isinstance(value, dict):
        return {
            key: _walk(
                inner, secret=(secret and key not in _STRUCTURE) or _is_secret_name(str(key))
            )
            for key, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        if not secret and _is_header(value):
            return [value[0], _hide(value[1]) if _is_secret_name(value[0]) else _clean(value[1])]
        return [_walk(inner, secret=secret) for inner in value]
    if isinstance(value, str):
        return _hide(value) if secret else _clean(value)
    return value


def _is_secret_name(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def _is_header(value: list[Any] | tuple[Any, ...]) -> bool:
    """Whether this is a (name, value) pair of a header."""
    texts = len(value) == _PAIR and all(isinstance(part, str) for part in value)
    return texts and _HEADER_NAME.fullmatch(value[0]) is not None


def _hide(text: str) -> str:
    return text if _PLACEHOLDER.fullmatch(text) or not text else REDACTED


def _clean(text: str) -> str:
    text = _USERINFO.sub(rf"\g<scheme>{REDACTED}@", text)
    text = _SCHEME.sub(rf"\g<kind> {REDACTED}", text)
    text = _PARAMETER.sub(_clean_parameter, text)
    return _FIELD.sub(_clean_field, text)


def _clean_parameter(match: re.Match[str]) -> str:
    value = _hide(match["value"]) if _is_secret_name(match["name"]) else match["value"]
    return f"{match['name']}={value}"


def _clean_field(match: re.Match[str]) -> str:
    value = _hide(match["value"]) if _is_secret_name(match["name"]) else match["value"]
    return f'"{match["name"]}"{match["colon"]}"{value}"'
