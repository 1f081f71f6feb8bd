"""A whole region fails at once."""

from typing import Literal

from harness.faults.arguments import InRegion
from harness.faults.model import FaultKind, OnKubernetes, OnLab, argument


class FailRegion(InRegion):
    """Which region, and how it fails."""

    mode: Literal["pause", "kill", "cut"] = argument(
        "pause", "stopped, killed, or cut off from the network"
    )


FAULT = FaultKind(
    arguments=FailRegion,
    hits="region",
    lab=OnLab("processes", limits={"mode": ("pause", "kill")}),
    kubernetes=OnKubernetes(moves_pods=True),
    whole_region=True,
    stops=True,
    needs_regions=True,
)
