"""The lab's experiments on a cluster, by the same commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.platform.kubernetes.platform import IMAGE_VARIABLE, Kubernetes, Where
from tests.kubernetes.cluster.handle import Handle
from tests.kubernetes.roles import apply_agents

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]


def test_a_game_day_ends_in_a_scorecard_and_leaves_nothing(
    cluster: Handle, memorai: str, namespace: str, tmp_path: Path
) -> None:
    """Two experiments of the lab's files; four kubelets and the load share this machine's cores."""
    apply_agents(cluster, namespace)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "harness", "gameday", "--platform", "kubernetes"),
            *("--namespace", namespace, "--kubeconfig", str(cluster.kubeconfig), "--yes"),
            *("--experiments", "kill-replica,partition-dependency", "--json"),
            *("--results", str(tmp_path)),
        ],
        env={**os.environ, IMAGE_VARIABLE: cluster.image},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.stdout, done.stderr
    day = json.loads(done.stdout)
    entries = {entry["experiment"]: entry for entry in day["entries"]}
    assert set(entries) == {"kill-replica", "partition-dependency"}
    # Four starved kubelets may be slow to recover, or the load late: the verdict is the machine's.
    # That each was carried out, judged and undone is the platform's.
    assert {entry["outcome"] for entry in entries.values()} <= {
        "pass",
        "fail",
        "inconclusive",
        "invalid",
    }, entries
    assert all(entry["runs"] for entry in entries.values())
    assert all(entry["healed"] for entry in entries.values())
    told = day["runs"][entries["kill-replica"]["runs"][0]]["happened"]
    assert {"deleted", "added", "ready"} <= {each.get("what") for each in told}
    assert {"SuccessfulCreate", "Started"} <= {each.get("reason") for each in told}
    platform = Kubernetes(Where(namespace, kubeconfig=str(cluster.kubeconfig)))
    assert platform.leftovers() == ()


def test_a_performance_run_drives_the_service_in_the_cluster(
    cluster: Handle, memorai: str, namespace: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "harness", "perf", "memorai", "--platform", "kubernetes"),
            *("--namespace", namespace, "--kubeconfig", str(cluster.kubeconfig)),
            *("--rate", "100", "--duration", "12s", "--quiet", "--json"),
            *("--results", str(tmp_path)),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    verdict = json.loads(done.stdout)
    assert verdict["outcome"] in {"pass", "fail", "inconclusive", "invalid"}, done.stderr
    (record,) = (tmp_path / "memorai").iterdir()
    run = json.loads((record / "run.json").read_text())
    assert run["conserved"] is True
    assert run["totals"]["completed"] > 1000
