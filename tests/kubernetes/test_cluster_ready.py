"""The fixture's cluster is what a test expects of a real one in two regions."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.kubernetes.cluster import cgroups
from tests.kubernetes.cluster.handle import Handle

pytestmark = pytest.mark.kubernetes

REMEMBER = "/api/memory/remember"


def regions_of(cluster: Handle, namespace: str, app: str = "memorai") -> Counter[str]:
    """How many pods run in each region."""
    regions = cluster.regions()
    pods = cluster.pods(namespace, app=app)
    return Counter(regions[pod["spec"]["nodeName"]] for pod in pods if "nodeName" in pod["spec"])


def test_four_nodes_are_ready_in_two_regions_of_two_zones(cluster: Handle) -> None:
    """The well-known labels say where each node is."""
    nodes = cluster.get("nodes")["items"]
    where = {
        (
            node["metadata"]["labels"]["topology.kubernetes.io/region"],
            node["metadata"]["labels"]["topology.kubernetes.io/zone"],
        )
        for node in nodes
    }
    ready = [
        condition["status"]
        for node in nodes
        for condition in node["status"]["conditions"]
        if condition["type"] == "Ready"
    ]
    assert len(where) == 4
    assert Counter(region for region, _ in where) == {"us-east-1": 2, "eu-west-1": 2}
    assert ready == ["True"] * 4


def test_the_service_answers_this_host_and_a_pod_by_name(
    cluster: Handle, memorai: str, namespace: str
) -> None:
    """From outside at its address, from inside by its name too."""
    assert httpx.get(f"{memorai}/ready").json()["ready"] is True
    pod = cluster.pods(namespace, app="memorai")[0]["metadata"]["name"]
    ask = "import urllib.request as u; print(u.urlopen('http://memorai:3001/ready').status)"
    said = cluster.kubectl("exec", f"--namespace={namespace}", pod, "--", "python", "-c", ask)
    assert said.strip() == "200"


def test_replicas_are_spread_over_both_regions(
    cluster: Handle, memorai: str, namespace: str
) -> None:
    """One replica on each of the four nodes."""
    nodes = {pod["spec"]["nodeName"] for pod in cluster.pods(namespace, app="memorai")}
    assert len(nodes) == 4
    assert regions_of(cluster, namespace) == {"us-east-1": 2, "eu-west-1": 2}


def test_a_write_in_one_region_is_read_in_the_other(
    cluster: Handle, memorai: str, namespace: str
) -> None:
    """The regions' databases replicate to each other, through the cluster's own network."""
    regions = cluster.regions()
    addresses = {
        regions[pod["spec"]["nodeName"]]: pod["status"]["podIP"]
        for pod in cluster.pods(namespace, app="memorai")
    }
    assert len(addresses) == 2
    first, second = (f"http://{address}:3001{REMEMBER}" for address in addresses.values())
    assert httpx.post(first, json={"id": "w1", "value": "x"}).status_code == 201
    cluster.until("replicated", lambda: httpx.get(f"{second}/w1").status_code == 200, 10)


def test_usage_figures_reach_the_autoscaler(cluster: Handle, memorai: str, namespace: str) -> None:
    """The metrics API has the pods' CPU, so the autoscaler computes a utilisation."""

    def measured() -> bool:
        scaler = cluster.get("hpa", "memorai", f"--namespace={namespace}")
        current = scaler["status"].get("currentMetrics") or [{}]
        return "averageUtilization" in current[0].get("resource", {}).get("current", {})

    cluster.until("a utilisation", measured, 90)


def test_a_paused_region_leaves_the_endpoints_and_comes_back(
    cluster: Handle, memorai: str, namespace: str
) -> None:
    """Both nodes of a region stand still: new requests go to the other region, none fails."""
    nodes = [node for node in cluster.own().nodes if node.region == "eu-west-1"]

    def ready() -> int:
        slices = cluster.get("endpointslices", f"--namespace={namespace}", "-lapp=memorai")
        endpoints = [each for item in slices["items"] for each in item["endpoints"] or ()]
        return sum(bool(each["conditions"]["ready"]) for each in endpoints)

    assert ready() == 4
    with cgroups.frozen([node.cgroup for node in nodes]):
        cluster.until("only the other region serves", lambda: ready() == 2, 60)
        time.sleep(1)  # the proxies follow
        answers = [httpx.get(f"{memorai}/ready", timeout=2).status_code for _ in range(20)]
        assert answers == [200] * 20
    cluster.until("the region is back", lambda: ready() >= 4, 60)


def test_the_image_has_what_load_workers_and_fault_helpers_need(
    cluster: Handle, namespace: str, project: Path
) -> None:
    """Locust with the engine, the harness, and the tools of a helper pod."""
    cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}])
    script = (
        "set -e; python -m harness --help >/dev/null; locust --version; "
        "python -c 'import harness._engine, kubernetes, numpy'; nft --version; nsenter --version; "
        "iptables --version; "
        "ls /app/scenarios/memorai.py; kill -0 1; ip -V; tc -V"
    )
    words = (f"--namespace={namespace}", "--restart=Never", f"--image={cluster.image}")
    cluster.kubectl("run", "tools", *words, "--", "sh", "-c", script)

    def phase() -> str:
        return str(cluster.get("pod", "tools", words[0])["status"]["phase"])

    cluster.until("the pod's end", lambda: phase() in {"Succeeded", "Failed"})
    said = cluster.kubectl("logs", "tools", words[0])
    assert phase() == "Succeeded", said
    assert "locust" in said
    assert "nftables" in said
