"""A node loses its power: kubelet and runtime are stopped, all of its pods killed."""

from harness.faults.arguments import InRegion
from harness.faults.model import FaultKind, OnKubernetes, argument


class KillNode(InRegion):
    """Which node."""

    node: str | None = argument(None, "name of the node; default: one of the region", min_length=1)


FAULT = FaultKind(
    arguments=KillNode,
    hits="node",
    lab="the lab has no nodes",
    kubernetes=OnKubernetes(moves_pods=True),
    stops=True,
)
