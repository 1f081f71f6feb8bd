"""The whole cluster: what is started in which order, and how it ends."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from tests.kubernetes.cluster import addons, cgroups
from tests.kubernetes.cluster.api import Api
from tests.kubernetes.cluster.control import BRIDGE, Control
from tests.kubernetes.cluster.errors import ClusterError
from tests.kubernetes.cluster.images import link_store
from tests.kubernetes.cluster.machine import Machine, must, run, wait_until
from tests.kubernetes.cluster.node import Node
from tests.kubernetes.cluster.topology import Topology

SERVES_LIMIT_S = 60
NODES_LIMIT_S = 60
DNS_LIMIT_S = 60
GONE_LIMIT_S = 20
LAST_LINES = 4

Tell = Callable[[str], None]


class Cluster:
    """The cluster of `topology` in `directory`, with `programs` by component."""

    def __init__(self, topology: Topology, directory: Path, programs: Path, store: Path) -> None:
        self.topology = topology
        self.directory = directory
        self.store = store
        self.control = Control(topology, directory / "control", programs)
        self.nodes = [
            Node(
                topology,
                place,
                directory / place.name,
                programs,
                (self.control.kubelets[place.name], self.control.proxies),
                self.control.authority.file,
                self.control.serves,
            )
            for place in topology.nodes
        ]
        self.api = Api(self.control.admin)

    @property
    def machines(self) -> list[Machine]:
        """The control plane's machine and the nodes."""
        return [self.control, *self.nodes]

    def start(self, tell: Tell) -> None:
        """Bring everything up until pods run and names resolve; raises `ClusterError`.

        To be called from the main thread: the machines end with the thread that boots them.
        """
        began = time.monotonic()

        def step(line: str) -> None:
            tell(f"{time.monotonic() - began:5.1f} s  {line}")

        for machine in self.machines:
            machine.boot()
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            stores = [
                pool.submit(link_store, self.store, node.directory / "var" / "lib" / "containerd")
                for node in self.nodes
            ]
            self._wire()
            self.control.start()
            for job in stores:
                job.result()
        for node in self.nodes:
            node.start()
        step("machines are wired, programs start")
        wait_until("the API server", self.api.serves, SERVES_LIMIT_S)
        self.control.admit()
        step("the API server answers")
        self.kubectl("apply", "--server-side", "-f", "-", stdin=addons.manifest(self.topology))
        wait_until("four ready nodes", self.nodes_ready, NODES_LIMIT_S)
        step("the nodes are ready")
        wait_until("cluster DNS", lambda: self.available("kube-system", "coredns"), DNS_LIMIT_S)
        step("cluster DNS answers")

    def _wire(self) -> None:
        """Plug the host and every node into the switch on the control plane's machine."""
        self.control.connect()
        for node in self.nodes:
            self.control.plug(node.name, f"eth0 netns {node.pid}")
            node.connect()
        prefix, control = self.topology.prefix, self.topology.control
        self.control.plug("host", f"{prefix} netns {os.getpid()}")
        lines = [
            f"addr add {self.topology.host}/24 dev {prefix}",
            f"link set {prefix} up",
            f"route add {self.topology.services} via {control}",
            *(f"route add {each.pods} via {each.address}" for each in self.topology.nodes),
        ]
        must(["ip", "-batch", "-"], "\n".join(lines) + "\n")

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """The output of a kubectl command as administrator."""
        command = [str(self.control.programs / "kubectl"), *words]
        return must([*command, f"--kubeconfig={self.control.admin}"], stdin)

    def nodes_ready(self) -> bool:
        """Whether every node is registered and Ready."""
        items = self.api.get("/api/v1/nodes").get("items", [])
        ready = [
            condition
            for item in items
            for condition in item["status"].get("conditions", [])
            if condition["type"] == "Ready" and condition["status"] == "True"
        ]
        return len(ready) == len(self.nodes)

    def available(self, namespace: str, deployment: str) -> bool:
        """Whether a Deployment has all of its replicas available."""
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{deployment}"
        found = self.api.get(path)
        wanted = found.get("spec", {}).get("replicas")
        return wanted is not None and found["status"].get("availableReplicas", 0) == wanted

    def last_words(self) -> list[str]:
        """The end of every program's log, for when the cluster does not come up."""
        return [
            f"{log.parent.parent.name}/{log.stem}: {line[:300]}"
            for log in sorted(self.directory.glob("*/log/*.log"))
            for line in log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        ]


def destroy(topology: Topology, directory: Path) -> None:
    """End and remove whatever there is of the cluster in a slot, also one without an owner."""
    cgroups.destroy(topology.prefix)
    run(["ip", "link", "delete", topology.prefix])
    deadline = time.monotonic() + GONE_LIMIT_S
    while directory.exists():
        with suppress(OSError):  # a process that was killed may still be closing its files
            shutil.rmtree(directory)
        if time.monotonic() > deadline:
            raise ClusterError(f"{directory} cannot be removed")
    wait_until(f"the end of {BRIDGE}", lambda: not remains(topology, directory), GONE_LIMIT_S)


def remains(topology: Topology, directory: Path) -> list[str]:
    """What there is of a cluster: processes, cgroups, links, routes, mounts, files."""
    found = [f"process {pid}" for pid in sorted(cgroups.processes(topology.prefix))]
    found += [f"cgroup {each}" for each in cgroups.directories(topology.prefix)]
    links = run(["ip", "-brief", "link"]).stdout.splitlines()
    found += [f"link {line}" for line in links if line.split("@")[0].strip() == topology.prefix]
    routes = run(["ip", "route", "show"]).stdout.splitlines()
    found += [f"route {line}" for line in routes if f"dev {topology.prefix} " in line]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found += [f"mount {line.split()[4]}" for line in mounts if str(directory) in line]
    if directory.exists():
        found.append(f"directory {directory}")
    return found
