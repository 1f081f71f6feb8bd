"""Busy processes take processor time beside the replicas."""

from harness.faults.arguments import ForSeconds, Replicas
from harness.faults.model import FaultKind, OnKubernetes, OnLab, argument


class CpuPressure(ForSeconds, Replicas):
    """Beside which replicas, how hard and how long."""

    workers: int = argument(2, "busy processes", ge=1, le=64)


FAULT = FaultKind(
    arguments=CpuPressure,
    hits="replica",
    lab=OnLab("pressure", "own cores", limits={"workers": 8}),
    kubernetes=OnKubernetes(
        ignores={"for_s": "it holds until the heal, or until the lease of this harness runs out"}
    ),
)
