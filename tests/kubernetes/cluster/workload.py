"""The reference service on a cluster: what a team would deploy, with faults to choose.

`apply_memorai(cluster)` makes the namespace `codai-staging` with a database for each region that
replicates to the others, the service spread over regions and zones in front of them, a Service, a
PodDisruptionBudget and a HorizontalPodAutoscaler.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.catalog import load_catalog
from harness.platform.lab.options import Closes
from tests.kubernetes.cluster import sidecar
from tests.kubernetes.cluster.handle import REGION, Handle

HOST = "kubernetes.io/hostname"
DATABASE_PORT = 7000
DATABASE_CPU_MILLIS = 50
REMOVE_LIMIT_S = 90
LAUNCH = """
import json, os, sys
plan = json.loads(os.environ["PLAN"])
plan["id"] = os.environ["POD"]
plan["region"] = json.loads(os.environ["REGIONS"])[os.environ["NODE"]]
if plan["database"]:
    plan["database"][0] += plan["region"]
os.execvp(sys.executable, [sys.executable, "-m", "harness.platform.lab.service", json.dumps(plan)])
"""
"""A pod learns its node's name from Kubernetes, but not the node's region."""


@dataclass(frozen=True)
class Workload:
    """What is deployed. The defaults are sound; the last four fields are what a game day finds.

    `behaviour`: what differs from the lab's default. `database`: one for each region, replicated to
    the others after `replication_delay_s`; else every pod has a store of its own. `evict_after_s`:
    how long pods stay on a lost node. `available`: the budget's minAvailable.

    `spread` False: all pods in the first region (without constraints the scheduler may spread them
    by luck). `disruptible` False: a budget that no drain can satisfy. `honest_probe` False: ready
    from the start and whatever happens. `starved`: the region that has no room for a replica.
    `closes`: when a pod ends a client's connection. `envoy`: requests come in through an Envoy
    beside the service, as in a mesh; Kubernetes' probes go past it.

    `kind`: what makes the pods. `shipper`: another container stands before the service's own.
    `several_ports`: the Service has its metrics at 80 and the users' way in at 8000.
    """

    service: str = "memorai"
    namespace: str = "codai-staging"
    port: int = 3001
    replicas: int = 4
    most_replicas: int = 8
    cpu_millis: int = 250
    behaviour: Mapping[str, Any] = field(default_factory=dict)
    version: str = "1.0.0"
    database: bool = True
    replication: str = "async"
    replication_delay_s: float = 0.05
    evict_after_s: int = 20
    available: int = 2
    spread: bool = True
    disruptible: bool = True
    honest_probe: bool = True
    closes: Closes = "unready"
    starved: str | None = None
    envoy: bool = False
    kind: Literal["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"] = "Deployment"
    shipper: bool = False
    several_ports: bool = False

    @property
    def way_in(self) -> int:
        """The Service's port for its users."""
        return 8000 if self.several_ports else self.port

    @property
    def own_port(self) -> int:
        """Where the service itself listens."""
        return self.port + 1000 if self.envoy else self.port

    def labels(self, name: str, component: str) -> dict[str, str]:
        """The labels that every object of Codai has."""
        return {
            "app": name,
            "app.kubernetes.io/name": name,
            "app.kubernetes.io/component": component,
            "app.kubernetes.io/part-of": "codai-ecosystem",
            "app.kubernetes.io/version": self.version,
        }


def apply_memorai(cluster: Handle, workload: Workload | None = None, *, wait: bool = True) -> str:
    """Deploy it and wait until its pods answer; the Service's address as the host reaches it.

    Raises `ClusterError`. On a cluster without region labels every node is in one region.
    """
    wanted = workload or Workload()
    regions = cluster.regions()
    names = sorted(set(regions.values()), reverse=True)
    cluster.until(
        f"an old namespace {wanted.namespace} gone",
        lambda: "deletionTimestamp" not in _namespace(cluster, wanted.namespace),
        REMOVE_LIMIT_S,
    )
    kind = {"apiVersion": "v1", "kind": "Namespace"}
    cluster.apply([{**kind, "metadata": {"name": wanted.namespace}}])
    if wanted.starved:
        cluster.apply([_reservation(cluster, wanted, wanted.starved, regions)])
        _wait(cluster, wanted, "deployment/reservation")
    databases = [each for name in names for each in _database(cluster, wanted, name, names)]
    objects = [*(databases if wanted.database else []), *_service(cluster, wanted, regions)]
    cluster.apply(objects)
    if wait:
        if wanted.database:
            for name in names:
                _wait(cluster, wanted, f"statefulset/{wanted.service}-database-{name}")
        if not wanted.starved:
            _wait(cluster, wanted, f"{wanted.kind.lower()}/{wanted.service}")
    found = cluster.get("service", wanted.service, f"--namespace={wanted.namespace}")
    return f"http://{found['spec']['clusterIP']}:{wanted.way_in}"


