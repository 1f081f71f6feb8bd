"""Each generated role is exactly enough, by the API server's own word."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from harness.catalog import load_catalog
from harness.chaos.undo import reap
from harness.faults.model import Permission
from harness.platform.kubernetes import rbac
from harness.platform.kubernetes.access import BASE, NAMED, connect
from harness.platform.kubernetes.agent_pods import AGENT_ACCOUNT, undo_account
from harness.platform.kubernetes.faults import on_cluster
from harness.platform.kubernetes.platform import IMAGE_VARIABLE, Kubernetes, Where
from harness.platform.model import Fault
from tests.kubernetes.cluster.handle import Handle
from tests.kubernetes.cluster.workload import Workload, apply_memorai, remove
from tests.kubernetes.roles import apply_agents, apply_team, remove_team, team

pytestmark = pytest.mark.kubernetes

NAMESPACE = "roles-test"
SPARE: tuple[Permission, ...] = (
    ("", "secrets", "get"),
    ("", "secrets", "list"),
    ("", "pods/exec", "create"),
    ("", "pods", "patch"),
    ("", "nodes", "delete"),
    ("", "namespaces", "delete"),
    ("", "serviceaccounts", "create"),
    ("apps", "deployments", "create"),
    ("apps", "deployments", "delete"),
    ("apps", "statefulsets", "patch"),
    ("batch", "jobs", "create"),
    ("rbac.authorization.k8s.io", "roles", "create"),
    ("rbac.authorization.k8s.io", "clusterrolebindings", "create"),
    ("coordination.k8s.io", "leases", "list"),
)
EVERY: frozenset[Permission] = frozenset(
    [
        *BASE,
        *rbac.AGENT_NEEDS,
        *SPARE,
        *(need for kind in on_cluster().values() for need in kind.all_permissions),
    ]
)
"""What any role here grants and what none does."""


@pytest.fixture(scope="module")
def place(cluster: Handle) -> Iterator[str]:
    """A namespace with every role and an account for each, bound as docs/kubernetes.md says."""
    cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}])
    apply_agents(cluster, NAMESPACE)
    for kind in on_cluster():
        apply_team(cluster, NAMESPACE, kind)
    yield NAMESPACE
    remove_team(cluster, NAMESPACE)
    remove(cluster, NAMESPACE, wait=False)


@pytest.fixture(scope="module")
def may(cluster: Handle, place: str) -> Callable[[str, Permission], bool]:
    """Whether an account of the namespace has a permission there (SubjectAccessReview)."""
    reviews = client.AuthorizationV1Api(connect(None, cluster.kubeconfig))

    def ask(account: str, need: Permission) -> bool:
        group, resource, verb = need
        name, _, sub = resource.partition("/")
        attributes = client.V1ResourceAttributes(
            namespace=place,
            group=group,
            resource=name,
            subresource=sub or None,
            verb=verb,
            name=NAMED.get(need),
        )
        everybody = ["system:authenticated", "system:serviceaccounts"]
        spec = client.V1SubjectAccessReviewSpec(
            user=f"system:serviceaccount:{place}:{account}",
            groups=[*everybody, f"system:serviceaccounts:{place}"],
            resource_attributes=attributes,
        )
        review = client.V1SubjectAccessReview(spec=spec)
        answer = reviews.create_subject_access_review(review)
        return bool(answer.status.allowed)

    return ask


def exactly(
    may: Callable[[str, Permission], bool], account: str, needs: Sequence[Permission]
) -> None:
    """Every need is allowed, once the authorizer has heard of the binding, and nothing else."""
    deadline = time.monotonic() + 10
    while missing := [need for need in dict.fromkeys(needs) if not may(account, need)]:
        assert time.monotonic() < deadline, f"{account} may not {missing}"
        time.sleep(0.2)
    spare = [need for need in sorted(EVERY - set(needs)) if may(account, need)]
    assert not spare, f"{account} may {spare} too"


@pytest.mark.parametrize("kind", on_cluster())
def test_the_roles_of_a_fault_grant_what_it_declares_and_nothing_else(
    may: Callable[[str, Permission], bool], kind: str
) -> None:
    """The base role and the fault's own, bound together."""
    exactly(may, team(kind), (*BASE, *on_cluster()[kind].all_permissions))


def test_the_agents_on_nodes_may_read_and_answer_their_lease_only(
    may: Callable[[str, Permission], bool],
) -> None:
    exactly(may, AGENT_ACCOUNT, rbac.AGENT_NEEDS)


@pytest.mark.parametrize("kind", [n for n, k in on_cluster().items() if k.undo_permissions])
def test_an_agent_that_undoes_by_the_api_may_put_back_its_kind_of_object_only(
    may: Callable[[str, Permission], bool], kind: str
) -> None:
    exactly(may, undo_account(kind), (*rbac.AGENT_NEEDS, *on_cluster()[kind].undo_permissions))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("kill-replicas", {"count": 1}),
        ("pause-replicas", {"count": 1}),
        ("scale", {"replicas": 3}),
        ("drain-node", {"region": "us-east-1"}),
    ],
)
def test_a_fault_is_carried_out_undone_and_reaped_with_its_roles_alone(
    cluster: Handle,
    place: str,
    kind: str,
    words: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a role lacks, no review of what is declared would show."""
    small = Workload(namespace=place, replicas=2, most_replicas=3, database=False, available=1)
    apply_memorai(cluster, small)
    monkeypatch.setenv(IMAGE_VARIABLE, cluster.image)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    config = kubeconfig(cluster, tmp_path, place, team(kind))
    platform = Kubernetes(Where(place, kubeconfig=str(config)))
    service, fault = load_catalog().service("memorai"), Fault(kind, words)
    with platform.exclusive():
        heal = platform.plan_heal(service, fault, f"{kind}-least")
        platform.inject(service, fault, heal)
        assert platform.verify(heal).in_effect
        platform.heal(heal)
        found = reap((platform,))
    assert found.clean, found


def kubeconfig(cluster: Handle, directory: Path, namespace: str, account: str) -> Path:
    """The cluster's own, with a token of this account instead."""
    token = cluster.kubectl("create", "token", account, f"--namespace={namespace}").strip()
    words = ("config", "view", "--minify", "--raw", "--flatten", "-o", "json")
    document = json.loads(cluster.kubectl(*words))
    document["users"][0]["user"] = {"token": token}
    path = directory / f"{account}.kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return path
