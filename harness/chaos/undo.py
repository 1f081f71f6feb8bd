"""Undoing faults from the ledger, and proving by looking that nothing remains."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from harness.chaos.ledger import Entry, Ledger, orphans
from harness.errors import Gone, HarnessError
from harness.platform import attach
from harness.platform.model import Platform, Proof

PROOF_S = 10.0
"""How long after a heal its proof may take: a released process must be seen running again."""


class Tell(Protocol):
    """Hears of what is done, in the words of the record's events."""

    def __call__(self, kind: str, /, **fields: Any) -> None:
        """One event."""
        ...


@dataclass(frozen=True, slots=True)
class Undone:
    """What became of one fault: `problem` None when it was healed and the proof seen."""

    entry: Entry
    proof: Proof | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Reaped:
    """What `reap` did and what is there all the same."""

    undone: tuple[Undone, ...]
    leftovers: tuple[str, ...]
    unreadable: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing remains."""
        failed = any(each.problem for each in self.undone)
        return not failed and not self.leftovers and not self.unreadable


def _silent(kind: str, /, **_: Any) -> None:
    """Tell nobody."""


def undo(platform: Platform, ledger: Ledger, entry: Entry, tell: Tell = _silent) -> Undone:
    """Heal one fault, wait for the proof, and forget it when it is proven; never raises.

    `tell(kind, **fields)` hears of it in the words of the record's events.
    """
    told = {"fault_id": entry.fault_id, "kind": entry.heal.kind}
    tell("chaos", what="heal", **told)
    try:
        platform.heal(entry.heal)
        proof = _proof(platform, entry)
    except Exception as error:  # noqa: BLE001 - every other fault must still be undone
        tell("chaos", what="heal_failed", detail=str(error), **told)
        return Undone(entry, None, str(error) or type(error).__name__)
    tell("proof", fault_id=entry.fault_id, in_effect=proof.in_effect, statement=proof.statement)
    if proof.in_effect:
        tell("chaos", what="heal_failed", detail=proof.statement, **told)
        return Undone(entry, proof, f"healed, but still in effect: {proof.statement}")
    ledger.forget(entry.fault_id)
    tell("chaos", what="healed", **told)
    return Undone(entry, proof, None)


def undo_all(
    platform: Platform, ledger: Ledger, tell: Tell = _silent, *, intents: bool = True
) -> tuple[Undone, ...]:
    """Undo every fault of a ledger, the newest first.

    `intents` False leaves those that another process may be about to inject: an intent undone
    before its act would leave the act unknown. They are undone when that process has ended.
    """
    found = [each for each in ledger.entries() if intents or each.state == "injected"]
    return tuple(undo(platform, ledger, entry, tell) for entry in found)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back until what is inside has ended, then let them through.

    Raises KeyboardInterrupt on leaving when one of them came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


def reap(platforms: Sequence[Platform]) -> Reaped:
    """Undo what killed harnesses left, then ask each platform what it still sees of any fault.

    A fault whose lab or cluster is gone has gone with it. Raises nothing for one fault's sake:
    what could not be undone stands in the result.
    """
    undone: list[Undone] = []
    unreadable: list[str] = []
    for ledger in orphans():
        try:
            entries = ledger.entries()
        except HarnessError as error:
            unreadable.append(str(error))
            continue
        for entry in entries:
            try:
                platform = attach(entry.handle)
            except Gone:
                ledger.forget(entry.fault_id)
                undone.append(Undone(entry, None, None))
                continue
            except HarnessError as error:
                undone.append(Undone(entry, None, str(error)))
                continue
            undone.append(undo(platform, ledger, entry))
        ledger.close()
    left = tuple(text for platform in platforms for text in platform.leftovers())
    return Reaped(tuple(undone), left, tuple(unreadable))


def _proof(platform: Platform, entry: Entry) -> Proof:
    deadline = time.monotonic() + PROOF_S
    while True:
        proof = platform.proof(entry.heal)
        if not proof.in_effect or time.monotonic() > deadline:
            return proof
        time.sleep(0.1)
