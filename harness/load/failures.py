"""What a failed step leaves to look at: its kind, the exception and a few examples."""

import socket
import ssl
import traceback
import zlib
from collections import Counter
from http.client import RemoteDisconnected
from pathlib import Path
from typing import cast

import gevent
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError
from locust.contrib.fasthttp import LocustBadStatusCode
from requests.exceptions import HTTPError, Timeout

from harness.load.session import BodyTooLarge
from harness.messages import FailureExample
from harness.redact import redact

EXAMPLES = 5
"""Of one kind of failure at one endpoint; as many as the engine keeps."""

MOST_EXAMPLES = 200
SHOWN = 512
"""Characters of a body and of an exception's text."""

THROTTLED = 429

_KINDS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (BodyTooLarge, "body_too_large"),
    ((gevent.Timeout, TimeoutError, Timeout), "timeout"),
    (RemoteDisconnected, "eof"),
    (ConnectionRefusedError, "refused"),
    ((ConnectionResetError, BrokenPipeError), "reset"),
    (socket.gaierror, "resolve"),
    (ssl.SSLError, "tls"),
    (HTTPConnectionClosed, "eof"),
    ((HTTPParseError, zlib.error), "protocol"),
    (OSError, "unreachable"),
)
"""The engine's error kind of what the HTTP client raises; the first that fits."""


def kind_of(exception: BaseException | None, status: int) -> str | None:
    """The engine's error kind of a request's outcome; None for success.

    What a scenario itself calls a failure is a failed check.
    """
    if exception is None:
        return None
    cause = getattr(exception, "original", None) or exception
    if isinstance(cause, (LocustBadStatusCode, HTTPError)) and status:
        return "throttled" if status == THROTTLED else f"status_{status // 100}xx"
    for types, kind in _KINDS:
        if isinstance(cause, types):
            return kind
    return "check"


class Failures:
    """Collects the first few examples of each kind of failure of the scenario in `source`."""

    def __init__(self, source: str) -> None:
        self._directory = str(Path(source).resolve().parent)
        self._seen: Counter[tuple[str, str, int]] = Counter()
        self._found: list[FailureExample] = []

    def add(self, endpoint: str, kind: str, error: BaseException, response: object = None) -> None:
        """Keep this failure if it is one of the first of its kind."""
        status = getattr(response, "status_code", 0) or 0
        key = (endpoint, kind, status)
        if self._seen[key] >= EXAMPLES or self._seen.total() >= MOST_EXAMPLES:
            return
        self._seen[key] += 1
        headers = getattr(response, "headers", None) or {}
        cause = getattr(error, "original", None) or error
        self._found.append(
            {
                "type": "failure_example",
                "endpoint": endpoint,
                "kind": kind,
                "status": status or None,
                "head": _head(response),
                "location": headers.get("location"),
                "retry_after_s": _seconds(headers.get("retry-after")),
                "exception": None if status and kind != "check" else type(cause).__name__,
                "message": str(cause)[:SHOWN] or None,
                "place": self.place(error),
            }
        )

    def take(self) -> list[FailureExample]:
        """What was found since the last call."""
        found, self._found = self._found, []
        return found

    def place(self, error: BaseException) -> str | None:
        """File and line of the scenario where it was raised."""
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            if frame.filename.startswith(self._directory):
                return f"{frame.filename}:{frame.lineno}"
        return None


def _head(response: object) -> str | None:
    body = getattr(response, "_cached_content", None) or getattr(response, "_content", None)
    return body[:SHOWN].decode(errors="replace") if isinstance(body, bytes) and body else None


def _seconds(text: object) -> int | None:
    return int(text) if isinstance(text, str) and text.strip().isdigit() else None


def without_secrets(example: FailureExample) -> FailureExample:
    """The example as it may be kept; a body that is cut within a JSON string loses that, too."""
    head = example.get("head")
    if head:
        example = {**example, "head": f'{head}"'}
    found = cast("FailureExample", redact(example))
    if head:
        found["head"] = (found["head"] or "").removesuffix('"')
    return found
