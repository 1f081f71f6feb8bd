"""A fault hits the service's own pods, containers and ports, and says who else is near."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest

from harness.catalog.model import Service
from harness.errors import CapabilityMissing, PlatformError
from harness.platform.kubernetes import api_changes
from harness.platform.kubernetes.injectors import cluster_undo
from harness.platform.kubernetes.platform import Kubernetes
from harness.platform.model import Fault
from harness.platform.undo import Change, Release, ResetPort, UndoRecord
from tests.platform_kubernetes.fake import (
    DEPLOYMENT,
    NAMESPACE,
    READY,
    SELECTOR,
    SERVICE,
    FakeApi,
    owner,
)

PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
OURS = f"{PODS}/memorai-us-east-1a"
BUDGETS = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets"
RELEASE = Fault("bad-release", {"image": "bad:2"})


def add_pod(api: FakeApi, name: str, labels: dict[str, str], **other: Any) -> None:
    """A ready pod like the service's own, but for its name, labels and what is given."""
    pod = copy.deepcopy(api.get(OURS))
    pod["metadata"].update({"name": name, "labels": labels, "uid": f"uid-{name}"})
    for part, fields in other.items():
        pod[part].update(fields)
    api.put(f"{PODS}/{name}", pod)


def database(name: str) -> dict[str, str]:
    return {"app.kubernetes.io/component": "database", "app.kubernetes.io/name": name}


def targets(platform: Kubernetes, service: Service, kind: str, **given: Any) -> list[str]:
    heal = platform.plan_heal(service, Fault(kind, given), f"{kind}-1")
    return list(heal.targets)


def change_of(heal: UndoRecord) -> Change:
    change = cluster_undo(heal).change
    assert change is not None
    return change


def put_back(platform: Kubernetes, heal: UndoRecord) -> None:
    back = api_changes.inverse(cluster_undo(heal))
    assert back is not None
    api_changes.undo(platform._cluster, back)


def set_deployment(api: FakeApi, **spec: Any) -> None:
    found = api.get(DEPLOYMENT)
    found["spec"].update(spec)
    api.put(DEPLOYMENT, found)


@pytest.mark.parametrize(
    ("labels", "hit"),
    [
        (database("memorai-database"), True),
        (database("memorai-database-us-east-1"), True),
        (database("memorai"), True),
        ({**database("postgresql"), "app.kubernetes.io/instance": "memorai"}, True),
        (database("not-memorai-warehouse"), False),
        (database("memorai2-database"), False),
        (database("postgresql"), False),
    ],
)
def test_a_database_is_the_services_by_its_exact_name(
    platform: Kubernetes, service: Service, api: FakeApi, labels: dict[str, str], *, hit: bool
) -> None:
    add_pod(api, "some-0", labels)
    if hit:
        assert targets(platform, service, "kill-database") == ["some-0"]
        return
    with pytest.raises(PlatformError, match="no pod of memorai with component database") as found:
        targets(platform, service, "kill-database")
    assert labels["app.kubernetes.io/name"] in str(found.value)
    named = labels["app.kubernetes.io/name"]
    assert targets(platform, service, "kill-database", name=named) == ["some-0"]


@pytest.mark.parametrize(
    ("labels", "other", "why"),
    [
        (SELECTOR, {"metadata": {"ownerReferences": [owner("Job")]}}, "of a Job"),
        (SELECTOR, {"metadata": {"ownerReferences": []}}, "without a controller"),
        (SELECTOR, {"status": {"phase": "Failed", "reason": "Evicted"}}, "evicted"),
        (SELECTOR, {"status": {"phase": "Succeeded"}}, "finished"),
    ],
)
def test_a_pod_that_is_no_replica_is_no_target_and_is_named(
    platform: Kubernetes,
    service: Service,
    api: FakeApi,
    labels: dict[str, str],
    other: dict[str, Any],
    why: str,
) -> None:
    add_pod(api, "memorai-migrate", labels, **other)
    assert len(platform.replicas(service)) == 2
    assert "memorai-migrate" not in targets(platform, service, "kill-replicas")
    assert any(f"memorai-migrate ({why})" in note for note in platform.notes(service))


