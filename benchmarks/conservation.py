"""Whether every request of journeys is accounted for, whatever becomes of it.

`python -m benchmarks.conservation [JOURNEYS]`: randomised journeys that hang, raise, are reset,
run steps beside others, kill their own and are cut at a random moment, against a server that counts
what arrives. A request is lost if the server saw it and the load did not, or if it was offered and
neither completed nor failed nor is unfinished.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.load.driver import LoadProcess
from harness.load.plan import LoadPlan
from harness.platform.model import Target
from harness.traffic import Journey
from harness.traffic.model import LoadProfile, Segment, TrafficModel

SCENARIO = """
import random
import gevent
from gevent.pool import Group
from harness.traffic import journey
from harness.traffic.user import TrafficUser

R = random.Random(SEED)

class Anybody(TrafficUser):
    service = "anything"
    network_timeout = 0.5

    def on_start(self):
        if R.random() < 0.1:
            self.client.get("/ok", name="on start")
        if R.random() < 0.02:
            raise RuntimeError("on_start fails")

    def on_stop(self):
        if R.random() < 0.1:
            self.client.get("/ok", name="on stop")

    @journey()
    def walk(self):
        for _ in range(R.randint(1, 4)):
            what = R.choice(WORDS)
            if what == "raise":
                raise ValueError("seeded")
            if what == "pause":
                gevent.sleep(R.random() * 0.2)
            elif what in ("beside", "left", "killed"):
                group = Group()
                for word in R.choices(("ok", "hang", "reset", "500"), k=3):
                    group.spawn(self.client.get, f"/{word}", name=f"{what} {word}")
                if what == "beside":
                    group.join()
                elif what == "killed":
                    gevent.sleep(R.random() * 0.05)
                    group.kill()
            elif what == "caught":
                with self.client.get("/ok", name="caught", catch_response=True) as response:
                    if R.random() < 0.5:
                        raise KeyError("in the block")
                    response.failure("wrong")
            elif what == "hang for ever":
                gevent.sleep(3600)
            else:
                self.client.get(f"/{what}", name=what)

WORDS = (
    ["ok"] * 6 + ["hang", "reset", "half", "500", "pause", "raise", "beside", "left", "killed"]
    + ["caught", "hang for ever"]
)
"""


@dataclass(frozen=True, slots=True)
class Count:
    """What the server saw, and what the load says of it."""

    seen: int
    offered: int
    completed: int
    failed: int
    unfinished: int
    journeys: int
    own: int
    errors: Counter[str]
    conserved: bool

    @property
    def lost(self) -> int:
        """Requests of which nobody knows what became: 0 is wanted."""
        open_ones = self.offered - self.completed - self.failed - self.unfinished
        # A row of the journey itself (it raised, or never sent anything) is no request.
        return abs(open_ones) + max(0, self.seen - (self.offered - self.own))


class _Server:
    """Counts heads of requests; what it does about one, its path says."""

    def __init__(self) -> None:
        self.seen = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self.port = 0
        threading.Thread(target=self._run, daemon=True).start()
        self._ready.wait(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(
            asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError
        ):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.seen += 1
                path = head.split(b" ", 2)[1]
                if path == b"/hang":
                    await asyncio.sleep(60)
                if path == b"/reset":
                    linger = struct.pack("ii", 1, 0)
                    peer: socket.socket = writer.get_extra_info("socket")
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    break
                status = b"500 X" if path == b"/500" else b"200 OK"
                writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\n\r\n")
                if path == b"/half":
                    await writer.drain()
                    break
                writer.write(b"ok")
                await writer.drain()
        writer.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.call_soon(self._loop.stop)


def count(rate: float, duration_s: float, seed: int, cut_s: float | None = None) -> Count:
    """One load of `rate` journeys/s for `duration_s`, stopped at once at `cut_s` if given."""
    server = _Server()
    try:
        with tempfile.TemporaryDirectory() as directory:
            source = Path(directory) / "anything.py"
            source.write_text(SCENARIO.replace("SEED", str(seed)))
            plan = LoadPlan(
                Target("anything", (f"http://127.0.0.1:{server.port}",), "service", "a server"),
                TrafficModel("anything", "anything", str(source), (), (Journey("walk", "walk"),)),
                LoadProfile("walks", (Segment("hold", duration_s, rate, rate),), seed=seed),
                drain_s=1.0,
                probe=False,
            )
            messages = _hear(plan, cut_s)
        end = next(message for message in messages if message["type"] == "end")
        errors, own = Counter[str](), 0
        for message in messages:
            if message["type"] == "slice" and message["slice"]["axis"] == "due":
                errors.update(message["slice"]["errors"])
                own += message["slice"]["offered"] * (message["slice"]["endpoint"] == "walk")
        totals = {name: end["totals"][name] for name in _TOTALS}
        planned = round(rate * duration_s)
        return Count(
            server.seen, **totals, journeys=planned, own=own, errors=errors,
            conserved=end["conserved"],
        )  # fmt: skip
    finally:
        server.stop()


_TOTALS = ("offered", "completed", "failed", "unfinished")


def _hear(plan: LoadPlan, cut_s: float | None) -> list[dict[str, Any]]:
    messages: list[Any] = []
    started: float | None = None
    with LoadProcess(plan) as child:
        while not child.ended:
            found = child.poll(0.05)
            messages += found
            if any(message["type"] == "start" for message in found):
                started = time.monotonic()
            if cut_s is not None and started and time.monotonic() - started > cut_s:
                child.stop()
                time.sleep(0.1)
                child.stop()
                cut_s = None
    return messages


def main(words: list[str]) -> int:
    """Runs of 400 journeys until there are as many as asked for; the exit code is 1 for a loss."""
    wanted, done, lost, seed = int(words[0]) if words else 10_000, 0, 0, 0
    total: Counter[str] = Counter()
    while done < wanted:
        seed += 1
        cut = random.Random(seed).uniform(1.0, 8.0) if seed % 2 else None
        found = count(100.0, 6.0, seed, cut)
        done += found.journeys
        lost += found.lost + (not found.conserved)
        total.update({name: getattr(found, name) for name in ("seen", *_TOTALS)})
        total.update(found.errors)
    print(f"{done:,} journeys in {seed} runs, {lost} requests lost; {dict(total)}")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
