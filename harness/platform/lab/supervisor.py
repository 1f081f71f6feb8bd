"""The lab's kubelet: starts its processes, restarts what dies, probes, ends with its owner.

Run as `python -m harness.platform.lab.supervisor RUNTIME`, as the first process of the lab's
namespaces, so that its own death ends everything in them. RUNTIME/plan.json says what to run;
RUNTIME/control takes requests (one JSON object in a line, one in answer). It ends when its
standard input does (the owner is gone), when its time to live is over, or on the request `stop`.
"""

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
from pathlib import Path
from typing import Any

from harness.platform.lab.control_api import ControlApi
from harness.platform.lab.messages import LabPlan, UnitPlan, request_of
from harness.platform.lab.mutants import SCARS
from harness.platform.lab.options import LabOptions
from harness.platform.lab.own import Start
from harness.platform.lab.units import FIRST_BACKOFF_S, PROBE_S, Unit, cut_log
from harness.platform.program import MARK, alone, guard

LAST_BACKOFF_S = 30.0
END_S = 5.0
"""What the programs of a lab have at its end: who ends it waits."""

HEALTHY_S = 10.0
STARTING_PROBE_S = 0.03
PROBE_FAILURES = 3
"""Failed probes in a row before a ready process counts as unready, as a kubelet's default."""


class Supervisor:
    """All units of a lab and the control socket."""

    def __init__(self, runtime: Path, plan: LabPlan) -> None:
        self.runtime = runtime
        self.plan = plan
        self.done = asyncio.Event()
        self.mutants = LabOptions.parse(plan["options"]).mutants
        self.units = {each["id"]: self._unit(each) for each in plan["units"]}
        self.api = ControlApi(plan, self.units, self.done, self.came_back)

    def _unit(self, given: UnitPlan) -> Unit:
        plan = given["plan"]
        usual = plan.get("behaviour") if plan is not None else None
        return Unit(
            id=given["id"],
            argv=given["argv"],
            plan=plan,
            usual=usual if isinstance(usual, dict) else None,
            own=None if given["start"] is None else Start(**given["start"]),
            startup=given["startup"],
            probe=given["probe"],
            log=self.runtime / "logs" / f"{given['id']}.log",
            cpus=given["cpus"],
            stage=given["stage"],
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
        await asyncio.gather(*(unit.end(END_S) for unit in self.units.values()))

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
            unit.last_exit = await self._run(unit)
            unit.process, unit.ready, unit.was_ready, unit.paused = None, False, False, False
            unit.failures = 0
            if time.monotonic() - unit.started_at > HEALTHY_S:
                unit.backoff_s = FIRST_BACKOFF_S
            await self._wait_for_restart(unit)
            unit.restarts += 1
            self.came_back(unit)

    async def _wait_for_restart(self, unit: Unit) -> None:
        """Wait until the unit may start: released if it is held, else after its back-off."""
        unit.release.clear()
        if unit.held or (unit.own and unit.own.restart == "never" and not unit.at_once):
            await unit.release.wait()
        elif not unit.at_once:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(unit.backoff_s):
                    await unit.release.wait()
            unit.backoff_s = min(unit.backoff_s * 2, LAST_BACKOFF_S)
            while unit.held:  # held down while it waited
                unit.release.clear()
                await unit.release.wait()
        unit.at_once = False

    def came_back(self, unit: Unit) -> None:
        """A unit returns from a fault; in a lab told to be broken it may return changed."""
        for mutant in self.mutants:
            scar = SCARS.get(mutant)
            if scar is None or unit.behaviour is None:
                continue
            unit.overlays[mutant] = dict(scar.behaviour)
            if scar.for_s is not None:
                asyncio.get_running_loop().call_later(scar.for_s, unit.overlays.pop, mutant, None)

    async def _run(self, unit: Unit) -> int:
        """Start a unit and wait for its death; its standard input ends with the supervisor."""
        unit.started_at, unit.ending, unit.answered = time.monotonic(), False, None
        own = unit.own
        how: dict[str, Any] = {
            "stdin": asyncio.subprocess.PIPE,
            "stderr": asyncio.subprocess.STDOUT,
            "start_new_session": not self.plan["isolated"],
        }
        if own is not None:
            how = alone(Path(own.directory), {**own.variables, MARK: own.mark})
        with unit.log.open("ab") as log:
            try:
                process = await asyncio.create_subprocess_exec(*unit.command(), stdout=log, **how)
            except OSError as problem:
                log.write(f"{problem}\n".encode())
                return 127
        unit.process = process
        if unit.cpus and sys.platform == "linux":
            with contextlib.suppress(OSError):
                os.sched_setaffinity(process.pid, unit.cpus)
        with self._guarded(process.pid, own):
            code = await process.wait()
            await unit.rest(code)
        return code

    def _guarded(self, pid: int, own: Start | None) -> contextlib.AbstractContextManager[None]:
        """What ends a process that would survive the supervisor: a namespace ends with it."""
        if own is not None:
            return guard(pid, own.stop_within_s, own.removal)
        return contextlib.nullcontext() if self.plan["isolated"] else guard(pid, 0.0)

    async def _probe_for_ever(self, unit: Unit) -> None:
        while True:
            await asyncio.sleep(PROBE_S if unit.was_ready else STARTING_PROBE_S)
            if unit.own is not None:
                cut_log(unit.log)
            if unit.process is None or unit.paused:
                continue
            asked = unit.process
            answered = await unit.is_ready()
            if unit.process is not asked or unit.paused:
                continue  # it died, or was stopped, while it was asked
            if answered:
                unit.ready, unit.was_ready, unit.failures = True, True, 0
                with contextlib.suppress(OSError, TimeoutError, ValueError):
                    await unit.show()
            else:
                unit.failures += 1
                if unit.failures >= PROBE_FAILURES:
                    unit.ready = False

    # -- control -----------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async for line in reader:
                try:
                    answer = await self.api.handle(request_of(line))
                except Exception as problem:  # noqa: BLE001 - it is the answer
                    answer = {"error": f"{type(problem).__name__}: {problem}"}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError):
            pass
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
    plan: LabPlan = json.loads((runtime / "plan.json").read_text(encoding="utf-8"))
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
