"""What the kernel and the disks of a test's own nodes show, whatever an agent says of its fault."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.kubernetes.cluster import cgroups
from tests.kubernetes.cluster.handle import Handle

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
BLOCK_BYTES = 512
"""The unit of `st_blocks`, whatever the file system's."""


def processes(cluster: Handle, node: str, uid: str = "") -> dict[int, str]:
    """The processes on a node by their pid on this host, with their names; of a pod by its UID.

    The container that holds a pod's network (`pause`) is left out.
    """
    (group,) = [each.cgroup for each in cluster.own().nodes if each.name == node]
    found = {}
    for pid in cgroups.processes(group):
        with suppress(OSError):
            place = Path(f"/proc/{pid}")
            name = (place / "comm").read_text().strip()
            if name != "pause" and uid in (place / "cgroup").read_text():
                found[pid] = name
    return found


def states(pids: dict[int, str]) -> set[str]:
    """The kernel's letters for what these processes do; those that have ended are left out."""
    found = set()
    for pid in pids:
        with suppress(OSError):
            found.add(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0])
    return found - {"Z", "X"}


def resident_bytes(pids: dict[int, str]) -> int:
    """The memory that these processes hold."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    return total


def largest_bytes(cluster: Handle, node: str) -> int:
    """The disk space of the largest file in the volumes of a node's pods."""
    pods = Path(cluster.own().logs).parents[1] / node / "var" / "lib" / "kubelet" / "pods"
    largest = 0
    for directory, _, files in os.walk(pods):
        for name in files:
            with suppress(OSError):
                taken = (Path(directory) / name).lstat().st_blocks * BLOCK_BYTES
                largest = max(largest, taken)
    return largest


def node_of(pod: dict[str, Any]) -> str:
    """The node that a pod runs on."""
    return str(pod["spec"]["nodeName"])


def uid_of(pod: dict[str, Any]) -> str:
    """The UID of a pod."""
    return str(pod["metadata"]["uid"])
