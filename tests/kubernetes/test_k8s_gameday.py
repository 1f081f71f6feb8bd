"""The lab's experiments on a cluster, by the same commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.platform.kubernetes.platform import IMAGE_VARIABLE, Kubernetes, Where
from tests.kubernetes.cluster.handle import Handle
from tests.kubernetes.cluster.workload import Workload, apply_memorai
from tests.kubernetes.roles import apply_agents

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow, pytest.mark.alone]

DAYS = {
    "one of each": ("kill-replica", "slow-link", "fail-region", "bad-release"),
    "one part": ("kill-replica", "pause-replica", "drain-node", "kill-database", "slow-link"),
    "many parts": (
        "kill-half",
        "partition-dependency",
        "partition-regions",
        "fail-region",
        "isolate-region",
        "rolling-restart",
        "bad-release",
    ),
}
"""A short day (pods, packets, nodes, desired state), and the whole day in two parts."""

SHORT = "one of each"

KINDS: dict[str, dict[str, Any]] = {
    "a StatefulSet": {"kind": "StatefulSet"},
    "a DaemonSet": {"kind": "DaemonSet"},
    "a service with sidecars": {"envoy": True, "shipper": True},
    "a service with other ports": {"several_ports": True},
}
"""Services as people run them; each goes through a short day."""

OF_KINDS = ("kill-replica", "bad-release")

MOST_UNDECIDED = 1
"""Of each day: the kubelets, the load and the harness share this machine's cores."""

REALISTIC = {"latency_median_s": 0.02, "latency_p99_s": 0.06}
"""Two milliseconds would be told from one: on a busy machine that is noise."""


@pytest.mark.parametrize(
    "broken", [SHORT, *(pytest.param(day, marks=pytest.mark.proof) for day in DAYS if day != SHORT)]
)
def test_a_sound_service_passes_a_game_day_that_leaves_nothing(
    cluster: Handle, namespace: str, tmp_path: Path, broken: str
) -> None:
    """Each is carried out, judged and undone; of each day all but one at least pass."""
    day = held(cluster, Workload(namespace=namespace, behaviour=REALISTIC), DAYS[broken], tmp_path)
    if "kill-replica" in DAYS[broken]:
        (killed,) = (each for each in day["entries"] if each["experiment"] == "kill-replica")
        told = day["runs"][killed["runs"][0]]["platform_events"]
        assert {"deleted", "added", "ready"} <= {each.get("what") for each in told}
        assert {"SuccessfulCreate", "Started"} <= {each.get("reason") for each in told}


@pytest.mark.proof
@pytest.mark.parametrize("kind", KINDS)
def test_a_service_of_another_kind_goes_through_a_game_day(
    cluster: Handle, namespace: str, tmp_path: Path, kind: str
) -> None:
    held(
        cluster,
        Workload(namespace=namespace, behaviour=REALISTIC, **KINDS[kind]),
        OF_KINDS,
        tmp_path,
    )


def held(
    cluster: Handle, workload: Workload, experiments: tuple[str, ...], results: Path
) -> dict[str, Any]:
    """A game day on the service: each is carried out, judged and undone, and nothing remains."""
    namespace = workload.namespace
    apply_memorai(cluster, workload)
    apply_agents(cluster, namespace)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "harness", "gameday", "--platform", "kubernetes"),
            *("--namespace", namespace, "--kubeconfig", str(cluster.kubeconfig), "--yes"),
            *("--experiments", ",".join(experiments), "--json", "--results", str(results)),
        ],
        env={**os.environ, IMAGE_VARIABLE: cluster.image},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.stdout, done.stderr
    day: dict[str, Any] = json.loads(done.stdout)
    entries: dict[str, Any] = {entry["experiment"]: entry for entry in day["entries"]}
    assert set(entries) == set(experiments)
    assert all(entry["runs"] and entry["healed"] for entry in entries.values()), entries
    platform = Kubernetes(Where(namespace, kubeconfig=str(cluster.kubeconfig)))
    assert platform.residual_faults() == ()
    short = {
        name: (entry["outcome"], entry["reasons"][:1])
        for name, entry in entries.items()
        if entry["outcome"] != "pass"
    }
    assert len(short) <= MOST_UNDECIDED, short
    return day
