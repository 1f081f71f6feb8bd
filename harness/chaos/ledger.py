"""The faults that may be in effect, on disk before they are: what a killed harness leaves to undo.

One file per fault, written and fsynced before the act, removed after a heal that was proven. Each
run holds a lock beside its faults for as long as its process lives; the kernel drops it however
that process ends, so an entry without a held lock is an orphan.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from harness.errors import RecordError
from harness.platform.undo import UndoRecord, undo_record
from harness.storage import is_held, make_private, read_object, write_json, writing

SCHEMA = 2
READABLE = (1, 2)
"""Of the first schema, an undo record kept everything among the fault's arguments."""
_REMEDY = "run `harness reap`, then remove the file by hand"


def state_directory() -> Path:
    """What is kept of this user's runs, whatever directory they were started from."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "codai-harness"


def ledger_directory() -> Path:
    """Where this user's ledgers are."""
    return state_directory() / "ledger"


@dataclass(frozen=True, slots=True)
class Entry:
    """One fault: its heal, the platform's handle, who made it and how far it came."""

    fault_id: str
    state: Literal["intent", "injected"]
    heal: UndoRecord
    handle: Mapping[str, object]
    pid: int
    wall_ns: int


class Ledger:
    """The faults of one run, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Ledger]:
        """A new ledger, locked for as long as this process lives; an empty one is removed."""
        run = f"{int(time.time())}-{secrets.token_hex(4)}"
        directory = ledger_directory() / run
        with writing(directory.parent):
            make_private(directory)
        lock = os.open(directory, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            yield cls(directory)
        finally:
            cls(directory).close()
            os.close(lock)

    def close(self) -> None:
        """Remove the directory if no fault is left in it."""
        try:
            self.directory.rmdir()
        except OSError:
            return

    @property
    def orphaned(self) -> bool:
        """Whether the run that owned it is gone."""
        return not is_held(self.directory)

    def intend(self, heal: UndoRecord, handle: Mapping[str, object]) -> Entry:
        """Write that a fault is about to be injected; returns when it is on the disk."""
        entry = Entry(heal.fault_id, "intent", heal, handle, os.getpid(), time.time_ns())
        self._write(entry)
        return entry

    def injected(self, entry: Entry) -> None:
        """Write that the injection came back."""
        self._write(replace(entry, state="injected"))

    def forget(self, fault_id: str) -> None:
        """Remove a fault whose heal was proven; idempotent."""
        with writing(self.directory):
            self._path(fault_id).unlink(missing_ok=True)

    def entries(self) -> tuple[Entry, ...]:
        """Every fault that may be in effect, the newest first. Raises RecordError."""
        found, problems = self.read()
        if problems:
            raise problems[0]
        return found

    def read(self) -> tuple[tuple[Entry, ...], tuple[RecordError, ...]]:
        """The entries as above, and what is wrong with each file that is none."""
        found: list[Entry] = []
        problems: list[RecordError] = []
        for path in sorted(self.directory.glob("*.json")):
            try:
                entry = _entry(path)
            except RecordError as problem:
                problems.append(problem)
                continue
            if entry is not None:
                found.append(entry)
        found.sort(key=lambda entry: entry.wall_ns, reverse=True)
        return tuple(found), tuple(problems)

    def _write(self, entry: Entry) -> None:
        with writing(self.directory):  # who undid the intent may have taken the directory along
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_json(self._path(entry.fault_id), {"schema": SCHEMA, **asdict(entry)})

    def _path(self, fault_id: str) -> Path:
        return self.directory / f"{fault_id}.json"


def all_ledgers() -> tuple[Ledger, ...]:
    """Those of every run, alive or gone."""
    return tuple(Ledger(path) for path in sorted(ledger_directory().glob("*")) if path.is_dir())


def orphans() -> tuple[Ledger, ...]:
    """The ledgers of runs that are gone; empty ones are removed on the way."""
    found = []
    for ledger in all_ledgers():
        if ledger.orphaned:
            ledger.close()
            if ledger.directory.is_dir():
                found.append(ledger)
    return tuple(found)


def _entry(path: Path) -> Entry | None:
    """The entry of a file; None when another process has just undone and removed it."""
    try:
        stored = read_object(path)
    except RecordError:
        if not path.exists():
            return None
        raise
    if stored.get("schema") not in READABLE:
        raise RecordError(f"{path}: schema {stored.get('schema')!r} is not known here", _REMEDY)
    try:
        return Entry(
            fault_id=stored["fault_id"],
            state=stored["state"],
            heal=undo_record(stored["heal"]),
            handle=stored["handle"],
            pid=stored["pid"],
            wall_ns=stored["wall_ns"],
        )
    except (KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()
        raise RecordError(
            f"{path}: not an entry of the ledger ({' '.join(reason[:3])})", _REMEDY
        ) from None
