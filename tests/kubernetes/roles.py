"""The generated roles on a cluster: the agents' accounts, and an account bound as a team would."""

from __future__ import annotations

import yaml

from harness.platform.kubernetes import rbac
from harness.platform.kubernetes.faults import KINDS
from harness.platform.kubernetes.lease import undo_account
from tests.kubernetes.cluster.handle import Handle


def apply_agents(cluster: Handle, namespace: str) -> None:
    """The accounts of all agents, as docs/kubernetes.md says to set them up."""
    objects = rbac.agent_objects()
    for kind in KINDS:
        objects += rbac.undo_objects(kind)
    text = yaml.safe_dump_all(objects)
    cluster.kubectl("apply", f"--namespace={namespace}", "-f", "-", stdin=text)
    name = undo_account("drain-node")
    words = (f"--clusterrole={name}", f"--serviceaccount={namespace}:{name}")
    cluster.try_kubectl("create", "clusterrolebinding", f"{name}-{namespace}", *words)
