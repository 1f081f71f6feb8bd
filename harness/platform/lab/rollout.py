"""Restarting replicas one after the other, as a Deployment rolls: drain, restart, wait until ready.

A rollout that stops half-way (its replica never becomes ready) stays there, as a real one does.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.platform.lab.messages import RolloutState, Settings
from harness.platform.lab.units import Unit

_DRAIN = "drain"
_POLL_S = 0.03


@dataclass(slots=True)
class Rollout:
    """One fault's rollout: who is to be restarted, who has been."""

    ids: list[str]
    overlay: Settings | None
    back: bool = False
    done: list[str] = field(default_factory=list)
    restarting: tuple[Unit, float] | None = None
    task: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> bool:
        """Whether it still goes on."""
        return self.task is not None and not self.task.done()

    def document(self) -> RolloutState:
        """Its part of the answer to `faults`."""
        return {"ids": self.ids, "done": self.done, "under_way": self.under_way, "back": self.back}


class Rollouts:
    """The rollouts of a lab by their fault's id."""

    def __init__(self, units: Mapping[str, Unit]) -> None:
        self._units = units
        self.known: dict[str, Rollout] = {}

    def roll(
        self, fault: str, ids: Sequence[str], overlay: Settings | None, grace_s: float
    ) -> None:
        """Begin to restart units one by one, each with the overlay from then on."""
        rollout = Rollout(list(ids), overlay)
        self.known[fault] = rollout
        rollout.task = asyncio.create_task(self._run(fault, rollout, grace_s))

    async def back(self, fault: str, ids: Sequence[str], grace_s: float) -> None:
        """Stop the rollout and, where it changed behaviours, roll them back; idempotent."""
        rollout = self.known.get(fault)
        if rollout is not None and rollout.back and rollout.under_way:
            return
        if rollout is not None and rollout.task is not None:
            rollout.task.cancel()
        if rollout is not None and rollout.restarting is not None:
            unit, before = rollout.restarting
            while unit.started_at == before:  # noqa: ASYNC110 - it was killed: it starts at once
                await asyncio.sleep(_POLL_S)
        for name in ids:
            if self._units[name].overlays.pop(_DRAIN, None) is not None:
                await self._units[name].show()
        changed = [name for name in ids if fault in self._units[name].overlays]
        again = Rollout(changed, None, back=True)
        again.task = asyncio.create_task(self._run(fault, again, grace_s))
        self.known[fault] = again

    async def _run(self, fault: str, rollout: Rollout, grace_s: float) -> None:
        for number, name in enumerate(rollout.ids):
            if number:  # until the edges have found the one before again: minReadySeconds
                await asyncio.sleep(grace_s)
            unit = self._units[name]
            if unit.ready:
                unit.overlays[_DRAIN] = {"ready": False}
                await unit.show()
                await asyncio.sleep(grace_s)
            unit.overlays.pop(_DRAIN, None)
            if rollout.overlay is not None:
                unit.overlays[fault] = rollout.overlay
            else:
                unit.overlays.pop(fault, None)
            before = unit.started_at
            rollout.restarting = unit, before
            unit.at_once, unit.paused, unit.ready = True, False, False
            await unit.end()
            while unit.started_at == before or not unit.ready:  # noqa: ASYNC110 - readiness is probed
                await asyncio.sleep(_POLL_S)
            rollout.restarting = None
            rollout.done.append(name)
