"""What can be chosen about load Jobs, checked once."""

import re
from dataclasses import dataclass

from kubernetes.utils.quantity import parse_quantity

from harness.catalog.pods import NONE, PodSettings
from harness.errors import UsageError
from harness.platform.kubernetes.cluster import IMAGE, check_namespace

_CPU = re.compile(r"\d+m|\d+(\.\d+)?")
_MEMORY = re.compile(r"\d+(Ki|Mi|Gi)")


@dataclass(frozen=True, slots=True)
class JobOptions:
    """Where and how the load pods run.

    `cpu` and `memory` are each pod's request (Kubernetes quantities); memory is its limit, too.
    There is no limit of cpu: a throttled generator would be late, and a late one makes the run
    invalid. `away_from` are regions whose nodes are left alone (the ones an experiment breaks).
    `ttl_s`: how long finished Jobs stay to be looked at. `pods` takes the place of `cpu` and
    `memory` where it says something of them. Raises UsageError for what cannot be.
    """

    namespace: str
    image: str = IMAGE
    cpu: str = "1"
    memory: str = "256Mi"
    away_from: tuple[str, ...] = ()
    ttl_s: int = 300
    pods: PodSettings = NONE

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
            asked, most = self.pods.requests.get(name, value), self.pods.limits.get(name)
            if most is not None and parse_quantity(most) < parse_quantity(asked):
                raise UsageError(
                    f"limits.{name} {most} is less than --worker-{name} {asked}",
                    f"raise the limit, or lower --worker-{name}",
                )
