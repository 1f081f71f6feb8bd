"""The processes that an experiment's activities left: they end with the one that ran them."""

import contextlib
import os
import signal
from pathlib import Path

from harness.errors import RecordError
from harness.storage import is_held, read_object

VARIABLE = "HARNESS_CHAOS_CONTEXT"
"""Names the context of its run to every process that an experiment starts."""


def end_session(leader: int | None = None) -> None:
    """Kill every process of a session but this one.

    `leader` is the process that began the session, which may be gone; None: this process.
    """
    own = os.getpid()
    session = own if leader is None else leader
    for directory in Path("/proc").glob("[0-9]*"):
        pid = int(directory.name)
        with contextlib.suppress(OSError):
            if pid != own and os.getsid(pid) == session:
                os.kill(pid, signal.SIGKILL)


def end_orphans() -> tuple[int, ...]:
    """Kill what activities of runs that are gone have left anywhere; returns the ids.

    Their environment names the context of their run. Processes of the harness heal and end by
    themselves.
    """
    ended = []
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, RecordError, KeyError):
            variables = (directory / "environ").read_bytes().split(b"\0")
            named = [each for each in variables if each.startswith(f"{VARIABLE}=".encode())]
            if not named or b"harness.chaos" in (directory / "cmdline").read_bytes():
                continue
            context = Path(os.fsdecode(named[0].partition(b"=")[2]))
            if context.exists() and is_held(Path(read_object(context)["ledger"])):
                continue
            os.kill(int(directory.name), signal.SIGKILL)
            ended.append(int(directory.name))
    return tuple(ended)
