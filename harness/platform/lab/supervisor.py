"""The lab's kubelet: starts its processes, restarts what dies, probes, obeys, ends with its owner.

Run as `python -m harness.platform.lab.supervisor RUNTIME`, as the first process of the lab's
namespaces, so that its own death ends everything in them. RUNTIME/plan.json says what to run;
RUNTIME/control takes requests (one JSON object in a line, one in answer). It ends when its
standard input does (the owner is gone), when its time to live is over, or on the request `stop`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from harness.platform.lab import cut
from harness.platform.lab.doors import doors
from harness.platform.lab.topology import GLOBAL, Place

FIRST_BACKOFF_S = 0.5
LAST_BACKOFF_S = 30.0
HEALTHY_S = 10.0
PROBE_S = 1.0
STARTING_PROBE_S = 0.03
PROBE_FAILURES = 3
"""Failed probes in a row before a ready process counts as unready, as a kubelet's default."""

Message = dict[str, Any]
Probe = tuple[str, int, str | None]


@dataclass(slots=True)
class Unit:
    """One process that is kept running, and what is known of it."""

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
    failures: int = 0
    restarts: int = 0
    backoff_s: float = FIRST_BACKOFF_S
    started_at: float = 0.0
    last_exit: int | None = None
    release: asyncio.Event = field(default_factory=asyncio.Event)

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

    def document(self) -> Message:
        """What `status` tells of it."""
        return {
            "id": self.id,
            "health": self.health,
            "pid": self.process.pid if self.process else None,
            "restarts": self.restarts,
            "last_exit": self.last_exit,
            "held": self.held,
        }

    def command(self) -> list[str]:
        """The command line; the plan, which may change, is its last word."""
        return self.argv if self.plan is None else [*self.argv, json.dumps(self.plan)]


class Supervisor:
    """All units of a lab and the control socket."""

    def __init__(self, runtime: Path, plan: Message) -> None:
        self.runtime = runtime
        self.plan = plan
        self.done = asyncio.Event()
        self.places = {each["id"]: Place(**each) for each in plan["places"]}
        self.doors = doors(tuple(self.places.values()))
        self.units: dict[str, Unit] = {}
        for each in plan["units"]:
            self.units[each["id"]] = Unit(
                id=each["id"],
                argv=each["argv"],
                plan=each["plan"],
                startup=tuple(each["startup"]),
                probe=tuple(each["probe"]),
                log=runtime / "logs" / f"{each['id']}.log",
                cpus=each["cpus"],
                stage=each["stage"],
            )

    async def run(self) -> None:
        """Keep everything running until told to end."""
        control = await asyncio.start_unix_server(self._serve, self.runtime / "control")
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.done.set)
        ttl = self.plan["ttl_s"]
        if ttl is not None:
            loop.call_later(ttl, self.done.set)
        else:
            loop.add_reader(0, self._owner_spoke)
        tasks = [asyncio.create_task(self._keep(unit)) for unit in self.units.values()]
        tasks += [asyncio.create_task(self._probe_for_ever(unit)) for unit in self.units.values()]
        await self.done.wait()
        control.close()
        for task in tasks:
            task.cancel()
        for unit in self.units.values():
            _kill(unit)

    def _owner_spoke(self) -> None:
        """The owner never writes: what arrives is the end of its life."""
        if not os.read(0, 4096):
            self.done.set()

    # -- processes ---------------------------------------------------------------------------

    async def _keep(self, unit: Unit) -> None:
        """Start a unit after the earlier stages, and again after each death, later each time."""
        earlier = [each for each in self.units.values() if each.stage < unit.stage]
        while not all(each.was_ready for each in earlier):  # noqa: ASYNC110 - one wait per start
            await asyncio.sleep(STARTING_PROBE_S)
        while True:
            code = await self._run(unit)
            unit.process, unit.ready, unit.was_ready, unit.paused = None, False, False, False
            unit.last_exit = code
            if time.monotonic() - unit.started_at > HEALTHY_S:
                unit.backoff_s = FIRST_BACKOFF_S
            if unit.held:
                unit.release.clear()
                await unit.release.wait()
            else:
                await asyncio.sleep(unit.backoff_s)
                unit.backoff_s = min(unit.backoff_s * 2, LAST_BACKOFF_S)
            unit.restarts += 1

    async def _run(self, unit: Unit) -> int:
        """Start a unit and wait for its death; its standard input ends with the supervisor."""
        unit.started_at = time.monotonic()
        with unit.log.open("ab") as log:
            try:
                process = await asyncio.create_subprocess_exec(
                    *unit.command(), stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log
                )
            except OSError as problem:
                log.write(f"{problem}\n".encode())
                return 127
        unit.process = process
        if unit.cpus and sys.platform == "linux":
            with contextlib.suppress(OSError):
                os.sched_setaffinity(process.pid, unit.cpus)
        return await process.wait()

    async def _probe_for_ever(self, unit: Unit) -> None:
        while True:
            await asyncio.sleep(PROBE_S if unit.was_ready else STARTING_PROBE_S)
            if unit.process is None or unit.paused:
                continue
            if await _probe(unit.probe if unit.was_ready else unit.startup):
                unit.ready, unit.was_ready, unit.failures = True, True, 0
            else:
                unit.failures += 1
                if unit.failures >= PROBE_FAILURES:
                    unit.ready = False

    # -- control -----------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async for line in reader:
                try:
                    answer = await self._obey(json.loads(line))
                except Exception as problem:  # noqa: BLE001 - told to the one who asked
                    answer = {"error": f"{type(problem).__name__}: {problem}"}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError):
            pass
        finally:
            writer.close()

    async def _obey(self, request: Message) -> Message:
        """Carry out one request."""
        operation = self.OPERATIONS.get(request["op"])
        if operation is None:
            raise ValueError(f"unknown request {request['op']!r}")
        answer = await operation(self, request)
        return {"ok": True} if answer is None else answer

    def _named(self, request: Message) -> list[Unit]:
        return [self.units[each] for each in request["ids"]]

    async def _status(self, _: Message) -> Message:
        return {"units": [unit.document() for unit in self.units.values()]}

    async def _observe(self, request: Message) -> Message:
        """The health of a service's processes, its doors' views and what each region served."""
        mine = [each for each in self.places.values() if each.service in {None, request["service"]}]
        health = {each.id: self.units[each.id].health for each in mine}
        asked = [
            self.doors[each.id].look(self.units[each.id].started_at)
            for each in mine
            if each.id in self.doors and health[each.id] not in {"dead", "paused"}
        ]
        for views in await asyncio.gather(*asked):
            health |= views
        mine = [each for each in mine if each.id in self.doors and each.region != GLOBAL]
        return {"health": health, "served": {e.region: self.doors[e.id].served for e in mine}}

    async def _do_kill(self, request: Message) -> None:
        for unit in self._named(request):
            unit.held, unit.paused = bool(request["hold"]), False
            _kill(unit)

    async def _do_pause(self, request: Message) -> None:
        for unit in self._named(request):
            _signal(unit, signal.SIGSTOP)
            unit.paused, unit.ready = unit.process is not None, False

    async def _do_resume(self, request: Message) -> None:
        for unit in self._named(request):
            unit.held, unit.paused = False, False
            unit.release.set()
            _signal(unit, signal.SIGCONT)

    async def _do_behave(self, request: Message) -> None:
        for unit in self._named(request):
            await _behave(unit, request["behaviour"])

    async def _do_cut(self, request: Message) -> None:
        await asyncio.to_thread(cut.cut, request["pairs"])

    async def _do_mend(self, request: Message) -> None:
        await asyncio.to_thread(cut.mend, request["pairs"])

    async def _cuts(self, _: Message) -> Message:
        pairs = await asyncio.to_thread(cut.present)
        return {"pairs": pairs, "means": cut.means()}

    async def _stop(self, _: Message) -> None:
        self.done.set()

    OPERATIONS: ClassVar[dict[str, Callable[[Supervisor, Message], Awaitable[Message | None]]]] = {
        "status": _status,
        "observe": _observe,
        "kill": _do_kill,
        "pause": _do_pause,
        "resume": _do_resume,
        "behave": _do_behave,
        "cut": _do_cut,
        "mend": _do_mend,
        "cuts": _cuts,
        "stop": _stop,
    }


