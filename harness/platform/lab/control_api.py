"""What the supervisor is asked to do and to show, one coroutine per request of `messages`.

Everything that breaks has its counterpart that undoes, idempotent, and shows in `faults` or
`rules`.
"""

import asyncio
import json
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from functools import singledispatchmethod

from harness.platform import envoy
from harness.platform.lab import messages, packets
from harness.platform.lab.edge_admin import ask, edge_admins
from harness.platform.lab.packets import Rule
from harness.platform.lab.pressure import Pressure
from harness.platform.lab.rollout import Rollouts
from harness.platform.lab.topology import GLOBAL, Place
from harness.platform.lab.units import Unit, reached

REACH_S = 0.3
"""How long a connection attempt through a cut is waited for; unhindered it takes under 1 ms."""


class ControlApi:
    """Carries out requests on the units of a lab."""

    def __init__(
        self,
        plan: messages.LabPlan,
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

    async def handle(self, request: messages.AnyRequest) -> object:
        """Carry out one request; returns its answer."""
        answer = await self._handle(request)
        return messages.Done(ok=True) if answer is None else answer

    @singledispatchmethod
    async def _handle(self, request: messages.AnyRequest) -> object:
        raise NotImplementedError(request.op)

    def _named(self, ids: Sequence[str]) -> list[Unit]:
        return [self._units[each] for each in ids]

    # -- what there is -----------------------------------------------------------------------

    @_handle.register
    async def _status(self, _: messages.Status) -> messages.Units:
        return {"units": [unit.document() for unit in self._units.values()]}

    @_handle.register
    async def _observe(self, request: messages.Observe) -> messages.Observed:
        mine = [e for e in self._places.values() if e.service in {None, request.service}]
        health: dict[str, str] = {each.id: self._units[each.id].health for each in mine}
        asked = [
            self._edges[each.id].look(self._units[each.id].started_at)
            for each in mine
            if each.id in self._edges and health[each.id] not in {"dead", "paused"}
        ]
        for views in await asyncio.gather(*asked):
            health |= views
        edges = [each for each in mine if each.id in self._edges and each.region != GLOBAL]
        return {"health": health, "served": {e.region: self._edges[e.id].served for e in edges}}

    @_handle.register
    async def _faults(self, _: messages.Faults) -> messages.FaultStates:
        overlays: dict[str, list[str]] = {}
        for unit in self._units.values():
            for fault in unit.overlays:
                overlays.setdefault(fault, []).append(unit.id)
        rolls = {fault: each.document() for fault, each in self._rollouts.known.items()}
        return {"overlays": overlays, "rollouts": rolls, "burners": self._pressure.document()}

    @_handle.register
    async def _shown(self, request: messages.Shown) -> messages.BehaviourStates:
        units = self._named(request.ids)
        shown = await asyncio.gather(*(unit.shown() for unit in units))
        pairs = zip(units, shown, strict=True)
        return {"ids": {u.id: {"wanted": u.behaviour, "shown": s} for u, s in pairs}}

    # -- processes ---------------------------------------------------------------------------

    @_handle.register
    async def _kill(self, request: messages.Kill) -> None:
        for unit in self._named(request.ids):
            unit.held, unit.paused = request.hold, False
            unit.ready, unit.killed_at = False, time.monotonic()
            unit.kill()

    @_handle.register
    async def _pause(self, request: messages.Pause) -> None:
        for unit in self._named(request.ids):
            unit.signal(signal.SIGSTOP)
            unit.paused, unit.ready = unit.process is not None, False

    @_handle.register
    async def _resume(self, request: messages.Resume) -> None:
        for unit in self._named(request.ids):
            if unit.paused:
                self._came_back(unit)
            unit.held, unit.paused, unit.killed_at = False, False, None
            unit.release.set()
            unit.signal(signal.SIGCONT)

    # -- behaviour ---------------------------------------------------------------------------

    @_handle.register
    async def _behave(self, request: messages.Behave) -> None:
        for unit in self._named(request.ids):
            await unit.set(request.behaviour)

    @_handle.register
    async def _overlay(self, request: messages.Overlay) -> None:
        for unit in self._named(request.ids):
            unit.overlays[request.fault] = request.behaviour
            await unit.show()

    @_handle.register
    async def _bare(self, request: messages.Bare) -> None:
        for unit in self._named(request.ids):
            unit.overlays.pop(request.fault, None)
            await unit.show()

    @_handle.register
    async def _roll(self, request: messages.Roll) -> None:
        self._rollouts.roll(request.fault, request.ids, request.behaviour, request.grace_s)

    @_handle.register
    async def _unroll(self, request: messages.Unroll) -> None:
        await self._rollouts.back(request.fault, request.ids, request.grace_s)

    # -- neighbours --------------------------------------------------------------------------

    @_handle.register
    async def _press(self, request: messages.Press) -> None:
        cores = sorted({core for unit in self._named(request.ids) for core in unit.cpus})
        await self._pressure.press(
            request.fault, request.workers, request.megabytes, request.for_s, cores
        )

    @_handle.register
    async def _release(self, request: messages.Release) -> None:
        await self._pressure.release(request.fault)

    # -- packets -----------------------------------------------------------------------------

    @_handle.register
    async def _add_rules(self, request: messages.AddRules) -> None:
        await asyncio.to_thread(packets.add, [Rule(*each) for each in request.rules])

    @_handle.register
    async def _remove_rules(self, request: messages.RemoveRules) -> None:
        await asyncio.to_thread(packets.remove, [Rule(*each) for each in request.rules])

    @_handle.register
    async def _rules(self, _: messages.ReadRules) -> messages.Rules:
        found = await asyncio.to_thread(packets.present)
        return {"rules": [(astuple(rule), count) for rule, count in found.items()]}

    @_handle.register
    async def _reach(self, request: messages.Reach) -> messages.Reached:
        async def attempt(source: str | None, host: str, port: int) -> bool:
            try:
                return await reached(host, port, REACH_S, source)
            except OSError:
                return False

        return {"reached": await asyncio.gather(*(attempt(*each) for each in request.ways))}

    # -- edges -------------------------------------------------------------------------------

    @_handle.register
    async def _set_runtime(self, request: messages.SetRuntime) -> None:
        path = envoy.modifying(request.keys)
        for name in request.ids:
            if self._units[name].health not in {"dead", "paused"}:
                await ask(self._places[name], path, "POST")

    @_handle.register
    async def _runtime(self, request: messages.Runtime) -> messages.RuntimeKeys:
        found: messages.RuntimeKeys = {}
        for name in request.ids:
            try:
                text = await ask(self._places[name], "/runtime?format=json")
                entries = json.loads(text)["entries"]
            except (OSError, ValueError):
                found[name] = None
                continue
            found[name] = {k: e["final_value"] for k, e in entries.items() if e["final_value"]}
        return found

    @_handle.register
    async def _stop(self, _: messages.Stop) -> None:
        self._done.set()
