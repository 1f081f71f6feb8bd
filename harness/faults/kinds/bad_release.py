"""A worse release is rolled out, replica after replica."""

from __future__ import annotations

from pydantic import model_validator

from harness.faults.arguments import Grace, Replicas
from harness.faults.model import AGENT, WORKLOADS, FaultKind, OnKubernetes, OnLab, argument


class BadRelease(Grace, Replicas):
    """Which replicas get it, and what is worse in it."""

    latency_s: float = argument(0.0, "added to each answer's time", unit="s", ge=0, le=60)
    error_ratio: float = argument(0.0, "share of answers that are errors", ge=0, le=1)
    garbage_ratio: float = argument(0.0, "share of answers that are garbage", ge=0, le=1)
    image: str | None = argument(None, "another image of the container", min_length=1)
    env: dict[str, str | int | float | bool] | None = argument(
        None, "variables of the container", min_length=1
    )
    container: str | None = argument(
        None, "default: the service's name, or where its port leads", min_length=1
    )

    @model_validator(mode="after")
    def _worse(self) -> BadRelease:
        if not any((self.latency_s, self.error_ratio, self.garbage_ratio, self.image, self.env)):
            raise ValueError(
                "nothing is worse in it; give latency_s, error_ratio or garbage_ratio, "
                "on a cluster also image or env"
            )
        return self


FAULT = FaultKind(
    arguments=BadRelease,
    hits="replica",
    lab=OnLab("rollout", lacks=("image", "env", "container")),
    kubernetes=OnKubernetes(
        (*WORKLOADS, *AGENT),
        undo_permissions=WORKLOADS,
        ignores=dict.fromkeys(
            ("region", "count", "percent", "seed", "grace_s"),
            "a Deployment is rolled out as a whole",
        ),
    ),
)
