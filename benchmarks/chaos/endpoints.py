"""Recovery as the harness tells it beside the API server's own word: its endpoint events.

`python -m benchmarks.chaos.endpoints --rounds 2` runs experiments on the tests' own cluster that is
up, with a watch on the service's EndpointSlices beside them. What ends such a fault for the users
is that its pods' addresses leave the slices: the last one that left before the recovery, or before
the heal, is the truth.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from kubernetes import client, watch

from benchmarks.run import machine, table, write
from harness.catalog import load_catalog
from harness.judge.experiment import judge_experiment
from harness.platform.kubernetes.access import connect
from harness.platform.kubernetes.platform import IMAGE_VARIABLE, Kubernetes, Where
from harness.record.run import RunRecord
from tests.kubernetes.cluster import handle, keeper
from tests.kubernetes.cluster.workload import Workload, apply_memorai
from tests.kubernetes.roles import apply_agents

EXPERIMENTS = ("pause-replica", "partition-dependency", "isolate-region", "fail-region")
TITLE = "8b. Recovery on a cluster against the API server's endpoint events"
SECOND = 1_000_000_000


class Watch:
    """When (wall clock, s) an address left the ready endpoints of a service."""

    def __init__(self, kubeconfig: Path, namespace: str, service: str) -> None:
        self.left: list[tuple[float, str]] = []
        self._api = client.DiscoveryV1Api(connect(None, kubeconfig))
        self._where = (namespace, f"kubernetes.io/service-name={service}")
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        ready: dict[str, set[str]] = {}
        namespace, selector = self._where
        while True:
            stream = watch.Watch().stream(
                self._api.list_namespaced_endpoint_slice, namespace, label_selector=selector
            )
            for event in stream:
                piece = event["object"]
                now = {
                    address
                    for each in piece.endpoints or ()
                    if each.conditions.ready
                    for address in each.addresses
                }
                name = piece.metadata.name
                gone = ready.get(name, set()) - now
                self.left += [(time.time(), address) for address in sorted(gone)]
                ready[name] = now

    def last(self, since: float, until: float) -> float | None:
        """When the last one left in that time."""
        return max((at for at, _ in self.left if since <= at <= until), default=None)


def measured(record: RunRecord, endpoints: Watch) -> tuple[float, float] | None:
    """(the harness's recovery, the truth), s from the start of the load; None where there is none.

    A recovery is a whole second; the truth lies where the last address left.
    """
    verdict = judge_experiment(record)
    marks, start = verdict.milestones, record.start_wall_ns
    if marks is None or marks.recovered is None or start is None or marks.impact is None:
        return None
    begun = start / SECOND
    last = endpoints.last(begun + marks.injected, begun + marks.healed)
    return None if last is None else (marks.recovered, last - begun)


def main() -> int:
    """Run the experiments and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--experiments", default=",".join(EXPERIMENTS))
    parser.add_argument("--directory", type=Path, default=Path("results/endpoints"))
    options = parser.parse_args()
    status = keeper.running()[-1]
    cluster, namespace = handle.of_status(status), Workload().namespace
    # With a connection for each request users feel what the endpoints are; a pool would soon hold
    # connections to sound pods only, and recover before the slices change.
    apply_memorai(cluster, Workload(closes="always"))
    apply_agents(cluster, namespace)
    platform = Kubernetes(Where(namespace, kubeconfig=str(cluster.kubeconfig)))
    service = load_catalog().service(Workload().service)
    endpoints = Watch(cluster.kubeconfig, namespace, Workload().service)
    lines, errors = [], []
    for number in range(options.rounds):
        for name in options.experiments.split(","):
            results = options.directory / f"{number}-{name}-{int(time.time())}"
            subprocess.run(
                [
                    *(sys.executable, "-m", "harness", "experiment", "run", name, "--yes"),
                    *("--platform", "kubernetes", "--namespace", namespace, "--json"),
                    *("--kubeconfig", str(cluster.kubeconfig), "--results", str(results)),
                ],
                env={**os.environ, IMAGE_VARIABLE: status.image},
                stdout=subprocess.DEVNULL,
                check=False,
            )
            for path in sorted((results / "memorai").glob("*/run.json")):
                found = measured(RunRecord.load(path.parent), endpoints)
                if found is None:
                    lines.append([name, "-", "-", "-"])
                    continue
                told, truth = found
                errors.append(told - truth)
                lines.append([name, f"{truth:.2f} s", f"{told:.2f} s", f"{errors[-1]:+.2f} s"])
                print(lines[-1], flush=True)
            time.sleep(20)
            platform.rebalance(service)
    middle = statistics.median(map(abs, errors)) if errors else float("nan")
    worst = max(map(abs, errors), default=float("nan"))
    text = (
        f"Median absolute error {middle:.2f} s (worst {worst:.2f} s, n = {len(errors)}). The"
        " harness tells recovery in whole seconds of requests' due times. Its clients have one"
        " address and a connection for each request (docs/kubernetes.md says what they meet).\n\n"
    )
    write(TITLE, f"{machine()}\n\n{text}{table(['experiment', 'truth', 'told', 'error'], lines)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
