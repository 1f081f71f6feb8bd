"""Replicas are restarted one after the other, as by a release that is no worse."""

from harness.faults.arguments import Grace, Replicas
from harness.faults.model import REBALANCE, FaultKind, OnKubernetes, OnLab


class RollingRestart(Grace, Replicas):
    """Which replicas, and how slowly."""


FAULT = FaultKind(
    arguments=RollingRestart,
    hits="replica",
    lab=OnLab("rollout"),
    kubernetes=OnKubernetes(
        REBALANCE,
        ignores=dict.fromkeys(
            ("region", "count", "percent", "seed", "grace_s"),
            "a Deployment is rolled out as a whole",
        ),
    ),
)
