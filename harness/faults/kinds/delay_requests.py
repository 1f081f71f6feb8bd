"""Requests wait at the edge."""

from harness.faults.arguments import EVERYWHERE, AdminPort, Replicas, Share
from harness.faults.model import FaultKind, OnKubernetes, OnLab, argument


class DelayRequests(AdminPort, Share, Replicas):
    """Whose requests, how many, and how long they wait."""

    edge: str = argument(EVERYWHERE, "whose requests: `global`, `all` or a region", min_length=1)
    delay_s: float = argument(1.0, "how long each waits", unit="s", ge=0.001, le=60)


FAULT = FaultKind(
    arguments=DelayRequests,
    hits="edge",
    lab=OnLab("edges", lacks=("region", "count", "percent", "seed", "admin_port")),
    kubernetes=OnKubernetes(),
)
