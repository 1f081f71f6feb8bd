"""JSON objects in lines over a socket, in both directions, without a task per message."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any, cast

Message = dict[str, Any]


class Lines(asyncio.Protocol):
    """One connection; `heard` is called with each message, `lost` once at the end."""

    def __init__(
        self,
        heard: Callable[[Lines, Message], None],
        lost: Callable[[Lines], None],
    ) -> None:
        self._heard = heard
        self._lost = lost
        self._partial: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self.heard_at = time.monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Called by the loop; what is no JSON ends the connection."""
        self.heard_at = time.monotonic()
        first, *rest = data.split(b"\n")
        self._partial.append(first)
        if not rest:
            return
        lines = [b"".join(self._partial), *rest[:-1]]
        self._partial = [rest[-1]]
        for line in lines:
            try:
                message = json.loads(line)
                self._heard(self, message)
            except (ValueError, KeyError, TypeError):
                self.close()
                return

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._transport = None
        self._lost(self)

    def send(self, message: Message) -> None:
        """Send one message; nothing happens when the connection is lost."""
        if self._transport is not None:
            text = json.dumps(message, separators=(",", ":"))
            self._transport.write(text.encode() + b"\n")

    def close(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()
