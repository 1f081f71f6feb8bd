"""Keeps a run on disk while it happens."""

import dataclasses
import json
import os
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from harness.catalog.model import Service
from harness.errors import Interrupted
from harness.load.plan import LoadPlan
from harness.messages import LoadMessage, SliceLine
from harness.platform.model import LocalProcesses
from harness.record.environment import HostSampler
from harness.record.run import SCHEMA, RunRecord, State
from harness.redact import learn, redact
from harness.storage import (
    file_mode,
    hold,
    make_private,
    plain,
    sync_directory,
    write_json,
    writing,
)
from harness.units import NANOSECONDS

_FLUSH_EVERY_S = 1.0
_CLOCK_READINGS = 3
_JSON = json.JSONEncoder(separators=(",", ":"), default=plain)


class RunWriter:
    """Writes one run directory; use it as a context manager.

    Feed it every message of the load child with `message` and everything else that happens with
    `event`, then call `finish`. Leaving the block without it records how the run ended:
    `interrupted` for Ctrl-C, `failed` for any other exception. If this process is killed the
    state stays `running` and the lock on the directory is gone: readers call that `partial`.
    Every method raises RecordError when the disk does not take what it is given.
    """

    def __init__(
        self,
        directory: Path,
        meta: dict[str, object],
        lock: int,
        local: LocalProcesses | None = None,
    ) -> None:
        self.directory = directory
        self.run_id = str(meta["id"])
        self._meta = meta
        self._lock: int | None = lock
        self._host = HostSampler(local)
        self._start_monotonic_ns: int | None = None
        self._early: list[tuple[str, int, dict[str, object]]] = []
        self._flushed = time.monotonic()
        with writing(directory):
            self._slices = _append(directory / "slices.jsonl")
            self._events = _append(directory / "events.jsonl")
            sync_directory(directory)

    @classmethod
    def create(
        cls,
        root: Path,
        service: Service,
        plan: LoadPlan,
        environment: Mapping[str, object],
        *,
        command: tuple[str, ...] = (),
        labels: dict[str, str] | None = None,
        share: bool = False,
        local: LocalProcesses | None = None,
    ) -> Self:
        """Make `root/<service>/<run id>/` in state `running`, readable by others with `share`.

        `local`: the service's processes, where they run on this machine.
        """
        learn(list(command))
        now_ns = time.time_ns()
        stamp = datetime.fromtimestamp(now_ns / NANOSECONDS, UTC).strftime("%Y%m%dT%H%M%SZ")
        run_id = f"{stamp}-{secrets.token_hex(2)}"
        directory = Path(root) / service.name / run_id
        with writing(directory.parent):
            make_private(directory, share=share)
            sync_directory(directory.parent)
        meta = {
            "schema": SCHEMA,
            "id": run_id,
            "state": "running",
            "created_unix_ns": now_ns,
            "ended_unix_ns": None,
            "pid": os.getpid(),
            "command": redact(list(command)),
            "labels": redact(labels or {}),
            "seed": plan.profile.seed,
            "start": None,
            "totals": None,
            "conserved": None,
            "problem": None,
            "service": redact(dataclasses.asdict(service)),
            "plan": redact(dataclasses.asdict(plan)),
            "environment": redact(environment),
        }
        lock = hold(directory)
        write_json(directory / "run.json", meta)
        writer = cls(directory, meta, lock, local)
        for phase, begin, end in plan.profile.phases():
            writer.event("phase", phase=phase, begin=begin, end=end)
        return writer

    def message(self, message: LoadMessage) -> None:
        """Store one message of the load."""
        if message["type"] == "slice":
            self._slice(message)
            return
        fields = {key: value for key, value in message.items() if key != "type"}
        if message["type"] == "start":
            self._start_monotonic_ns = message["monotonic_ns"]
            self._update(start=redact(fields))
            self._keep_early()
        elif message["type"] == "end":
            self._update(totals=redact(message["totals"]), conserved=message["conserved"])
        elif message["type"] == "tick":
            host = self._host.sample() or {}
            fields = {"clock_ns": _clock_offset_ns(), **host, **fields}
        self.event(message["type"], **fields)

    def event(self, kind: str, /, **fields: object) -> None:
        """Append one event; `t` (seconds from the start) and `wall_ns` are added if missing."""
        self._append(kind, None, fields)

    def seen(self, kind: str, seen_ns: int, fields: Mapping[str, object]) -> None:
        """Append an event that was seen at `seen_ns` of this machine's monotonic clock.

        One that was seen before the start is known waits for it and gets a time below zero.
        """
        if self._start_monotonic_ns is None:
            self._early.append((kind, seen_ns, {"wall_ns": time.time_ns(), **fields}))
        else:
            self._append(kind, seen_ns, fields)

    def _append(self, kind: str, seen_ns: int | None, fields: Mapping[str, object]) -> None:
        now = {"t": self._time(seen_ns), "wall_ns": time.time_ns(), "type": kind}
        line = {**now, **redact(fields)}
        with writing(self.directory):
            self._events.write(_line(line))
            self._flush()

    def finish(self, state: State, *, problem: str | None = None) -> RunRecord:
        """Close the record in its final state and read it back.

        `problem` is the sentence that tells why a run failed.
        """
        self._close(state, problem=problem)
        return RunRecord.load(self.directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._lock is None:
            return
        if isinstance(error, (Interrupted, KeyboardInterrupt)):
            self._close("interrupted")
        elif error is not None:
            self._close("failed", problem=str(error) or type(error).__name__)
        else:
            self._close("failed", problem="the run ended without a word")

    def _slice(self, message: SliceLine) -> None:
        row = {"worker": message["worker"], "seq": message["seq"], **message["slice"]}
        row["endpoint"] = redact(row["endpoint"])  # a journey names what it asks for
        with writing(self.directory):
            self._slices.write(_line(row))
            self._flush()

    def _flush(self, *, now: bool = False) -> None:
        if now or time.monotonic() - self._flushed >= _FLUSH_EVERY_S:
            self._slices.flush()
            self._events.flush()
            self._flushed = time.monotonic()

    def _time(self, monotonic_ns: int | None) -> float | None:
        """Seconds from the start to then, or to now; None while the start is not known."""
        if self._start_monotonic_ns is None:
            return None
        then = time.monotonic_ns() if monotonic_ns is None else monotonic_ns
        return round((then - self._start_monotonic_ns) / NANOSECONDS, 6)

    def _keep_early(self) -> None:
        """Write what waited for the start; without one it has no time."""
        early, self._early = self._early, []
        for kind, seen_ns, fields in early:
            known = self._start_monotonic_ns is not None
            self._append(kind, seen_ns if known else None, fields)

    def _update(self, **fields: object) -> None:
        self._meta |= fields
        write_json(self.directory / "run.json", self._meta)

    def _close(self, state: State, *, problem: str | None = None) -> None:
        if self._lock is None:
            return
        self._keep_early()
        with writing(self.directory):
            try:
                for stream in (self._slices, self._events):
                    stream.flush()
                    os.fsync(stream.fileno())
            finally:
                self._slices.close()
                self._events.close()
        self._update(state=state, ended_unix_ns=time.time_ns(), problem=redact(problem))
        os.close(self._lock)
        self._lock = None


def _append(path: Path) -> TextIO:
    stream = path.open("a", encoding="utf-8", buffering=1 << 16)
    os.fchmod(stream.fileno(), file_mode(path.parent))
    return stream


def _line(value: object) -> str:
    return _JSON.encode(value) + "\n"


def _clock_offset_ns() -> int:
    """Wall minus monotonic clock; it moves only when one of them is set or the machine slept.

    The readings cannot be taken at one instant, so the tightest of a few counts.
    """
    best: tuple[int, int] | None = None
    for _ in range(_CLOCK_READINGS):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        if best is None or after - before < best[0]:
            best = (after - before, wall - (before + after) // 2)
    if best is None:
        raise AssertionError
    return best[1]
