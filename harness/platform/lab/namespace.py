"""A private network and process namespace without root, and what is left of one."""

import shutil
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_UNSHARE = ("--net", "--pid", "--fork", "--kill-child")
_LISTEN = "0A"
_WITH_USER = ("--user", "--map-root-user")


@dataclass(frozen=True, slots=True)
class Isolation:
    """How processes are put into a namespace of their own here.

    `enter` is put before the first process; `user` tells whether a user namespace is part of it.
    `missing` is None, or the reason and the remedy where there are no namespaces to be had.
    """

    enter: tuple[str, ...]
    user: bool
    missing: str | None

    def join(self, pid: int) -> tuple[str, ...]:
        """What is put before a command to run it in the network of process `pid`."""
        if self.missing is not None:
            return ()
        user = ("--user", "--preserve-credentials") if self.user else ()
        return ("nsenter", "--target", str(pid), *user, "--net", "--")


@cache
def isolation() -> Isolation:
    """The least privileged way that works here, found by trying it."""
    if sys.platform != "linux":
        return _without("network namespaces exist on Linux only; run the harness there")
    for tool in ("unshare", "nsenter"):
        if shutil.which(tool) is None:
            return _without(f"`{tool}` is missing; install the package util-linux")
    reasons = []
    for user in (True, False):
        enter = ("unshare", *(_WITH_USER if user else ()), *_UNSHARE)
        tried = subprocess.run(
            [*enter, "true"], capture_output=True, text=True, check=False, timeout=10
        )
        if tried.returncode == 0:
            return Isolation((*enter, "--"), user, None)
        reasons.append(tried.stderr.strip().removeprefix("unshare: ") or "refused")
    return _without(
        f"unprivileged namespaces are refused ({reasons[0]}); allow them (sysctl "
        "kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0) "
        "or run as root"
    )


def _without(reason: str) -> Isolation:
    return Isolation((), user=False, missing=reason)


def listening(pid: int) -> tuple[tuple[str, int], ...]:
    """The addresses at which something listens in the network of a process, by proc_net_tcp(5)."""
    found = []
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        try:
            rows = Path(f"/proc/{pid}/net/{name}").read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for local, _, state in (row.split()[1:4] for row in rows):
            if state == _LISTEN:
                address, port = local.split(":")
                words = struct.pack(f"={len(address) // 8}I", *_words(address))
                host = socket.inet_ntop(family, words)
                found.append((f"[{host}]" if ":" in host else host, int(port, 16)))
    return tuple(found)


def _words(address: str) -> list[int]:
    """The 32-bit words of an address, each in the machine's order of bytes."""
    return [int(address[at : at + 8], 16) for at in range(0, len(address), 8)]


def network_of(pid: int) -> str | None:
    """The identity of a process's network namespace; None when the process is gone."""
    try:
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    except OSError:
        return None


def members(network: str) -> tuple[int, ...]:
    """Every process in a network namespace that this user may see."""
    pids = (int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit())
    return tuple(pid for pid in pids if network_of(pid) == network)


def host_pids(network: str) -> dict[int, int]:
    """For each process of a network namespace: its innermost pid -> its pid here."""
    found = {}
    for pid in members(network):
        try:
            status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        except OSError:
            continue
        for line in status.splitlines():
            if line.startswith("NSpid:"):
                numbers = line.split()[1:]
                if len(numbers) > 1:
                    found[int(numbers[-1])] = pid
    return found
