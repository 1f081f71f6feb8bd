"""All nodes of a zone fail at once."""

from typing import Literal

from harness.faults.model import Arguments, FaultKind, OnKubernetes, argument


class FailZone(Arguments):
    """Which zone, and how it fails."""

    zone: str = argument(..., "zone of the nodes", min_length=1)
    mode: Literal["pause", "kill", "cut"] = argument(
        "pause", "stopped, killed, or cut off from the network"
    )


FAULT = FaultKind(
    arguments=FailZone,
    hits="node",
    lab="the lab has no zones",
    kubernetes=OnKubernetes(moves_pods=True),
    whole_region=True,
    stops=True,
)
