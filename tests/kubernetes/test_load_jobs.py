"""Load Jobs on a cluster: a record like any other, losses stated, nothing left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from harness.load.kubernetes.manifests import PORT
from harness.record import RunRecord
from tests.engine.conftest import self_signed
from tests.kubernetes.cluster import sidecar
from tests.kubernetes.cluster.handle import Handle
from tests.kubernetes.cluster.workload import Workload, apply_memorai, remove
from tests.kubernetes.enforced import enforced
from tests.kubernetes.policies import SHIPPED, shipped
from tests.verdicts import VERDICTS

pytestmark = pytest.mark.kubernetes

NAMESPACE = "load-jobs-test"
ROLE = Path(__file__).parents[2] / "deploy" / "load" / "rbac.yaml"
Load = Callable[..., "subprocess.Popen[str]"]

LOCUSTFILE = """
from locust import HttpUser, constant, task

class Reader(HttpUser):
    wait_time = constant(0.2)

    @task
    def recall(self):
        self.client.get("/api/memory/recall/1", name="recall")
"""

KNOCK = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()
    print("taken")
except TimeoutError:
    print("dropped")
"""


@pytest.fixture(scope="module")
def place(cluster: Handle) -> Iterator[str]:
    """A namespace with a small service, held to the shipped NetworkPolicies."""
    small = Workload(namespace=NAMESPACE, replicas=2, most_replicas=2, database=False, available=1)
    apply_memorai(cluster, small)
    cluster.kubectl("apply", f"--namespace={NAMESPACE}", "-f", str(SHIPPED))
    with enforced(cluster, NAMESPACE, shipped()) if cluster.status else nullcontext():
        yield NAMESPACE
    remove(cluster, NAMESPACE, wait=False)


