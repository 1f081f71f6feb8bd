"""Each fault of a cluster shows, is undone from anywhere, and leaves nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from harness.catalog.model import Service
from harness.catalog.pods import PodSettings
from harness.chaos.running import this_user
from harness.cli import run
from harness.errors import CapabilityMissing, PlatformError, UsageError
from harness.platform.kubernetes.platform import Kubernetes, Where
from harness.platform.model import Fault
from harness.platform.registry import attach
from harness.platform.undo import undo_record
from tests.kubernetes.agent_processes import agents, in_a_pod, kill_agents, rules_of
from tests.kubernetes.breaking import BROKEN, answers, broken, undone, until
from tests.kubernetes.cluster.handle import Handle
from tests.kubernetes.cluster.workload import Workload, apply_memorai

pytestmark = pytest.mark.kubernetes

NAMESPACE = "codai-faults"
SOUND = Workload(namespace=NAMESPACE)
REGIONS = ["us-east-1", "eu-west-1"]


def test_a_killed_pod_is_replaced(platform: Kubernetes, service: Service) -> None:
    heal = broken(platform, service, "kill-replicas", region="us-east-1", count=1)
    (victim,) = heal.targets
    until(lambda: victim not in {each.id for each in platform.replicas(service)})
    undone(platform, heal)


def test_paused_pods_hang_and_go_on(platform: Kubernetes, service: Service) -> None:
    heal = broken(platform, service, "pause-replicas", region="us-east-1", count=1)
    (victim,) = heal.targets
    url = next(each.url for each in platform.replicas(service) if each.id == victim)
    assert not answers(url)
    undone(platform, heal)
    until(lambda: answers(url))


def test_a_failed_region_is_left_and_taken_again(
    platform: Kubernetes, service: Service, address: str
) -> None:
    """All nodes of the region at once; the kubelets cannot help, the agents undo it themselves."""
    heal = broken(platform, service, "fail-region", region="us-east-1", mode="cut")
    urls = [each.url for each in platform.replicas(service) if each.region == "us-east-1"]
    assert urls
    assert not any(answers(url) for url in urls)
    until(lambda: platform.observe(service).health["node us-east-1a"] == "NotReady", 40)
    until(lambda: all(answers(address) for _ in range(8)), 30)
    undone(platform, heal)
    until(lambda: platform.observe(service).health["node us-east-1a"] == "Ready", 60)


def test_regions_apart_still_serve_their_users(platform: Kubernetes, service: Service) -> None:
    """Only the entry point from the one to the other shows that they are apart."""
    with platform.cross_region_probe(service, *REGIONS) as entry_point:
        assert entry_point is not None
        (across,) = entry_point.target.urls
        until(lambda: answers(across))
        heal = broken(platform, service, "partition-regions", regions=REGIONS)
        assert all(answers(each.url) for each in platform.replicas(service))
        assert not answers(across)
        undone(platform, heal)
        until(lambda: answers(across))


def test_a_long_way_between_regions_is_as_long_as_was_asked(
    platform: Kubernetes, service: Service
) -> None:
    """Each packet waits: to connect takes a round trip, to be answered another."""

    def seconds(url: str) -> float:
        began = time.monotonic()
        assert answers(url, 5.0)
        return time.monotonic() - began

    with platform.cross_region_probe(service, *REGIONS) as entry_point:
        assert entry_point is not None
        (across,) = entry_point.target.urls
        until(lambda: answers(across))
        heal = broken(platform, service, "delay-link", regions=REGIONS, delay_s=0.15)
        assert min(seconds(across) for _ in range(3)) >= 4 * 0.15
        assert all(seconds(each.url) < 4 * 0.15 for each in platform.replicas(service))
        assert "packets so far" in platform.verify(heal).statement
        undone(platform, heal)
        assert min(seconds(across) for _ in range(3)) < 4 * 0.15


def test_connections_to_some_pods_are_reset(platform: Kubernetes, service: Service) -> None:
    heal = broken(platform, service, "reset-connections", region="us-east-1", share=1.0)
    urls = {each.id: each.url for each in platform.replicas(service)}
    hit = {name: answers(url) for name, url in urls.items() if name in heal.targets}
    assert hit
    assert not any(hit.values())
    assert all(answers(url) for name, url in urls.items() if name not in hit)
    undone(platform, heal)
    assert all(answers(url) for url in urls.values())


def test_a_share_of_packets_between_regions_is_lost(platform: Kubernetes, service: Service) -> None:
    heal = broken(platform, service, "lose-packets", regions=REGIONS, share=0.3)
    assert all(answers(each.url) for each in platform.replicas(service))
    undone(platform, heal)


def test_a_service_without_its_database_says_so(
    platform: Kubernetes, service: Service, cluster: Handle
) -> None:
    """And the platform, that the cut does not meet a database that was replaced meanwhile."""
    heal = broken(platform, service, "partition-dependency", region="us-east-1")
    hit = {target.partition("|")[0] for target in heal.targets}
    until(lambda: all(platform.observe(service).health[name] == "unready" for name in hit), 30)
    assert platform.replaced(service, heal) is None
    database = heal.targets[0].partition("|")[2]
    cluster.kubectl("delete", "pod", database, f"--namespace={NAMESPACE}", "--wait=false")
    until(lambda: f"{database} at " in str(platform.replaced(service, heal)), 30)
    undone(platform, heal)


def test_a_drained_node_is_uncordoned(
    platform: Kubernetes, service: Service, cluster: Handle
) -> None:
    heal = broken(platform, service, "drain-node", node="us-east-1b")
    assert cluster.get("node", "us-east-1b")["spec"].get("unschedulable") is True
    undone(platform, heal)
    assert "unschedulable" not in cluster.get("node", "us-east-1b")["spec"]


def test_a_bad_release_is_rolled_back(platform: Kubernetes, service: Service) -> None:
    heal = broken(platform, service, "bad-release", error_ratio=0.5)
    undone(platform, heal)


def test_scale_and_pressure_are_put_back(platform: Kubernetes, service: Service) -> None:
    undone(platform, broken(platform, service, "cpu-pressure", count=1, workers=1))
    undone(platform, broken(platform, service, "scale", replicas=5))


@pytest.fixture
def meshed(cluster: Handle, platform: Kubernetes) -> Iterator[None]:
    """The service with an Envoy in front of every pod, and plain again afterwards."""
    if cluster.status is None:
        pytest.skip("a user's cluster has no image with an Envoy")
    apply_memorai(cluster, replace(SOUND, envoy=True))
    yield
    apply_memorai(cluster, SOUND)


def test_a_share_of_the_requests_waits_or_fails_in_the_mesh(
    platform: Kubernetes, service: Service, meshed: None
) -> None:
    """In the Envoys of one region; the others, and the pods themselves, know nothing of it."""
    urls = {each.id: each.url for each in platform.replicas(service)}
    until(lambda: all(answers(url) for url in urls.values()))
    for kind, words in (
        ("abort-requests", {"status": 429}),
        ("delay-requests", {"delay_s": 2.0}),  # longer than it is waited for
    ):
        heal = broken(platform, service, kind, edge="us-east-1", share=1.0, **words)
        hit = heal.targets
        assert hit
        assert {name for name, url in urls.items() if not answers(url)} == set(hit)
        assert "Envoys inject it" in platform.verify(heal).statement
        undone(platform, heal)
        assert all(answers(url) for url in urls.values())


CRASH = """
import json, os, signal, sys
from harness.catalog import load_catalog
from harness.platform.registry import attach
from harness.platform.model import Fault
handle, words = json.loads(sys.argv[1]), json.loads(sys.argv[2])
platform, service = attach(handle), load_catalog().service("memorai")
fault = Fault(words.pop("kind"), words)
heal = platform.plan_heal(service, fault, f"crash-{fault.kind}")
platform.inject(service, fault, heal)
os.kill(os.getpid(), signal.SIGKILL)
"""


def crashed(platform: Kubernetes, **words: Any) -> None:
    """A harness that injects this fault and is killed at once."""
    told = [json.dumps(dict(platform.handle())), json.dumps(words)]
    done = subprocess.run(
        [sys.executable, "-c", CRASH, *told], check=False, capture_output=True, text=True
    )
    assert done.returncode == -9, done.stderr


DIED = (
    {"kind": "scale", "replicas": 5},
    {"kind": "bad-release", "env": {"ANOTHER": "1"}},
    {"kind": "drain-node", "node": "us-east-1b"},
    {"kind": "fail-region", "region": "eu-west-1"},
)


def test_what_harnesses_that_died_have_broken_is_undone_in_the_cluster(
    platform: Kubernetes, cluster: Handle
) -> None:
    """Nobody renews their leases; reaping only tidies up after the agents.

    Changes are undone by agents with the narrow account of their kind, faults of nodes by those
    on the nodes.
    """
    seen = before = spec_of(cluster)
    for words in DIED:
        crashed(platform, **words)
        assert (spec_of(cluster) != seen) or words["kind"] == "fail-region"
        seen = spec_of(cluster)
    heals = platform.orphaned_heals()
    assert {heal.kind for heal in heals} == {words["kind"] for words in DIED}
    other = attach(platform.handle())
    until(lambda: spec_of(cluster) == before, 90)
    for heal in heals:
        until(lambda heal=heal: not other.verify(heal).in_effect, 60)  # type: ignore[misc]
        other.heal(undo_record(json.loads(json.dumps(asdict(heal)))))
    assert other.residual_faults() == ()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("pause-replicas", {"region": "us-east-1", "count": 1}),
        ("partition-dependency", {"region": "us-east-1"}),
        ("delay-link", {"regions": REGIONS, "delay_s": 0.1}),
    ],
)
def test_what_killed_agents_leave_is_undone_by_others(
    platform: Kubernetes, service: Service, cluster: Handle, kind: str, words: dict[str, Any]
) -> None:
    """All their processes at once, the watcher too: nobody on the node is left to undo it."""
    heal = broken(platform, service, kind, **words)
    kill_agents(cluster)
    platform.heal(heal)
    assert not platform.verify(heal).in_effect
    for node in cluster.own().nodes:
        assert rules_of(node.pid) == []
    until(lambda: all(answers(each.url) for each in platform.replicas(service)))


def test_a_node_that_stands_still_is_set_going_when_its_agents_container_is_killed(
    platform: Kubernetes, service: Service, cluster: Handle
) -> None:
    """No other agent could start there: its kubelet stands still too. The watcher has left it."""
    heal = broken(platform, service, "fail-region", region="eu-west-1")
    assert any(not in_a_pod(place) for place in agents(cluster))
    kill_agents(cluster, all_of_it=False)
    urls = [each.url for each in platform.replicas(service) if each.region == "eu-west-1"]
    until(lambda: all(answers(url) for url in urls), 20)
    platform.heal(heal)


def test_a_second_run_on_the_namespace_is_refused_and_the_next_is_not(platform: Kubernetes) -> None:
    other = attach(platform.handle())
    with (
        platform.exclusive(),
        pytest.raises(PlatformError, match="has been breaking things here"),
        other.exclusive(),
    ):
        pass
    with other.exclusive():
        pass


def test_another_machine_reaps_what_a_dead_harness_left(
    platform: Kubernetes, cluster: Handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no ledger of it, by the cluster's own memory, before the agents would."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    before = spec_of(cluster)
    crashed(platform, kind="scale", replicas=5)
    where = ["--namespace", NAMESPACE, "--kubeconfig", str(cluster.kubeconfig)]
    assert run(["reap", "--platform", "kubernetes", *where]) == 0
    assert spec_of(cluster) == before
    assert platform.residual_faults() == ()


def test_halt_ends_the_run_that_holds_the_namespace(
    platform: Kubernetes,
    service: Service,
    cluster: Handle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It hears who asks within its next renewals, undoes its fault, and gives the namespace up."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    before, holding, heard = spec_of(cluster), threading.Event(), []
    fault = Fault("scale", {"replicas": 5})

    def living() -> None:
        with platform.exclusive():
            record = platform.plan_heal(service, fault, "scale-halted")
            BROKEN.append(record)
            platform.inject(service, fault, record)
            holding.set()
            until(lambda: platform.halted() is not None)
            heard.append(platform.halted())
            platform.heal(record)

    thread = threading.Thread(target=living)
    thread.start()
    assert holding.wait(90)
    assert spec_of(cluster) != before
    where = ["--namespace", NAMESPACE, "--kubeconfig", str(cluster.kubeconfig)]
    assert run(["halt", "--platform", "kubernetes", *where]) == 0
    thread.join()
    assert heard == [this_user()]
    assert spec_of(cluster) == before
    assert platform.residual_faults() == ()


def spec_of(cluster: Handle) -> list[Any]:
    """What the changes above change, and their marks."""
    deployment = cluster.get("deployment", "memorai", f"--namespace={NAMESPACE}")
    node = cluster.get("node", "us-east-1b")
    return [
        deployment["spec"]["replicas"],
        deployment["spec"]["template"]["spec"]["containers"],
        [key for key in deployment["metadata"]["labels"] if key.startswith("undo.")],
        node["spec"].get("unschedulable"),
    ]


def test_what_cannot_be_is_said_before_anything_is_touched(
    platform: Kubernetes, service: Service
) -> None:
    with pytest.raises(CapabilityMissing, match="4 of 4 pods have none"):
        platform.plan_heal(service, Fault("delay-requests", {}), "x")
    with pytest.raises(PlatformError, match="no node in region 'mars'"):
        platform.plan_heal(service, Fault("fail-region", {"region": "mars"}), "x")
    with pytest.raises(UsageError, match="belongs to the cluster"):
        Kubernetes(Where("kube-system"))


def test_a_namespace_that_keeps_agents_out_is_named_with_what_lets_them_in(
    platform: Kubernetes, service: Service, cluster: Handle
) -> None:
    """Before anything is touched: the API server is asked without making them."""
    label = "pod-security.kubernetes.io/enforce"
    cluster.kubectl("label", "namespace", NAMESPACE, f"{label}=baseline")
    try:
        with pytest.raises(PlatformError, match="enforce=privileged"):
            platform.plan_heal(service, Fault("pause-replicas", {"count": 1}), "x")
    finally:
        cluster.kubectl("label", "namespace", NAMESPACE, f"{label}-")


def test_agents_fit_into_a_namespace_with_a_quota_where_limits_are_set(
    platform: Kubernetes, service: Service, cluster: Handle
) -> None:
    """What the API server would refuse is told by the plan; with limits the fault is held."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": {"limits.cpu": "1"}}}
    cluster.apply([{**quota, "metadata": {"name": "compute", "namespace": NAMESPACE}}])
    fault = Fault("pause-replicas", {"region": "us-east-1", "count": 1})
    try:
        until(lambda: "status" in cluster.get("quota", "compute", f"--namespace={NAMESPACE}"))
        with pytest.raises(PlatformError, match=r"must specify limits\.cpu.*--pods FILE"):
            platform.plan_heal(service, fault, "x")
        where = Where(NAMESPACE, kubeconfig=str(cluster.kubeconfig))
        much, little = (PodSettings(limits={"cpu": each}) for each in ("2", "500m"))
        with pytest.raises(PlatformError, match="exceeded quota"):
            Kubernetes(replace(where, pods=much)).plan_heal(service, fault, "x")
        known = Kubernetes(replace(where, pods=little))
        with pytest.raises(PlatformError, match=r"leaves 1 of limits\.cpu; 2 are needed"):
            Kubernetes(replace(where, pods=PodSettings(limits={"cpu": "1"}))).plan_heal(
                service, Fault("fail-region", {"region": "us-east-1"}), "x"
            )
        undone(known, broken(known, service, fault.kind, **fault.arguments))
    finally:
        cluster.kubectl("delete", "resourcequota", "compute", f"--namespace={NAMESPACE}")
