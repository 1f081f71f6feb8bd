"""Replicas are cut off from a service that they need."""

from harness.faults.arguments import Dependency, Replicas
from harness.faults.model import FaultKind, OnKubernetes, OnLab


class PartitionDependency(Dependency, Replicas):
    """Which replicas, from what."""


FAULT = FaultKind(
    arguments=PartitionDependency,
    hits="link",
    lab=OnLab("packets", "network", lacks=("name",), limits={"dependency": ("database",)}),
    kubernetes=OnKubernetes(
        ignores=dict.fromkeys(("count", "percent", "seed"), "every pod of the region is cut off")
    ),
)
