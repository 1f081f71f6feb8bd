"""The database of a region is killed."""

from harness.faults.arguments import Dependency, Held, InRegion
from harness.faults.model import FaultKind, OnKubernetes, OnLab


class KillDatabase(Dependency, Held, InRegion):
    """Which database, and whether it stays down."""


FAULT = FaultKind(
    arguments=KillDatabase,
    hits="database",
    lab=OnLab("processes", lacks=("dependency", "name")),
    kubernetes=OnKubernetes(
        (("", "pods", "delete"),), ignores={"hold": "its controller starts the pod again at once"}
    ),
)
