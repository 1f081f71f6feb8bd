"""From a log that may be cut, repeated or mixed to the numbered messages in it."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

TAIL_LINES = 12
_MOST_BUFFERED = 1 << 24


@dataclass(slots=True)
class Lines:
    """Takes the bytes of a container's log; gives each numbered message once, in order.

    The load child in a container numbers its lines (`line`); everything else in the log is what
    Locust and the scenario said, of which the last lines are kept in `said`. After a reconnection
    the log may begin with lines that were had before, or in the middle of one: `restart` says so.
    `missing` counts the numbers that were passed over; the record's own sequence numbers then
    tell what of the load is unknown.
    """

    next_line: int = 0
    missing: int = 0
    said: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    _rest: bytes = b""

    def restart(self) -> None:
        """The next bytes come from a new connection."""
        self._rest = b""

    def has_gap(self, chunk: bytes) -> bool:
        """Whether the first numbered line of a fresh connection's chunk lies beyond the next."""
        for line in chunk.split(b"\n"):
            message = _numbered(line)
            if message is not None:
                return int(message["line"]) > self.next_line
        return False

    def feed(self, chunk: bytes) -> list[dict[str, Any]]:
        """The new messages that these bytes complete."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        self._rest = self._rest[-_MOST_BUFFERED:]
        found = []
        for line in whole:
            message = _numbered(line)
            if message is None:
                self._keep(line)
                continue
            number = int(message.pop("line"))
            if number < self.next_line:
                continue
            self.missing += number - self.next_line
            self.next_line = number + 1
            found.append(message)
        return found

    def _keep(self, line: bytes) -> None:
        text = line.decode(errors="replace").strip()
        if text and not text.startswith("{") and text not in self.said:
            self.said.append(text)


def _numbered(line: bytes) -> dict[str, Any] | None:
    if not line.startswith(b'{"line":'):
        return None
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if "type" in message else None