@pytest.fixture
def load(cluster: Handle, place: str, tmp_path: Path) -> Iterator[Load]:
    """Start `harness load memorai` with these words."""
    started: list[subprocess.Popen[str]] = []

    def start(
        *words: str, kubeconfig: Path | None = None, results: Path = tmp_path
    ) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "harness", "load", "memorai", "--quiet"]
        where = ["--namespace", place, "--kubeconfig", str(kubeconfig or cluster.kubeconfig)]
        small = ["--worker-cpu", "100m", "--image", cluster.image, "--results", str(results / "r")]
        process = subprocess.Popen(
            [*command, *where, *small, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def record_in(directory: Path) -> RunRecord:
    (found,) = (directory / "r" / "memorai").iterdir()
    return RunRecord.load(found)


def left(cluster: Handle) -> list[str]:
    """What of a load run is in the namespace."""
    words = ("jobs,pods,secrets,configmaps", f"--namespace={NAMESPACE}")
    found = cluster.get(*words, "--selector=app.kubernetes.io/part-of=codai-harness")
    return [f"{each['kind']} {each['metadata']['name']}" for each in found["items"]]


def load_pods(cluster: Handle, role: str) -> list[dict[str, Any]]:
    found = cluster.pods(NAMESPACE, **{"codai-harness/role": role})
    return [pod for pod in found if pod["status"]["phase"] == "Running"]


def knocked(cluster: Handle) -> str:
    """What a pod of the service gets when it connects to the master's port for workers."""
    if cluster.status is None:  # its plug-in may enforce no policy
        return "dropped"
    (stranger, *_) = cluster.pods(NAMESPACE, app="memorai")
    (master,) = load_pods(cluster, "master")
    words = ("exec", f"--namespace={NAMESPACE}", stranger["metadata"]["name"], "--")
    where = (master["status"]["podIP"], str(PORT))
    return cluster.kubectl(*words, "python", "-c", KNOCK, *where).strip()


def slices_until(directory: Path, second: int, within_s: float = 60.0) -> None:
    """Wait until the record has a slice of this second."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        for path in directory.glob("r/memorai/*/slices.jsonl"):
            lines = path.read_text().splitlines()
            if lines and max(_second(line) for line in lines) >= second:
                return
        time.sleep(0.2)
    raise AssertionError(f"no slice of second {second} within {within_s:g} s")


def _second(line: str) -> int:
    try:
        return int(json.loads(line)["second"])
    except ValueError:
        return -1


def account(cluster: Handle, directory: Path, *roles: str) -> Path:
    """A kubeconfig of a service account of the namespace that has these roles."""
    space = f"--namespace={NAMESPACE}"
    name = f"loader-{len(roles)}"
    cluster.try_kubectl("create", "serviceaccount", name, space)
    cluster.kubectl("apply", space, "-f", str(ROLE))
    for role in roles:
        words = (f"--role={role}", f"--serviceaccount={NAMESPACE}:{name}", space)
        cluster.try_kubectl("create", "rolebinding", f"{name}-{role}", *words)
    token = cluster.kubectl("create", "token", name, space).strip()
    document = json.loads(
        cluster.kubectl("config", "view", "--minify", "--raw", "--flatten", "-o", "json")
    )
    document["users"][0]["user"] = {"token": token}
    path = directory / f"{name}.kubeconfig"
    path.write_text(json.dumps(document))
    return path


def test_workers_in_pods_make_a_whole_record_with_the_shipped_roles_alone(
    cluster: Handle, load: Load, tmp_path: Path
) -> None:
    """Two workers' shards close to one schedule; the account may do no more than deploy/load."""
    least = account(cluster, tmp_path, "codai-harness-load", "codai-harness-scale-test")
    words = ("--workers", "2", "--rate", "40", "--duration", "10s", "--exclude-region", "eu-west-1")
    process = load(*words, kubeconfig=least)
    slices_until(tmp_path, 2)
    assert knocked(cluster) == "dropped", "a pod that is no worker reaches the master"
    nodes: set[str] = set()
    while process.poll() is None:
        for role in ("worker", "master"):
            nodes |= {pod["spec"]["nodeName"] for pod in load_pods(cluster, role)}
        time.sleep(1.0)
    assert process.returncode in VERDICTS, process.communicate()
    record = record_in(tmp_path)
    assert record.status == "complete"
    assert record.conserved is True
    assert record.plan.workers == 2
    assert {row["worker"] for row in record.slices} == {0, 1}
    due = record.series("due")
    assert int(due.offered.sum()) == (record.totals or {})["offered"] > 400
    assert {cluster.regions()[node] for node in nodes} == {"us-east-1"}
    assert len(nodes) == 2, "spread over both nodes of the region"
    assert not record.events_of("worker_lost")
    cluster.until("nothing left", lambda: not left(cluster), 30)


def front(cluster: Handle, directory: Path) -> str:
    """The address of an Envoy that takes HTTP/2 by TLS for the service; it logs each request."""
    certificate, key = self_signed(directory / "tls", "shop.example")
    tls = (certificate.read_text(), key.read_text())
    envoy = sidecar.container(8443, Workload().port, host="memorai", tls=tls)
    pod = {"containers": [envoy], "terminationGracePeriodSeconds": 0}
    metadata = {"name": "front", "namespace": NAMESPACE}
    cluster.apply([{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}])
    space = f"--namespace={NAMESPACE}"
    cluster.kubectl("wait", "pod/front", space, "--for=condition=Ready", "--timeout=60s")
    return str(cluster.get("pod", "front", space)["status"]["podIP"])


def test_connection_options_and_a_locustfile_reach_the_pods(
    cluster: Handle, load: Load, tmp_path: Path
) -> None:
    """HTTP/2, unverified, to an address that --resolve alone knows; beside it Locust's own users.

    What the server logs is asked, not the record.
    """
    if cluster.status is None:
        pytest.skip("a user's cluster has no image with an Envoy")
    address, name = front(cluster, tmp_path), "shop.example"
    (tmp_path / "locustfile.py").write_text(LOCUSTFILE)
    where = ("--target", f"https://{name}:8443", "--resolve", f"{name}:8443:{address}")
    meant = ("--allow-target", name, "--allow-target", address)
    how = ("--http2", "--insecure", *meant, "--profile", "constant")
    places = [tmp_path / each for each in ("engine", "locust")]
    started = [
        load(*where, *how, "--rate", "20", "--duration", "4s", results=places[0]),
        load(
            *("--scenario", str(tmp_path / "locustfile.py"), "--users", "3", "--workers", "2"),
            *("--duration", "6s"), results=places[1],
        ),
    ]  # fmt: skip
    for process, place in zip(started, places, strict=True):
        out, err = process.communicate(timeout=90)
        assert process.returncode in VERDICTS, (out, err)
        record = record_in(place)
        assert record.conserved is True
        totals = record.totals or {}
        assert totals["completed"] == totals["offered"] > 20
    logged = cluster.kubectl("logs", "front", f"--namespace={NAMESPACE}").splitlines()
    asked = [line for line in logged if name in line]
    assert len(asked) >= (record_in(places[0]).totals or {})["completed"]
    assert all(' HTTP/2" ' in line for line in asked)
    assert {row["endpoint"] for row in record_in(places[1]).slices} == {"recall"}


def test_a_worker_killed_in_the_middle_makes_the_run_invalid_and_is_told(
    cluster: Handle, load: Load, tmp_path: Path
) -> None:
    """Which worker, from which second on, and what became of its pod."""
    process = load("--workers", "2", "--rate", "40", "--duration", "25s")
    slices_until(tmp_path, 6)
    victim = load_pods(cluster, "worker")[0]["metadata"]["name"]
    words = (f"--namespace={NAMESPACE}", "--grace-period=0", "--force")
    cluster.kubectl("delete", "pod", victim, *words)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 4, (out, err)
    record = record_in(tmp_path)
    (lost,) = record.events_of("worker_lost")
    assert victim.rpartition("-")[0] in lost["reason"], "the name of the Job's pod and its index"
    assert lost["from_second"] >= 5
    said = " ".join(out.split())
    assert f"worker {lost['worker']} (pod {victim}: " in said
    assert f" is unknown from second {lost['from_second']} on" in said
    assert any(
        event["pod"] == victim and event["state"].startswith(("gone", "Failed", "Terminating"))
        for event in record.events_of("load_pod")
    )
    other = {row["second"] for row in record.slices if row["worker"] != lost["worker"]}
    assert max(other) >= 30, "the other worker goes on to the end"


def test_a_master_that_the_cluster_ends_makes_the_run_invalid_and_is_told(
    cluster: Handle, load: Load, tmp_path: Path
) -> None:
    """It ends as by a user's stop, in good order: the record alone would look complete."""
    process = load("--workers", "1", "--rate", "40", "--duration", "60s")
    slices_until(tmp_path, 3)
    master = load_pods(cluster, "master")[0]["metadata"]["name"]
    cluster.kubectl("delete", "pod", master, f"--namespace={NAMESPACE}", "--wait=false")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 4, (out, err)
    said = " ".join(out.split())
    assert re.search(r"the load ended \d+ s into \d+ s: its master's pod was Terminating", said)


def test_ctrl_c_drains_and_leaves_nothing(cluster: Handle, load: Load, tmp_path: Path) -> None:
    """The totals still arrive; pods, Jobs, Secret and ConfigMap go."""
    process = load("--workers", "2", "--rate", "40", "--duration", "5m")
    slices_until(tmp_path, 4)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    record = record_in(tmp_path)
    assert record.status == "interrupted"
    assert record.conserved is True
    cluster.until("nothing left", lambda: not left(cluster), 30)


def test_killed_commands_leave_jobs_that_end_and_go_by_themselves_and_a_living_one_goes_on(
    cluster: Handle, load: Load, tmp_path: Path
) -> None:
    """Nobody renews the heartbeats of the dead, and the kubelet shows the living one's in time.

    The load of the dead ends long before its profile would, and its TTL removes it.
    """
    living = load("--rate", "20", "--duration", "50s", results=tmp_path / "living")
    for workers in ("1", "2"):
        place = tmp_path / workers
        words = ("--rate", "40", "--duration", "10m", "--ttl", "3s", "--workers", workers)
        process = load(*words, results=place)
        slices_until(place, 2)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert left(cluster)
    out, err = living.communicate(timeout=180)
    assert living.returncode in VERDICTS, (out, err)
    record = record_in(tmp_path / "living")
    assert record.conserved is True
    assert not [text for event in record.events_of("end") for text in event["errors"]]
    due = record.series("due")
    assert int(due.offered[40:].sum()) > 0, "arrivals after second 40"
    cluster.until("nothing left", lambda: not left(cluster), 90)


def test_what_the_account_may_not_do_is_told_before_anything_is_made(
    cluster: Handle, load: Load, tmp_path: Path
) -> None:
    """Every missing permission in one line, exit code 2."""
    nobody = account(cluster, tmp_path, "codai-harness-scale-test")
    process = load("--rate", "40", "--duration", "5s", kubeconfig=nobody)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert len(err.strip().splitlines()) == 1
    assert "create jobs" in err
    assert "get pods/log" in err
    assert not left(cluster)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--context", "nowhere"), "nowhere"),
        (("--namespace", "kube-system"), "belongs to the cluster"),
        (("--namespace", "codai-production"), "--production"),
        (("--namespace", "no-such-namespace"), "no namespace"),
        (("--image", "codai-harness:none", "--rate", "5", "--duration", "1s"), "codai-harness"),
    ],
)
def test_what_cannot_be_is_one_line_with_its_remedy(
    load: Load, words: tuple[str, ...], says: str
) -> None:
    """Exit code 2 and no traceback."""
    process = load(*words)
    _, err = process.communicate(timeout=150)
    assert process.returncode == 2, err
    assert says in err
    assert "Traceback" not in err
