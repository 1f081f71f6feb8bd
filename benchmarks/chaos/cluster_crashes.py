"""The crash matrix on a cluster: kill the harness at a random moment, then look at every node.

`python -m benchmarks.chaos.cluster_crashes --kills 50` takes the tests' own cluster that is up
(`python -m tests.kubernetes.cluster up`), appends one line a kill and can be continued; `--report`
writes the table. After each kill `harness reap --platform kubernetes` is run once: for every other
kill as on another machine, without the ledger of the one that died. Then the API server and the
nodes themselves are looked at.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from benchmarks.chaos.crash_matrix import (
    MARK,
    collect,
    kill_when_seen,
    marked,
    options_of,
    rows,
    stat,
    wait,
)
from benchmarks.run import machine, table, write
from harness.catalog import load_catalog, project_root
from harness.chaos.experiment import experiment_names, load_experiment
from harness.platform.kubernetes.delay import CHAIN
from harness.platform.kubernetes.faults import on_cluster
from harness.platform.kubernetes.packets import TABLE
from harness.platform.kubernetes.platform import IMAGE_VARIABLE, Kubernetes, Where
from tests.kubernetes.cluster import handle, keeper
from tests.kubernetes.cluster.workload import Workload, apply_memorai
from tests.kubernetes.roles import apply_agents

VICTIMS = {
    "CLI": "benchmarks.chaos.trial",
    "load child": "harness.load",
    "chaos child": "harness.chaos.toolkit_runner",
    "all of it": "",
}
LATEST_S = 14.0
"""A shortened experiment takes about that long here, its agents included."""

LEASE_S = 20.0
"""How long a killed run's hold of the namespace keeps `reap` out."""

SETTLE_S = 60.0
HEADER = ("killed", "times", "`reap` had to undo one", "nothing remained")
TITLE = "7b. Crash matrix on a cluster: what remains after a kill"


class Stream:
    """The service on the cluster, and the state directories of two machines."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for part in ("here", "elsewhere", "results"):
            (directory / part).mkdir(parents=True, exist_ok=True)
        status = keeper.running()[-1]
        self.cluster = handle.of_status(status)
        self.nodes = status.nodes
        os.environ[IMAGE_VARIABLE] = status.image
        meshed = Workload(envoy=True)
        self.namespace = meshed.namespace
        apply_memorai(self.cluster, meshed)
        apply_agents(self.cluster, self.namespace)
        self.service = load_catalog().service("memorai")
        self.kubeconfig = str(self.cluster.kubeconfig)
        self.platform = Kubernetes(Where(self.namespace, kubeconfig=self.kubeconfig))
        self.template = self._template()

    def kill_once(self, number: int) -> dict[str, Any] | None:
        """One kill and what it left; None when the victim was not there to be killed."""
        draw = random.Random(number)
        experiment = draw.choice(here())
        victim = draw.choice([*VICTIMS])
        at = draw.uniform(0.0, LATEST_S)
        process = self._start(experiment, number)
        time.sleep(at)
        killed = self._kill(victim, process, number)
        if not killed:
            process.kill()
        code = wait(process)
        reaped = self._reap("elsewhere" if number % 2 else "here")
        left = self.look(number)
        if not killed:
            return None
        return {
            "kill": number, "experiment": experiment, "victim": victim, "at_s": round(at, 3),
            "cli": code, "undone": reaped.get("undone", []), "left": left,
        }  # fmt: skip

    def _environment(self, machine_: str, **more: str) -> dict[str, str]:
        return {**os.environ, "XDG_STATE_HOME": str(self.directory / machine_), **more}

    def _start(self, experiment: str, number: int) -> subprocess.Popen[bytes]:
        words = [json.dumps(dict(self.platform.handle())), experiment]
        with (self.directory / "trial.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "benchmarks.chaos.trial", *words,
                 str(self.directory / "results")],
                env=self._environment("here", **{MARK: str(number)}),
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def _kill(self, victim: str, process: subprocess.Popen[bytes], number: int) -> bool:
        if victim == "all of it":
            alive = process.poll() is None
            for pid, _ in marked(number):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return alive
        return kill_when_seen(process, number, VICTIMS[victim])

    def _reap(self, machine_: str) -> dict[str, Any]:
        until = time.monotonic() + LEASE_S
        while True:
            done = subprocess.run(
                [sys.executable, "-m", "harness", "reap", "--platform", "kubernetes",
                 "--namespace", self.namespace, "--kubeconfig", self.kubeconfig, "--json"],
                capture_output=True, text=True, check=False, timeout=180,
                env=self._environment(machine_),
            )  # fmt: skip
            if done.returncode != 2 or time.monotonic() > until:
                break
        try:
            found: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            found = {"clean": False, "problem": done.stderr[-500:]}
        return found

    def look(self, number: int) -> list[str]:
        """What is left, when what ends by itself has ended."""
        deadline = time.monotonic() + SETTLE_S
        while (left := self._left(number)) and time.monotonic() < deadline:
            time.sleep(0.5)
        self.platform.rebalance(self.service)
        return left

    def _left(self, number: int) -> list[str]:
        left = [f"process {pid}: {words[:80]}" for pid, words in marked(number)]
        left += self.platform.residual_faults()
        for node in self.nodes:
            left += [f"{node.name}: stopped: {pid}" for pid in stopped_below(node.cgroup)]
            left += [f"{node.name}: {rule}" for rule in tables_of(node.pid)]
        if self._template() != self.template:
            left.append("the Deployment is not what it was")
        ready = sum(each.health == "ready" for each in self.platform.replicas(self.service))
        if ready < Workload().replicas:
            left.append(f"{ready} pods are ready")
        return left

    def _template(self) -> str:
        """What a fault may have changed of the Deployment; a restart's time is no leftover."""
        found = self.cluster.get("deployment", "memorai", f"--namespace={self.namespace}")
        spec = found["spec"]
        spec["template"]["metadata"].pop("annotations", None)
        return yaml.safe_dump({"template": spec["template"], "labels": found["metadata"]["labels"]})


