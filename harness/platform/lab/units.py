"""A process that the lab keeps running: its state, its probes and how it is told to behave."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FIRST_BACKOFF_S = 0.5
PROBE_S = 1.0
BEHAVIOUR_PATH = "/__lab/behaviour"

Message = dict[str, Any]
Probe = tuple[str, int, str | None]


@dataclass(slots=True)
class Unit:
    """One process that is kept running, and what is known of it.

    `overlays` are changes of a replica's behaviour by what asked for them (a fault's id); later
    ones win. `applied` is the behaviour the process was last given. `killed_at` is when a fault
    killed it, until that fault is healed.
    """

    id: str
    argv: list[str]
    plan: Message | None
    startup: Probe
    probe: Probe
    log: Path
    cpus: list[int]
    stage: int
    process: asyncio.subprocess.Process | None = None
    ready: bool = False
    was_ready: bool = False
    paused: bool = False
    held: bool = False
    at_once: bool = False
    failures: int = 0
    restarts: int = 0
    backoff_s: float = FIRST_BACKOFF_S
    started_at: float = 0.0
    last_exit: int | None = None
    killed_at: float | None = None
    release: asyncio.Event = field(default_factory=asyncio.Event)
    overlays: dict[str, Message] = field(default_factory=dict)
    applied: Message | None = None

    @property
    def health(self) -> str:
        """One of the platform's words for a replica's state."""
        if self.process is None:
            return "dead"
        if self.paused:
            return "paused"
        if self.ready:
            return "ready"
        return "unready" if self.was_ready else "starting"

    @property
    def behaviour(self) -> Message | None:
        """The behaviour it should show now; None where it has none."""
        if self.plan is None or "behaviour" not in self.plan:
            return None
        wanted = dict(self.plan["behaviour"])
        for overlay in self.overlays.values():
            wanted |= overlay
        return wanted

    def document(self) -> Message:
        """What `status` tells of it."""
        return {
            "id": self.id,
            "health": self.health,
            "pid": self.process.pid if self.process else None,
            "restarts": self.restarts,
            "last_exit": self.last_exit,
            "held": self.held,
            "killed_ago_s": time.monotonic() - self.killed_at if self.killed_at else None,
        }

    def command(self) -> list[str]:
        """The command line; the plan, which may change, is its last word."""
        if self.plan is None:
            return self.argv
        self.applied = self.behaviour
        plan = self.plan if self.applied is None else self.plan | {"behaviour": self.applied}
        return [*self.argv, json.dumps(plan)]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if there is one."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    def kill(self) -> None:
        """End the process at once."""
        self.signal(signal.SIGKILL)

    async def show(self) -> None:
        """Let the running process show the behaviour it should; raises ValueError on refusal.

        One that does not run, is paused or does not answer is told with the next good probe.
        """
        wanted = self.behaviour
        if wanted is None or wanted == self.applied or self.process is None or self.paused:
            return
        host, port, _ = self.probe
        body = json.dumps(wanted).encode()
        head = f"PUT {BEHAVIOUR_PATH} HTTP/1.1\r\nhost: lab\r\ncontent-length: {len(body)}\r\n\r\n"
        try:
            answer = await exchange(host, port, head.encode() + body)
        except (OSError, TimeoutError):
            return
        if b" 200 " not in answer:
            raise ValueError(f"{self.id} refused: {answer.rpartition(b'}')[0][-300:]!r}")
        self.applied = wanted

    async def shown(self) -> Message | None:
        """The behaviour the process itself tells; None where it does not answer."""
        if self.behaviour is None or self.process is None or self.paused:
            return None
        host, port, _ = self.probe
        ask = f"GET {BEHAVIOUR_PATH} HTTP/1.1\r\nhost: lab\r\nconnection: close\r\n\r\n"
        try:
            answer = await exchange(host, port, ask.encode(), whole=True)
            told: Message = json.loads(answer.partition(b"\r\n\r\n")[2])
        except (OSError, TimeoutError, ValueError):
            return None
        return told

    async def set(self, settings: Message) -> None:
        """Change a database's settings or a replica's own behaviour, restarts included."""
        if self.plan is None:
            raise ValueError(f"{self.id} has no behaviour to change")
        if "behaviour" in self.plan:
            before, self.plan["behaviour"] = self.plan["behaviour"], settings
            try:
                await self.show()
            except ValueError:
                self.plan["behaviour"] = before
                raise
            return
        self.plan |= settings
        host, port, _ = self.probe
        await exchange(host, port, json.dumps({"set": settings}).encode() + b"\n")

    async def is_ready(self) -> bool:
        """Whether it is: GET answers 200, or, without a path, it takes a connection."""
        host, port, path = self.probe if self.was_ready else self.startup
        try:
            if path is None:
                return await reached(host, port, PROBE_S)
            ask = f"GET {path} HTTP/1.1\r\nhost: lab\r\n\r\n"
            return b" 200 " in await exchange(host, port, ask.encode())
        except (OSError, TimeoutError):
            return False


async def reached(host: str, port: int, within_s: float, source: str | None = None) -> bool:
    """Whether a connection comes about; raises OSError where it is refused."""
    local = (source, 0) if source else None
    try:
        async with asyncio.timeout(within_s):
            (await asyncio.open_connection(host, port, local_addr=local))[1].close()
    except TimeoutError:
        return False
    return True


async def exchange(host: str, port: int, ask: bytes, *, whole: bool = False) -> bytes:
    """Send and return the first line that comes back, or the whole answer up to its end."""
    async with asyncio.timeout(PROBE_S):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(ask)
            return await (reader.read() if whole else reader.readline())
        finally:
            writer.close()
