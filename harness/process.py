"""How the process of a command begins and ends: its streams, its signals, and a defect's report.

Only the standard library is imported: it must work where everything else cannot.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from harness import __version__
from harness.errors import DEFECT
from harness.units import one_line

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_GONE = frozenset({errno.EPIPE, errno.EIO})
"""What the kernel says of a pipe without a reader and of a terminal that was closed."""


PREFERRED = -10
"""The nice value of what is measured and of what measures: nine times an ordinary process's share
of a core (sched(7)), and yet not more than the kernel's own work."""


def prefer(leader: int) -> None:
    """Have the kernel run a session, by its first process, before the machine's other work.

    It needs CAP_SYS_NICE, which a process in a user namespace of its own lacks; without it nothing
    changes.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PGRP, leader, PREFERRED)
    with contextlib.suppress(OSError):  # sessions share the cores; nice counts within one only
        Path(f"/proc/{leader}/autogroup").write_text(str(PREFERRED), encoding="ascii")


def descendants(pid: int) -> Iterator[int]:
    """Every process that one has started, and what these have, the youngest first (Linux)."""
    for thread in sorted(Path(f"/proc/{pid}/task").glob("*")):
        yield from started_by(str(thread))


def started_by(task: str) -> Iterator[int]:
    """The same of one thread, `/proc/PID/task/ID`."""
    try:
        pids = Path(task, "children").read_text(encoding="ascii").split()
    except OSError:
        return
    for pid in map(int, pids):
        yield from descendants(pid)
        yield pid


def open_streams() -> None:
    """Make standard input, output and error usable whatever they were started with.

    A closed one becomes /dev/null: the next file to be opened, a record's for example, would get
    its number. Progress goes to standard error; when its reader or its terminal goes away, that is
    a hang-up: the command cleans up and ends as after Ctrl-C, and later progress is dropped.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    encoding = sys.stderr.encoding if sys.stderr is not None else "utf-8"
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(_Progress(2, "w", closefd=False)),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=True,
        write_through=True,
    )


class _Progress(io.FileIO):
    """Standard error that takes a lost reader for a hang-up."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as problem:
            if problem.errno not in _GONE:
                raise
        silence(self.fileno())
        signal.raise_signal(signal.SIGHUP)
        return len(memoryview(data))


def silence(descriptor: int) -> None:
    """Send what is still written there to /dev/null."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, descriptor)
        os.close(null)


def handle_signals() -> None:
    """SIGTERM and a hang-up clean up as Ctrl-C does; what is ignored, as by nohup, stays so.

    But not SIGINT, which shells without job control ignore in all that they start with `&`: who
    interrupts a script, or the command itself, wants its load and its faults to end.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    if signal.getsignal(signal.SIGINT) in {signal.default_int_handler, signal.SIG_IGN}:
        signal.signal(signal.SIGINT, _interrupt)


class _Interrupt(KeyboardInterrupt):
    """Ctrl-C, of a kind that Python takes for handled once it is.

    A bare KeyboardInterrupt out of an `exec`, as every dataclass is made with, ends the process
    by the signal instead of with our exit code, though it was caught.
    """


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise _Interrupt


def report_defect(error: BaseException) -> int:
    """Keep the traceback in a file, ask for a report in one line; returns the exit code."""
    said = one_line(f"{type(error).__name__}: {error}", most=300)
    where = _keep(error)
    remedy = f"please report it with the file {where}" if where else "please report it"
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"harness: this is a defect of the harness ({said}); {remedy}\n")
    return DEFECT


def _keep(error: BaseException) -> str | None:
    """A file with the traceback, the version and the platform; None where none can be written.

    No command line and no environment: they may hold secrets.
    """
    import traceback  # noqa: PLC0415 - for a defect only

    try:
        handle, name = tempfile.mkstemp(prefix="harness-defect-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            system = os.uname()
            file.write(
                f"codai-harness {__version__}, Python {sys.version},"
                f" {system.sysname} {system.release} {system.machine}\n\n"
            )
            file.writelines(traceback.format_exception(error))
    except (OSError, RecursionError, MemoryError):
        return None
    return name
