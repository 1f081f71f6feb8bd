"""Ending every experiment of this machine or of a namespace, and undoing what still holds."""

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from harness.bounded import wait_until
from harness.chaos.ledger import all_ledgers
from harness.chaos.running import Running, running
from harness.chaos.undo import Reaped, reap
from harness.platform.model import Platform
from harness.platform.names import traits_of
from harness.platform.undo import UndoRecord

END_S = 90.0
"""How long a run that was asked to end may take, which heals meanwhile, before it is killed."""

KILLED_S = 30.0
"""How long the children of a killed run may take: Chaos Toolkit's rollbacks are among them."""

POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Stopped:
    """A run that was ended; `killed`: it did not end by itself."""

    what: str
    killed: bool = False


@dataclass(frozen=True, slots=True)
class Halted:
    """What `halt` ended, the faults that these runs undid themselves, and what was undone then."""

    stopped: tuple[Stopped, ...]
    healed: tuple[UndoRecord, ...]
    reaped: Reaped


def halt(platform: Platform, who: str) -> Halted:
    """End what runs, wait for it, and undo what is left; nothing to end is no failure.

    On the lab these are all runs of this user on this machine, wherever they break things; on
    another platform those of any machine that hold it.
    """
    here = traits_of(platform.name).disposable
    before = _held(platform)
    stopped = _end(running(), who) if here else ()
    with platform.halt(who) as holder:
        if holder is not None:
            stopped = (*stopped, Stopped(holder))
        found = reap((platform,))
    later = {*_held(platform), *(each.heal.fault_id for each in found.undone)}
    healed = tuple(heal for name, heal in before.items() if name not in later)
    return Halted(stopped, healed, found)


def _held(platform: Platform) -> Mapping[str, UndoRecord]:
    """Every fault that may be in effect: by this user's ledgers, or by the platform itself."""
    if not traits_of(platform.name).disposable:
        return {heal.fault_id: heal for heal in platform.orphaned_heals()}
    entries = [entry for ledger in all_ledgers() for entry in ledger.read()[0]]
    return {entry.fault_id: entry.heal for entry in entries}


def _end(runs: Sequence[Running], who: str) -> tuple[Stopped, ...]:
    for each in runs:
        each.ask(who)
    return tuple(Stopped(each.what, killed=not _ended(each)) for each in runs)


def _ended(run: Running) -> bool:
    """Whether a run ends by itself; else it is killed, and its children end as when it crashes."""
    if wait_until(lambda: not run.alive, END_S, POLL_S):
        return True
    with suppress(ProcessLookupError):
        os.kill(run.pid, signal.SIGKILL)
    wait_until(lambda: not run.alive, KILLED_S, POLL_S)
    return False
