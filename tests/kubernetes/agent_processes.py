"""The processes of agents on the nodes of a test's own cluster."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from harness.platform.kubernetes.delay import CHAIN
from harness.platform.kubernetes.packets import TABLE
from tests.kubernetes.cluster.handle import Handle


def kill_agents(cluster: Handle, *, all_of_it: bool = True) -> None:
    """Every process of an agent on the fixture's own nodes, or the first of each container only.

    With the first the runtime ends what else is in its container.
    """
    found = [place for place in agents(cluster) if all_of_it or is_first(place)]
    assert found, "no agent was there to be killed"
    for place in found:
        with suppress(ProcessLookupError):  # it went with the first of its container
            os.kill(int(place.name), signal.SIGKILL)


def is_first(place: Path) -> bool:
    """Whether a process is its container's first."""
    parent = (place / "stat").read_text().rpartition(")")[2].split()[1]
    return b"containerd-shim" in Path(f"/proc/{parent}/cmdline").read_bytes()


def agents(cluster: Handle) -> Iterator[Path]:
    """The entries in /proc of every process of an agent on this cluster's nodes, and no other's."""
    nodes = [f"/{node.cgroup.strip('/')}/" for node in cluster.own().nodes]
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            where = (place / "cgroup").read_text()
            words = (place / "cmdline").read_bytes()
            if b"kubernetes.agent" in words and any(node in where for node in nodes):
                yield place


def in_a_pod(place: Path) -> bool:
    """Whether a process is in a pod's cgroup in every hierarchy."""
    return all("kubepods" in line for line in (place / "cgroup").read_text().splitlines())


def rules_of(pid: int) -> list[str]:
    """Our packet rules in the network of a process."""
    listed = subprocess.run(
        ["nsenter", f"--target={pid}", "--net", "nft", "list", "chains"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [line for line in listed.splitlines() if TABLE in line or CHAIN in line]
