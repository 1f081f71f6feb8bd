"""Requests are answered with an error at the edge."""

from harness.faults.arguments import EVERYWHERE, AdminPort, Replicas, Share
from harness.faults.model import FaultKind, OnKubernetes, OnLab, argument


class AbortRequests(AdminPort, Share, Replicas):
    """Whose requests, how many, and with which status."""

    edge: str = argument(EVERYWHERE, "whose requests: `global`, `all` or a region", min_length=1)
    status: int = argument(503, "HTTP status of the answer", ge=400, le=599)


FAULT = FaultKind(
    arguments=AbortRequests,
    hits="edge",
    lab=OnLab("edges", lacks=("region", "count", "percent", "seed", "admin_port")),
    kubernetes=OnKubernetes(),
)
