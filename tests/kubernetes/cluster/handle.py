"""A cluster as a test holds it: the fixture's own or one that the user named."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kubernetes.cluster import keeper
from tests.kubernetes.cluster.errors import ClusterError
from tests.kubernetes.cluster.keeper import Status
from tests.kubernetes.cluster.machine import must, run, wait_until

OWN = "HARNESS_TEST_KUBECONFIG"
OWN_IMAGE = "HARNESS_TEST_IMAGE"
REGION = "topology.kubernetes.io/region"
COMMAND_LIMIT_S = 120


@dataclass(frozen=True)
class Handle:
    """A cluster; `status` is None when it is not one of the fixture's own.

    `image` is the project's image there, see deploy/images.
    """

    kubeconfig: Path
    program: str
    image: str
    status: Status | None

    def command(self, *words: str) -> list[str]:
        """A kubectl command line."""
        return [self.program, f"--kubeconfig={self.kubeconfig}", *words]

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """The output of a kubectl command; raises `ClusterError` when it fails."""
        return must(self.command(*words), stdin, COMMAND_LIMIT_S)

    def try_kubectl(self, *words: str, stdin: str | None = None) -> str | None:
        """The output of a kubectl command, None when it fails."""
        done = run(self.command(*words), stdin, COMMAND_LIMIT_S)
        return None if done.returncode else done.stdout

    def get(self, *words: str) -> dict[str, Any]:
        """The object or list that `kubectl get` finds; empty when there is none."""
        text = self.try_kubectl("get", *words, "--output=json")
        found: dict[str, Any] = json.loads(text) if text else {}
        return found

    def apply(self, objects: list[dict[str, Any]]) -> None:
        """Bring objects to the state that is described, whoever changed them before."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def regions(self) -> dict[str, str]:
        """Each node's region."""
        nodes = self.get("nodes")["items"]
        labelled = {node["metadata"]["name"]: node["metadata"]["labels"] for node in nodes}
        return {name: labels[REGION] for name, labels in labelled.items() if REGION in labels}

    def pods(self, namespace: str, **labels: str) -> list[dict[str, Any]]:
        """The pods with these labels that are not being deleted, by name."""
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        found = self.get("pods", f"--namespace={namespace}", f"--selector={selector}")
        alive = [pod for pod in found["items"] if "deletionTimestamp" not in pod["metadata"]]
        return sorted(alive, key=lambda pod: str(pod["metadata"]["name"]))

    def until(self, what: str, holds: Callable[[], bool], within_s: float = 60.0) -> float:
        """Wait for a condition; the seconds it took. Raises `ClusterError`, naming it."""
        began = time.monotonic()
        wait_until(what, holds, within_s, 0.2)
        return time.monotonic() - began

    def own(self) -> Status:
        """The fixture's own view; raises `ClusterError` on a user's cluster."""
        if self.status is None:
            raise ClusterError("this needs a cluster whose machines are the fixture's own")
        return self.status


def of_status(status: Status) -> Handle:
    """One of the fixture's own clusters."""
    program = str(Path(status.programs) / "kubectl")
    return Handle(Path(status.kubeconfig), program, status.image, status)


def of_user() -> Handle | None:
    """The cluster that HARNESS_TEST_KUBECONFIG names, None where it is not set.

    Its nodes have the image that HARNESS_TEST_IMAGE names. Raises `ClusterError`.
    """
    name = os.environ.get(OWN)
    if not name:
        return None
    path = Path(name).resolve()
    for status in keeper.running():
        if Path(status.kubeconfig) == path:
            return of_status(status)
    program = shutil.which("kubectl")
    if not path.is_file() or program is None:
        raise ClusterError(f"{OWN}={name}: needs that file and kubectl on PATH")
    return Handle(path, program, os.environ.get(OWN_IMAGE, "codai-harness:dev"), None)
