"""A change by the API is undone in the cluster when nobody lives who would undo it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from harness.catalog.model import Service
from harness.errors import PlatformError
from harness.platform.kubernetes.agent_pool import AgentPool
from harness.platform.kubernetes.platform import Kubernetes
from harness.platform.model import Fault
from harness.platform.undo import UndoRecord
from tests.platform_kubernetes.fake import DEPLOYMENT, NAMESPACE, NODE, FakeApi
from tests.platform_kubernetes.kubelet import Kubelet, kill

pytestmark = pytest.mark.slow

SCALE = Fault("scale", {"replicas": 5})
DRAIN = Fault("drain-node", {"node": "us-east-1a"})
RELEASE = Fault("bad-release", {"env": {"MODE": "wild", "EXTRA": 1}})


def injected(platform: Kubernetes, service: Service, fault: Fault) -> UndoRecord:
    heal = platform.plan_heal(service, fault, f"{fault.kind}-1")
    platform.inject(service, fault, heal)
    assert platform.verify(heal).in_effect
    return heal


def until(holds: Callable[[], bool], within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.1)


def state(api: FakeApi) -> list[Any]:
    """What the faults here change, without versions; an empty mapping is the same as none."""
    found = [api.get(DEPLOYMENT), api.get(NODE)]
    for each in found:
        each["metadata"].pop("resourceVersion")
        for key in ("annotations", "labels"):
            each["metadata"][key] = each["metadata"].get(key) or {}
    return found


def dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A harness that injects and then renews nothing, as a killed one."""
    monkeypatch.setattr(AgentPool, "_renew", lambda self, lease: None)


@pytest.mark.parametrize("fault", [SCALE, DRAIN, RELEASE], ids=lambda fault: fault.kind)
def test_a_change_is_undone_by_the_cluster_when_the_harness_dies(
    platform: Kubernetes,
    service: Service,
    api: FakeApi,
    kubelet: Kubelet,
    fault: Fault,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exactly what was before: also the variable that only the bad release had is gone."""
    dead(monkeypatch)
    before = state(api)
    heal = injected(platform, service, fault)
    assert state(api) != before
    until(lambda: state(api) == before)
    assert not platform.verify(heal).in_effect
    platform.heal(heal)
    assert platform.residual_faults() == ()


def test_a_living_harness_holds_its_change_and_heals_it(
    platform: Kubernetes, service: Service, api: FakeApi, kubelet: Kubelet
) -> None:
    before = state(api)
    heal = injected(platform, service, SCALE)
    time.sleep(3.0)
    assert api.get(DEPLOYMENT)["spec"]["replicas"] == 5
    platform.heal(heal)
    platform.heal(heal)
    assert state(api) == before
    assert platform.residual_faults() == ()
    until(lambda: all(each.poll() == 0 for each in kubelet.running))  # the lease is gone


def test_an_agent_that_was_killed_meanwhile_undoes_the_change_when_it_runs_again(
    platform: Kubernetes,
    service: Service,
    api: FakeApi,
    kubelet: Kubelet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The new process never heard the word to begin."""
    dead(monkeypatch)
    before = state(api)
    injected(platform, service, SCALE)
    kill(kubelet.running[0])
    until(lambda: len(kubelet.running) > 1)
    until(lambda: state(api) == before)


def test_an_api_server_that_refuses_for_a_while_is_asked_again(
    platform: Kubernetes,
    service: Service,
    api: FakeApi,
    kubelet: Kubelet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dead(monkeypatch)
    before = state(api)
    injected(platform, service, SCALE)
    api.denied = {("patch", "deployments")}
    time.sleep(4.0)
    assert state(api) != before
    api.denied = set()
    until(lambda: state(api) == before)


def test_nothing_is_changed_where_the_undo_would_be_refused(
    platform: Kubernetes, service: Service, api: FakeApi, kubelet: Kubelet
) -> None:
    """The agent tries its patch as a dry run before it says that it is ready."""
    before = state(api)
    heal = platform.plan_heal(service, SCALE, "scale-1")
    api.denied = {("patch", "deployments")}
    with pytest.raises(PlatformError, match=r"on api: PATCH .+: 403: may not patch"):
        platform.inject(service, SCALE, heal)
    assert state(api) == before
    assert platform.residual_faults() == ()


@pytest.mark.parametrize(("fault", "path"), [(DRAIN, NODE), (SCALE, DEPLOYMENT)])
def test_the_change_of_an_object_that_is_gone_is_undone(
    platform: Kubernetes, service: Service, api: FakeApi, kubelet: Kubelet, fault: Fault, path: str
) -> None:
    """An autoscaler takes a drained node away, somebody removes the workload."""
    heal = injected(platform, service, fault)
    del api.objects[path]
    platform.heal(heal)
    assert platform.residual_faults() == ()


def test_a_drain_is_undone_when_its_namespace_is_deleted(
    platform: Kubernetes, service: Service, api: FakeApi, kubelet: Kubelet
) -> None:
    """The node belongs to none; its agent has lost the lease and uncordons it."""
    injected(platform, service, DRAIN)
    with api.lock:
        for path in [each for each in api.objects if f"/namespaces/{NAMESPACE}" in each]:
            del api.objects[path]
    until(lambda: not api.get(NODE)["spec"].get("unschedulable"))


def test_what_is_undone_stays_undone_though_its_annotation_comes_back(
    platform: Kubernetes, service: Service, api: FakeApi, kubelet: Kubelet
) -> None:
    """`kubectl rollout undo` takes a Deployment's annotations from an old ReplicaSet."""
    heal = injected(platform, service, SCALE)
    notes = api.get(DEPLOYMENT)["metadata"]["annotations"]
    platform.heal(heal)
    found = api.get(DEPLOYMENT)
    found["metadata"]["annotations"] = notes
    found["spec"]["replicas"] = 7
    api.put(DEPLOYMENT, found)
    platform.heal(heal)
    assert api.get(DEPLOYMENT)["spec"]["replicas"] == 7
    assert platform.residual_faults() == ()
    assert platform.orphaned_heals() == ()


def test_the_agent_of_a_change_has_no_rights_on_a_node(
    platform: Kubernetes, service: Service, api: FakeApi, kubelet: Kubelet
) -> None:
    """And the account of its own kind of fault."""
    pods: list[dict[str, Any]] = []
    run = api.kubelet

    def see(pod: dict[str, Any]) -> None:
        pods.append(pod)
        run(pod)

    api.kubelet = see
    platform.heal(injected(platform, service, SCALE))
    (pod,) = pods
    spec, (container,) = pod["spec"], pod["spec"]["containers"]
    assert spec["serviceAccountName"] == "codai-harness-undo-scale"
    assert not {"nodeName", "hostPID", "hostNetwork", "tolerations"} & set(spec)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "nsenter" not in container["command"]