def _namespace(cluster: Handle, name: str) -> dict[str, Any]:
    found: dict[str, Any] = cluster.get("namespace", name).get("metadata", {})
    return found


def remove(cluster: Handle, namespace: str = "codai-staging", *, wait: bool = True) -> None:
    """Delete the namespace with all that is in it, and wait until it is gone, if that matters."""
    words = ("namespace", namespace, "--ignore-not-found", "--wait=false")
    cluster.kubectl("delete", *words)
    pods = ("pods", "--all", f"--namespace={namespace}", "--grace-period=0", "--force")
    cluster.try_kubectl("delete", *pods, "--wait=false")
    if wait:
        cluster.until(
            f"namespace {namespace} gone",
            lambda: not cluster.get("namespace", namespace),
            REMOVE_LIMIT_S,
        )


def _wait(cluster: Handle, wanted: Workload, what: str) -> None:
    cluster.kubectl("rollout", "status", what, f"--namespace={wanted.namespace}", "--timeout=90s")


def _in_region(region: str) -> dict[str, Any]:
    match = {"key": REGION, "operator": "In", "values": [region]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [match]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def _staying(seconds: int) -> list[dict[str, Any]]:
    return [
        {
            "key": f"node.kubernetes.io/{key}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": seconds,
        }
        for key in ("not-ready", "unreachable")
    ]


def _metadata(
    wanted: Workload, name: str, component: str, app: str | None = None
) -> dict[str, Any]:
    labels = wanted.labels(app or name, component)
    return {"name": name, "namespace": wanted.namespace, "labels": labels}


# -- databases ----------------------------------------------------------------------------------


def _database(
    cluster: Handle, wanted: Workload, region: str, regions: list[str]
) -> list[dict[str, Any]]:
    """The StatefulSet and the Service of one region's database."""
    prefix = f"{wanted.service}-database-"
    name = prefix + region
    plan = {
        "region": region,
        "delay_s": wanted.replication_delay_s,
        "listen": ["0.0.0.0", DATABASE_PORT],
        "peers": {each: [prefix + each, DATABASE_PORT] for each in regions if each != region},
    }
    metadata = _metadata(wanted, name, "database")
    metadata["labels"][REGION] = region
    container = {
        "name": "database",
        "image": cluster.image,
        "imagePullPolicy": "IfNotPresent",
        "stdin": True,  # the process ends with its standard input
        "command": ["python", "-m", "harness.platform.lab.database", json.dumps(plan)],
        "ports": [{"name": "database", "containerPort": DATABASE_PORT}],
        "readinessProbe": {"tcpSocket": {"port": DATABASE_PORT}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": f"{DATABASE_CPU_MILLIS}m", "memory": "64Mi"}},
    }
    pod = {
        "affinity": _in_region(region),
        "tolerations": _staying(3600),  # its state is its own: it waits for its region
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
    }
    match = {"app": name}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": metadata,
            "spec": {
                "replicas": 1,
                "serviceName": name,
                "selector": {"matchLabels": match},
                "template": {"metadata": {"labels": metadata["labels"]}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {
                "selector": match,
                "publishNotReadyAddresses": True,
                "ports": [{"name": "database", "port": DATABASE_PORT}],
            },
        },
    ]


# -- the service ----------------------------------------------------------------------------------


def _service(cluster: Handle, wanted: Workload, regions: dict[str, str]) -> list[dict[str, Any]]:
    """Deployment, Service, PodDisruptionBudget and HorizontalPodAutoscaler."""
    metadata = _metadata(wanted, wanted.service, "backend")
    match = {"app": wanted.service}
    budget = {"minAvailable": wanted.available} if wanted.disruptible else {"maxUnavailable": 0}
    target = {"apiVersion": "apps/v1", "kind": wanted.kind, "name": wanted.service}
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    ports: list[dict[str, Any]] = [{"name": "http", "port": wanted.port}]
    if wanted.several_ports:
        metrics = {"name": "metrics", "port": 80, "targetPort": 9100}
        ports = [metrics, {"name": "http", "port": wanted.way_in, "targetPort": "service"}]
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata,
        "spec": {
            "scaleTargetRef": target,
            "minReplicas": wanted.replicas,
            "maxReplicas": max(wanted.replicas, wanted.most_replicas),
            "metrics": [{"type": "Resource", "resource": cpu}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 30}},
        },
    }
    return [
        {
            "apiVersion": "apps/v1",
            "kind": wanted.kind,
            "metadata": metadata,
            "spec": {
                **_OF_KIND[wanted.kind](wanted),
                "selector": {"matchLabels": match},
                "template": {
                    "metadata": {"labels": metadata["labels"]},
                    "spec": _pod(cluster, wanted, regions),
                },
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": match, "ports": ports},
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata,
            "spec": {"selector": {"matchLabels": match}, **budget},
        },
        *([] if wanted.kind == "DaemonSet" else [scaler]),
    ]


_OF_KIND: Mapping[str, Callable[[Workload], dict[str, Any]]] = {
    "Deployment": lambda wanted: {
        "replicas": wanted.replicas,
        "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "progressDeadlineSeconds": 60,
    },
    "StatefulSet": lambda wanted: {
        "replicas": wanted.replicas,
        "serviceName": wanted.service,
        "podManagementPolicy": "Parallel",
    },
    "DaemonSet": lambda _: {},
    "ReplicaSet": lambda wanted: {"replicas": wanted.replicas},
}
"""What differs in the spec of what makes the pods."""


def _pod(cluster: Handle, wanted: Workload, regions: dict[str, str]) -> dict[str, Any]:
    spread = [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "nodeTaintsPolicy": "Honor",  # a lost region counts for none
            # nor does the version that is replaced
            **({"matchLabelKeys": ["pod-template-hash"]} if wanted.kind == "Deployment" else {}),
            "labelSelector": {"matchLabels": {"app": wanted.service}},
        }
        for key in (REGION, HOST)
    ]
    first = max(regions.values())
    placed = (
        {"topologySpreadConstraints": spread} if wanted.spread else {"affinity": _in_region(first)}
    )
    return {
        **placed,
        "tolerations": _staying(wanted.evict_after_s),
        # The service does not act on SIGTERM: it serves while it leaves the endpoints.
        "terminationGracePeriodSeconds": 3,
        "containers": [
            *([_shipper(cluster)] if wanted.shipper else []),
            _container(cluster, wanted, regions),
            *([sidecar.container(wanted.port, wanted.own_port)] if wanted.envoy else []),
        ],
    }


