"""Pods and nodes of mixed clusters: two addresses, no API of their own, other systems, meshes."""

from __future__ import annotations

from typing import Any

import pytest

from harness.catalog.model import Service
from harness.catalog.pods import NONE, PodSettings
from harness.errors import CapabilityMissing, PlatformError
from harness.platform.kubernetes.agent_pods import Work, agent_pod
from harness.platform.kubernetes.injectors import cluster_undo
from harness.platform.kubernetes.platform import Kubernetes
from harness.platform.model import Fault
from harness.platform.undo import API, CutBetween, CutNames, PutBack
from tests.platform_kubernetes.fake import NODE, FakeApi, owner
from tests.platform_kubernetes.test_whose_pods import OURS, add_pod, database, targets

REGIONS = ["us-east-1", "eu-west-1"]
DUAL = {"podIP": "10.0.0.7", "podIPs": [{"ip": "10.0.0.7"}, {"ip": "fd00::7"}]}


def test_a_pod_of_a_dual_stack_cluster_is_cut_off_by_both_of_its_addresses(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    """One family left open would be the way that the service takes."""
    add_pod(api, "memorai-database-0", database("memorai-database"), status=DUAL)
    pod = api.get(OURS)
    pod["status"]["podIPs"] = [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]
    api.put(OURS, pod)
    cut = platform.plan_heal(service, Fault("partition-dependency"), "cut-1")
    task = cluster_undo(cut).agents["us-east-1a"]
    assert isinstance(task, CutBetween)
    assert task.near == ["10.0.0.1", "fd00::1"]
    assert task.far == ["10.0.0.7", "fd00::7"]
    names = platform.plan_heal(service, Fault("dns-failure", {"region": "us-east-1"}), "dns-1")
    (asked,) = cluster_undo(names).agents.values()
    assert isinstance(asked, CutNames)
    assert asked.addresses == ["10.0.0.1", "fd00::1"]
    assert platform.replaced(service, names) is None
    assert platform.replaced(service, cut) is None
    del pod["status"]["podIPs"]
    api.put(OURS, pod)
    assert "10.0.0.1" not in str(platform.replaced(service, names))
    assert "fd00::1 was replaced" in str(platform.replaced(service, names))


@pytest.mark.parametrize(
    "other",
    [
        {"spec": {"hostNetwork": True}},
        {"status": {"phase": "Succeeded"}},
    ],
)
def test_an_address_that_is_not_the_pods_own_does_not_change_what_a_region_is(
    platform: Kubernetes, service: Service, api: FakeApi, other: dict[str, Any]
) -> None:
    """A node's address, or one that was given back: the subnets of nodes are met all the same."""
    status = {"podIP": "192.168.0.9", **other.get("status", {})}
    add_pod(api, "other-1", {"app": "other"}, **{**other, "status": status})
    heal = platform.plan_heal(service, Fault("partition-regions", {"regions": REGIONS}), "cut-1")
    task = cluster_undo(heal).agents["us-east-1a"]
    assert isinstance(task, CutBetween)
    assert (task.near, task.far) == (["10.0.0.0/24"], ["10.0.0.0/24"])


def test_a_static_pod_is_neither_deleted_nor_drained(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    """Only its mirror would go; its processes can be paused."""
    pod = api.get(OURS)
    pod["metadata"]["ownerReferences"] = [owner("Node")]
    api.put(OURS, pod)
    with pytest.raises(PlatformError, match=r"is a static pod of us-east-1a.*would go on"):
        targets(platform, service, "kill-replicas", region="us-east-1")
    with pytest.raises(PlatformError, match="memorai are static: a drain leaves them alone"):
        targets(platform, service, "drain-node", node="us-east-1a")
    assert targets(platform, service, "pause-replicas", region="us-east-1")
    add_pod(api, "memorai-database-0", database("memorai-database"))
    with pytest.raises(PlatformError, match="memorai-database-0 is a static pod"):
        targets(platform, service, "kill-database")


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("kubernetes.io/os", "windows", "runs windows"),
        ("eks.amazonaws.com/compute-type", "fargate", "is no machine"),
        ("type", "virtual-kubelet", "is no machine"),
    ],
)
def test_a_node_where_no_agent_can_run_is_named_before_anything_is_touched(
    platform: Kubernetes, service: Service, api: FakeApi, key: str, value: str, why: str
) -> None:
    node = api.get(NODE)
    node["metadata"]["labels"][key] = value
    api.put(NODE, node)
    with pytest.raises(CapabilityMissing, match=f"us-east-1a {why}.*no agent can run there"):
        targets(platform, service, "pause-replicas", region="us-east-1")
    assert targets(platform, service, "pause-replicas", region="eu-west-1")
    assert targets(platform, service, "kill-replicas", region="us-east-1")
    other = api.get("/api/v1/nodes/eu-west-1a")
    other["spec"]["unschedulable"] = True
    api.put("/api/v1/nodes/eu-west-1a", other)
    with pytest.raises(PlatformError, match="no node would take the agent that undoes"):
        targets(platform, service, "scale", replicas=3)


