"""What can be chosen about load Jobs, checked once."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.errors import UsageError

IMAGE = "codai-harness:dev"
"""The image that deploy/images makes; a cluster with a registry names its own."""

SYSTEM_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease")
"""Where no load generator has business; neither in any other namespace that begins with kube-."""

MOST_WORKERS = 500
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_CPU = re.compile(r"\d+m|\d+(\.\d+)?")
_MEMORY = re.compile(r"\d+(Ki|Mi|Gi)")


@dataclass(frozen=True, slots=True)
class JobOptions:
    """Where and how the load pods run.

    `cpu` and `memory` are each pod's request (Kubernetes quantities); memory is its limit, too.
    There is no limit of cpu: a throttled generator would be late, and a late one makes the run
    invalid. `away_from` are regions whose nodes are left alone (the ones an experiment breaks).
    `ttl_s`: how long finished Jobs stay to be looked at. Raises UsageError for what cannot be.
    """

    namespace: str
    image: str = IMAGE
    cpu: str = "1"
    memory: str = "256Mi"
    away_from: tuple[str, ...] = ()
    ttl_s: int = 300

    def __post_init__(self) -> None:
        check_namespace(self.namespace)
        for name, value, form, example in (
            ("cpu", self.cpu, _CPU, "500m or 1"),
            ("memory", self.memory, _MEMORY, "256Mi"),
        ):
            if not form.fullmatch(value):
                raise UsageError(
                    f"--worker-{name} {value!r} is no quantity", f"write it like {example}"
                )


def check_namespace(name: str) -> None:
    """Raise UsageError for a namespace that cannot be or must not be loaded from."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"namespace {name!r} is no name", "give one that `kubectl get ns` lists")
    if name.startswith("kube-"):
        raise UsageError(
            f"namespace {name} belongs to the cluster itself", "name the service's own namespace"
        )
