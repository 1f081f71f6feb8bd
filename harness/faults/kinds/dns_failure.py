"""Questions of replicas to name servers are dropped."""

from harness.faults.arguments import Replicas
from harness.faults.model import FaultKind, OnKubernetes

FAULT = FaultKind(
    arguments=Replicas,
    hits="replica",
    lab="the replicas of a lab resolve no names",
    kubernetes=OnKubernetes(),
)
