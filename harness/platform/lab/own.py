"""A program of the user's as the replicas of a lab: what is said of it, and how one is started."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from harness.errors import PlatformError
from harness.platform.program import MARK

HOST = "127.0.0.1"
"""Where every replica is asked: many programs listen on this address of the loopback only."""

FIRST_PORT = 20_001
"""In a network namespace of its own, below the ports that the kernel gives to clients."""

LONGEST_S = 3600.0
ENGINE_S = 5.0
"""How long a Docker engine may take to answer."""

Restart = Literal["always", "never"]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PATH = re.compile(r"/[^\s#]*")
_ADDRESS = re.compile(r"(?P<host>\d{1,3}(?:\.\d{1,3}){3}):(?P<port>\d{1,5})")
_MOST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class OwnProgram:
    """A program that the lab starts as the replicas of the service `name`.

    `command` (and `bad_release`, which a rollout of that fault starts instead) is one of the
    shell, run in `directory`. Each replica listens on the port in its variable `port_env` and
    answers `ready` with a status of 200 to 399 within `ready_within_s`; after SIGTERM it has
    `stop_within_s`. `path` is what a load without a scenario asks for (default: `ready`).
    With `image`, `command` is the one that runs it (see `image_command`).
    `dependencies` are addresses, host:port, that `partition-dependency` cuts off. Raises
    PlatformError naming the field.
    """

    name: str
    command: str
    directory: str
    port_env: str = "PORT"
    ready: str = "/health"
    path: str | None = None
    ready_within_s: float = 60.0
    stop_within_s: float = 10.0
    bad_release: str | None = None
    restart: Restart = "always"
    dependencies: tuple[str, ...] = ()
    image: str | None = None

    def __post_init__(self) -> None:
        _check("command", _is_command(self.command), self.command, "give a command of the shell")
        if self.bad_release is not None:
            ok = _is_command(self.bad_release)
            _check("bad_release", ok, self.bad_release, "give a command of the shell")
        named = isinstance(self.port_env, str) and _VARIABLE.fullmatch(self.port_env)
        _check("port_env", named, self.port_env, "give the name of a variable, such as PORT")
        for name, path in (("ready", self.ready), ("path", self.path or "/")):
            found = isinstance(path, str) and _PATH.fullmatch(path)
            _check(name, found, path, "give a path, such as /health")
        for name in ("ready_within_s", "stop_within_s"):
            value = getattr(self, name)
            ok = isinstance(value, int | float) and 0 < value <= LONGEST_S
            _check(name.removesuffix("_s"), ok, value, "give more than 0 s and at most an hour")
        ok = self.restart in get_args(Restart)
        _check("restart", ok, self.restart, f"give one of {', '.join(get_args(Restart))}")
        for address in self.dependencies:
            match = _ADDRESS.fullmatch(str(address))
            known = match is not None and 0 < int(match["port"]) <= _MOST_PORT
            _check("dependencies", known, address, "give each as 127.0.0.1:5432")
        ok = Path(self.directory).is_dir()
        _check("directory", ok, self.directory, "there is none of that name")

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> OwnProgram:
        """The program that a lab's plan holds."""
        return cls(**{**document, "dependencies": tuple(document["dependencies"])})

    def replica(self, id_: str, region: str, port: int) -> Start:
        """How the replica that listens on this port is started."""
        variables = {
            self.port_env: str(port),
            "HOST": HOST,
            "HARNESS_REPLICA": id_,
            "HARNESS_REGION": region,
        }
        return Start(
            self.command,
            self.bad_release,
            self.directory,
            variables,
            self.restart,
            self.stop_within_s,
            uuid.uuid4().hex,
        )


@dataclass(frozen=True, slots=True)
class Start:
    """How one replica is started again and again; by `mark` all its processes are known."""

    command: str
    bad_release: str | None
    directory: str
    variables: Mapping[str, str]
    restart: Restart
    stop_within_s: float
    mark: str


def image_command(image: str, port_env: str) -> str:
    """The command that runs an image by the local Docker engine, on the host's own network.

    By its variables the lab knows the container's processes, as it knows those of any program.
    """
    passed = (port_env, "HOST", "HARNESS_REPLICA", "HARNESS_REGION", MARK)
    words = ["exec docker run --rm --network host", *(f"-e {name}" for name in passed)]
    return " ".join([*words, shlex.quote(image)])


def check_engine(image: str) -> None:
    """Raise PlatformError where no Docker engine can run the image and be seen to do so."""
    remedy = "start Docker, or give a --command"
    if os.geteuid() != 0:
        raise PlatformError(
            f"--image {image}: its processes can be seen as root only", "become root"
        )
    try:
        asked = ["docker", "version", "--format", "{{.Server.Version}}"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=ENGINE_S)
    except (OSError, subprocess.TimeoutExpired):
        raise PlatformError(f"--image {image}: no Docker engine answers", remedy) from None
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise PlatformError(f"--image {image}: no Docker engine answers ({said})", remedy)


def missing_kinds(program: OwnProgram) -> dict[str, str]:
    """Fault kind -> why it cannot be carried out on this program, though on a replica of ours."""
    database = "the databases of your program are not the lab's; see partition-dependency"
    found = {
        "slow-replicas": "nothing slows a program of yours from within; see delay-requests",
        "kill-database": database,
        "pause-database": database,
    }
    if program.bad_release is None:
        found["bad-release"] = "name the command of a bad release: --bad-release"
    if not program.dependencies:
        found["partition-dependency"] = "name the addresses that it depends on: --dependency"
    return found


def _is_command(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value


def _check(name: str, ok: object, value: object, remedy: str) -> None:
    if not ok:
        raise PlatformError(f"lab: {name} is {value!r}", remedy)
