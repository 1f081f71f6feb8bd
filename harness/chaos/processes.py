"""The processes that an experiment's activities left: they end with the one that ran them."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


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