def _shipper(cluster: Handle) -> dict[str, Any]:
    """A container that the service could do without."""
    return {
        "name": "log-shipper",
        "image": cluster.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "infinity"],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
    }


def _container(cluster: Handle, wanted: Workload, regions: dict[str, str]) -> dict[str, Any]:
    plan = {
        "service": wanted.service,
        "replication": wanted.replication,
        "closes": wanted.closes,
        "routes": _routes(wanted.service),
        "behaviour": dict(wanted.behaviour),
        "health_path": "/health",
        "listen": ["0.0.0.0", wanted.own_port],
        "database": [f"{wanted.service}-database-", DATABASE_PORT] if wanted.database else None,
    }

    def downward(path: str) -> dict[str, Any]:
        return {"fieldRef": {"fieldPath": path}}

    asks = {"httpGet": {"path": "/ready", "port": wanted.own_port}}
    lies = {"exec": {"command": ["true"]}}
    probe = asks if wanted.honest_probe else lies
    return {
        "name": wanted.service,
        "image": cluster.image,
        "imagePullPolicy": "IfNotPresent",
        "stdin": True,  # the process ends with its standard input
        "command": ["python", "-c", LAUNCH],
        "env": [
            {"name": "PLAN", "value": json.dumps(plan)},
            {"name": "REGIONS", "value": json.dumps(regions)},
            {"name": "POD", "valueFrom": downward("metadata.name")},
            {"name": "NODE", "valueFrom": downward("spec.nodeName")},
        ],
        "ports": [{"name": "service", "containerPort": wanted.own_port}],
        "readinessProbe": {**probe, "periodSeconds": 1, "failureThreshold": 2},
        "resources": {"requests": {"cpu": f"{wanted.cpu_millis}m", "memory": "64Mi"}},
    }


def _routes(service: str) -> list[str]:
    catalog = load_catalog()
    return [route.path for route in catalog.service(service).routes]


def _reservation(
    cluster: Handle, wanted: Workload, region: str, regions: dict[str, str]
) -> dict[str, Any]:
    """Pods that take the room of one region: what is left holds a database, but no replica."""
    nodes = [name for name, where in regions.items() if where == region]
    free = min(_millis(cluster.get("node", name)) for name in nodes) - wanted.cpu_millis
    metadata = _metadata(wanted, "reservation", "reservation")
    apart = {"topologyKey": HOST, "labelSelector": {"matchLabels": {"app": "reservation"}}}
    alone = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}}
    container = {
        "name": "reservation",
        "image": cluster.image,
        "command": ["sleep", "infinity"],
        "resources": {"requests": {"cpu": f"{free}m"}},
    }
    pod = {
        "affinity": {**_in_region(region), **alone},
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": len(nodes),
            "selector": {"matchLabels": {"app": "reservation"}},
            "template": {"metadata": {"labels": metadata["labels"]}, "spec": pod},
        },
    }


def _millis(node: dict[str, Any]) -> int:
    cpu = str(node["status"]["allocatable"]["cpu"])
    return int(cpu[:-1]) if cpu.endswith("m") else 1000 * int(cpu)
