"""The process that owns a cluster: starts it, waits, ends it; and what to do without an owner.

The keeper holds its slot's lock for as long as it lives, and every machine is killed by the kernel
when it dies. What a killed keeper leaves (empty cgroups, files) is removed by whoever comes next.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from deploy.images import local
from tests.kubernetes.cluster import images
from tests.kubernetes.cluster.build import build, cache_directory, say
from tests.kubernetes.cluster.cluster import Cluster, destroy, remains
from tests.kubernetes.cluster.errors import ClusterError
from tests.kubernetes.cluster.machine import wait_until
from tests.kubernetes.cluster.requirements import missing
from tests.kubernetes.cluster.topology import SLOTS, Topology

START_LIMIT_S = 5400  # the first start builds Kubernetes
STOP_LIMIT_S = 60
PROJECT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Station:
    """One machine of the cluster as a test sees it; `pid` is its first process, host's count."""

    name: str
    address: str
    pid: int
    cgroup: str
    region: str | None = None
    zone: str | None = None
    pods: str | None = None


@dataclass(frozen=True)
class Status:
    """What is known of a cluster that is up."""

    slot: int
    keeper: int
    kubeconfig: str
    programs: str
    host: str
    image: str
    control: Station
    nodes: tuple[Station, ...]
    logs: str

    @classmethod
    def parse(cls, text: str) -> Status:
        """The status that `text` (JSON) holds."""
        found: dict[str, Any] = json.loads(text)
        control = Station(**found.pop("control"))
        nodes = tuple(Station(**each) for each in found.pop("nodes"))
        return cls(**found, control=control, nodes=nodes)


def home(slot: int) -> Path:
    """The directory of the cluster in a slot; there only while there is a cluster."""
    return cache_directory() / "running" / Topology(slot).prefix


def status_file(slot: int) -> Path:
    """Appears when the cluster is up."""
    return home(slot) / "status.json"


@contextmanager
def owned(slot: int) -> Iterator[bool]:
    """Hold a slot's lock; False when another process holds it."""
    path = home(slot).with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def reap() -> list[int]:
    """Remove what clusters without an owner left; the slots where there was something."""
    found = []
    for slot in range(SLOTS):
        with owned(slot) as mine:
            topology = Topology(slot)
            if mine and remains(topology, home(slot)):
                destroy(topology, home(slot))
                found.append(slot)
    return found


def running() -> list[Status]:
    """The clusters that are up."""
    return [Status.parse(status_file(n).read_text()) for n in range(SLOTS) if _is_up(n)]


def _is_up(slot: int) -> bool:
    """Whether a slot's cluster has come up and its keeper lives; asked without its lock."""
    try:
        keeper = json.loads(status_file(slot).read_text())["keeper"]
        command = Path(f"/proc/{keeper}/cmdline").read_bytes()
    except OSError:
        return False
    return b"tests.kubernetes.cluster" in command


def keep(*, tethered: bool) -> None:
    """Own a cluster until SIGTERM, SIGINT or, tethered, the end of standard input."""
    if why := missing():
        raise ClusterError(why)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    if tethered:
        threading.Thread(target=_end_with_input, daemon=True).start()
    with suppress(_Asked):
        reap()
        programs = build()
        image = local.image()
        store = images.store(programs, image)
        for slot in range(SLOTS):
            with owned(slot) as mine:
                if mine:
                    _keep(slot, programs, store, image.names[0])
        raise ClusterError(
            f"all {SLOTS} slots are taken; `python -m tests.kubernetes.cluster status`"
        )


class _Asked(BaseException):
    """Somebody asked the keeper to end its cluster."""


def _end(*_: object) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise _Asked


def _end_with_input() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _keep(slot: int, programs: Path, store: Path, image: str) -> NoReturn:
    topology, directory = Topology(slot), home(slot)
    try:
        directory.mkdir(parents=True)
        cluster = Cluster(topology, directory, programs, store)
        _start(cluster)
        temporary = status_file(slot).with_suffix(".new")
        temporary.write_text(json.dumps(asdict(_status(slot, cluster, image)), indent=1))
        temporary.rename(status_file(slot))
        while True:
            signal.pause()
    finally:
        destroy(topology, directory)


def _start(cluster: Cluster) -> None:
    try:
        cluster.start(say)
    except ClusterError:
        for line in cluster.last_words():  # the logs go with the cluster
            say(line)
        raise


def _status(slot: int, cluster: Cluster, image: str) -> Status:
    topology = cluster.topology
    control = cluster.control
    return Status(
        slot=slot,
        keeper=os.getpid(),
        kubeconfig=str(control.admin),
        programs=str(control.programs),
        host=topology.host,
        image=image,
        control=Station(control.name, topology.control, control.pid, control.cgroup),
        nodes=tuple(
            Station(
                node.name,
                node.place.address,
                node.pid,
                node.cgroup,
                node.place.region,
                node.place.zone,
                node.place.pods,
            )
            for node in cluster.nodes
        ),
        logs=str(cluster.directory / "*" / "log"),
    )


class Kept:
    """A cluster with a keeper of its own process; `log` gets what it says."""

    def __init__(self, *, tethered: bool, log: IO[bytes] | None = None) -> None:
        words = ["keep", *(["--tethered"] if tethered else [])]
        command: Sequence[str] = [sys.executable, "-m", "tests.kubernetes.cluster", *words]
        self.process = subprocess.Popen(
            command,
            cwd=PROJECT,
            stdin=subprocess.PIPE if tethered else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self.status = self._wait_up()

    def _wait_up(self) -> Status:
        found: list[Status] = []

        def up() -> bool:
            if self.process.poll() is not None:
                raise ClusterError(f"the cluster's keeper ended with {self.process.returncode}")
            found[:] = [each for each in running() if each.keeper == self.process.pid]
            return bool(found)

        wait_until("the cluster", up, START_LIMIT_S, 0.1)
        return found[0]

    def end(self) -> None:
        """End the cluster; nothing of it is left. Raises `ClusterError` otherwise."""
        end(self.status)
        self.process.wait(STOP_LIMIT_S)


def end(status: Status) -> None:
    """Ask a cluster's keeper to end it, wait until nothing is left of it."""
    os.kill(status.keeper, signal.SIGTERM)
    topology, directory = Topology(status.slot), home(status.slot)
    wait_until("the end of the cluster", lambda: not remains(topology, directory), STOP_LIMIT_S)
