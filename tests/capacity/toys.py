"""Small real servers of known capacity for the search, in one process of their own."""

from __future__ import annotations

import asyncio
import sys
import time

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
REFUSAL = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n"

WORKERS, WORK_S = 4, 0.020
"""A queue in front of four workers: 200 requests/s."""

FLAT_S = 0.080
ALLOWED = 150
"""Requests in each second of the limited server."""


class Toy:
    """`queue`, `flat` or `limited`: what happens to a request before it is answered."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._free = [0.0] * WORKERS
        self._window, self._used = -1, 0

    async def answer(self) -> bytes:
        """Wait as the kind says."""
        now = time.monotonic()
        if self._kind == "flat":
            await asyncio.sleep(FLAT_S)
        elif self._kind == "queue":
            place = self._free.index(min(self._free))
            self._free[place] = max(self._free[place], now) + WORK_S
            await asyncio.sleep(self._free[place] - now)
        elif self._refused(int(now)):
            return REFUSAL
        return ANSWER

    def _refused(self, window: int) -> bool:
        if window != self._window:
            self._window, self._used = window, 0
        self._used += 1
        return self._used > ALLOWED

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One kept-alive connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n")
                     if line.startswith(b"content-length:")), 0,
                )  # fmt: skip
                await reader.readexactly(length)
                writer.write(await self.answer())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def main(kind: str) -> None:
    """Print the port and serve until killed."""
    server = await asyncio.start_server(Toy(kind).serve, "127.0.0.1", 0, backlog=4096)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
