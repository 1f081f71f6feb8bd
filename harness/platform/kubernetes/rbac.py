"""The roles that the harness needs, from what its faults declare: `python -m …rbac deploy/rbac`.

One Role and, for what is not in a namespace, one ClusterRole for what every run takes (`base`) and
for each kind of fault; a team binds `base` and those of the faults it allows. The agents have
accounts of their own: one for those on nodes, one for each kind that is undone by the API; what a
role cannot say of them stands in `admission`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from harness.faults.model import Permission
from harness.platform.kubernetes import admission
from harness.platform.kubernetes.access import BASE, LOOK, NAMED
from harness.platform.kubernetes.agent_pods import AGENT_ACCOUNT, undo_account
from harness.platform.kubernetes.api_types import Manifest
from harness.platform.kubernetes.cluster import MANAGED, OURS
from harness.platform.kubernetes.events import NODE_NEEDS, NODES_NAMESPACE
from harness.platform.kubernetes.faults import on_cluster

CLUSTER_WIDE = frozenset({"nodes"})
AGENT_NEEDS = (("", "configmaps", "get"), ("", "configmaps", "patch"))
HEAD = "# Made by `python -m harness.platform.kubernetes.rbac deploy/rbac`: do not edit.\n"


def rules(needs: Sequence[Permission]) -> list[Manifest]:
    """RBAC rules, one for each group and resource, and for each named object."""
    verbs: dict[tuple[str, str, str], set[str]] = {}
    for group, resource, verb in needs:
        name = NAMED.get((group, resource, verb), "")
        verbs.setdefault((group, resource, name), set()).add(verb)
    return [
        {
            "apiGroups": [group],
            "resources": [resource],
            **({"resourceNames": [name]} if name else {}),
            "verbs": sorted(found),
        }
        for (group, resource, name), found in sorted(verbs.items())
    ]


def roles(name: str, needs: Sequence[Permission]) -> list[Manifest]:
    """The Role and the ClusterRole of these needs; the namespace is given at `apply`."""
    wide = [need for need in needs if need[1].partition("/")[0] in CLUSTER_WIDE]
    near = [need for need in needs if need not in wide]
    made = [_object("Role", name, near)]
    return [*made, _object("ClusterRole", name, wide)] if wide else made


def base_roles() -> list[Manifest]:
    """What every run takes, whatever it breaks, and what `harness reap` looks with."""
    return roles("codai-harness-base", (*BASE, *LOOK))


def node_event_roles() -> list[Manifest]:
    """What shows the events of nodes in a run's timeline; a run goes on without it."""
    name = "codai-harness-node-events"
    where = {"name": name, "labels": {MANAGED: OURS}, "namespace": NODES_NAMESPACE}
    return [{**_object("Role", name, NODE_NEEDS), "metadata": where}]


def node_pod_roles() -> list[Manifest]:
    """What shows in a plan who else is on the nodes that a fault hits; optional as well."""
    return [_object("ClusterRole", "codai-harness-node-pods", (("", "pods", "list"),))]


def roles_of(kind: str) -> list[Manifest]:
    """What one kind of fault takes besides."""
    found = on_cluster()[kind]
    return roles(f"codai-harness-{kind}", (*found.all_permissions, *found.optional))


def agent_objects() -> list[Manifest]:
    """The account of the agents on nodes: they read and answer their lease only."""
    return _account(AGENT_ACCOUNT, AGENT_NEEDS)


def undo_objects(kind: str) -> list[Manifest]:
    """The account of the agent that undoes this kind by the API; nothing where none does.

    A ClusterRole among them is bound by hand: its binding must name the namespace.
    """
    permissions = on_cluster()[kind].undo_permissions
    return _account(undo_account(kind), (*AGENT_NEEDS, *permissions)) if permissions else []


def files() -> dict[str, str]:
    """File name -> content."""
    made = {f"{kind}.yaml": _text([*roles_of(kind), *undo_objects(kind)]) for kind in on_cluster()}
    return {
        "admission.yaml": _text(admission.objects()),
        "agent.yaml": _text(agent_objects()),
        "base.yaml": _text(base_roles()),
        "digests.yaml": _text(admission.digest_objects()),
        "node-events.yaml": _text(node_event_roles()),
        "node-pods.yaml": _text(node_pod_roles()),
        **made,
    }


def _account(name: str, needs: Sequence[Permission]) -> list[Manifest]:
    """A ServiceAccount, its roles, and the binding of the Role."""
    metadata = {"name": name, "labels": {MANAGED: OURS}}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        *roles(name, needs),
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name}],
        },
    ]


def _object(kind: str, name: str, needs: Sequence[Permission]) -> Manifest:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "labels": {MANAGED: OURS}},
        "rules": rules(needs),
    }


def _text(objects: Sequence[Manifest]) -> str:
    return HEAD + yaml.safe_dump_all(objects, sort_keys=False)


def main(directory: Path) -> None:
    """Write every file."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
