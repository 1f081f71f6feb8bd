"""A node is cordoned and its pods are evicted, as by `kubectl drain`."""

from harness.faults.arguments import InRegion
from harness.faults.model import AGENT, NODES, FaultKind, OnKubernetes, argument


class DrainNode(InRegion):
    """Which node."""

    node: str | None = argument(None, "name of the node; default: one of the region", min_length=1)


FAULT = FaultKind(
    arguments=DrainNode,
    hits="node",
    lab="the lab has no nodes",
    kubernetes=OnKubernetes(
        (*NODES, ("", "pods/eviction", "create"), *AGENT), undo_permissions=NODES, moves_pods=True
    ),
    stops=True,
)
