"""A program under test on this machine: started on a free port, stopped with all it started."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import psutil

from harness.errors import PlatformError
from harness.git import elsewhere
from harness.redact import redact
from harness.storage import make_directory, writing

HOSTS = ("127.0.0.1", "::1")
"""Where a program that listens on `localhost` may be found."""

MARK = "HARNESS_PROGRAM"
"""Variable by which a process that left the group, as a daemon does, is known as the program's."""

POLL_S = 0.05
PROBE_S = 2.0
"""Of one question whether it is ready; a slower answer is none."""

READY = range(200, 400)
"""HTTP statuses that a kubelet takes for ready too."""

KILL_S = 5.0
"""How long killed processes are waited for: only the kernel can hold them."""

LAST_LINE = 200
LOG_END = 16_384
"""Bytes of a log in which its last lines are looked for."""


SECRETS = frozenset({"HARNESS_PROMETHEUS_TOKEN"})
"""Variables that a program under test has no business with."""


@dataclass(frozen=True, slots=True)
class Program:
    """How a program is started: `command` by the shell, in `directory`.

    It has to listen on the port in its variable `port_variable` and to answer `ready_path` with
    a status of 200 to 399 within `ready_s` seconds; after SIGTERM it has `stop_s` seconds.
    """

    command: str
    directory: Path
    port_variable: str = "PORT"
    ready_path: str = "/health"
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_s: float = 60.0
    stop_s: float = 10.0


class Running:
    """A started program; `url` is where it answers."""

    def __init__(self, program: Program, port: int, log: Path, process: subprocess.Popen[bytes],
                 mark: str) -> None:  # fmt: skip
        self.program = program
        self.port = port
        self.log = log
        self._process = process
        self._mark = mark
        self.url = ""

    @property
    def pid(self) -> int:
        """Of the shell or what it became, which leads the process group."""
        return self._process.pid

    def processes(self) -> list[int]:
        """Every living process of the program: its group, and what left the group."""
        return living(self.pid, self._mark)

    def check(self) -> None:
        """Raise PlatformError when the program has ended."""
        if self._process.poll() is not None and not self.processes():
            raise self._ended()

    def wait_ready(self) -> None:
        """Wait until it answers; PlatformError when it ends before, or does not answer in time."""
        until = time.monotonic() + self.program.ready_s
        answer = ""
        while time.monotonic() < until:
            code = self._process.poll()
            if code is not None and (code != 0 or not self.processes()):
                raise self._ended()
            for host in HOSTS:
                status = _status(host, self.port, self.program.ready_path)
                if status in READY:
                    self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
                    return
                answer = f" (it answers with status {status})" if status else answer
            time.sleep(POLL_S)
        raise PlatformError(
            f"{self.program.command!r} is not ready at http://127.0.0.1:{self.port}"
            f"{self.program.ready_path} after {self.program.ready_s:g} s{answer}",
            f"let it listen on ${self.program.port_variable}, or name another ready path; "
            f"its log: {self.log}",
        )

    def stop(self) -> None:
        """SIGTERM to all processes of the program, then SIGKILL to those that are left."""
        try:
            self._signal(signal.SIGTERM)
            self._wait(self.program.stop_s)
        finally:
            self._signal(signal.SIGKILL)
            self._wait(KILL_S)

    def _signal(self, number: signal.Signals) -> None:
        send(self.processes(), number)

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._process.poll()  # reaps the leader
            if not self.processes():
                return
            time.sleep(POLL_S)

    def _ended(self) -> PlatformError:
        code = self._process.returncode
        how = f"with exit code {code}" if code >= 0 else f"by signal {-code}"
        return PlatformError(
            f"{self.program.command!r} ended {how}{_last_line(self.log)}",
            f"see its log: {self.log}",
        )


@contextlib.contextmanager
def running(program: Program, log: Path) -> Iterator[Running]:
    """Start the program on a free port, wait until it is ready, and stop it on leaving.

    What it prints goes to `log`. If this process is killed, the program's group ends as well.
    Raises PlatformError when it cannot be started or does not become ready.
    """
    with ended_with_us(program, log) as started:
        started.wait_ready()
        yield started


@contextlib.contextmanager
def ended_with_us(program: Program, log: Path) -> Iterator[Running]:
    """The program as soon as it is started; it ends on leaving, or when this process does."""
    port, mark = free_port(), uuid.uuid4().hex
    variables = {program.port_variable: str(port), MARK: mark}
    process = start(program.command, program.directory, log, program.environment, variables)
    started = Running(program, port, log, process, mark)
    try:
        with guard(process.pid, program.stop_s):
            yield started
    finally:
        started.stop()


