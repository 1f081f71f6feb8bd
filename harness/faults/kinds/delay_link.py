"""Every packet between two regions waits, each way."""

from harness.faults.arguments import Link
from harness.faults.model import FaultKind, OnKubernetes, argument

MOST_DELAY_S = 1.0
"""Beyond it the agents could not look at their lease across the link in time."""


class DelayLink(Link):
    """Between which regions, and how long."""

    delay_s: float = argument(0.05, "each way", unit="s", gt=0, le=MOST_DELAY_S)


FAULT = FaultKind(
    arguments=DelayLink,
    hits="link",
    lab="the lab does not drive netem; delay-requests or slow-replicas delay at the edge or in it",
    kubernetes=OnKubernetes(),
)
