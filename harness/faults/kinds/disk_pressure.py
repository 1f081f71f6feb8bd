"""A file takes disk space of the replicas' nodes."""

from harness.faults.arguments import Replicas
from harness.faults.model import FaultKind, OnKubernetes, argument


class DiskPressure(Replicas):
    """Of which replicas, and how much."""

    megabytes: int = argument(512, "disk space taken", unit="MiB", ge=1, le=65536)


FAULT = FaultKind(
    arguments=DiskPressure,
    hits="replica",
    lab="the replicas of a lab have no disk of their own",
    kubernetes=OnKubernetes(),
)