def test_replicas_are_what_the_service_selects_whatever_their_other_labels(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    add_pod(api, "blue-1", {"app": "memorai"})
    add_pod(api, "green-1", {"app.kubernetes.io/name": "memorai"})
    assert "blue-1" in targets(platform, service, "kill-replicas")
    assert "green-1" not in targets(platform, service, "kill-replicas")


@pytest.mark.parametrize(
    ("selector", "counts"),
    [
        ({}, True),
        ({"matchLabels": {"app": "memorai"}}, True),
        ({"matchLabels": {"app": "other"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["other"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["memorai"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["memorai"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_a_disruption_budget_counts_where_all_of_its_selector_holds(
    platform: Kubernetes, service: Service, api: FakeApi, selector: Any, *, counts: bool
) -> None:
    status = {
        "disruptionsAllowed": 0, "currentHealthy": 2, "desiredHealthy": 2, "expectedPods": 2
    }  # fmt: skip
    api.put(f"{BUDGETS}/one", {"spec": {"selector": selector}, "status": status})
    assert bool(platform.preflight_failures(service, Fault("drain-node"))) is counts


PORTS = {
    "target": [{"port": 80, "name": "metrics"}, {"port": 8000, "targetPort": 3001, "name": "api"}],
    "named": [{"port": 80, "name": "metrics"}, {"port": 8000, "name": "http"}],
    "own": [{"port": 80, "name": "metrics"}, {"port": 8000, "name": "memorai"}],
}


@pytest.mark.parametrize("ports", PORTS.values(), ids=PORTS)
def test_the_port_is_the_one_that_users_reach(
    platform: Kubernetes, service: Service, api: FakeApi, ports: Any
) -> None:
    api.put(SERVICE, {"spec": {"clusterIP": "10.0.0.2", "ports": ports, "selector": SELECTOR}})
    assert platform.target(service).urls == ("http://10.0.0.2:8000",)


def test_a_service_with_several_unknown_ports_is_refused_by_their_names(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    ports = [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]
    api.put(SERVICE, {"spec": {"clusterIP": "10.0.0.2", "ports": ports, "selector": SELECTOR}})
    with pytest.raises(PlatformError, match=r"2 ports, none is the catalogue's 3001: 80 \(a\)"):
        platform.target(service)


@pytest.mark.parametrize("target", [8080, "http"])
def test_pods_are_asked_at_the_port_where_they_listen(
    platform: Kubernetes, service: Service, api: FakeApi, target: Any
) -> None:
    ports = [{"port": 3001, "targetPort": target}]
    api.put(SERVICE, {"spec": {"clusterIP": "10.0.0.2", "ports": ports, "selector": SELECTOR}})
    for path in [each for each in api.objects if "/pods/" in each]:
        pod = api.get(path)
        pod["spec"]["containers"] = [
            {"name": "memorai", "ports": [{"name": "http", "containerPort": 8080}]}
        ]
        api.put(path, pod)
    assert {replica.url for replica in platform.replicas(service)} == {"http://10.0.0.1:8080"}
    heal = platform.plan_heal(service, Fault("reset-connections"), "reset-1")
    tasks = list(cluster_undo(heal).agents.values())
    assert {task.port for task in tasks if isinstance(task, ResetPort)} == {8080}


@pytest.mark.parametrize("kind", ["dns-failure", "reset-connections"])
def test_a_pod_on_its_nodes_network_is_no_target_of_a_fault_of_packets(
    platform: Kubernetes, service: Service, api: FakeApi, kind: str
) -> None:
    pod = api.get(OURS)
    pod["spec"]["hostNetwork"] = True
    api.put(OURS, pod)
    with pytest.raises(CapabilityMissing, match="hostNetwork"):
        targets(platform, service, kind)


def released(platform: Kubernetes, service: Service, **given: Any) -> str:
    heal = platform.plan_heal(service, Fault("bad-release", {"image": "bad:2", **given}), "bad-1")
    change = cluster_undo(heal).change
    assert isinstance(change, Release)
    return change.container


def test_a_release_changes_the_applications_container_not_a_sidecar(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    sidecar = {"name": "istio-proxy", "image": "proxy:1"}
    app = {"name": "app", "image": "good:1", "ports": [{"containerPort": 3001}]}
    template = api.get(DEPLOYMENT)["spec"]["template"]
    for containers, wanted in [
        ([sidecar, app], "app"),
        ([sidecar, {**app, "name": "memorai", "ports": []}], "memorai"),
    ]:
        set_deployment(api, template={**template, "spec": {"containers": containers}})
        assert released(platform, service) == wanted
        assert released(platform, service, container="istio-proxy") == "istio-proxy"
    unknown = [sidecar, {**app, "ports": []}]
    set_deployment(api, template={**template, "spec": {"containers": unknown}})
    with pytest.raises(PlatformError, match=r"istio-proxy, app is the application.*give container"):
        released(platform, service)
    with pytest.raises(PlatformError, match=r"no container 'ap'; there are istio-proxy, app"):
        released(platform, service, container="ap")


@pytest.mark.parametrize("kind", ["bad-release", "rolling-restart"])
def test_no_release_is_planned_that_no_pod_would_take(
    platform: Kubernetes, service: Service, api: FakeApi, kind: str
) -> None:
    given = {"image": "bad:2"} if kind == "bad-release" else {}
    set_deployment(api, paused=True)
    with pytest.raises(PlatformError, match=r"is paused.*kubectl rollout resume deployment"):
        targets(platform, service, kind, **given)
    set_deployment(api, paused=False)
    api.put(DEPLOYMENT, {**api.get(DEPLOYMENT), "status": {**READY, "updatedReplicas": 1}})
    with pytest.raises(PlatformError, match="is being rolled out already"):
        targets(platform, service, kind, **given)


def test_a_release_that_no_pod_has_taken_is_not_in_effect(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    heal = platform.plan_heal(service, RELEASE, "bad-1")
    change = change_of(heal)
    api_changes.apply(platform._cluster, "memorai", change, heal)
    assert api_changes.shows(platform._cluster, "memorai", change).in_effect
    api.put(DEPLOYMENT, {**api.get(DEPLOYMENT), "status": {**READY, "updatedReplicas": 0}})
    shown = api_changes.shows(platform._cluster, "memorai", change)
    assert (shown.in_effect, shown.statement) == (False, "no pod of memorai has taken the release")


def test_a_release_is_waited_for_until_the_first_pod_has_it(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    heal = platform.plan_heal(service, RELEASE, "bad-1")
    change = change_of(heal)
    api.put(DEPLOYMENT, {**api.get(DEPLOYMENT), "status": {**READY, "updatedReplicas": 0}})

    def take() -> None:
        api.put(DEPLOYMENT, {**api.get(DEPLOYMENT), "status": READY})

    later = threading.Timer(0.4, take)
    later.start()
    api_changes.apply(platform._cluster, "memorai", change, heal)
    assert api_changes.shows(platform._cluster, "memorai", change).in_effect
    later.join()


def test_an_undo_leaves_what_somebody_else_has_set_since(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    """Replicas of an autoscaler, another release; the mark goes all the same."""
    for fault, theirs in [
        (RELEASE, None),
        (Fault("scale", {"replicas": 5}), {"replicas": 7}),
    ]:
        heal = platform.plan_heal(service, fault, f"{fault.kind}-1")
        api_changes.apply(platform._cluster, "memorai", change_of(heal), heal)
        template = api.get(DEPLOYMENT)["spec"]["template"]
        template["spec"]["containers"][0]["image"] = "newer:3"
        set_deployment(api, **(theirs or {"template": template}))
        put_back(platform, heal)
        assert not api_changes.marked(platform._cluster)
    spec = api.get(DEPLOYMENT)["spec"]
    assert spec["replicas"] == 7
    assert spec["template"]["spec"]["containers"][0]["image"] == "newer:3"


def test_a_kill_is_undone_when_as_many_pods_are_ready_as_are_wanted_since(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    heal = platform.plan_heal(service, Fault("kill-replicas", {"count": 1}), "kill-1")
    change = change_of(heal)
    api_changes.apply(platform._cluster, "memorai", change)
    assert api_changes.shows(platform._cluster, "memorai", change).in_effect
    set_deployment(api, replicas=1)
    assert not api_changes.shows(platform._cluster, "memorai", change).in_effect


def test_a_killed_pod_that_a_finalizer_keeps_is_not_waited_for(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    """It is no ready pod, whatever its condition says, and no target either."""
    heal = platform.plan_heal(service, Fault("kill-replicas", {"region": "us-east-1"}), "kill-1")
    change = change_of(heal)
    kept = api.get(OURS)
    kept["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["a/b"])
    api.put(OURS, kept)
    assert api_changes.shows(platform._cluster, "memorai", change).in_effect
    add_pod(api, "memorai-new", kept["metadata"]["labels"])
    new = api.get(f"{PODS}/memorai-new")
    new["metadata"].pop("deletionTimestamp")
    api.put(f"{PODS}/memorai-new", new)
    assert not api_changes.shows(platform._cluster, "memorai", change).in_effect
    assert targets(platform, service, "kill-replicas", region="us-east-1") == ["memorai-new"]


@pytest.mark.parametrize("kind", ["statefulset", "daemonset"])
def test_a_service_may_be_made_by_another_kind_of_workload(
    platform: Kubernetes, service: Service, api: FakeApi, kind: str
) -> None:
    made = api.get(DEPLOYMENT)
    del api.objects[DEPLOYMENT]
    status = {
        "desiredNumberScheduled": 2, "currentNumberScheduled": 2, "updatedNumberScheduled": 2,
        "numberAvailable": 2, "numberMisscheduled": 0, "numberReady": 2,
    }  # fmt: skip
    made["spec"]["serviceName"] = "memorai"
    made["status"] = status if kind == "daemonset" else READY
    path = DEPLOYMENT.replace("deployments", f"{kind}s")
    api.put(path, made)
    heal = platform.plan_heal(service, RELEASE, "bad-1")
    api_changes.apply(platform._cluster, "memorai", change_of(heal), heal)
    container = api.get(path)["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "bad:2"
    assert [mark.what for mark in api_changes.marked(platform._cluster)] == [f"{kind} memorai"]
    put_back(platform, heal)
    container = api.get(path)["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "good:1"
    if kind == "daemonset":
        with pytest.raises(PlatformError, match="is a DaemonSet: it has one pod on each node"):
            targets(platform, service, "scale", replicas=3)
    else:
        assert targets(platform, service, "scale", replicas=3) == ["memorai"]


def test_a_drain_leaves_the_pods_of_a_daemonset_alone_as_kubectl_does(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    pod = api.get(OURS)
    pod["metadata"]["ownerReferences"] = [owner("DaemonSet")]
    api.put(OURS, pod)
    with pytest.raises(PlatformError, match="a DaemonSet's: a drain leaves them alone"):
        targets(platform, service, "drain-node", node="us-east-1a")


def test_a_plan_names_who_else_is_on_the_nodes(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    dns = copy.deepcopy(api.get(OURS))
    dns["metadata"].update(
        {"name": "coredns-1", "namespace": "kube-system", "uid": "uid-dns"}
        | {"labels": {"k8s-app": "kube-dns"}}
    )
    api.put("/api/v1/namespaces/kube-system/pods/coredns-1", dns)
    fault = Fault("fail-region", {"region": "us-east-1"})
    notes = platform.plan_heal(service, fault, "fail-1").notes
    assert "also hits on these nodes: 1 of kube-system/kube-dns" in notes
    api.denied.add(("list", "/api/v1/pods"))
    notes = platform.plan_heal(service, fault, "fail-1").notes
    assert any("may not list the pods of other namespaces" in note for note in notes)


def test_a_node_without_a_region_is_in_none(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    node = api.get("/api/v1/nodes/eu-west-1a")
    node["metadata"]["labels"] = {}
    api.put("/api/v1/nodes/eu-west-1a", node)
    with pytest.raises(PlatformError, match=r"no node in region 'unknown'.*there are us-east-1$"):
        targets(platform, service, "fail-region", region="unknown")


def test_no_change_is_planned_whose_undo_no_node_would_take(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    fault = Fault("drain-node", {"node": "us-east-1a"})
    platform.plan_heal(service, fault, "drain-1")
    node = api.get("/api/v1/nodes/eu-west-1a")
    node["spec"]["taints"] = [{"key": "dedicated", "effect": "NoSchedule"}]
    api.put("/api/v1/nodes/eu-west-1a", node)
    with pytest.raises(PlatformError, match=r"no node would take the agent.*dedicated:NoSchedule"):
        platform.plan_heal(service, fault, "drain-1")
    platform.plan_heal(service, Fault("scale", {"replicas": 3}), "scale-1")
