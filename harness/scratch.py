"""Directories for a run's own files: gone with it, or with the next command if it was killed."""

import atexit
import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from harness.errors import PlatformError

_STARTING_S = 60.0
"""Older than this, a directory that was never locked is one of a run that was killed."""


def private_root(base: str | None = None) -> Path:
    """The directory for this user's labs, or scratch directories, that nobody else can read.

    It is in `base`, by default that of the session. Raises PlatformError where it is a link or
    somebody else's.
    """
    base = base or os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    path = Path(base) / f"harness-{os.getuid()}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as problem:
        raise PlatformError(
            f"{path}: {problem.strerror}", "set XDG_RUNTIME_DIR to a directory of yours"
        ) from None
    if not stat.S_ISDIR(found.st_mode):  # a link leads into somebody else's directory
        raise PlatformError(f"{path} is no directory", "set XDG_RUNTIME_DIR")
    if found.st_uid != os.getuid():
        raise PlatformError(f"{path} belongs to another user", "set XDG_RUNTIME_DIR")
    if found.st_mode & 0o077:
        path.chmod(0o700)
    return path


@contextlib.contextmanager
def scratch(kind: str) -> Iterator[Path]:
    """A new empty directory, removed on leaving or by `sweep`; PlatformError for none."""
    name = f"{kind}-{os.urandom(6).hex()}"
    root = private_root(tempfile.gettempdir())  # that of the session is small: builds need room
    starting, path = root / f".scratch-{name}", root / f"scratch-{name}"
    try:
        starting.mkdir(mode=0o700)
        lock = os.open(starting, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        starting.rename(path)  # only what is locked has a name that others sweep
    except OSError as problem:
        raise PlatformError(
            f"{path}: cannot be made: {problem.strerror}", "free some space or set TMPDIR"
        ) from None
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


@cache
def process_scratch() -> Path:
    """A directory for as long as this process lives."""
    stack = ExitStack()
    path = stack.enter_context(scratch("process"))
    atexit.register(stack.close)
    return path


def sweep() -> None:
    """Remove the directories of processes that are gone; says nothing where that cannot be."""
    with contextlib.suppress(OSError, PlatformError):
        root = private_root(tempfile.gettempdir())
        for path in (*root.glob("scratch-*"), *root.glob(".scratch-*")):
            with contextlib.suppress(OSError):
                _sweep(path)


def _sweep(path: Path) -> None:
    if path.name.startswith(".") and time.time() - path.lstat().st_mtime < _STARTING_S:
        return
    lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(lock)
