"""The processes that an experiment's activities left: they end with the one that ran them."""

import contextlib
import ctypes
import os
import signal
from pathlib import Path

from harness.process import descendants
from harness.storage import is_held

VARIABLE = "HARNESS_CHAOS_CONTEXT"
"""Names the context of its run to every process that an experiment starts."""

OWNER = "HARNESS_CHAOS_RUN"
"""Names the directory that its run holds for as long as it lives to every such process."""

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of whatever detaches itself from what this process starts (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_started() -> None:
    """Kill everything that this process has started, and what that has, in whatever session."""
    for pid in list(descendants(os.getpid())):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def end_session(leader: int) -> None:
    """Kill every process of the session that this one, which may be gone, has begun."""
    for directory in Path("/proc").glob("[0-9]*"):
        pid = int(directory.name)
        with contextlib.suppress(OSError):
            if pid != os.getpid() and os.getsid(pid) == leader:
                os.kill(pid, signal.SIGKILL)


def end_orphans() -> tuple[int, ...]:
    """Kill what activities of runs that are gone have left anywhere; returns the ids.

    Their environment names what their run held. Processes of the harness heal and end by
    themselves.
    """
    ended = []
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            variables = (directory / "environ").read_bytes().split(b"\0")
            named = [each for each in variables if each.startswith(f"{OWNER}=".encode())]
            if not named or b"harness.chaos" in (directory / "cmdline").read_bytes():
                continue
            if is_held(Path(os.fsdecode(named[0].partition(b"=")[2]))):
                continue
            os.kill(int(directory.name), signal.SIGKILL)
            ended.append(int(directory.name))
    return tuple(ended)
