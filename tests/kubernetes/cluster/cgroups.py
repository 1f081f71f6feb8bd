"""The cluster's cgroup: one directory per hierarchy, which names every process of the cluster.

Nothing else has to be remembered: whoever finds the directory can end all that runs in it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.kubernetes.cluster.errors import ClusterError

EMPTY_LIMIT_S = 20


def hierarchies() -> list[Path]:
    """The mount points of every cgroup hierarchy, of version 1 and 2."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, filesystem = line.partition(" - ")
        if filesystem.split()[0] in {"cgroup", "cgroup2"}:
            found.append(Path(fields.split()[4]))
    return found


def create(name: str) -> list[Path]:
    """Make the cgroup `name` (parents too) in every hierarchy; the directories to join."""
    made = []
    for root in hierarchies():
        directory = root
        for part in Path(name).parts:
            _delegate(directory)
            directory /= part
            directory.mkdir(exist_ok=True)
            for value in ("cpuset.cpus", "cpuset.mems"):
                mine, parents = directory / value, directory.parent / value
                if mine.exists() and parents.exists() and not mine.read_text().strip():
                    with suppress(OSError):  # version 2 takes over its parent's by itself
                        mine.write_text(parents.read_text())
        made.append(directory)
    return made


def _delegate(directory: Path) -> None:
    """Version 2: hand the controllers that there are on to the children."""
    control = directory / "cgroup.subtree_control"
    if not control.exists():
        return
    for controller in (directory / "cgroup.controllers").read_text().split():
        with suppress(OSError):  # the root of version 2 may keep one that version 1 holds
            control.write_text(f"+{controller}")


def directories(name: str) -> list[Path]:
    """The directories called `name`, in all hierarchies where there is one."""
    return [root / name for root in hierarchies() if (root / name).is_dir()]


def _files(name: str, called: str) -> Iterator[Path]:
    """The files `called` so in the cgroup `name` and below it, while cgroups come and go."""
    for top in directories(name):
        for directory, _, files in os.walk(top):
            if called in files:
                yield Path(directory) / called


def processes(name: str) -> set[int]:
    """The processes in the cgroup `name` and below it, in any hierarchy."""
    found: set[int] = set()
    for file in _files(name, "cgroup.procs"):
        with suppress(OSError):
            found.update(int(word) for word in file.read_text().split())
    return found - {0}


@contextmanager
def frozen(names: Iterable[str]) -> Iterator[None]:
    """Let every process of these cgroups stand still meanwhile, all from the same moment."""
    held = list(names)
    try:
        for name in held:
            _set_frozen(name, on=True)
        yield
    finally:
        for name in held:
            _set_frozen(name, on=False)


def _set_frozen(name: str, *, on: bool) -> None:
    words = {"freezer.state": "FROZEN" if on else "THAWED", "cgroup.freeze": "1" if on else "0"}
    for top in directories(name):
        for file, word in words.items():
            if (top / file).exists():  # else it is the other version's
                with suppress(FileNotFoundError, PermissionError):  # it has ended meanwhile
                    (top / file).write_text(word)


def _thaw(name: str) -> None:
    for called, word in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
        for file in _files(name, called):
            with suppress(OSError):
                file.write_text(word)


def destroy(name: str) -> None:
    """End every process of the cgroup `name` and remove it; also where some are frozen.

    Raises `ClusterError` when something is still there after `EMPTY_LIMIT_S`.
    """
    deadline = time.monotonic() + EMPTY_LIMIT_S
    while directories(name):
        _thaw(name)
        for pid in processes(name):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for top in directories(name):
            for directory, _, _ in os.walk(top, topdown=False):
                with suppress(OSError):  # busy until its last process has gone
                    Path(directory).rmdir()
        if time.monotonic() > deadline:
            left = ", ".join(map(str, directories(name)))
            raise ClusterError(f"still there after {EMPTY_LIMIT_S} s: {left}")
        time.sleep(0.02)
