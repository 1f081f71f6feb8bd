"""Replicas are stopped by SIGSTOP: connections stay open and nothing answers."""

from harness.faults.arguments import Replicas
from harness.faults.model import FaultKind, OnKubernetes, OnLab

FAULT = FaultKind(
    arguments=Replicas,
    hits="replica",
    lab=OnLab("processes", pauses=True),
    kubernetes=OnKubernetes(),
    stops=True,
)
