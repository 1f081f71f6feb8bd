"""A cluster to work with: `python -m tests.kubernetes.cluster up | down | status`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.kubernetes.cluster import keeper
from tests.kubernetes.cluster.errors import ClusterError


def up(*, another: bool) -> None:
    """Start a cluster, unless one is up and will do; print its kubeconfig's path."""
    found = keeper.running()
    if another or not found:
        with tempfile.NamedTemporaryFile("wb", prefix="codai-cluster-", delete=False) as log:
            print(f"starting; what it says goes to {log.name}", file=sys.stderr)  # noqa: T201
            try:
                found = [keeper.Kept(tethered=False, log=log).status]
            except ClusterError as problem:
                said = Path(log.name).read_text(errors="replace").strip()
                raise ClusterError(f"{problem}; {said.splitlines()[-1] if said else ''}") from None
    print(found[0].kubeconfig)  # noqa: T201


def down(slot: int | None) -> None:
    """End every cluster, or the one in a slot, and remove what dead ones left."""
    for each in keeper.running():
        if slot in {None, each.slot}:
            keeper.end(each)
            print(f"ended the cluster in slot {each.slot}")  # noqa: T201
    for dead in keeper.reap():
        print(f"removed what was left of the cluster in slot {dead}")  # noqa: T201


def status() -> None:
    """What is up and where."""
    found = keeper.running()
    if not found:
        print("no cluster is up")  # noqa: T201
    for each in found:
        print(f"slot {each.slot}, keeper {each.keeper}, image {each.image}")  # noqa: T201
        print(f"  KUBECONFIG={each.kubeconfig}")  # noqa: T201
        print(f"  kubectl: {each.programs}/kubectl    logs: {each.logs}")  # noqa: T201
        for node in each.nodes:
            print(f"  {node.name}  {node.region}  {node.address}  pods {node.pods}")  # noqa: T201


def main() -> int:
    """Run one command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.kubernetes.cluster", description=__doc__)
    parser.add_argument("command", choices=("up", "down", "status", "keep"))
    parser.add_argument("--another", action="store_true", help="up: beside those that are up")
    parser.add_argument("--slot", type=int, help="down: only the one in this slot")
    parser.add_argument("--tethered", action="store_true", help="keep: end with standard input")
    given = parser.parse_args()
    try:
        if given.command == "keep":
            keeper.keep(tethered=given.tethered)
        elif given.command == "up":
            up(another=given.another)
        elif given.command == "down":
            down(given.slot)
        else:
            status()
    except ClusterError as problem:
        print(f"cluster: {problem}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
