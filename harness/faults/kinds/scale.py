"""The Deployment is scaled to another number of replicas."""

from harness.faults.model import (
    AGENT,
    ROLLOUTS,
    WORKLOADS,
    Arguments,
    FaultKind,
    OnKubernetes,
    argument,
)


class Scale(Arguments):
    """To how many."""

    replicas: int = argument(..., "replicas wanted", ge=0, le=10000)


FAULT = FaultKind(
    arguments=Scale,
    hits="deployment",
    lab="a lab has the replicas that it was started with",
    kubernetes=OnKubernetes(
        (*WORKLOADS, *AGENT), undo_permissions=(*WORKLOADS, *ROLLOUTS), optional=ROLLOUTS
    ),
)