def test_meshes_are_asked_to_leave_agents_alone_unless_the_settings_say_otherwise() -> None:
    """A proxy beside an agent keeps it from the API server, or its pod from ending."""
    back = Work(API, PutBack("deployment", "memorai", "m", {}, {}), "account")
    mesh = "sidecar.istio.io/inject"
    for settings, wanted in ((NONE, "false"), (PodSettings(labels={mesh: "true"}), "true")):
        pod = agent_pod("n", "harness-f", back, "image", settings)
        assert pod.metadata.labels[mesh] == wanted
        assert pod.metadata.annotations["linkerd.io/inject"] == "disabled"


@pytest.mark.parametrize(
    ("kind", "given", "default", "said"),
    [
        ("memory-pressure", {"megabytes": 128}, {"memory": "64Mi"}, "64Mi of memory; 128Mi are"),
        ("cpu-pressure", {"workers": 2}, {"cpu": "100m"}, "100m of cpu; 2 are needed for burn"),
        ("disk-pressure", {"megabytes": 64}, {"ephemeral-storage": "1Mi"}, "1Mi of ephemeral-sto"),
    ],
)  # fmt: skip
def test_a_limit_range_whose_default_would_weaken_a_fault_is_told(
    platform: Kubernetes, service: Service, api: FakeApi, monkeypatch: pytest.MonkeyPatch,
    kind: str, given: dict[str, int], default: dict[str, str], said: str,
) -> None:  # fmt: skip
    """The answer to a dry run shows what admission makes of a pod."""
    assert targets(platform, service, kind, count=1, **given)
    post = api._post

    def admitted(path: str, query: Any, body: Any) -> Any:
        for container in body["spec"]["containers"] if path.endswith("/pods") else ():
            container["resources"]["limits"] = default
        return post(path, query, body)

    monkeypatch.setattr(api, "_post", admitted)
    with pytest.raises(PlatformError, match=rf"a LimitRange gives agents .*{said}.*--pods FILE"):
        targets(platform, service, kind, count=1, **given)
    assert targets(platform, service, "pause-replicas", count=1)


def test_a_quota_counts_what_admission_adds_to_an_agents_pod(
    platform: Kubernetes, service: Service, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defaults of a LimitRange, a proxy of a mesh."""
    quota = {"hard": {"limits.memory": "96Mi"}, "used": {}}
    path = OURS.replace("pods/memorai-us-east-1a", "resourcequotas/compute")
    api.put(path, {"spec": {}, "status": quota})
    post = api._post

    def admitted(path: str, query: Any, body: Any) -> Any:
        for container in body["spec"]["containers"] if path.endswith("/pods") else ():
            container["resources"]["limits"] = {"memory": "64Mi"}
        return post(path, query, body)

    assert targets(platform, service, "pause-replicas")
    monkeypatch.setattr(api, "_post", admitted)
    assert targets(platform, service, "pause-replicas", count=1)
    with pytest.raises(PlatformError, match=r"leaves 96Mi of limits.memory; 128Mi are needed"):
        targets(platform, service, "pause-replicas")
