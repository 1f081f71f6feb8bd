"""Services that are broken in a known way: each is flagged, for the right reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.catalog import load_catalog, project_root
from harness.chaos.experiment import load_experiment
from harness.chaos.model import ExperimentPlan
from harness.chaos.plan import plan_experiment
from harness.platform.kubernetes.platform import IMAGE_VARIABLE, Kubernetes, Where
from tests.kubernetes.cluster.handle import Handle
from tests.kubernetes.cluster.workload import Workload, apply_memorai
from tests.kubernetes.roles import apply_agents

pytestmark = pytest.mark.kubernetes


def planned(cluster: Handle, namespace: str, experiment: str, **broken: Any) -> ExperimentPlan:
    apply_memorai(cluster, Workload(namespace=namespace, **broken))
    platform = Kubernetes(Where(namespace, kubeconfig=str(cluster.kubeconfig)))
    service = load_catalog().service("memorai")

    def serves() -> bool:
        return sum(each.health == "ready" for each in platform.replicas(service)) > 1

    cluster.until("two pods ready", serves)
    found = load_experiment(experiment, project_root(), {}, platform.name)
    return plan_experiment(found, service, platform)


@pytest.mark.parametrize("broken", [{"spread": False}, {"starved": "eu-west-1"}])
def test_a_service_in_one_region_of_two_fails_before_the_region_does(
    cluster: Handle, namespace: str, broken: dict[str, Any]
) -> None:
    """All pods in one region by choice, or because the other has no room."""
    plan = planned(cluster, namespace, "fail-region", **broken)
    assert plan.weaknesses == ("no ready pod in eu-west-1, where it should run",)
    assert plan.missing == ()


def test_a_budget_that_forbids_everything_fails_before_a_node_is_drained(
    cluster: Handle, namespace: str
) -> None:
    def counted() -> tuple[str, ...]:
        return planned(cluster, namespace, "drain-node", disruptible=False).weaknesses

    cluster.until("the budget counts the pods as ready", lambda: bool(counted()))
    (weakness,) = counted()
    assert "allows no eviction, though all pods are ready" in weakness


@pytest.mark.slow
@pytest.mark.alone
def test_a_readiness_probe_that_lies_keeps_a_lost_dependency_with_the_users(
    cluster: Handle, namespace: str, tmp_path: Path
) -> None:
    broken = Workload(namespace=namespace, honest_probe=False, closes="never")
    apply_memorai(cluster, broken)
    apply_agents(cluster, namespace)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "harness", "experiment", "run", "partition-dependency"),
            *("--platform", "kubernetes", "--namespace", namespace, "--yes", "--json"),
            *("--kubeconfig", str(cluster.kubeconfig), "--results", str(tmp_path)),
        ],
        env={**os.environ, IMAGE_VARIABLE: cluster.image},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    verdict = json.loads(done.stdout)
    failed = {each["name"] for each in verdict["checks"] if each["outcome"] == "fail"}
    assert (verdict["outcome"], failed) == ("fail", {"recovery"}), done.stderr
    assert verdict["milestones"]["detected"] is None
