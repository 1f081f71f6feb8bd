"""What a machine must have to run the cluster."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

PROGRAMS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "nft": "nftables",
    "conntrack": "conntrack",
    "mount": "mount",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "nsenter": "util-linux",
}
"""Each program and the Debian package that brings it."""
PLUGINS = Path("/usr/lib/cni")


def missing() -> str | None:
    """Why there can be no cluster here, in one line with the remedy; None when there can."""
    if sys.platform != "linux":
        return "the Kubernetes fixture needs Linux"
    if os.geteuid() != 0:
        return "the Kubernetes fixture makes network namespaces and cgroups: run the tests as root"
    lacking = {package for program, package in PROGRAMS.items() if not shutil.which(program)}
    if not (PLUGINS / "ptp").exists():
        lacking.add("containernetworking-plugins")
    if lacking:
        return f"the Kubernetes fixture lacks packages: apt-get install {' '.join(sorted(lacking))}"
    if not shutil.which("go"):
        return "the Kubernetes fixture is built from Go modules: install Go and put it on PATH"
    return None
