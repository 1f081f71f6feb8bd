"""The platform's own view while an experiment runs: health changes, requests served, proofs.

A fault that was undone is looked for until the end: an undo may report success too early.
"""

import time
from collections.abc import Mapping

from harness.catalog.model import Service
from harness.chaos.ledger import Ledger
from harness.chaos.subprocesses import Inbox
from harness.chaos.undo import proof_event
from harness.errors import HarnessError
from harness.events import Health, HealthFirst, Proof, Served
from harness.periodic import Periodic
from harness.platform.model import Platform
from harness.platform.model import Proof as ProofShown
from harness.platform.undo import UndoRecord

PERIOD_S = 0.2
EVERY = 5
"""Counters and proofs once a second."""


class Observer(Periodic):
    """A thread that asks the platform and the ledger; a context manager."""

    def __init__(self, platform: Platform, service: Service, ledger: Ledger, inbox: Inbox) -> None:
        super().__init__(self._observe, PERIOD_S, 10 * PERIOD_S)
        self._platform = platform
        self._service = service
        self._ledger = ledger
        self._inbox = inbox
        self._turn = 0
        self._health: Mapping[str, str] | None = None
        self._seen: dict[str, UndoRecord] = {}

    @property
    def seen(self) -> tuple[UndoRecord, ...]:
        """Every fault that was in effect at one of its looks, the newest last."""
        return tuple(self._seen.values())

    def _observe(self) -> None:
        try:
            self._look(counters=self._turn % EVERY == 0)
            if self._turn % EVERY == EVERY // 2:
                self._prove()
        except HarnessError as error:
            self._tell(
                {"type": "health", "id": "platform", "was": None, "now": f"unknown: {error}"}
            )
        self._turn += 1

    def _look(self, *, counters: bool) -> None:
        seen = self._platform.observe(self._service)
        before = self._health
        if before is None:
            self._tell({"type": "health_first", "health": dict(seen.health)})
        else:
            for name in sorted({*before, *seen.health}):
                was, now = before.get(name), seen.health.get(name)
                if was != now:
                    self._tell({"type": "health", "id": name, "was": was, "now": now})
        self._health = seen.health
        if counters and seen.served is not None:
            self._tell({"type": "served", "regions": dict(seen.served)})

    def _prove(self) -> None:
        """Ask for the proof of each fault that should be in effect, on all that it is for.

        While none is, ask for those that were undone: one that holds may look like them.
        """
        holding = [e.heal for e in self._ledger.entries() if e.state == "injected"]
        self._seen |= {heal.fault_id: heal for heal in holding}
        for heal in holding or self.seen:
            wall_ns, monotonic_ns = time.time_ns(), time.monotonic_ns()
            event = self._met(heal) if holding else proof_event(heal, self._platform.verify(heal))
            if not holding and self._ledger.entries():
                return
            event["wall_ns"], event["monotonic_ns"] = wall_ns, monotonic_ns
            self._inbox.put(event)

    def _met(self, heal: UndoRecord) -> Proof:
        """The proof of a fault that holds; what came in place of a target may not meet it."""
        unmet = self._platform.replaced(self._service, heal)
        if unmet is None:
            return proof_event(heal, self._platform.verify(heal))
        found = ProofShown(in_effect=False, statement=unmet)
        return {**proof_event(heal, found), "replaced": True}

    def _tell(self, event: Health | HealthFirst | Served) -> None:
        event["wall_ns"], event["monotonic_ns"] = time.time_ns(), time.monotonic_ns()
        self._inbox.put(event)
