"""The roles in deploy/rbac are those that the faults declare, and what they declare is enough."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from harness.catalog.model import Service
from harness.chaos import undo
from harness.chaos.undo import reap
from harness.faults.model import REBALANCE, WORKLOADS, Permission
from harness.platform.kubernetes import rbac
from harness.platform.kubernetes.access import BASE, LOOK, SECRET
from harness.platform.kubernetes.faults import on_cluster
from harness.platform.kubernetes.platform import Kubernetes
from harness.platform.model import Fault
from tests.platform_kubernetes.fake import FakeApi
from tests.platform_kubernetes.kubelet import TOKEN, Kubelet

DIRECTORY = Path(__file__).parents[2] / "deploy" / "rbac"


def test_the_files_are_what_the_faults_declare() -> None:
    """Run `python -m harness.platform.kubernetes.rbac deploy/rbac` after a change."""
    found = {path.name: path.read_text(encoding="utf-8") for path in DIRECTORY.glob("*.yaml")}
    assert found == rbac.files()


def test_no_role_may_read_others_secrets_or_reach_into_pods() -> None:
    """The one Secret is the key that signs undo records."""
    accounts = [
        each for kind in on_cluster() for each in rbac.undo_objects(kind) if "rules" in each
    ]
    every: list[Any] = [
        *rbac.base_roles(),
        *(r for kind in on_cluster() for r in rbac.roles_of(kind)),
        *accounts,
    ]
    for role in every:
        named = [rule for rule in role["rules"] if "resourceNames" in rule]
        assert all(rule["resourceNames"] == [SECRET] for rule in named)
        verbs = {verb for rule in role["rules"] for verb in rule["verbs"]}
        free = [rule for rule in role["rules"] if rule not in named and rule["verbs"] != ["create"]]
        resources = {name for rule in free for name in rule["resources"]}
        assert not resources & {"secrets", "pods/exec", "serviceaccounts", "roles"}
        assert "*" not in resources | verbs


@pytest.mark.parametrize(
    "fault",
    [
        Fault("kill-replicas", {"count": 1}),
        Fault("drain-node", {"node": "us-east-1a"}),
        Fault("scale", {"replicas": 5}),
        Fault("bad-release", {"image": "bad:2"}),
        Fault("rolling-restart"),
    ],
    ids=lambda fault: fault.kind,
)
def test_a_fault_by_the_api_asks_for_no_more_than_it_declares(
    platform: Kubernetes,
    service: Service,
    api: FakeApi,
    kubelet: Kubelet,
    fault: Fault,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From the hold of the namespace to the reaping; neither does the agent that undoes it."""
    monkeypatch.setattr(undo, "PROOF_S", 0.0)  # nothing here brings a deleted pod back
    with platform.exclusive():
        heal = platform.plan_heal(service, fault, f"{fault.kind}-1")
        platform.inject(service, fault, heal)
        platform.observe(service)
        platform.verify(heal)
        reap((platform,))
    own = {(verb, kind) for verb, kind in api.asked["none"] if kind != "namespaces"}
    assert own <= names((*BASE, *LOOK, *on_cluster()[fault.kind].all_permissions))
    seldom = {
        ("get", "pods"),
        *names(REBALANCE),
        *names(each for each in WORKLOADS if each[1] != "deployments"),
    }  # where an agent fails, where a region is left empty, where it is no Deployment
    unused = names(on_cluster()[fault.kind].all_permissions) - own - seldom
    assert not unused
    agents = names((*rbac.AGENT_NEEDS, *on_cluster()[fault.kind].undo_permissions))
    assert api.asked.get(TOKEN, set()) <= agents


def names(needs: Iterable[Permission]) -> set[tuple[str, str]]:
    """(verb, resource) of each."""
    return {(verb, resource) for _, resource, verb in needs}
