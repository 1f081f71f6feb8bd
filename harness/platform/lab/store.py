"""A replica's copy of its region's database, and the pipelined connection to it.

Reads are answered from the copy, which trails the database by milliseconds; a key the copy does
not have is asked of the database, so a write acknowledged by one replica is found at every other.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import Any

from harness.platform.lab.database import LINE_LIMIT, encode

SEEDED = 1000
LISTED = 20
TIMEOUT_S = 2.0
_PAD = "lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt"

_seeds = {
    str(number): json.dumps({"number": number, "text": f"{number} {_PAD}"}, separators=(",", ":"))
    for number in range(1, SEEDED + 1)
}


class Unavailable(Exception):  # noqa: N818 - it is what the answer 503 says
    """The database of the region does not answer."""


class Collection:
    """The items of one route: those written, over the seeded ids 1 to SEEDED."""

    __slots__ = ("count", "newest", "written")

    def __init__(self) -> None:
        self.written: dict[str, str | None] = {}
        self.newest: deque[str] = deque(
            (str(number) for number in range(SEEDED - LISTED + 1, SEEDED + 1)), maxlen=LISTED
        )
        self.count = SEEDED

    def get(self, key: str) -> str | None:
        """The value as JSON text, None where the key is unknown or deleted."""
        if key in self.written:
            return self.written[key]
        return _seeds.get(key)

    def apply(self, key: str, value: str | None) -> None:
        """Bring the copy to the state after a write."""
        existed = self.get(key) is not None
        if value is not None or key in _seeds or key in self.written:
            self.written[key] = value
        if value is not None and not existed:
            self.count += 1
            self.newest.append(key)
        elif value is None and existed:
            self.count -= 1

    def listing(self) -> list[tuple[str, str]]:
        """The newest items that are still there."""
        pairs = ((key, self.get(key)) for key in self.newest)
        return [(key, value) for key, value in pairs if value is not None]


class Store:
    """The collections of one replica; `database` None keeps everything in this process."""

    def __init__(self, database: tuple[str, int] | None, bind: str | None) -> None:
        self._address = database
        self._bind = bind
        self.collections: dict[str, Collection] = {}
        self.lag: dict[str, tuple[int, float]] = {}
        self.loaded = database is None
        self._writer: asyncio.StreamWriter | None = None
        self._number = 0
        self._writes: list[Any] = []
        self._reads: list[Any] = []
        self._waiting: dict[int, asyncio.Future[Any]] = {}

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
        _, found, value = await self._ask(self._reads, [name, key])
        return value if found else None

    async def put(self, name: str, key: str, value: str | None, *, sync: bool = False) -> None:
        """Write (None deletes) and return when it is acknowledged; raises Unavailable."""
        if self._address is not None:
            await self._ask(self._writes, [name, key, value, sync])
        self.collection(name).apply(key, value)

    async def _ask(self, queue: list[Any], words: list[Any]) -> Any:
        if self._writer is None:
            raise Unavailable
        if not self._writes and not self._reads:
            asyncio.get_running_loop().call_soon(self._flush)
        self._number += 1
        number = self._number
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        queue.append([number, *words])
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await future
        except TimeoutError:
            raise Unavailable from None
        finally:
            self._waiting.pop(number, None)

    def _flush(self) -> None:
        """Send all questions of this turn of the loop in one line."""
        message = {"w": self._writes, "r": self._reads}
        self._writes, self._reads = [], []
        if self._writer is not None:
            self._writer.write(encode(message))

    async def connect(self) -> None:
        """Hold the connection to the database for ever; reconnect when it is lost."""
        if self._address is None:
            return
        local = (self._bind, 0) if self._bind else None
        while True:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    reader, writer = await asyncio.open_connection(
                        *self._address, local_addr=local, limit=LINE_LIMIT
                    )
            except (OSError, TimeoutError):
                await asyncio.sleep(0.1)
                continue
            await self._converse(reader, writer)
            await asyncio.sleep(0.1)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        writer.write(encode({"hello": True}))
        try:
            while line := await asyncio.wait_for(reader.readline(), 3 * TIMEOUT_S):
                self._take(json.loads(line))
        except (OSError, ValueError, TimeoutError):
            pass
        finally:
            self._writer = None
            self.loaded = False
            writer.close()
            self._writes, self._reads = [], []
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(Unavailable())

    def _take(self, message: dict[str, Any]) -> None:
        for name, key, value in message.get("s", ()):
            self.collection(name).apply(key, value)
        for number in message.get("a", ()):
            self._resolve(number, None)
        for answer in message.get("v", ()):
            self._resolve(answer[0], answer)
        if "lag" in message:
            self.lag = {region: (behind, age) for region, (behind, age) in message["lag"].items()}
        if "loaded" in message:
            self.loaded = True

    def _resolve(self, number: int, answer: Any) -> None:
        future = self._waiting.get(number)
        if future is not None and not future.done():
            future.set_result(answer)
