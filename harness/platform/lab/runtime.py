"""A lab's life from outside: its directory, its start, its end and the proof of its end."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from harness.bounded import wait_until
from harness.errors import Gone, PlatformError
from harness.platform.lab import namespace
from harness.platform.lab.control import request, supervisor_pid
from harness.platform.lab.messages import LabPlan, Stop
from harness.platform.lab.own import containers
from harness.platform.program import last_lines
from harness.process import prefer
from harness.scratch import private_root
from harness.typed import problem_of

STOP_TIMEOUT_S = 10.0
START_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Running:
    """A lab that runs: its directory, its supervisor's pid and network namespace."""

    runtime: Path
    pid: int | None
    network: str | None
    process: subprocess.Popen[bytes] | None = None

    @property
    def plan(self) -> LabPlan:
        """What the lab was started with; raises PlatformError where it is damaged."""
        path = self.runtime / "plan.json"
        plan = json.loads(path.read_text(encoding="utf-8"))
        if problem := problem_of(plan, LabPlan):
            raise PlatformError(f"{path}: {problem}", "end the lab: harness lab down")
        return cast("LabPlan", plan)


def new_runtime() -> Path:
    """An empty directory for one more lab; those of dead ones are removed on the way."""
    running()
    path = private_root() / f"lab-{secrets.token_hex(4)}"
    (path / "logs").mkdir(parents=True, mode=0o700)
    return path


def start(runtime: Path, plan: LabPlan, enter: Sequence[str]) -> Running:
    """Start the supervisor and wait until it answers.

    It ends with this process unless the plan gives it a time to live of its own (`ttl_s`).
    """
    (runtime / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    with (runtime / "logs" / "supervisor.log").open("wb") as log:
        process = subprocess.Popen(
            [*enter, sys.executable, "-m", "harness.platform.lab.supervisor", str(runtime)],
            stdin=subprocess.DEVNULL if plan["ttl_s"] else subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    prefer(process.pid)
    try:
        if not wait_until(lambda: process.poll() is not None or _answers(runtime), START_TIMEOUT_S):
            process.kill()
        pid = supervisor_pid(runtime)
    except BaseException as problem:  # Ctrl-C as well: it may have a time to live of its own
        reason = last_line(runtime / "logs" / "supervisor.log")
        process.kill()
        process.wait()
        shutil.rmtree(runtime, ignore_errors=True)
        if not isinstance(problem, Gone):
            raise
        raise PlatformError(f"the lab did not start ({reason})", "see the reason") from None
    return Running(runtime, pid, namespace.network_of(pid) if pid else None, process)


def _answers(runtime: Path) -> bool:
    with contextlib.suppress(Gone):
        supervisor_pid(runtime)
        return True
    return False


def stop(lab: Running) -> None:
    """End a lab with all of it; idempotent. PlatformError names what would not go."""
    marks = _containers_of(lab)
    with contextlib.suppress(PlatformError):
        request(lab.runtime, Stop())
    if lab.process is not None:
        if lab.process.stdin is not None:
            lab.process.stdin.close()
        try:
            lab.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            lab.process.kill()
            lab.process.wait()
    # A stopped or stuck supervisor that was asked to end does not.
    elif lab.pid is not None and not wait_until(lambda: not remains(lab), STOP_TIMEOUT_S / 2):
        with contextlib.suppress(ProcessLookupError):
            os.kill(lab.pid, signal.SIGKILL)
    wait_until(lambda: not remains(lab), STOP_TIMEOUT_S)
    left = remains(lab)
    if marks and not wait_until(lambda: not containers(marks), STOP_TIMEOUT_S):
        left += containers(marks)
    shutil.rmtree(lab.runtime, ignore_errors=True)
    if left:
        raise PlatformError(f"lab: still there: {', '.join(left)}", "end them by hand")


def _containers_of(lab: Running) -> frozenset[str]:
    """The marks of replicas that are containers."""
    with contextlib.suppress(OSError, ValueError, PlatformError):
        starts = (unit["start"] for unit in lab.plan["units"])
        return frozenset(start["mark"] for start in starts if start and start.get("container"))
    return frozenset()


def remains(lab: Running) -> tuple[str, ...]:
    """What is left of a lab, by looking at the processes and not at what was recorded."""
    left = []
    if lab.network is not None and lab.network != namespace.network_of(os.getpid()):
        left += [f"process {pid} in {lab.network}" for pid in namespace.members(lab.network)]
    elif lab.pid is not None and _alive(lab.pid):
        left.append(f"process {lab.pid}")
    return tuple(left)


def running() -> tuple[Running, ...]:
    """Every lab of this user that answers; directories of dead ones are removed."""
    found = []
    for path in sorted(private_root().glob("lab-*")):
        try:
            found.append(find(path))
        except Gone:
            if time.time() - path.stat().st_mtime > 2 * START_TIMEOUT_S:
                shutil.rmtree(path, ignore_errors=True)
    return tuple(found)


def find(path: Path) -> Running:
    """The lab of this directory; raises Gone where it has ended."""
    pid = supervisor_pid(path)
    return Running(path, pid, namespace.network_of(pid) if pid else None)


def last_line(log: Path) -> str:
    """The last words of a log, for an error message."""
    return next(iter(last_lines(log)), "it said nothing")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