def here() -> list[str]:
    """The experiments whose faults a cluster can carry out."""
    root = project_root()
    found = [load_experiment(name, root, {}, "kubernetes") for name in experiment_names(root)]
    return [
        each.name
        for each in found
        if "kubernetes" in each.platforms and {f.kind for f in each.faults} <= on_cluster().keys()
    ]


def stopped_below(cgroup: str) -> list[int]:
    """Processes below a node's cgroup that a signal has stopped."""
    found: set[int] = set()
    root = Path("/sys/fs/cgroup")
    for place in (root, *root.iterdir()):
        for tasks in (place / cgroup).glob("**/cgroup.procs"):
            with suppress(OSError):
                found |= {int(pid) for pid in tasks.read_text().split()}
    if not found:
        raise RuntimeError(f"no process below {cgroup}: nothing would be seen")
    return sorted(pid for pid in found if stat(pid)[:1] == ["T"])


def tables_of(pid: int) -> list[str]:
    """Our packet rules in a node's network."""
    done = subprocess.run(
        ["nsenter", f"--target={pid}", "--net", "nft", "list", "chains"],
        capture_output=True, text=True, check=False, timeout=20,
        env={**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"},
    )  # fmt: skip
    return [line for line in done.stdout.splitlines() if TABLE in line or CHAIN in line]


def report(log: Path) -> str:
    """The table of victims."""
    found = rows(log)
    total = Counter(row["victim"] for row in found)
    healing = Counter(row["victim"] for row in found if row["undone"])
    clean = Counter(row["victim"] for row in found if not row["left"])
    lines = [
        [v, str(total[v]), str(healing[v]), f"{clean[v]} of {total[v]}"] for v in VICTIMS
    ]  # fmt: skip
    sums = (str(len(found)), str(sum(healing.values())))
    lines.append(["all", *sums, f"{sum(clean.values())} of {len(found)}"])
    names = sorted({row["experiment"] for row in found})
    text = table(HEADER, lines)
    text += (
        f"\n\nAcross {len(names)} experiments on four kubelets in two regions, at moments drawn "
        f"from 0 to {LATEST_S:g} s of a run cut to about that length. Looked at after one `harness "
        "reap`: processes of the run, leases, agents and marks in the cluster, stopped processes "
        "below each node, packet rules in each node's network, the Deployment's template; then "
        "every pod must be ready again."
    )
    for row in (row for row in found if row["left"]):
        text += f"\n- kill {row['kill']} ({row['victim']}, {row['experiment']}): {row['left'][0]}"
    return text


def main() -> int:
    """Make the kills, or the report of those that were made."""
    parser = argparse.ArgumentParser(description=__doc__)
    options = options_of(parser, 50, "results/cluster-crashes")
    log = options.directory / "kills.jsonl"
    if options.report:
        write(TITLE, f"{machine()}\n\n{report(log)}")
        return 0
    collect(Stream(options.directory).kill_once, log, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
