"""What a namespace may have besides: limits of every container, a workload of Argo Rollouts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from harness.catalog import load_catalog
from harness.catalog.model import Service
from harness.catalog.pods import PodSettings
from harness.errors import PlatformError
from harness.platform.kubernetes import api_changes
from harness.platform.kubernetes.agent_pods import undo_account
from harness.platform.kubernetes.injectors import cluster_undo
from harness.platform.kubernetes.platform import IMAGE_VARIABLE, Kubernetes, Where
from harness.platform.model import Fault
from harness.platform.undo import Deletion, Scaling
from tests.kubernetes.breaking import broken, undone, until
from tests.kubernetes.cluster.errors import ClusterError
from tests.kubernetes.cluster.handle import Handle
from tests.kubernetes.cluster.workload import Workload, apply_memorai, remove
from tests.kubernetes.roles import apply_agents

pytestmark = pytest.mark.kubernetes

NAMESPACE = "codai-surroundings"
SPACE = f"--namespace={NAMESPACE}"
CUSTOM = "rollouts.argoproj.io"
COUNT: dict[str, Any] = {"type": "object", "properties": {"replicas": {"type": "integer"}},
                         "x-kubernetes-preserve-unknown-fields": True}  # fmt: skip
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": CUSTOM},
    "spec": {
        "group": "argoproj.io",
        "scope": "Namespaced",
        "names": {"kind": "Rollout", "plural": "rollouts", "singular": "rollout"},
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": COUNT, "status": COUNT},
                    }
                },
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.replicas",
                        "statusReplicasPath": ".status.replicas",
                    },
                },
            }
        ],
    },
}
"""As Argo Rollouts has it, as far as its subresources go; its controller is not there."""


@pytest.fixture(scope="module")
def service() -> Service:
    return load_catalog().service("memorai")


@pytest.fixture(scope="module")
def platform(cluster: Handle, service: Service) -> Iterator[Kubernetes]:
    """Two pods of a ReplicaSet, which is what Argo's controller makes."""
    workload = Workload(namespace=NAMESPACE, kind="ReplicaSet", replicas=2, database=False)
    apply_memorai(cluster, workload, wait=False)
    apply_agents(cluster, NAMESPACE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(IMAGE_VARIABLE, cluster.image)
        found = Kubernetes(Where(NAMESPACE, kubeconfig=str(cluster.kubeconfig)))
        until(lambda: sum(each.health == "ready" for each in found.replicas(service)) == 2, 60)
        yield found
        assert found.residual_faults() == ()
    remove(cluster, NAMESPACE, wait=False)


@pytest.fixture
def rollout(cluster: Handle, platform: Kubernetes) -> Iterator[None]:
    """Argo's kind, and an object of it by the service's name."""
    cluster.apply([DEFINITION])
    cluster.kubectl("wait", "--for=condition=Established", f"crd/{CUSTOM}", "--timeout=30s")
    metadata = {"name": "memorai", "namespace": NAMESPACE}
    made = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": metadata}
    until(lambda: cluster.try_kubectl("get", "rollouts.argoproj.io", SPACE) is not None)
    cluster.apply([{**made, "spec": {"replicas": 2}}])
    status = ("--subresource=status", "--type=merge", '--patch={"status":{"replicas":2}}')
    cluster.kubectl("patch", CUSTOM, "memorai", SPACE, *status)
    yield
    cluster.kubectl("delete", "crd", CUSTOM, "--wait=false")


@pytest.mark.usefixtures("rollout")
def test_pods_of_an_argo_rollout_are_killed_and_its_replicas_scaled_and_put_back(
    platform: Kubernetes, service: Service, cluster: Handle
) -> None:
    killed = broken(platform, service, "kill-replicas", count=1)
    change = cluster_undo(killed).change
    assert isinstance(change, Deletion)
    assert change.kind == "rollout"
    (victim,) = killed.targets
    until(lambda: victim not in {each.id for each in platform.replicas(service)})
    undone(platform, killed)

    scaled = broken(platform, service, "scale", replicas=3)
    assert cluster_undo(scaled).change == Scaling(3, 2, "rollout")
    assert cluster.get(CUSTOM, "memorai", SPACE)["spec"]["replicas"] == 3
    assert [mark.what for mark in api_changes.marked(platform._cluster)] == ["rollout memorai"]
    undone(platform, scaled)
    assert cluster.get(CUSTOM, "memorai", SPACE)["spec"]["replicas"] == 2
    agent = f"--as=system:serviceaccount:{NAMESPACE}:{undo_account('scale')}"
    words = ("--type=merge", '--patch={"spec":{"replicas":1}}')
    with pytest.raises(ClusterError, match="own fault has changed"):
        cluster.kubectl("patch", CUSTOM, "memorai", SPACE, agent, *words)
    with pytest.raises(PlatformError, match="Argo Rollouts, which has steps of its own"):
        platform.plan_heal(service, Fault("rolling-restart"), "restart-1")


@pytest.fixture
def limit_range(cluster: Handle) -> Iterator[Any]:
    """What sets the one LimitRange of the namespace."""

    def limited(limits: dict[str, object]) -> None:
        metadata = {"name": "limits", "namespace": NAMESPACE}
        kind = {"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata}
        cluster.apply([{**kind, "spec": {"limits": [limits]}}])

    yield limited
    cluster.try_kubectl("delete", "limitrange", "limits", SPACE)


def refusal(platform: Kubernetes, service: Service, fault: Fault) -> str:
    try:
        platform.plan_heal(service, fault, "limited-1")
    except PlatformError as problem:
        return str(problem)
    return ""


def test_a_limit_range_that_agents_do_not_fit_into_is_told_and_kept_by_the_settings(
    platform: Kubernetes, service: Service, cluster: Handle, limit_range: Any
) -> None:
    """The API server hears of a LimitRange a moment after it is made."""
    pause = Fault("pause-replicas", {"count": 1})
    press = Fault("memory-pressure", {"count": 1, "megabytes": 128})
    keep = "keep to the LimitRange: --pods FILE"
    for limits, fault, said in (
        ({"type": "Container", "min": {"cpu": "50m"}}, pause, "minimum cpu usage per Container"),
        ({"type": "Pod", "max": {"memory": "16Mi"}}, pause, "maximum memory usage per Pod"),
        (
            {"type": "Container", "default": {"memory": "64Mi"}},
            press,
            "a LimitRange gives agents 64Mi of memory; 128Mi are needed",
        ),
    ):
        limit_range(limits)
        until(lambda fault=fault, said=said: said in refusal(platform, service, fault))  # type: ignore[misc]
        assert fault is press or keep in refusal(platform, service, fault)
    where = Where(NAMESPACE, kubeconfig=str(cluster.kubeconfig))
    settings = PodSettings(requests={"cpu": "60m"}, limits={"cpu": "120m", "memory": "64Mi"})
    known = Kubernetes(replace(where, pods=settings))
    limit_range({"type": "Container", "min": {"cpu": "50m"}, "default": {"memory": "40Mi"}})
    assert known.plan_heal(service, press, "limited-1").targets
    undone(known, broken(known, service, pause.kind, **pause.arguments))
