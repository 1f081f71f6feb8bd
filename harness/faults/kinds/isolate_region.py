"""A region is cut off from all others; within it everything is reached."""

from harness.faults.arguments import InRegion
from harness.faults.model import FaultKind, OnKubernetes, OnLab

FAULT = FaultKind(
    arguments=InRegion,
    hits="link",
    lab=OnLab("packets", "network"),
    kubernetes=OnKubernetes(moves_pods=True),
    whole_region=True,
    stops=True,
    needs_regions=True,
)
