"""Bounds on what is read from elsewhere: so many bytes, so many seconds in all."""

import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

MOST_BYTES = 512 << 20
"""Of one file: a run of a day keeps less."""

T = TypeVar("T")


def read_file(path: Path, most: int = MOST_BYTES) -> bytes:
    """All of a regular file. Raises OSError, with its words, for any other and for a larger one."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO is not waited for
    with os.fdopen(handle, "rb") as stream:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise IsADirectoryError(21, "Is a directory", str(path))
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(22, "not a regular file", str(path))
        content = stream.read(most + 1)
    if len(content) > most:
        raise OSError(27, f"larger than {most >> 20} MiB", str(path))
    return content


def wait_until(holds: Callable[[], bool], within_s: float, poll_s: float = 0.02) -> bool:
    """Whether it came to hold in time."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll_s)
    return True


def within(limit_s: float, call: Callable[[], T]) -> T:
    """What a call gives or raises; TimeoutError where that takes longer.

    A library's own limit counts from byte to byte. The call goes on in a thread that ends with
    this process at the latest.
    """
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(call())
        except BaseException as problem:  # noqa: BLE001 - raised where it is waited for
            failed.append(problem)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(limit_s)
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError
    return found[0]
