"""A small cluster in this process: an API server, kubelets for agents, controllers that make pods.

For experiments of which only the requests to the API server are looked at. Its pods are loopback
addresses of one reference service, and agents change no node (`as_if`).
"""

from __future__ import annotations

import copy
import itertools
import json
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.chaos.as_if import NOTE
from benchmarks.chaos.crash_matrix import marked
from harness.catalog import load_catalog
from harness.platform.kubernetes.platform import Kubernetes, Where
from tests.platform_kubernetes.fake import (
    DEPLOYMENT,
    LABELS,
    NAMESPACE,
    NODE,
    SELECTOR,
    SERVICE,
    FakeApi,
    kubeconfig,
    owner,
    serving,
)
from tests.platform_kubernetes.kubelet import Kubelet

NODES = ("us-east-1a", "us-east-1b", "eu-west-1a", "eu-west-1b")
REPLICAS = 4
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
TICK_S = 0.2
READY_S = 0.6
"""From the start of a pod to its readiness."""

STALE_S = 20.0
"""As on a cluster: how long agents hold on without a word of the harness."""

SETTLE_S = 60.0
TEMPLATE = "template"


class Controllers(threading.Thread):
    """Make the pods that the Deployment and the databases want, and tell how many there are."""

    def __init__(self, api: FakeApi) -> None:
        super().__init__(daemon=True)
        self._api = api
        self._ended = threading.Event()
        self._numbers = itertools.count(1)
        self._made: dict[str, float] = {}

    def run(self) -> None:
        """Look again and again, until `stop`."""
        while not self._ended.wait(TICK_S):
            with self._api.lock:
                self._databases()
                self._deployment()

    def stop(self) -> None:
        """End, and wait for it."""
        self._ended.set()
        self.join()

    def _deployment(self) -> None:
        """One pod of another template is replaced at a time, a new one before the old one."""
        found = self._api.objects[DEPLOYMENT]
        template = json.dumps(found["spec"]["template"], sort_keys=True)
        pods = {path: pod for path, pod in self._pods() if pod["metadata"]["labels"] == LABELS}
        old = [p for p, pod in pods.items() if pod["metadata"]["annotations"][TEMPLATE] != template]
        ready = sum(self._begin(path, pod) for path, pod in pods.items())
        wanted = found["spec"]["replicas"]
        if len(pods) < wanted + bool(old):
            self._add(f"memorai-{secrets.token_hex(3)}", LABELS, "ReplicaSet", template)
        elif ready == len(pods) > wanted:
            del self._api.objects[(old or [*pods])[-1]]
        status = {
            "replicas": len(pods), "updatedReplicas": len(pods) - len(old),
            "availableReplicas": ready,
        }  # fmt: skip
        if found.get("status") != status:
            self._api.put(DEPLOYMENT, {**found, "status": status})

    def _databases(self) -> None:
        for region in sorted({node[:-1] for node in NODES}):
            name = f"memorai-database-{region}"
            path = f"{PODS}/{name}-0"
            labels = {"app": name, "app.kubernetes.io/name": name}
            labels["app.kubernetes.io/component"] = "database"
            if path not in self._api.objects:
                self._add(f"{name}-0", labels, "StatefulSet", "", f"{region}a")
            self._begin(path, self._api.objects[path])

    def _pods(self) -> list[tuple[str, dict[str, Any]]]:
        found = self._api.objects.items()
        return [(path, pod) for path, pod in found if path.startswith(f"{PODS}/")]

    def _add(
        self, name: str, labels: Mapping[str, str], kind: str, template: str, node: str = ""
    ) -> None:
        """A pod on a node, or on the one with the fewest that takes pods."""
        alike = [pod for _, pod in self._pods() if pod["metadata"]["labels"] == labels]
        used = [pod["spec"]["nodeName"] for pod in alike]
        open_ = [each for each in NODES if not self._node(each)["spec"].get("unschedulable")]
        number = next(self._numbers)
        address = f"127.1.{number // 250}.{number % 250 + 1}"
        self._made[f"{PODS}/{name}"] = time.monotonic()
        self._api.put(f"{PODS}/{name}", {
            "metadata": {
                "name": name, "uid": f"uid-{number}", "labels": dict(labels),
                "annotations": {TEMPLATE: template}, "ownerReferences": [owner(kind)],
            },
            "spec": {
                "nodeName": node or min(open_ or NODES, key=used.count),
                "containers": [{"name": "memorai"}, {"name": "envoy"}],
            },
            "status": {"phase": "Running", "conditions": [], "podIP": address},
        })  # fmt: skip

    def _begin(self, path: str, pod: dict[str, Any]) -> bool:
        """Whether a pod is ready; it is when its time has come."""
        ready = time.monotonic() - self._made[path] > READY_S
        if ready and not pod["status"]["conditions"]:
            pod["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
            self._api.put(path, pod)
        return ready

    def _node(self, name: str) -> dict[str, Any]:
        return self._api.objects[f"/api/v1/nodes/{name}"]


class Small:
    """One such cluster, with the directory of what runs on it."""

    namespace = NAMESPACE

    def __init__(self, directory: Path, api: FakeApi, kubelet: Kubelet) -> None:
        self.directory = directory
        self._api = api
        self._kubelet = kubelet
        self._spec = copy.deepcopy(api.get(DEPLOYMENT)["spec"])
        config = kubeconfig(directory / "calm", api.url)
        self._platform = Kubernetes(Where(NAMESPACE, kubeconfig=str(config)))
        self._service = load_catalog().service("memorai")

    @contextmanager
    def plain(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """The API server's URL, and the headers that it asks for."""
        yield self._api.url, {"authorization": "Bearer none"}

    def look(self, number: int) -> list[str]:
        """What an experiment has left, when what ends by itself has ended."""
        deadline = time.monotonic() + SETTLE_S
        while (left := self._left(number)) and time.monotonic() < deadline:
            time.sleep(TICK_S)
        return left

    def _left(self, number: int) -> list[str]:
        left = [f"process {pid}: {words[:80]}" for pid, words in marked(number)]
        left += self._platform.residual_faults()
        left += [f"on a node: {note.name}" for note in self.directory.glob(f"account/{NOTE}*")]
        left += [f"agent {each.pid}" for each in self._kubelet.running if each.poll() is None]
        if self._api.get(DEPLOYMENT)["spec"] != self._spec:
            left.append("the Deployment is not what it was")
        for node in NODES:
            if self._api.get(f"/api/v1/nodes/{node}")["spec"].get("unschedulable"):
                left.append(f"{node} is cordoned")
        ready = sum(each.health == "ready" for each in self._platform.replicas(self._service))
        return left + ([] if ready == REPLICAS else [f"{ready} pods are ready"])


@contextmanager
def small(directory: Path, port: int) -> Iterator[Small]:
    """Such a cluster, whose service answers at `port` of loopback."""
    account = directory / "account"
    account.mkdir(parents=True, exist_ok=True)
    with serving() as api:
        _furnish(api, port)
        kubelet = Kubelet(api, account, STALE_S, ("-m", "benchmarks.chaos.as_if"))
        controllers = Controllers(api)
        controllers.start()
        place = Small(directory, api, kubelet)
        place.look(-1)
        try:
            yield place
        finally:
            controllers.stop()
            kubelet.stop()


def _furnish(api: FakeApi, port: int) -> None:
    """Four nodes; the pods are the controllers' own."""
    for path in [each for each in api.objects if each.startswith(f"{PODS}/")]:
        del api.objects[path]
    for name in NODES:
        labels = {"topology.kubernetes.io/region": name[:-1], "topology.kubernetes.io/zone": name}
        node = {**api.get(NODE), "metadata": {"name": name, "labels": labels}}
        api.put(f"/api/v1/nodes/{name}", node)
    made = api.get(DEPLOYMENT)
    made["spec"]["replicas"] = REPLICAS
    (container,) = made["spec"]["template"]["spec"]["containers"]
    container["env"] = [{"name": "PLAN", "value": "{}"}]
    api.put(DEPLOYMENT, made)
    ports = [{"port": port, "name": "http"}]
    api.put(SERVICE, {"spec": {"clusterIP": "127.0.0.1", "ports": ports, "selector": SELECTOR}})


@contextmanager
def answering() -> Iterator[int]:
    """The reference service on every address of loopback; its port."""
    with closing(socket.create_server(("127.0.0.1", 0))) as found:
        port: int = found.getsockname()[1]
    plan = {
        "service": "memorai",
        "id": "memorai",
        "region": "us-east-1",
        "replication": "async",
        "routes": [route.path for route in load_catalog().service("memorai").routes],
        "behaviour": {"latency_median_s": 0.005, "latency_p99_s": 0.02},
        "health_path": "/health",
        "listen": ["0.0.0.0", port],  # noqa: S104 - each pod is an address of loopback
        "database": None,
        "closes": "unready",
    }
    words = [sys.executable, "-m", "harness.platform.lab.service", json.dumps(plan)]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        try:
            _await(port)
            yield port
        finally:
            process.kill()


def _await(port: int, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.1)
    raise RuntimeError(f"nobody answers at {port}")
