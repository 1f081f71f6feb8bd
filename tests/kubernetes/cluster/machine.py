"""A computer made of namespaces: own network, processes, mounts, name; one cgroup names it.

It holds the programs it was given, restarts the one that ends, and is gone as a whole with its
first process: the kernel ends what runs in its process namespace and drops its mounts and links.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from tests.kubernetes.cluster import cgroups
from tests.kubernetes.cluster.errors import ClusterError

INIT = Path(__file__).parent / "init.sh"
STEP_LIMIT_S = 30.0
UNSHARE = ("unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child")


def run(
    command: Sequence[str], stdin: str | bytes | None = None, limit_s: float = STEP_LIMIT_S
) -> subprocess.CompletedProcess[str]:
    """A command's outcome within `limit_s`; raises `ClusterError` when it does not end."""
    text = stdin.decode() if isinstance(stdin, bytes) else stdin
    try:
        return subprocess.run(
            list(command), input=text, capture_output=True, text=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{shlex.join(command)[:200]}: no end within {limit_s:.0f} s") from None


def must(command: Sequence[str], stdin: str | None = None, limit_s: float = STEP_LIMIT_S) -> str:
    """A command's output; raises `ClusterError` when it fails."""
    done = run(command, stdin, limit_s)
    if done.returncode:
        raise ClusterError(f"{shlex.join(command)[:200]}: {done.stderr.strip()[-1500:]}")
    return done.stdout


def wait_until(what: str, holds: Callable[[], bool], limit_s: float, every_s: float = 0.05) -> None:
    """Wait for a condition; raises `ClusterError`, naming it, after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > deadline:
            raise ClusterError(f"{what}: not within {limit_s:.0f} s")
        time.sleep(every_s)


class Machine:
    """One machine of the cluster `prefix`; its files are in `directory`, its logs in `log/`.

    `pid` is its first process, as the host counts, and names its namespaces.
    """

    def __init__(self, prefix: str, name: str, directory: Path) -> None:
        self.prefix = prefix
        self.name = name
        self.directory = directory
        self.cgroup = f"{prefix}/{name}"
        self.pid = 0
        self._holder: subprocess.Popen[bytes] | None = None

    def unit(self, name: str, command: Sequence[str], *, after: str | None = None) -> None:
        """Add a program that the machine keeps running, once the shell test `after` holds."""
        lines = ["#!/bin/sh"]
        if after:
            lines.append(f"until {after}; do sleep 0.05; done")
        lines.append(f"exec {shlex.join(command)}")
        file = self.directory / "units" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines) + "\n")
        file.chmod(0o755)

    def boot(self) -> None:
        """Make the namespaces; the programs wait for `start`.

        They end with the thread that calls this, however it ends.
        """
        for part in ("log", "units", "var/lib", "var/log"):
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        groups = cgroups.create(f"{self.cgroup}/system")
        joins = [f"echo $$ >{shlex.quote(str(group))}/cgroup.procs" for group in groups]
        enter = [*UNSHARE, "--mount-proc", "--propagation", "private", "bash", str(INIT)]
        tied = ["exec", "setpriv", "--pdeathsig", "KILL"]
        script = "; ".join([*joins, shlex.join([*tied, *enter, self.name, str(self.directory)])])
        with (self.directory / "log" / "init.log").open("wb") as log:
            self._holder = subprocess.Popen(
                ["sh", "-c", script],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={"PATH": os.environ["PATH"], "HOME": "/root"},
            )
        wait_until(f"{self.name}: first process", self._find_first, 10, 0.01)

    def _find_first(self) -> bool:
        assert self._holder is not None
        if self._holder.poll() is not None:
            why = (self.directory / "log" / "init.log").read_text().strip()
            raise ClusterError(f"{self.name}: cannot make its namespaces: {why[-500:]}")
        holder = self._holder.pid
        with suppress(OSError):
            for word in Path(f"/proc/{holder}/task/{holder}/children").read_text().split():
                if f"\0{INIT}\0".encode() in Path(f"/proc/{word}/cmdline").read_bytes():
                    self.pid = int(word)
        return self.pid > 0

    def start(self) -> None:
        """Start the programs: the machine's network is there."""
        assert self._holder is not None
        stdin: IO[bytes] | None = self._holder.stdin
        assert stdin is not None
        stdin.write(b"up\n")
        stdin.close()

    def entry(self, command: Sequence[str]) -> list[str]:
        """`command`, run inside of the machine's namespaces."""
        spaces = ("--net", "--mount", "--pid", "--uts", "--ipc")
        return ["nsenter", "--target", str(self.pid), *spaces, "--", *command]

    def run(
        self, *command: str, stdin: str | None = None, limit_s: float = STEP_LIMIT_S
    ) -> subprocess.CompletedProcess[str]:
        """A command's outcome inside of the machine."""
        return run(self.entry(command), stdin, limit_s)

    def must(self, *command: str, stdin: str | None = None, limit_s: float = STEP_LIMIT_S) -> str:
        """A command's output inside of the machine; raises `ClusterError` when it fails."""
        return must(self.entry(command), stdin, limit_s)

    def network(self, lines: Sequence[str]) -> None:
        """Apply `ip` commands, one per line, in the machine's network namespace."""
        command = ["nsenter", "--target", str(self.pid), "--net", "ip", "-batch", "-"]
        must(command, "\n".join(lines) + "\n")

    def sysctl(self, values: Mapping[str, str]) -> None:
        """Set parameters of the machine's network namespace, by their path below `net`."""
        for path, value in values.items():
            self.must("sh", "-c", f"echo {value} >/proc/sys/net/{path}")

    def log(self, unit: str) -> str:
        """What a program has written so far."""
        file = self.directory / "log" / f"{unit}.log"
        return file.read_text(errors="replace") if file.exists() else ""


def write_json(path: Path, value: object) -> Path:
    """A configuration file (JSON is YAML, so the programs read it); its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1))
    return path