def run_to_end(command: str, directory: Path, log: Path, timeout_s: float) -> None:
    """Run a command of the shell, as a build is one.

    Raises PlatformError when it fails or takes longer; everything that it started is ended.
    """
    once = Program(command, directory, stop_s=2.0)
    mark = uuid.uuid4().hex
    process = start(command, directory, log, {}, {MARK: mark})
    started = Running(once, 0, log, process, mark)
    try:
        with guard(process.pid, once.stop_s):
            code = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        raise PlatformError(
            f"{command!r} in {directory} was not done after {timeout_s:g} s{_last_line(log)}",
            f"see its log: {log}",
        ) from None
    finally:
        started.stop()
    if code != 0:
        raise PlatformError(
            f"{command!r} in {directory} ended with exit code {code}{_last_line(log)}",
            f"see its log: {log}",
        )


def start(
    command: str,
    directory: Path,
    log: Path,
    environment: Mapping[str, str],
    variables: Mapping[str, str],
) -> subprocess.Popen[bytes]:
    """A shell that leads a session of its own, its output in `log`."""
    if not directory.is_dir():
        raise PlatformError(f"{directory}: no such directory", "name the program's directory")
    if "\0" in command or not command.strip():
        raise PlatformError(f"{command!r} is no command", "give a command of the shell")
    make_directory(log.parent)
    with writing(log.parent), log.open("wb") as output:
        return subprocess.Popen(
            shell(command), stdout=output, **alone(directory, {**environment, **variables})
        )


def shell(command: str) -> tuple[str, ...]:
    """The command line that runs a command of the shell."""
    return "/bin/sh", "-c", command


def alone(directory: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    """How its process is started: the leader of a session of its own, without standard input.

    It inherits this process's variables but those that are for the harness or for git alone.
    """
    inherited = {name: each for name, each in elsewhere().items() if name not in SECRETS}
    return {
        "cwd": directory,
        "env": {**inherited, **variables},
        "stdin": subprocess.DEVNULL,
        "stderr": subprocess.STDOUT,
        "start_new_session": True,
    }


def living(group: int, mark: str, *, nested: bool = False) -> list[int]:
    """The ids, as this process knows them, of a program's living processes.

    They are its group, and what left the group, as a daemon does, and has its mark; `nested`: in
    PID namespaces below this process's as well, as in containers.
    """
    ids = partial(_inner_id, nested=nested) if sys.platform == "linux" else _outer_id
    return [own for pid in psutil.pids() if (own := ids(pid, group, mark)) is not None]


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each that is still there."""
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def _inner_id(pid: int, group: int, mark: str, *, nested: bool) -> int | None:
    """The id of a process of the program; in a lab /proc is that of the namespace outside."""
    proc = Path(f"/proc/{pid}")
    try:
        here = (proc / "ns/pid").readlink() == _namespace()
        if not here and not nested:
            return None
        told = _status_of(proc)
        if told["State"].split()[0] in {"Z", "X"}:
            return None
        own, its_group = (int(told[name].split()[_depth()]) for name in ("NSpid", "NSpgid"))
        marked = f"{MARK}={mark}".encode()
        grouped = here and its_group == group
        ours = grouped or marked in (proc / "environ").read_bytes().split(b"\0")
    except (OSError, KeyError, ValueError, IndexError):
        return None
    return own if ours else None


def _status_of(proc: Path) -> dict[str, str]:
    lines = (proc / "status").read_text(encoding="utf-8", errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


@cache
def _namespace() -> Path:
    return Path("/proc/self/ns/pid").readlink()


@cache
def _depth() -> int:
    """How many PID namespaces lie between that of /proc and this process's."""
    return len(_status_of(Path("/proc/self"))["NSpid"].split()) - 1


def _outer_id(pid: int, group: int, mark: str) -> int | None:
    """The same where there are no namespaces."""
    try:
        one = psutil.Process(pid)
        ours = os.getpgid(pid) == group or one.environ().get(MARK) == mark
        return pid if ours and one.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, OSError):
        return None


def free_port() -> int:
    """A port of the loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((HOSTS[0], 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def guard(group: int, stop_s: float, last: str = "") -> Iterator[None]:
    """A shell that ends the group when its standard input, held by this process, ends.

    `last` is a command that it runs then.
    """
    script = f"read _; kill -TERM -{group}; sleep {stop_s:g}; kill -KILL -{group}; {last}"
    watcher = subprocess.Popen(
        ["/bin/sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        watcher.kill()
        watcher.communicate()


def _status(host: str, port: int, path: str) -> int | None:
    """The status of one GET; None where nothing speaks HTTP."""
    connection = http.client.HTTPConnection(host, port, timeout=PROBE_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def last_lines(log: Path, count: int = 1) -> tuple[str, ...]:
    """What a program said last, without secrets; nothing where there is no log or no line."""
    try:
        with log.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - LOG_END, 0))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ()
    said = [line for line in map(_printable, lines) if line]
    return tuple(redact(line)[:LAST_LINE] for line in said[-count:])


def _last_line(log: Path) -> str:
    """What the program said last, to stand behind how it ended."""
    said = last_lines(log)
    return f": {said[0]}" if said else " and printed nothing"


def _printable(line: str) -> str:
    return "".join(letter for letter in line if letter.isprintable()).strip()
