"""Undoing faults from the ledger, and proving by looking that nothing remains."""

import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from harness.chaos.ledger import Entry, Ledger, orphans
from harness.chaos.processes import end_orphans
from harness.errors import Gone, HarnessError
from harness.events import Chaos
from harness.events import Proof as ProofEvent
from harness.platform.model import FaultInjection, Platform, Proof
from harness.platform.registry import attach
from harness.platform.undo import UndoRecord

PROOF_S = 10.0
"""How long after a heal its proof may take: a released process must be seen running again."""


Tell = Callable[[Chaos | ProofEvent], None]
"""Hears of what is done."""


@dataclass(frozen=True, slots=True)
class Undone:
    """What became of one fault: `problem` None when it was healed and the proof seen."""

    heal: UndoRecord
    proof: Proof | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Reaped:
    """What `reap` did and what is there all the same; `ended` are processes it killed."""

    undone: tuple[Undone, ...]
    leftovers: tuple[str, ...]
    unreadable: tuple[str, ...] = ()
    ended: tuple[int, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing remains."""
        failed = any(each.problem for each in self.undone)
        return not failed and not self.leftovers and not self.unreadable


def _silent(_: Chaos | ProofEvent) -> None:
    """Tell nobody."""


def proof_event(heal: UndoRecord, proof: Proof) -> ProofEvent:
    """What the platform shows of a fault, as an event."""
    event: ProofEvent = {
        "type": "proof",
        "fault_id": heal.fault_id,
        "in_effect": proof.in_effect,
        "statement": proof.statement,
    }
    return event if proof.taken_s is None else {**event, "taken_s": proof.taken_s}


def undo(platform: FaultInjection, heal: UndoRecord, tell: Tell = _silent) -> Undone:
    """Undo one fault and wait for the proof; never raises."""
    event: Chaos = {"type": "chaos", "what": "heal", "fault_id": heal.fault_id, "kind": heal.kind}
    tell(event)
    try:
        platform.heal(heal)
        proof = _proof(platform, heal)
    except Exception as error:  # noqa: BLE001 - every other fault must still be undone
        tell({**event, "what": "heal_failed", "detail": str(error)})
        return Undone(heal, None, str(error) or type(error).__name__)
    tell(proof_event(heal, proof))
    if proof.in_effect:
        tell({**event, "what": "heal_failed", "detail": proof.statement})
        return Undone(heal, proof, f"healed, but still in effect: {proof.statement}")
    tell({**event, "what": "healed"})
    return Undone(heal, proof, None)


def undo_all(
    platform: FaultInjection, ledger: Ledger, tell: Tell = _silent, *, intents: bool = True
) -> tuple[Undone, ...]:
    """Undo every fault of a ledger, the newest first, and forget those that are proven undone.

    `intents` False leaves those that another process may be about to inject: an intent undone
    before its act would leave the act unknown. They are undone when that process has ended.
    Raises RecordError for a file that cannot be read, when all the others are undone.
    """
    entries, problems = ledger.read()
    found = [each for each in entries if intents or each.state == "injected"]
    undone = tuple(_forgotten(ledger, undo(platform, entry.heal, tell)) for entry in found)
    if problems:
        raise problems[0]
    return undone


def came_back(
    platform: Platform, ledger: Ledger, undone: Sequence[UndoRecord], tell: Tell = _silent
) -> bool:
    """Put what was undone and is in effect again on the ledger once more; whether anything was.

    Nothing is looked for while the ledger holds a fault: it may look like one before it.
    """
    if ledger.read()[0]:
        return False
    for heal in undone:
        with suppress(Exception):  # what cannot be asked must not keep the rest
            proof = platform.verify(heal)
            if proof.in_effect:
                tell(proof_event(heal, proof))
                ledger.injected(ledger.intend(heal, platform.handle()))
    return bool(ledger.read()[0])


def _forgotten(ledger: Ledger, done: Undone) -> Undone:
    """What was not proven gone must be found by the next reap."""
    if done.problem is None:
        ledger.forget(done.heal.fault_id)
    return done


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C, SIGTERM and SIGHUP back until what is inside has ended, then let them through.

    Raises KeyboardInterrupt on leaving when one of them came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


def reap(platforms: Sequence[Platform], named: Collection[str] = ()) -> Reaped:
    """Undo what killed harnesses left, then ask each platform what it still sees of any fault.

    First what this user's ledgers hold, wherever it is, then what each platform itself remembers;
    no other run may live on these platforms (`Platform.exclusive`). A fault whose lab or cluster
    is gone has gone with it. Records that no harness signed are carried out only where they are
    `named`. Raises nothing for one fault's sake: what could not be undone stands
    in the result.
    """
    undone: list[Undone] = []
    unreadable: list[str] = []
    for ledger in orphans():
        entries, problems = ledger.read()
        unreadable += map(str, problems)
        undone += [_forgotten(ledger, _undo_anywhere(entry)) for entry in entries]
        ledger.close()
    left: list[str] = []
    for platform in platforms:
        undone += [undo(platform, heal) for heal in platform.orphaned_heals(named)]
        left += platform.residual_faults()
    return Reaped(tuple(undone), tuple(left), tuple(unreadable), end_orphans())


def _undo_anywhere(entry: Entry) -> Undone:
    """Undo a fault where its own handle leads."""
    try:
        platform = attach(entry.handle)
    except Gone:
        return Undone(entry.heal, None, None)
    except HarnessError as error:
        return Undone(entry.heal, None, str(error))
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # a handle that is none
        return Undone(entry.heal, None, f"its handle is damaged: {type(error).__name__}: {error}")
    return undo(platform, entry.heal)


def _proof(platform: FaultInjection, heal: UndoRecord) -> Proof:
    deadline = time.monotonic() + PROOF_S
    while True:
        proof = platform.verify(heal)
        if not proof.in_effect or time.monotonic() > deadline:
            return proof
        time.sleep(0.1)
