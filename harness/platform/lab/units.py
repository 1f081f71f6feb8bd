"""A process that the lab keeps running: its state, its probes and how it is told to behave."""

import asyncio
import contextlib
import json
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from harness.platform.lab.messages import Health, Probe, Settings, UnitState
from harness.platform.lab.own import ENGINE_S, Start
from harness.platform.program import READY, living, send, shell

FIRST_BACKOFF_S = 0.5
PROBE_S = 1.0
ENDING_S = 0.05
LONGEST_END_S = 600.0
MOST_LOG, KEPT_LOG = 16 * 2**20, 2**20
"""Bytes beyond which the log of a program is cut, and what of its end is kept."""

BEHAVIOUR_PATH = "/__lab/behaviour"


@dataclass(slots=True)
class Unit:
    """One process that is kept running, and what is known of it.

    `usual` is a replica's behaviour without faults.
    `overlays` are changes of a replica's behaviour by what asked for them (a fault's id); later
    ones win. `applied` is the behaviour the process was last given. `killed_at` is when a fault
    killed it, until that fault is healed. `own` is how a program of the user's is started;
    `answered` the last status of its probe.
    """

    id: str
    argv: list[str]
    plan: dict[str, object] | None
    usual: Settings | None
    startup: Probe
    probe: Probe
    log: Path
    cpus: list[int]
    stage: int
    own: Start | None = None
    ending: bool = False
    answered: int | None = None
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
    overlays: dict[str, Settings] = field(default_factory=dict)
    applied: Settings | None = None

    @property
    def health(self) -> Health:
        """One of the platform's words for a replica's state."""
        if self.process is None:
            return "dead"
        if self.paused:
            return "paused"
        if self.ready:
            return "ready"
        return "unready" if self.was_ready else "starting"

    @property
    def behaviour(self) -> dict[str, object] | None:
        """The behaviour it should show now; None where it has none."""
        if self.usual is None:
            return None
        wanted = dict(self.usual)
        for overlay in self.overlays.values():
            wanted.update(overlay)
        return wanted

    def document(self) -> UnitState:
        """Its part of the answer to `status`."""
        return {
            "id": self.id,
            "health": self.health,
            "pid": self.pid,
            "answered": self.answered,
            "restarts": self.restarts,
            "last_exit": self.last_exit,
            "held": self.held,
            "killed_ago_s": time.monotonic() - self.killed_at if self.killed_at else None,
        }

    @property
    def pid(self) -> int | None:
        """Of its leader, or of one of those that the leader left behind."""
        if self.process is None:
            return None
        if self.own is None or self.process.returncode is None:
            return self.process.pid
        return next(iter(self.processes()), None)

    def processes(self) -> list[int]:
        """Every living process of a program of the user's, as the supervisor sees it."""
        if self.process is None or self.own is None:
            return []
        return living(self.process.pid, self.own.mark, nested=self.own.container)

    def command(self) -> list[str]:
        """The command line; the plan, which may change, is its last word."""
        if self.own is not None:
            bad = self.own.bad_release if self.overlays else None
            return [*shell(bad or self.own.command)]
        if self.plan is None:
            return self.argv
        self.applied = self.behaviour
        plan = self.plan if self.applied is None else self.plan | {"behaviour": self.applied}
        return [*self.argv, json.dumps(plan)]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if there is one.

        The client of a container engine passes SIGTERM on, to the first process only.
        """
        if self.process is None:
            return
        passed_on = self.own is not None and self.own.container and number == signal.SIGTERM
        alone = self.own is None or passed_on
        send([self.process.pid] if alone else self.processes(), number)

    async def end(self, within_s: float = LONGEST_END_S) -> None:
        """End it as a Deployment ends a pod: SIGTERM, time to finish, SIGKILL."""
        process, own = self.process, self.own
        if process is None or own is None:
            self.kill()
            return
        self.ending = True
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        until = time.monotonic() + min(within_s, own.stop_within_s)
        while self.process is process and self.processes():
            if time.monotonic() > until:
                self.kill()
            await asyncio.sleep(ENDING_S)
        await self._remove()

    async def rest(self, code: int) -> None:
        """Wait for what a leader left behind: a daemon as long as it runs, others until ended."""
        process, own = self.process, self.own
        if process is None or own is None:
            return
        until = time.monotonic() + own.stop_within_s
        if code != 0 and not self.ending:
            self.signal(signal.SIGTERM)
        while self.processes():
            if time.monotonic() > until and (code != 0 or self.ending):
                self.kill()
            await asyncio.sleep(ENDING_S)
        await self._remove()

    async def _remove(self) -> None:
        """Have the engine remove what it has of a container, though it never started."""
        if self.own is None or not self.own.container:
            return
        quiet = asyncio.subprocess.DEVNULL
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ENGINE_S):
                remover = await asyncio.create_subprocess_exec(
                    *shell(self.own.removal), stdin=quiet, stdout=quiet, stderr=quiet
                )
                await remover.wait()

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

    async def shown(self) -> dict[str, object] | None:
        """The behaviour that the process says it has; None where it does not answer."""
        if self.behaviour is None or self.process is None or self.paused:
            return None
        host, port, _ = self.probe
        ask = f"GET {BEHAVIOUR_PATH} HTTP/1.1\r\nhost: lab\r\nconnection: close\r\n\r\n"
        try:
            answer = await exchange(host, port, ask.encode(), whole=True)
            found = json.loads(answer.partition(b"\r\n\r\n")[2])
        except (OSError, TimeoutError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    async def set(self, settings: Settings) -> None:
        """Change a database's settings or a replica's own behaviour, restarts included."""
        if self.plan is None:
            raise ValueError(f"{self.id} has no behaviour to change")
        if self.usual is not None:
            before, self.usual = self.usual, settings
            try:
                await self.show()
            except ValueError:
                self.usual = before
                raise
            return
        self.plan.update(settings)
        host, port, _ = self.probe
        await exchange(host, port, json.dumps({"set": dict(settings)}).encode() + b"\n")

    async def is_ready(self) -> bool:
        """Whether it is: GET answers well, or, without a path, it takes a connection."""
        host, port, path = self.probe if self.was_ready else self.startup
        try:
            if path is None:
                return await reached(host, port, PROBE_S)
            ask = f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
            words = (await exchange(host, port, ask.encode())).split()
            self.answered = int(words[1]) if len(words) > 1 and words[1].isdigit() else None
        except (OSError, TimeoutError):
            return False
        return self.answered in READY


def cut_log(log: Path) -> None:
    """Keep only the end of a log that has grown too long; its writers append."""
    with contextlib.suppress(OSError):
        if log.stat().st_size <= MOST_LOG:
            return
        with log.open("rb") as file:
            file.seek(-KEPT_LOG, os.SEEK_END)
            end = file.read()
        os.truncate(log, 0)
        with log.open("ab") as file:
            file.write(end)


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
