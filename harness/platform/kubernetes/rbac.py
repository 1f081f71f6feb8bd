"""The roles that the harness needs, from what its faults declare: `python -m …rbac deploy/rbac`.

One Role and, for what is not in a namespace, one ClusterRole for what every run takes (`base`) and
for each kind of fault; a team binds `base` and those of the faults it allows. The agents have an
account of their own.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.platform.kubernetes.access import Need
from harness.platform.kubernetes.cluster import MANAGED, OURS
from harness.platform.kubernetes.faults import BASE, KINDS, needs_of
from harness.platform.kubernetes.lease import AGENT_ACCOUNT

CLUSTER_WIDE = frozenset({"nodes"})
AGENT_NEEDS: tuple[Need, ...] = (("", "configmaps", "get"), ("", "configmaps", "patch"))
HEAD = "# Made by `python -m harness.platform.kubernetes.rbac deploy/rbac`: do not edit.\n"


def rules(needs: Sequence[Need]) -> list[dict[str, Any]]:
    """RBAC rules, one for each group and resource."""
    verbs: dict[tuple[str, str], set[str]] = {}
    for group, resource, verb in needs:
        verbs.setdefault((group, resource), set()).add(verb)
    return [
        {"apiGroups": [group], "resources": [resource], "verbs": sorted(found)}
        for (group, resource), found in sorted(verbs.items())
    ]


def roles_of(kind: str, needs: Sequence[Need] | None = None) -> list[dict[str, Any]]:
    """The Role and the ClusterRole of one kind of fault; the namespace is given at `apply`."""
    needs = needs_of(kind) if needs is None else needs
    wide = [need for need in needs if need[1].partition("/")[0] in CLUSTER_WIDE]
    near = [need for need in needs if need not in wide]
    name = f"codai-harness-{kind}"
    made = [_object("Role", name, near)]
    return [*made, _object("ClusterRole", name, wide)] if wide else made


def base_roles() -> list[dict[str, Any]]:
    """What every run takes, whatever it breaks, and what `harness reap` looks with."""
    return roles_of("base", BASE)


def agent_objects() -> list[dict[str, Any]]:
    """The agents' account, their role and its binding: they read and answer their lease only."""
    metadata = {"name": AGENT_ACCOUNT, "labels": {MANAGED: OURS}}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        _object("Role", AGENT_ACCOUNT, AGENT_NEEDS),
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "Role",
                "name": AGENT_ACCOUNT,
            },
            "subjects": [{"kind": "ServiceAccount", "name": AGENT_ACCOUNT}],
        },
    ]


def files() -> dict[str, str]:
    """File name -> content."""
    made = {f"{kind}.yaml": _text(roles_of(kind)) for kind in KINDS}
    return {"agent.yaml": _text(agent_objects()), "base.yaml": _text(base_roles()), **made}


def _object(kind: str, name: str, needs: Sequence[Need]) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "labels": {MANAGED: OURS}},
        "rules": rules(needs),
    }


def _text(objects: Sequence[dict[str, Any]]) -> str:
    return HEAD + yaml.safe_dump_all(objects, sort_keys=False)


def main(directory: Path) -> None:
    """Write every file."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
