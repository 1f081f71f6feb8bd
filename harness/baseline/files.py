"""Baseline files on disk: read, locked while they change, replaced in one step."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.baseline.document import RESTORE, render_baselines
from harness.baseline.model import Baseline
from harness.bounded import read_file
from harness.errors import BaselineError
from harness.record import write_atomic
from harness.storage import writing

LOCK_S = 60.0
"""How long a change waits for another: each takes milliseconds, so a longer one is stuck."""

_POLL_S = 0.02


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep every other process from changing the files of a directory.

    The kernel drops the lock with its holder, and no file is left. Raises BaselineError when
    another holds it for a minute, RecordError where the directory cannot be used.
    """
    with writing(directory):
        handle = os.open(directory, os.O_RDONLY)
    try:
        _wait(handle, directory)
        yield
    finally:
        os.close(handle)


def _wait(handle: int, directory: Path) -> None:
    until = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise BaselineError(
                    f"{directory}: another process has been changing it for {LOCK_S:.0f} s",
                    "find and end it: fuser -v " + str(directory),
                ) from None
            time.sleep(_POLL_S)
        except OSError as error:
            raise BaselineError(
                f"{directory}: cannot be locked: {error.strerror}", "keep baselines on a local disk"
            ) from None
        else:
            return


def read_text(path: Path) -> str:
    """The text of a file; raises BaselineError where there is none to read."""
    try:
        return read_file(path).decode("utf-8")
    except UnicodeDecodeError:
        raise BaselineError(f"{path}: not a baseline file (not UTF-8 text)", RESTORE) from None
    except OSError as error:
        raise BaselineError(
            f"{path}: cannot be read: {error.strerror}", "name a baseline file"
        ) from None


def write_groups(path: Path, groups: Iterable[Baseline]) -> None:
    """Replace the file in one step; without a run there is no file."""
    kept = [group for group in groups if group.runs]
    if kept:
        write_atomic(path, render_baselines(kept))
    else:
        with writing(path.parent):
            path.unlink(missing_ok=True)
