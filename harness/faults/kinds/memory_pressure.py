"""A process takes memory beside the replicas and keeps touching it."""

from harness.faults.arguments import ForSeconds, Replicas
from harness.faults.model import FaultKind, OnKubernetes, OnLab, argument


class MemoryPressure(ForSeconds, Replicas):
    """Beside which replicas, how much and how long."""

    megabytes: int = argument(256, "memory taken", unit="MiB", ge=1, le=4096)


FAULT = FaultKind(
    arguments=MemoryPressure,
    hits="replica",
    lab=OnLab("pressure", "own cores", limits={"megabytes": 1024}),
    kubernetes=OnKubernetes(
        ignores={"for_s": "it holds until the heal, or until the lease of this harness runs out"}
    ),
)
