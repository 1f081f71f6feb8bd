"""`harness scale-test` against a real HorizontalPodAutoscaler that scales on CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.record import RunRecord
from tests.kubernetes.cluster.handle import Handle
from tests.kubernetes.cluster.workload import remove
from tests.kubernetes.elastic import apply_elastic
from tests.verdicts import VERDICTS

pytestmark = pytest.mark.kubernetes

NAMESPACE = "scale-test"
QUICK = ("--rate", "80", "--base", "10", "--before", "10s", "--rise", "2s")


@pytest.fixture
def elastic(cluster: Handle) -> Iterator[str]:
    """The namespace of a service that has to scale."""
    apply_elastic(cluster, NAMESPACE)
    yield NAMESPACE
    remove(cluster, NAMESPACE)  # the next test has the same


def scale_test(
    cluster: Handle, namespace: str, results: Path, *words: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", "scale-test", "memorai", "--quiet"]
    where = ["--namespace", namespace, "--kubeconfig", str(cluster.kubeconfig)]
    small = ["--worker-cpu", "100m", "--image", cluster.image, "--results", str(results)]
    return subprocess.run(
        [*command, *where, *small, *words], capture_output=True, text=True, timeout=300, check=False
    )


def check(verdict: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [each for each in verdict["checks"] if each["name"] == name]
    return dict(found)


def test_an_autoscaler_is_measured_from_the_rise_to_its_rest(
    cluster: Handle, elastic: str, tmp_path: Path
) -> None:
    """One pod cannot carry the peak; more come, the objectives hold again, then they go."""
    words = ("--hold", "90s", "--after", "60s", "--max-time-to-ready", "60s", "--json")
    done = scale_test(cluster, elastic, tmp_path, *QUICK, *words)
    assert done.returncode in VERDICTS, done.stderr
    verdict = json.loads(done.stdout)
    assert check(verdict, "scaled up")["outcome"] == "pass", verdict["reasons"]
    assert check(verdict, "scaled up")["measured"] > 1.1
    first = check(verdict, "first new ready pod")
    assert first["outcome"] == "pass"
    assert 3 <= first["measured"] <= 60
    assert check(verdict, "most replicas")["measured"] >= 3
    assert check(verdict, "scaled down")["measured"] is not None
    (directory,) = (tmp_path / "memorai").iterdir()
    page = (directory / "scaling.html").read_text()
    assert "<svg" in page
    record = RunRecord.load(directory)
    pods = cluster.pods(elastic, app="memorai")
    last = record.events_of("scaling")[-1]
    assert last["ready"] == len(pods) or last["ready"] == 1
    # What a replica carries is told when the peak settles in time: 80m of 4 ms and some more each.
    under = check(verdict, "under-provisioned")
    if under["measured"] is None:
        assert "never seen settled" in under["statement"]
    else:
        assert under["measured"] > 0
        assert "measured at the autoscaler's target" in under["statement"]


def test_a_peak_that_one_pod_carries_is_inconclusive(
    cluster: Handle, elastic: str, tmp_path: Path
) -> None:
    """No word on an autoscaler that was not provoked."""
    words = ("--rate", "8", "--base", "4", "--before", "5s", "--rise", "1s", "--hold", "25s")
    done = scale_test(cluster, elastic, tmp_path, *words, "--after", "5s", "--json")
    verdict = json.loads(done.stdout)
    assert check(verdict, "scaled up")["outcome"] == "inconclusive"
    assert done.returncode in {3, 4}, done.stdout


def test_without_an_autoscaler_nothing_is_loaded(cluster: Handle, tmp_path: Path) -> None:
    """One line, exit code 2, no record."""
    apply_elastic(cluster, "scale-test-none", autoscaled=False)
    try:
        done = scale_test(cluster, "scale-test-none", tmp_path, *QUICK)
    finally:
        remove(cluster, "scale-test-none", wait=False)
    assert done.returncode == 2
    assert "0 HorizontalPodAutoscalers" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir()) or not list(tmp_path.glob("memorai/*"))
