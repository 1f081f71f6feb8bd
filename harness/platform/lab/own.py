"""A program of the user's as the replicas of a lab: what is said of it, and how one is started."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from harness.errors import PlatformError
from harness.platform.program import MARK

HOST = "127.0.0.1"
"""Where every replica is asked: many programs listen on this address of the loopback only."""

LABEL = "codai-harness"
"""Of every container of a lab, with the mark of its replica."""

HINT = "docker run --help"
"""In the last line of a Docker client that fails, after the one that says why."""

CORES = "HARNESS_CORES"
"""Variable with the cores of a replica, where the lab has cores of its own."""

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
    With `image`, `command` and `bad_release` are the ones that run images (see `image_command`).
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

    @property
    def title(self) -> str:
        """What a message calls it."""
        return repr(self.image or self.command)

    @property
    def images(self) -> tuple[str, ...]:
        """The images that an engine must have."""
        commands = (self.command, self.bad_release) if self.image else ()
        return tuple(shlex.split(each)[-1] for each in commands if each)

    def by_hand(self, port: int) -> str:
        """The command that a user tries it with."""
        variable = f"{self.port_env}={port}"
        if self.image is None:
            return f"{variable} {self.command}"
        return f"docker run --rm --network host -e {variable} {self.image}"

    def replica(self, id_: str, region: str, port: int, cores: Sequence[int] = ()) -> Start:
        """How the replica that listens on this port is started."""
        variables = {
            self.port_env: str(port),
            "HOST": HOST,
            "HARNESS_REPLICA": id_,
            "HARNESS_REGION": region,
            CORES: ",".join(map(str, cores)),
        }
        return Start(
            self.command,
            self.bad_release,
            self.directory,
            variables,
            self.restart,
            self.stop_within_s,
            uuid.uuid4().hex,
            container=self.image is not None,
        )


@dataclass(frozen=True, slots=True)
class Start:
    """How one replica is started again and again; by `mark` all its processes are known.

    `container`: the command is the client of a Docker engine, which passes SIGTERM on.
    """

    command: str
    bad_release: str | None
    directory: str
    variables: Mapping[str, str]
    restart: Restart
    stop_within_s: float
    mark: str
    container: bool = False

    @property
    def removal(self) -> str:
        """The command of the shell that removes what the engine still has of it."""
        if not self.container:
            return ""
        listed = f"docker ps --all --quiet --filter label={LABEL}={self.mark}"
        return f"{listed} | xargs -r docker rm --force"


def image_command(image: str, port_env: str) -> str:
    """The command that runs an image by the local Docker engine, on the host's own network.

    By its variables the lab knows the container's processes, as it knows those of any program; the
    label, which the shell fills in, is how its container is found.
    """
    passed = (port_env, "HOST", "HARNESS_REPLICA", "HARNESS_REGION", MARK)
    words = [
        "exec docker run --rm --pull never --log-driver none --network host",
        f"--label {LABEL}=${MARK} ${{{CORES}:+--cpuset-cpus ${CORES}}}",
        *(f"-e {name}" for name in passed),
    ]
    return " ".join([*words, shlex.quote(image)])


def check_engine(images: Sequence[str]) -> None:
    """Raise PlatformError where no Docker engine can run the images and be seen to do so."""
    if images and os.geteuid() != 0:
        raise PlatformError(
            f"--image {images[0]}: its processes can be seen as root only", "become root"
        )
    for image in images:
        if said := _docker("version", "--format", "{{.Server.Version}}"):
            raise PlatformError(
                f"--image {image}: no Docker engine answers ({said})",
                "start Docker, or give a --command",
            )
        if said := _docker("image", "inspect", "--format", "{{.Id}}", image):
            raise PlatformError(
                f"--image {image}: the Docker engine has none of that name ({said})",
                f"docker pull {image}, or docker build -t {image} .",
            )


def _docker(*words: str) -> str:
    """What kept a command of the Docker client from success; nothing where nothing did."""
    try:
        done = subprocess.run(
            ["docker", *words], capture_output=True, text=True, check=False, timeout=ENGINE_S
        )
    except OSError:
        return "docker is not installed"
    except subprocess.TimeoutExpired:
        return f"not within {ENGINE_S:g} s"
    said = (done.stderr.strip().splitlines() or ["no word"])[-1] if done.returncode else ""
    return said.removeprefix("Error response from daemon: ")


def containers(marks: Collection[str]) -> tuple[str, ...]:
    """The containers of these replicas that an engine has, in whatever state."""
    shown = f'{{{{.ID}}}} {{{{.Label "{LABEL}"}}}}'
    asked = ["docker", "ps", "--all", "--filter", f"label={LABEL}", "--format", shown]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=ENGINE_S)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    rows = (line.split() for line in done.stdout.splitlines())
    return tuple(f"container {row[0]}" for row in rows if row[-1] in marks)


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
