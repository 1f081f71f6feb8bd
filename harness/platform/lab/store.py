"""A replica's copy of its region's database, and the pipelined connection to it.

Reads are answered from the copy, which trails the database by milliseconds; a key the copy does
not have is asked of the database, so a write acknowledged by one replica is found at every other.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from typing import Any

from harness.platform.lab.lines import Lines, Message

SEEDED = 1000
LISTED = 20
TIMEOUT_S = 2.0
TICK_S = 0.05
_PAD = "lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt"

_seeds = {
    str(number): json.dumps({"number": number, "text": f"{number} {_PAD}"}, separators=(",", ":"))
    for number in range(1, SEEDED + 1)
}


def quoted(text: str) -> str:
    """A JSON string; ids without anything to escape are quoted as they are."""
    return f'"{text}"' if text.isalnum() and text.isascii() else json.dumps(text)


class Unavailable(Exception):  # noqa: N818 - it is what the answer 503 says
    """The database of the region does not answer."""


class Collection:
    """The items of one route: those written, over the seeded ids 1 to SEEDED."""

    __slots__ = ("_listing", "count", "newest", "written")

    def __init__(self) -> None:
        self.written: dict[str, str | None] = {}
        self.newest: deque[str] = deque(
            (str(number) for number in range(SEEDED - LISTED + 1, SEEDED + 1)), maxlen=LISTED
        )
        self.count = SEEDED
        self._listing: str | None = None

    def get(self, key: str) -> str | None:
        """The value as JSON text, None where the key is unknown or deleted."""
        if key in self.written:
            return self.written[key]
        return _seeds.get(key)

    def apply(self, key: str, value: str | None) -> None:
        """Bring the copy to the state after a write."""
        self._listing = None
        existed = self.get(key) is not None
        if value is not None or key in _seeds or key in self.written:
            self.written[key] = value
        if value is not None and not existed:
            self.count += 1
            self.newest.append(key)
        elif value is None and existed:
            self.count -= 1

    def listing(self) -> str:
        """The newest items that are still there, as the inside of a JSON array."""
        if self._listing is None:
            pairs = ((key, self.get(key)) for key in self.newest)
            items = (f'{{"id":{quoted(k)},"value":{v}}}' for k, v in pairs if v is not None)
            self._listing = ",".join(items)
        return self._listing


class Store:
    """The collections of one replica; `database` None keeps everything in this process."""

    def __init__(self, database: tuple[str, int] | None, bind: str | None) -> None:
        self._address = database
        self._bind = bind
        self.collections: dict[str, Collection] = {}
        self.lag: dict[str, tuple[int, float]] = {}
        self.loaded = database is None
        self._line: Lines | None = None
        self._number = 0
        self._writes: list[Any] = []
        self._reads: list[Any] = []
        self._waiting: dict[int, tuple[float, asyncio.Future[str | None]]] = {}

    def collection(self, name: str) -> Collection:
        """The collection of this name, made when it is first needed."""
        found = self.collections.get(name)
        if found is None:
            found = self.collections[name] = Collection()
        return found

    async def get(self, name: str, key: str) -> str | None:
        """The value as JSON text; asks the database for what the copy does not have."""
        collection = self.collection(name)
        value = collection.get(key)
        if value is not None or key in collection.written or self._address is None:
            return value
        return await self._ask(self._reads, [name, key])

    async def put(self, name: str, key: str, value: str | None, *, sync: bool = False) -> None:
        """Write (None deletes) and return when it is acknowledged; raises Unavailable."""
        if self._address is not None:
            await self._ask(self._writes, [name, key, value, sync])
        self.collection(name).apply(key, value)

    def _ask(self, queue: list[Any], words: list[Any]) -> asyncio.Future[str | None]:
        """Put a question into this turn's message; the future holds the answer."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str | None] = loop.create_future()
        if self._line is None:
            future.set_exception(Unavailable())
            return future
        if not self._writes and not self._reads:
            loop.call_soon(self._flush)
        self._number += 1
        self._waiting[self._number] = (time.monotonic() + TIMEOUT_S, future)
        queue.append([self._number, *words])
        return future

    def _flush(self) -> None:
        """Send all questions of this turn of the loop in one message."""
        if self._line is not None:
            self._line.send({"w": self._writes, "r": self._reads})
        self._writes.clear()
        self._reads.clear()

    async def connect(self) -> None:
        """Hold the connection to the database for ever; reconnect when it is lost."""
        if self._address is None:
            return
        local = (self._bind, 0) if self._bind else None
        while True:
            await asyncio.sleep(TICK_S)
            if self._line is not None:
                self._check(self._line)
                continue
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    _, line = await asyncio.get_running_loop().create_connection(
                        lambda: Lines(self._heard, self._lost), *self._address, local_addr=local
                    )
            except (OSError, TimeoutError):
                continue
            self._line = line
            line.send({"hello": True})

    def _check(self, line: Lines) -> None:
        """Fail the questions that waited too long; drop a connection that fell silent."""
        now = time.monotonic()
        for number in [n for n, (deadline, _) in self._waiting.items() if deadline < now]:
            self._resolve(number, Unavailable())
        if now - line.heard_at > 2 * TIMEOUT_S:
            line.close()

    def _lost(self, line: Lines) -> None:
        if line is self._line:
            self._line, self.loaded = None, False
            for number in list(self._waiting):
                self._resolve(number, Unavailable())

    def _heard(self, line: Lines, message: Message) -> None:
        for number in message.get("a", ()):
            self._resolve(number, None)
        for number, value in message.get("v", ()):
            self._resolve(number, value)
        for name, key, value in message.get("s", ()):
            self.collection(name).apply(key, value)
        if "lag" in message:
            self.lag = {region: (behind, age) for region, (behind, age) in message["lag"].items()}
        if "loaded" in message:
            self.loaded = True

    def _resolve(self, number: int, answer: str | Exception | None) -> None:
        _, future = self._waiting.pop(number, (0.0, None))
        if future is None or future.done():
            return
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
