"""The edge of a region, or the global one, is stopped by SIGSTOP."""

from harness.faults.arguments import InRegion
from harness.faults.model import FaultKind, OnLab

FAULT = FaultKind(
    arguments=InRegion,
    hits="edge",
    lab=OnLab("processes", pauses=True),
    kubernetes="a cluster's edge is its ingress controller: kill its pods by their own labels",
)
