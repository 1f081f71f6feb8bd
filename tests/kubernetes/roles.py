"""The generated roles on a cluster: the agents' accounts, and an account bound as a team would."""

from __future__ import annotations

from pathlib import Path

import yaml

from harness.platform.kubernetes import rbac
from harness.platform.kubernetes.agent_pods import undo_account
from harness.platform.kubernetes.faults import on_cluster
from tests.kubernetes.cluster.handle import Handle

FILES = Path(__file__).parents[2] / "deploy" / "rbac"


def team(kind: str) -> str:
    """The account of a team that allows this kind of fault and no other."""
    return f"team-{kind}"


def apply_team(cluster: Handle, namespace: str, kind: str) -> None:
    """That account, with the base role and the kind's own from the shipped files."""
    space = f"--namespace={namespace}"
    subject = f"--serviceaccount={namespace}:{team(kind)}"
    cluster.try_kubectl("create", "serviceaccount", team(kind), space)
    for file in ("base", kind):
        path = FILES / f"{file}.yaml"
        cluster.kubectl("apply", space, "-f", str(path))
        name = f"codai-harness-{file}"
        for made in yaml.load_all(path.read_text(encoding="utf-8"), yaml.CSafeLoader):
            if made["metadata"]["name"] != name:
                continue
            if made["kind"] == "Role":
                bound = (f"{team(kind)}-{file}", f"--role={name}", space)
                cluster.try_kubectl("create", "rolebinding", *bound, subject)
            if made["kind"] == "ClusterRole":
                wide = (f"{namespace}-{kind}-{file}", f"--clusterrole={name}")
                cluster.try_kubectl("create", "clusterrolebinding", *wide, subject)


def remove_team(cluster: Handle, namespace: str) -> None:
    """What belongs to no namespace of all teams' accounts; the rest goes with the namespace."""
    for kind in on_cluster():
        for file in ("base", kind):
            name = f"{namespace}-{kind}-{file}"
            cluster.try_kubectl("delete", "clusterrolebinding", name, "--ignore-not-found")


def apply_agents(cluster: Handle, namespace: str) -> None:
    """The accounts of all agents and what confines them, as docs/kubernetes.md says."""
    objects = rbac.agent_objects()
    for kind in on_cluster():
        objects += rbac.undo_objects(kind)
    text = yaml.safe_dump_all(objects)
    cluster.kubectl("apply", f"--namespace={namespace}", "-f", "-", stdin=text)
    name = undo_account("drain-node")
    words = (f"--clusterrole={name}", f"--serviceaccount={namespace}:{name}")
    cluster.try_kubectl("create", "clusterrolebinding", f"{name}-{namespace}", *words)
    cluster.kubectl("apply", "-f", str(FILES / "admission.yaml"))
