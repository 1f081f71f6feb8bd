"""Pods of the harness take what a cluster asks of every pod; what would not fit is told first."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from harness.catalog.model import Service
from harness.catalog.pod_settings import pod_settings
from harness.catalog.pods import NONE, PodSettings, Toleration
from harness.cli import run
from harness.errors import PlatformError, UsageError
from harness.load.kubernetes import manifests
from harness.load.kubernetes.options import JobOptions
from harness.load.kubernetes.watch import PodWatch
from harness.platform.kubernetes.access import connect
from harness.platform.kubernetes.agent_pods import Work, agent_pod
from harness.platform.kubernetes.platform import Kubernetes, Where
from harness.platform.model import Fault
from harness.platform.registry import attach
from harness.platform.undo import API, Burn, FillDisk, PausePods, PutBack, RelayTo, Task
from tests.platform_kubernetes.fake import DEPLOYMENT, NAMESPACE, NODE, FakeApi
from tests.record.synthetic import plan as load_plan

SETTINGS = PodSettings(
    tolerations=(Toleration("dedicated", value="load", effect="NoSchedule"),),
    nodeSelector={"pool": "tools"},
    requests={"cpu": "20m"},
    limits={"cpu": "500m", "memory": "128Mi", "ephemeral-storage": "1Gi"},
    priorityClassName="low",
    labels={"team": "sre"},
)
TOLERATED = [
    {"key": "dedicated", "operator": "Equal", "value": "load", "effect": "NoSchedule"}
]  # fmt: skip
QUOTAS = f"/api/v1/namespaces/{NAMESPACE}/resourcequotas"
SCALERS = f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers"
VERTICAL = f"/apis/autoscaling.k8s.io/v1/namespaces/{NAMESPACE}/verticalpodautoscalers"
PAUSE = Fault("pause-replicas")


def made(task: Task, node: str = "us-east-1a", settings: PodSettings = SETTINGS) -> Any:
    pod = agent_pod("n", "harness-f", Work(node, task), "image", settings)
    return client.ApiClient().sanitize_for_serialization(pod)


def resources_of(pod: Any) -> Any:
    return pod["spec"]["containers"][0]["resources"]


def test_an_agent_has_the_labels_limits_and_priority_and_keeps_its_own() -> None:
    pod = made(PausePods(["u"]))
    assert pod["metadata"]["labels"]["team"] == "sre"
    assert pod["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "codai-harness"
    assert pod["spec"]["priorityClassName"] == "low"
    assert resources_of(pod) == {
        "requests": {"cpu": "20m", "memory": "32Mi"},
        "limits": {"cpu": "500m", "memory": "128Mi", "ephemeral-storage": "1Gi"},
    }


def test_only_an_agent_that_may_run_anywhere_is_sent_to_the_selected_nodes() -> None:
    """One on the node of its fault tolerates everything there; a relay what the settings say."""
    back = PutBack("deployment", "memorai", "m", {}, {})
    anywhere, relay = made(back, API)["spec"], made(RelayTo("h", 1))["spec"]
    pinned = made(PausePods(["u"]))["spec"]
    assert anywhere["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "tools"}
    assert anywhere["tolerations"] == relay["tolerations"] == TOLERATED
    assert "nodeSelector" not in {**relay, **pinned}
    assert pinned["tolerations"] == [{"operator": "Exists"}]


def test_a_pressing_agent_is_limited_to_what_it_takes_besides() -> None:
    def limits(task: Task) -> Any:
        return resources_of(made(task))["limits"]

    assert limits(Burn(workers=3))["cpu"] == "3"
    assert limits(Burn(megabytes=256))["memory"] == str((128 + 256) << 20)
    assert limits(FillDisk("/tmp", 512))["ephemeral-storage"] == str((1024 + 512) << 20)
    plain = {"requests": {"cpu": "10m", "memory": "32Mi"}}
    assert resources_of(made(Burn(workers=3), settings=NONE)) == plain


def test_load_pods_have_them_too() -> None:
    options = JobOptions("load", memory="64Mi", pods=SETTINGS)
    for job in (
        manifests.master_job(load_plan(), options, "r1", {}),
        manifests.worker_job(load_plan(), options, "r1", {}, "198.18.0.9"),
    ):
        spec: Any = job["spec"]
        template = spec["template"]
        pod, labels = template["spec"], template["metadata"]["labels"]
        assert labels["team"] == "sre"
        assert labels["codai-harness/run"] == "r1"
        assert pod["tolerations"] == TOLERATED
        assert pod["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "tools"}
        assert pod["priorityClassName"] == "low"
        resources = pod["containers"][0]["resources"]
        assert resources["requests"] == {"cpu": "20m", "memory": "64Mi"}
        assert resources["limits"] == {
            "memory": "128Mi", "cpu": "500m", "ephemeral-storage": "1Gi"
        }  # fmt: skip


def test_settings_come_from_the_file_else_from_the_catalogues_namespace(
    tmp_path: Path, service: Service
) -> None:
    file = tmp_path / "pods.yaml"
    file.write_text("labels: {team: sre}\ntolerations: [{operator: Exists}]\n")
    found = pod_settings(file, (service,), "codai-staging")
    assert found.labels == {"team": "sre"}
    assert found.tolerations == (Toleration(operator="Exists"),)
    assert pod_settings(None, (service,), "codai-staging") == NONE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tolerations: [{key: a, operator: Maybe}]", "tolerations.0.operator"),
        ("tolerations: [{operator: Equal}]", "a toleration without key needs operator: Exists"),
        ("limits: {gpu: '1'}", "limits: no resource 'gpu'"),
        ("limits: {memory: lots}", "limits.memory: 'lots' is no quantity"),
        ("nodeSelector: {'a b': c}", "nodeSelector: a b=c is no label"),
        ("labels: {app.kubernetes.io/managed-by: me}", "is the harness's own"),
        ("nodeselector: {a: b}", "nodeselector: unknown field"),
        ("priorityClassName: Very High", "priorityClassName: 'Very High' is no name"),
        ("", "not a mapping"),
        ("limits: {cpu: 1}", "limits.cpu: not a text; quote it"),
        ("limits: [1]", "limits: not a mapping"),
        ("tolerations: {a: b}", "tolerations: not a list"),
    ],
)
def test_settings_that_cannot_be_are_told_with_file_and_field(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    file = tmp_path / "pods.yaml"
    file.write_text(text)
    words = ["--platform", "kubernetes", "--namespace", NAMESPACE, "--pods", str(file)]
    assert run(["experiment", "plan", "kill-replica", "--service", "memorai", *words]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert str(file) in line
    assert said in line


def taint(api: FakeApi, *taints: dict[str, str]) -> None:
    for path in [each for each in api.objects if each.startswith("/api/v1/nodes/")]:
        node = api.get(path)
        node["spec"]["taints"] = list(taints)
        api.put(path, node)


def test_nodes_that_the_settings_tolerate_and_select_take_the_undo(
    platform: Kubernetes, service: Service, api: FakeApi, config: Path
) -> None:
    scale = Fault("scale", {"replicas": 3})
    taint(api, {"key": "dedicated", "value": "load", "effect": "NoSchedule"})
    with pytest.raises(PlatformError, match=r"dedicated=load:NoSchedule.*--pods"):
        platform.plan_heal(service, scale, "scale-1")
    node = api.get(NODE)
    node["metadata"]["labels"]["pool"] = "tools"
    api.put(NODE, node)
    known = Kubernetes(Where(NAMESPACE, kubeconfig=str(config), pods=SETTINGS))
    assert attach(known.handle()).plan_heal(service, scale, "scale-1").targets == ("memorai",)
    del node["metadata"]["labels"]["pool"]
    api.put(NODE, node)
    with pytest.raises(PlatformError, match="pool=tools"):
        known.plan_heal(service, scale, "scale-1")


def quota(api: FakeApi, hard: dict[str, str], used: dict[str, str], **spec: Any) -> None:
    api.put(f"{QUOTAS}/compute", {"spec": spec, "status": {"hard": hard, "used": used}})


@pytest.mark.parametrize(
    ("hard", "used", "said"),
    [
        ({"pods": "6"}, {"pods": "5"}, "leaves 1 of pods; 2 are needed for 2 agents"),
        ({"count/pods": "5"}, {"count/pods": "9"}, "leaves 0 of count/pods"),
        ({"cpu": "1"}, {"cpu": "985m"}, "leaves 0.015 of cpu; 0.02 are needed"),
        ({"requests.memory": "1Gi"}, {"requests.memory": "1000Mi"}, "leaves 24Mi of requests.mem"),
    ],
)
def test_a_quota_that_leaves_too_little_for_all_agents_is_told_before_anything_breaks(
    platform: Kubernetes,
    service: Service,
    api: FakeApi,
    hard: dict[str, str],
    used: dict[str, str],
    said: str,
) -> None:
    quota(api, hard, used)
    with pytest.raises(PlatformError, match=said):
        platform.plan_heal(service, PAUSE, "pause-1")
    quota(api, hard, used, scopes=["Terminating"])
    platform.plan_heal(service, PAUSE, "pause-1")
    quota(api, hard, dict.fromkeys(used, "0"))
    platform.plan_heal(service, PAUSE, "pause-1")


def test_a_quota_must_leave_what_a_fault_adds_to_the_workload(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    """Replicas that a scaling adds; the first new pod, where a rollout ends none before."""
    quota(api, {"pods": "5"}, {"pods": "2"})
    with pytest.raises(PlatformError, match=r"3 of pods; 4 .* for 1 agent and 3 more replicas"):
        platform.plan_heal(service, Fault("scale", {"replicas": 5}), "scale-1")
    platform.plan_heal(service, Fault("scale", {"replicas": 4}), "scale-1")
    quota(api, {"pods": "2"}, {"pods": "2"})
    found = api.get(DEPLOYMENT)
    found["spec"]["strategy"] = {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    api.put(DEPLOYMENT, found)
    with pytest.raises(PlatformError, match="1 are needed for the first new pod"):
        platform.plan_heal(service, Fault("rolling-restart"), "restart-1")
    found["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] = 1
    api.put(DEPLOYMENT, found)
    platform.plan_heal(service, Fault("rolling-restart"), "restart-1")


def scaler(api: FakeApi, least: int, most: int) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "memorai"}
    spec = {"scaleTargetRef": target, "minReplicas": least, "maxReplicas": most}
    api.put(f"{SCALERS}/memorai", {"spec": spec, "status": {"desiredReplicas": least}})


def test_a_scaling_that_an_autoscaler_would_undo_is_refused_and_one_within_it_is_noted(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    scaler(api, 2, 4)
    with pytest.raises(PlatformError, match="memorai between 2 and 4 replicas: 5 would be undone"):
        platform.plan_heal(service, Fault("scale", {"replicas": 5}), "scale-1")
    with pytest.raises(PlatformError, match="1 would be undone"):
        platform.plan_heal(service, Fault("scale", {"replicas": 1}), "scale-1")
    for replicas in (0, 2, 4):
        notes = platform.plan_heal(service, Fault("scale", {"replicas": replicas}), "s-1").notes
        assert any("HorizontalPodAutoscaler memorai (2 to 4) may change" in note for note in notes)


@pytest.mark.parametrize(
    ("mode", "said"), [("Auto", True), ("Recreate", True), ("Off", False), ("Initial", False)]
)
def test_a_vertical_autoscaler_that_may_evict_is_noted(
    platform: Kubernetes, service: Service, api: FakeApi, mode: str, *, said: bool
) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "memorai"}
    spec = {"targetRef": target, "updatePolicy": {"updateMode": mode}}
    api.put(f"{VERTICAL}/memorai", {"spec": spec})
    notes = platform.plan_heal(service, Fault("scale", {"replicas": 3}), "scale-1").notes
    assert any("VerticalPodAutoscaler memorai" in note for note in notes) is said


def test_what_an_account_may_not_read_of_these_is_passed_over(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    quota(api, {"pods": "2"}, {"pods": "2"})
    scaler(api, 2, 3)
    for kind in ("resourcequotas", "horizontalpodautoscalers", "verticalpodautoscalers"):
        api.denied.add(("list", kind))
    platform.plan_heal(service, Fault("scale", {"replicas": 5}), "scale-1")


def test_a_dry_run_asks_for_the_pod_as_it_would_be_made(
    platform: Kubernetes, service: Service, api: FakeApi, config: Path, monkeypatch: Any
) -> None:
    asked: list[Any] = []
    post = api._post

    def seen(path: str, query: Any, body: Any) -> Any:
        if query.get("dryRun"):
            asked.append(copy.deepcopy(body))
        return post(path, query, body)

    monkeypatch.setattr(api, "_post", seen)
    known = Kubernetes(Where(NAMESPACE, kubeconfig=str(config), pods=SETTINGS))
    known.plan_heal(service, PAUSE, "pause-1")
    (pod,) = asked
    assert pod["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "500m"
    assert pod["metadata"]["labels"]["team"] == "sre"


def test_a_limit_below_what_a_load_pod_asks_for_is_told() -> None:
    with pytest.raises(UsageError, match=r"limits.cpu 500m is less than --worker-cpu 1"):
        JobOptions("load", pods=PodSettings(limits={"cpu": "500m"}))


def test_a_service_whose_environment_has_settings_can_be_a_key(service: Service) -> None:
    """What is read of a service once is kept by it."""
    (place, *_) = service.environments
    assert hash(replace(service, environments=(replace(place, pods=SETTINGS),)))


def test_what_keeps_load_pods_out_is_told_in_the_words_of_the_cluster(
    api: FakeApi, config: Path
) -> None:
    """A quota's refusal stands in an event of the Job only."""
    said = 'pods "load-1" is forbidden: exceeded quota: compute'
    watch = PodWatch(client.CoreV1Api(connect(None, config)), NAMESPACE, {"run": "r1"})
    assert watch.refusal("load") is None
    event = {"message": f"Error creating: {said}", "involvedObject": {"name": "load"}}
    api.put(f"/api/v1/namespaces/{NAMESPACE}/events/load.1", event)
    assert watch.refusal("load") == said
