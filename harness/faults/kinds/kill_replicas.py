"""Replicas are killed at once, as by a crash or for want of memory."""

from harness.faults.arguments import Held, Replicas
from harness.faults.model import FaultKind, OnKubernetes, OnLab


class KillReplicas(Held, Replicas):
    """Which replicas, and whether they stay down."""


FAULT = FaultKind(
    arguments=KillReplicas,
    hits="replica",
    lab=OnLab("processes"),
    kubernetes=OnKubernetes(
        (("", "pods", "delete"),), ignores={"hold": "its controller starts another pod at once"}
    ),
    stops=True,
)
