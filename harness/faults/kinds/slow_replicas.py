"""Replicas answer late."""

from __future__ import annotations

from pydantic import model_validator

from harness.faults.arguments import Replicas, Share
from harness.faults.model import FaultKind, OnLab, argument


class SlowReplicas(Share, Replicas):
    """Which replicas, which share of their requests, and by how much."""

    add_s: float = argument(0.0, "added to each answer's time", unit="s", ge=0, le=60)
    factor: float = argument(1.0, "each answer's time is multiplied by this", ge=1, le=1000)

    @model_validator(mode="after")
    def _slower(self) -> SlowReplicas:
        if not self.add_s and self.factor == 1:
            raise ValueError("neither add_s nor factor; give one of them")
        return self


FAULT = FaultKind(
    arguments=SlowReplicas,
    hits="replica",
    lab=OnLab("behaviour"),
    kubernetes="no means to slow a foreign process; see bad-release and cpu-pressure",
)
