"""The database of a region is stopped by SIGSTOP: it hangs."""

from harness.faults.arguments import Dependency, Held, InRegion
from harness.faults.model import FaultKind, OnKubernetes, OnLab


class PauseDatabase(Dependency, Held, InRegion):
    """Which database."""


FAULT = FaultKind(
    arguments=PauseDatabase,
    hits="database",
    lab=OnLab("processes", pauses=True, lacks=("dependency", "name", "hold")),
    kubernetes=OnKubernetes(ignores={"hold": "it hangs until the heal"}),
)
