"""Faults of nodes, names, disks and memory show where their agents do not look, and end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.catalog.model import Service
from harness.chaos.confirmed import confirmed_of
from harness.chaos.context import Context
from harness.chaos.ledger import Ledger
from harness.chaos.plan import plan_experiment
from harness.judge.experiment.execution import activities
from harness.platform.kubernetes.agent_pods import KIND
from harness.platform.kubernetes.platform import Kubernetes
from tests.kubernetes.breaking import answers, broken, undone, until
from tests.kubernetes.cluster.handle import Handle
from tests.kubernetes.evidence import (
    largest_bytes,
    node_of,
    processes,
    resident_bytes,
    states,
    uid_of,
)
from tests.platform_kubernetes.beside import carried_out, step, written

pytestmark = pytest.mark.kubernetes

NAMESPACE = "codai-effects"
MIB = 1 << 20


def named(cluster: Handle, *names: str, **labels: str) -> list[dict[str, Any]]:
    """Pods of the namespace by label, those with these names where some are given."""
    found = cluster.pods(NAMESPACE, **labels)
    return [pod for pod in found if not names or pod["metadata"]["name"] in names]


def is_ready(cluster: Handle, node: str) -> bool:
    conditions = cluster.get("node", node)["status"]["conditions"]
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def test_a_killed_node_is_lost_with_its_pods_and_comes_back(
    platform: Kubernetes, service: Service, cluster: Handle
) -> None:
    """The kubelet and the pods' processes by the kernel, the node by the control plane."""
    node = "eu-west-1b"
    pods = [pod for pod in named(cluster, app="memorai") if node_of(pod) == node]
    assert pods
    assert all(processes(cluster, node, uid_of(pod)) for pod in pods)
    heal = broken(platform, service, "kill-node", node=node)
    until(lambda: not any(processes(cluster, node, uid_of(pod)) for pod in pods), 5)
    kubelet = {pid: name for pid, name in processes(cluster, node).items() if name == "kubelet"}
    assert states(kubelet) == {"T"}
    until(lambda: not is_ready(cluster, node), 40)
    undone(platform, heal)
    until(lambda: is_ready(cluster, node), 40)
    assert "T" not in states(processes(cluster, node))


def test_a_failed_zone_stands_still_and_the_regions_other_zone_does_not(
    platform: Kubernetes, service: Service, cluster: Handle
) -> None:
    zone, other = "eu-west-1a", "eu-west-1b"
    here = {pod["metadata"]["name"]: node_of(pod) for pod in named(cluster, app="memorai")}
    urls = {each.url: here[each.id] for each in platform.replicas(service)}
    heal = broken(platform, service, "fail-zone", zone=zone)
    pods = [pod for pod in named(cluster) if node_of(pod) == zone and KIND not in _labels(pod)]
    assert pods
    assert {state for pod in pods for state in states(processes(cluster, zone, uid_of(pod)))} == {
        "T"
    }
    assert "T" not in states(processes(cluster, other))
    assert {node for url, node in urls.items() if not answers(url)} == {zone}
    undone(platform, heal)
    assert "T" not in states(processes(cluster, zone))
    until(lambda: all(answers(url) for url in urls))


def _labels(pod: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = pod["metadata"].get("labels", {})
    return found


def test_a_pod_without_dns_resolves_no_name_and_its_neighbours_do(
    platform: Kubernetes, service: Service, cluster: Handle
) -> None:
    """Asked from within the pods, past whatever the service keeps open."""
    every = [pod["metadata"]["name"] for pod in named(cluster, app="memorai")]

    def resolving() -> set[str]:
        look = ("getent", "ahostsv4", f"memorai.{NAMESPACE}.svc.cluster.local")
        options = ("env", "RES_OPTIONS=ndots:1 timeout:1 attempts:1")
        words = ("exec", f"--namespace={NAMESPACE}", "--container=memorai")
        return {
            name
            for name in every
            if cluster.try_kubectl(*words, name, "--", *options, *look) is not None
        }

    assert resolving() == set(every)
    heal = broken(platform, service, "dns-failure", region="us-east-1", count=1)
    assert resolving() == set(every) - set(heal.targets)
    undone(platform, heal)
    assert resolving() == set(every)


def test_a_pressed_disk_holds_a_file_of_that_size_until_the_heal(
    platform: Kubernetes, service: Service, cluster: Handle
) -> None:
    """Its blocks are allocated in the node's own directory."""
    heal = broken(platform, service, "disk-pressure", region="us-east-1", count=1, megabytes=64)
    (node,) = {node_of(pod) for pod in named(cluster, *heal.targets)}
    assert 64 * MIB <= largest_bytes(cluster, node) < 65 * MIB
    undone(platform, heal)
    until(lambda: largest_bytes(cluster, node) < MIB)


def test_pressed_memory_is_resident_until_the_heal(
    platform: Kubernetes, service: Service, cluster: Handle
) -> None:
    """In processes of the agent's pod, which end with it."""
    heal = broken(platform, service, "memory-pressure", region="us-east-1", count=1, megabytes=96)
    (agent,) = named(cluster, **{KIND: "agent"})
    held = processes(cluster, node_of(agent), uid_of(agent))
    until(lambda: resident_bytes(held) >= 96 * MIB, 10)
    undone(platform, heal)
    until(lambda: not processes(cluster, node_of(agent), uid_of(agent)))
    assert states(held) == set()


def test_a_paused_database_hangs_and_its_region_is_not_ready_until_the_heal(
    platform: Kubernetes, service: Service, cluster: Handle
) -> None:
    """By the kernel, and by the readiness that the kubelets see."""
    region = "us-east-1"
    near = {each.id for each in platform.replicas(service) if each.region == region}
    heal = broken(platform, service, "pause-database", region=region)
    (database,) = named(cluster, *heal.targets)
    hung = processes(cluster, node_of(database), uid_of(database))
    assert states(hung) == {"T"}

    def unready() -> set[str]:
        health = platform.observe(service).health
        return {name for name, state in health.items() if state == "unready"}

    until(lambda: unready() == near, 30)
    undone(platform, heal)
    assert states(hung) <= {"S", "R", "D"}
    until(lambda: not unready(), 30)


def test_what_an_extension_does_beside_a_fault_is_named_and_stays(
    platform: Kubernetes,
    service: Service,
    cluster: Handle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The fault is healed; the node that chaostoolkit-kubernetes cordons stays so, and is told."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    node, called = "eu-west-1b", "`cordon` (chaosk8s.node.actions.cordon_node)"
    act = step("cordon", "chaosk8s.node.actions", "cordon_node", name=node)
    made = written(tmp_path / "beside.yaml", NAMESPACE, act)
    plan = plan_experiment(made, service, platform)
    assert f"nothing undoes what is done by {called}" in plan.notes
    try:
        with Ledger.open() as ledger:
            confirmed = confirmed_of(made, plan)
            place = (platform.handle(), service, str(ledger.directory), "/")
            journal = carried_out(tmp_path, Context(*place, confirmed=confirmed), made)
            assert ledger.entries() == ()
        assert [run["status"] for run in journal["run"] or ()] == ["succeeded"] * 4
        assert platform.residual_faults() == ()
        assert cluster.get("node", node)["spec"]["unschedulable"] is True
        found = activities(journal, [], [])
        assert found.outcome == "inconclusive"
        assert "Action `lose pods` matched nothing." in found.statement
        assert f"Nothing undoes what was done by {called}" in found.statement
    finally:
        cluster.kubectl("uncordon", node)
