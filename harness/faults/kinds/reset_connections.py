"""What is sent to replicas is answered by a TCP reset."""

from harness.faults.arguments import Replicas, Share
from harness.faults.model import FaultKind, OnKubernetes, OnLab, argument


class ResetConnections(Share, Replicas):
    """Whose connections, and how many packets of them."""

    edge: str | None = argument(None, "an edge instead: `global`, `all` or a region", min_length=1)
    port: int | None = argument(None, "default: the service's", ge=1, le=65535)


FAULT = FaultKind(
    arguments=ResetConnections,
    hits="replica",
    lab=OnLab("packets", "nftables", lacks=("port",)),
    kubernetes=OnKubernetes(lacks=("edge",)),
)
