"""The edge of a region, or the global one, is killed."""

from harness.faults.arguments import Held, InRegion
from harness.faults.model import FaultKind, OnLab


class KillEdge(Held, InRegion):
    """Which edge, and whether it stays down."""


FAULT = FaultKind(
    arguments=KillEdge,
    hits="edge",
    lab=OnLab("processes"),
    kubernetes="a cluster's edge is its ingress controller: kill its pods by their own labels",
)
