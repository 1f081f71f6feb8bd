"""What the supervisor is asked to do and to tell, one coroutine per request.

A request is a JSON object with `op` and its arguments; the answer another one. Everything that
breaks has its counterpart that undoes, idempotent, and shows in `faults` or `rules`.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import astuple
from typing import Any, ClassVar

from harness.platform import envoy
from harness.platform.lab import packets
from harness.platform.lab.edge_admin import ask, edge_admins
from harness.platform.lab.packets import Rule
from harness.platform.lab.pressure import Pressure
from harness.platform.lab.rollout import Rollouts
from harness.platform.lab.topology import GLOBAL, Place
from harness.platform.lab.units import Message, Unit, reached

REACH_S = 0.3
"""How long a connection attempt through a cut is waited for; unhindered it takes under 1 ms."""


class ControlApi:
    """Carries out requests on the units of a lab."""

    def __init__(
        self,
        plan: Message,
        units: Mapping[str, Unit],
        done: asyncio.Event,
        came_back: Callable[[Unit], None],
    ) -> None:
        self._units = units
        self._done = done
        self._came_back = came_back
        self._places = {each["id"]: Place(**each) for each in plan["places"]}
        self._edges = edge_admins(tuple(self._places.values()))
        self._rollouts = Rollouts(units)
        self._pressure = Pressure()

    async def handle(self, request: Message) -> Message:
        """Carry out one request; raises ValueError for one that is not known."""
        operation = self.OPERATIONS.get(request["op"])
        if operation is None:
            raise ValueError(f"unknown request {request['op']!r}")
        answer = await operation(self, request)
        return {"ok": True} if answer is None else answer

    def _named(self, request: Message) -> list[Unit]:
        return [self._units[each] for each in request["ids"]]

    # -- what there is -----------------------------------------------------------------------

    async def _status(self, _: Message) -> Message:
        return {"units": [unit.document() for unit in self._units.values()]}

    async def _observe(self, request: Message) -> Message:
        """The health of a service's processes, its edges' views and what each region served."""
        service = request["service"]
        mine = [each for each in self._places.values() if each.service in {None, service}]
        health = {each.id: self._units[each.id].health for each in mine}
        asked = [
            self._edges[each.id].look(self._units[each.id].started_at)
            for each in mine
            if each.id in self._edges and health[each.id] not in {"dead", "paused"}
        ]
        for views in await asyncio.gather(*asked):
            health |= views
        edges = [each for each in mine if each.id in self._edges and each.region != GLOBAL]
        return {"health": health, "served": {e.region: self._edges[e.id].served for e in edges}}

    async def _faults(self, _: Message) -> Message:
        """Everything but packet rules and the processes' own states that a fault has made."""
        overlays: dict[str, list[str]] = {}
        for unit in self._units.values():
            for fault in unit.overlays:
                overlays.setdefault(fault, []).append(unit.id)
        rolls = {fault: each.document() for fault, each in self._rollouts.known.items()}
        return {"overlays": overlays, "rollouts": rolls, "burners": self._pressure.document()}

    async def _shown(self, request: Message) -> Message:
        """For each replica: the behaviour it should show and the one it tells itself."""
        units = self._named(request)
        told = await asyncio.gather(*(unit.shown() for unit in units))
        pairs = zip(units, told, strict=True)
        return {"ids": {u.id: {"wanted": u.behaviour, "shown": t} for u, t in pairs}}

    # -- processes ---------------------------------------------------------------------------

    async def _kill(self, request: Message) -> None:
        for unit in self._named(request):
            unit.held, unit.paused = bool(request["hold"]), False
            unit.ready, unit.killed_at = False, time.monotonic()
            unit.kill()

    async def _pause(self, request: Message) -> None:
        for unit in self._named(request):
            unit.signal(signal.SIGSTOP)
            unit.paused, unit.ready = unit.process is not None, False

    async def _resume(self, request: Message) -> None:
        """Let everything run again that is held down, stopped or waits for its restart."""
        for unit in self._named(request):
            if unit.paused:
                self._came_back(unit)
            unit.held, unit.paused, unit.killed_at = False, False, None
            unit.release.set()
            unit.signal(signal.SIGCONT)

    # -- behaviour ---------------------------------------------------------------------------

    async def _behave(self, request: Message) -> None:
        for unit in self._named(request):
            await unit.set(request["behaviour"])

    async def _overlay(self, request: Message) -> None:
        for unit in self._named(request):
            unit.overlays[request["fault"]] = request["behaviour"]
            await unit.show()

    async def _bare(self, request: Message) -> None:
        for unit in self._named(request):
            unit.overlays.pop(request["fault"], None)
            await unit.show()

    async def _roll(self, request: Message) -> None:
        self._rollouts.roll(
            request["fault"], request["ids"], request["behaviour"], request["grace_s"]
        )

    async def _unroll(self, request: Message) -> None:
        await self._rollouts.back(request["fault"], request["ids"], request["grace_s"])

    # -- neighbours --------------------------------------------------------------------------

    async def _press(self, request: Message) -> None:
        cores = sorted({core for unit in self._named(request) for core in unit.cpus})
        await self._pressure.press(
            request["fault"], request["workers"], request["megabytes"], request["for_s"], cores
        )

    async def _release(self, request: Message) -> None:
        await self._pressure.release(request["fault"])

    # -- packets -----------------------------------------------------------------------------

    async def _add_rules(self, request: Message) -> None:
        await asyncio.to_thread(packets.add, [Rule(*each) for each in request["rules"]])

    async def _remove_rules(self, request: Message) -> None:
        await asyncio.to_thread(packets.remove, [Rule(*each) for each in request["rules"]])

    async def _rules(self, _: Message) -> Message:
        found = await asyncio.to_thread(packets.present)
        return {
            "rules": [[astuple(rule), count] for rule, count in found.items()],
            "means": packets.means(),
        }

    async def _reach(self, request: Message) -> Message:
        """Whether a connection comes about for each (source, host, port)."""

        async def attempt(source: str | None, host: str, port: int) -> bool:
            try:
                return await reached(host, port, REACH_S, source)
            except OSError:
                return False

        return {"reached": await asyncio.gather(*(attempt(*each) for each in request["ways"]))}

    # -- edges -------------------------------------------------------------------------------

    async def _set_runtime(self, request: Message) -> None:
        """Set an edge's runtime keys; an empty value takes one away."""
        path = envoy.modifying(request["keys"])
        for name in request["ids"]:
            if self._units[name].health not in {"dead", "paused"}:
                await ask(self._places[name], path, "POST")

    async def _runtime(self, request: Message) -> Message:
        """The runtime keys that are set in each edge; None where it does not answer."""
        found: dict[str, Any] = {}
        for name in request["ids"]:
            try:
                text = await ask(self._places[name], "/runtime?format=json")
                entries = json.loads(text)["entries"]
            except (OSError, TimeoutError, ValueError):
                found[name] = None
                continue
            found[name] = {k: e["final_value"] for k, e in entries.items() if e["final_value"]}
        return found

    async def _stop(self, _: Message) -> None:
        self._done.set()

    OPERATIONS: ClassVar[dict[str, Callable[[ControlApi, Message], Awaitable[Message | None]]]] = {
        "status": _status,
        "observe": _observe,
        "faults": _faults,
        "shown": _shown,
        "kill": _kill,
        "pause": _pause,
        "resume": _resume,
        "behave": _behave,
        "overlay": _overlay,
        "bare": _bare,
        "roll": _roll,
        "unroll": _unroll,
        "press": _press,
        "release": _release,
        "add rules": _add_rules,
        "remove rules": _remove_rules,
        "rules": _rules,
        "reach": _reach,
        "set runtime": _set_runtime,
        "runtime": _runtime,
        "stop": _stop,
    }