def _signal(unit: Unit, number: signal.Signals) -> None:
    if unit.process is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(unit.process.pid, number)


def _kill(unit: Unit) -> None:
    _signal(unit, signal.SIGKILL)


async def _behave(unit: Unit, behaviour: Message) -> None:
    """Change how a unit behaves, now and after its next start."""
    if unit.plan is None:
        raise ValueError(f"{unit.id} has no behaviour to change")
    host, port, path = unit.probe
    if path is None:
        unit.plan |= behaviour
        await _exchange(host, port, json.dumps({"set": behaviour}).encode() + b"\n")
        return
    body = json.dumps(behaviour).encode()
    head = f"PUT /__lab/behaviour HTTP/1.1\r\nhost: lab\r\ncontent-length: {len(body)}\r\n\r\n"
    answer = await _exchange(host, port, head.encode() + body)
    if b" 200 " not in answer:
        raise ValueError(f"{unit.id} refused: {answer.rpartition(b'}')[0][-300:]!r}")
    unit.plan["behaviour"] = behaviour


async def _probe(probe: Probe) -> bool:
    """Whether a unit is ready: GET answers 200, or, without a path, it takes a connection."""
    host, port, path = probe
    try:
        if path is None:
            async with asyncio.timeout(PROBE_S):
                (await asyncio.open_connection(host, port))[1].close()
            return True
        ask = f"GET {path} HTTP/1.1\r\nhost: lab\r\n\r\n"
        return b" 200 " in await _exchange(host, port, ask.encode())
    except (OSError, TimeoutError):
        return False


async def _exchange(host: str, port: int, ask: bytes) -> bytes:
    """Send and return the first line that comes back."""
    async with asyncio.timeout(PROBE_S):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(ask)
            return await reader.readline()
        finally:
            writer.close()


def raise_loopback() -> None:
    """Bring `lo` up in a new network namespace (SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        name = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(sock, 0x8913, name))[1]
        fcntl.ioctl(sock, 0x8914, struct.pack("16sH14x", b"lo", flags | 1))


def main(runtime: Path) -> None:
    """Run the lab of a runtime directory and remove the directory at the end."""
    plan = json.loads((runtime / "plan.json").read_text(encoding="utf-8"))
    if plan["isolated"]:
        raise_loopback()

    async def run() -> None:
        await Supervisor(runtime, plan).run()

    try:
        asyncio.run(run())
    finally:
        shutil.rmtree(runtime, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
