"""What the platform reads and writes at the API server, in the words of the harness.

Every call has a deadline, and every refusal becomes one PlatformError with a remedy.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from harness.catalog.model import Service
from harness.errors import PlatformError, UsageError
from harness.platform.kubernetes import selection
from harness.platform.kubernetes.access import (
    FORBIDDEN,
    TIMEOUT_S,
    allowed,
    connect,
    is_gone,
    telling,
)
from harness.platform.kubernetes.api_types import EventItem
from harness.platform.kubernetes.signing import Seal
from harness.platform.undo import Changed, WorkloadKind

REGION = "topology.kubernetes.io/region"
ZONE = "topology.kubernetes.io/zone"
MANAGED = "app.kubernetes.io/managed-by"
OURS = "codai-harness"

IMAGE = "codai-harness:dev"
"""The image that deploy/images makes; a cluster with a registry names its own."""

ENVOYS = ("envoy", "istio-proxy", "consul-dataplane")
"""Names and images of containers that are, or start, an Envoy."""

UNKNOWN = "unknown"
"""Region or zone of a node without the label."""

KINDS: tuple[WorkloadKind, ...] = ("deployment", "statefulset", "daemonset")
"""What makes a service's pods."""


Budget: TypeAlias = client.V1PodDisruptionBudget

SERVICE_S = 5.0
"""How long a Service object is taken as it was read; it hardly changes, and is asked for often."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Node:
    """A node: its region and zone (`unknown` without the label), addresses, subnets of its pods."""

    name: str
    region: str
    zone: str
    addresses: tuple[str, ...]
    subnets: tuple[str, ...]
    ready: str
    unschedulable: bool
    taints: tuple[str, ...] = ()
    """Taints that keep a pod without tolerations away, `key=value:effect` or `key:effect`."""

    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of interest."""

    name: str
    uid: str
    node: str
    address: str | None
    labels: Mapping[str, str]
    ready: bool
    phase: str
    restarts: int
    deleting: bool
    envoy: bool = False
    """Whether one of its containers is an Envoy, by its name or image."""

    host_network: bool = False
    """Whether it shares the node's network."""

    port: int = 0
    """Where it listens for its Service; 0 where it was not read as a Service's."""

    unfit: str | None = None
    """Why it is none of a service's replicas, whatever its labels."""

    owner: str = ""
    """The kind of object that controls it."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What makes a service's pods: `kind` is deployment, statefulset or daemonset.

    Of the wanted `replicas`, `taken` have the present template, `there` exist (old ones too) and
    `available` are ready.
    """

    kind: WorkloadKind
    replicas: int
    paused: bool
    strategy: str
    taken: int
    there: int
    available: int
    item: client.V1Deployment | client.V1StatefulSet | client.V1DaemonSet

    @property
    def replacing(self) -> bool:
        """Whether pods of another template are still there or to come."""
        return self.taken < self.replicas or self.there > self.replicas

    @property
    def rolling(self) -> bool:
        """Whether that is so, or a new pod is not ready."""
        return self.replacing or self.available < self.replicas


class Cluster:
    """A connection to one namespace of one cluster."""

    def __init__(
        self, namespace: str, context: str | None = None, kubeconfig: str | None = None
    ) -> None:
        self.namespace = namespace
        self.context = context
        self.kubeconfig = kubeconfig
        self._services: dict[str, tuple[float, object]] = {}

    @cached_property
    def api(self) -> client.ApiClient:
        """The client; made when it is first needed."""
        from pathlib import Path  # noqa: PLC0415 - only here

        return connect(self.context, Path(self.kubeconfig) if self.kubeconfig else None)

    @cached_property
    def core(self) -> client.CoreV1Api:
        """Pods, nodes, services, config maps."""
        return client.CoreV1Api(self.api)

    @cached_property
    def apps(self) -> client.AppsV1Api:
        """Deployments."""
        return client.AppsV1Api(self.api)

    @cached_property
    def policy(self) -> client.PolicyV1Api:
        """Disruption budgets."""
        return client.PolicyV1Api(self.api)

    @cached_property
    def coordination(self) -> client.CoordinationV1Api:
        """Leases of the API server, see `exclusive`."""
        return client.CoordinationV1Api(self.api)

    @cached_property
    def networking(self) -> client.NetworkingV1Api:
        """Ingresses."""
        return client.NetworkingV1Api(self.api)

    @cached_property
    def custom(self) -> client.CustomObjectsApi:
        """Objects of kinds that Kubernetes itself does not have."""
        return client.CustomObjectsApi(self.api)

    @cached_property
    def seal(self) -> Seal:
        """Signs what undoes the faults of this namespace, and checks it."""
        return Seal(self)

    @cached_property
    def scaling(self) -> client.AutoscalingV2Api:
        """Autoscalers."""
        return client.AutoscalingV2Api(self.api)

    def nodes(self) -> dict[str, Node]:
        """Every node by its name."""
        with telling("nodes"):
            found = self.core.list_node(_request_timeout=TIMEOUT_S)
        return {item.metadata.name: _node(item) for item in found.items}

    def pods(self, labels: Mapping[str, str], port: object = None) -> list[Pod]:
        """The pods with these labels, by name; `port` is the Service's that they listen for."""
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        return self._pods(self.namespace, label_selector=selector, port=port)

    def pods_on(self, node: str) -> list[tuple[str, Pod]] | None:
        """(namespace, pod) of every namespace on a node; None where this account may not ask."""
        found = allowed(
            f"pods on {node}",
            lambda: self.core.list_pod_for_all_namespaces(
                field_selector=f"spec.nodeName={node}", _request_timeout=TIMEOUT_S
            ),
        )
        return [(item.metadata.namespace, _pod(item)) for item in found.items] if found else None

    def selector(self, service: Service) -> dict[str, str]:
        """The labels by which the Service finds its pods; those of its name where it has none."""
        found = self.service(service.name)
        return dict(found.spec.selector or {selection.NAME: service.name})

    def replicas(self, service: Service) -> list[Pod]:
        """The service's pods: what its Service selects, run by a controller and not ending."""
        return [pod for pod in self._selected(service) if pod.unfit is None and not pod.deleting]

    def strangers(self, service: Service) -> list[Pod]:
        """Pods that carry the labels and are none of its replicas."""
        return [pod for pod in self._selected(service) if pod.unfit is not None]

    def _selected(self, service: Service) -> list[Pod]:
        port = selection.port_of(self.service(service.name), service)
        return self.pods(self.selector(service), port)

    def _pods(self, namespace: str, port: object, **selectors: str) -> list[Pod]:
        with telling(f"pods of {namespace}"):
            found = self.core.list_namespaced_pod(
                namespace, **selectors, _request_timeout=TIMEOUT_S
            )
        return sorted((_pod(item, port) for item in found.items), key=lambda pod: pod.name)

    def service(self, name: str) -> client.V1Service:
        """The Service object of that name, some seconds old at most."""
        now = time.monotonic()
        if name not in self._services or now - self._services[name][0] > SERVICE_S:
            with telling(f"service {name}"):
                found = self.core.read_namespaced_service(
                    name, self.namespace, _request_timeout=TIMEOUT_S
                )
            self._services[name] = (now, found)
        return self._services[name][1]

    def address(self, service: Service) -> str:
        """The cluster address of the Service that bears the catalogue's name, as a URL.

        Raises PlatformError where there is no such Service or where it has no address.
        """
        found = self.service(service.name)
        address = found.spec.cluster_ip
        if address in {None, "", "None"}:
            raise PlatformError(
                f"Service {service.name} in {self.namespace} is headless: it has no address",
                "name one: --target http://host:port",
            )
        return base_url(address, int(selection.port_of(found, service).port))

    def port(self, service: Service) -> int:
        """The port of the Service that users reach."""
        return int(selection.port_of(self.service(service.name), service).port)

    def ingresses(self) -> list[client.V1Ingress]:
        """The Ingress objects of the namespace."""
        with telling(f"ingresses of {self.namespace}"):
            found = self.networking.list_namespaced_ingress(
                self.namespace, _request_timeout=TIMEOUT_S
            )
        return list(found.items)

    def made_by(self, name: str, kinds: Sequence[WorkloadKind] = KINDS) -> Workload | None:
        """The Deployment, StatefulSet or DaemonSet of that name; None where there is none."""
        for each in kinds:
            with telling(f"{each} {name}"):
                try:
                    return _workload(each, self.read(each, name))
                except ApiException as problem:
                    if not is_gone(problem):
                        raise
        return None

    def workload(self, name: str, kind: WorkloadKind | None = None) -> Workload:
        """The same; raises PlatformError where there is none."""
        found = self.made_by(name, (kind,) if kind else KINDS)
        if found is not None:
            return found
        said = kind or f"{', '.join(KINDS[:-1])} or {KINDS[-1]}"
        raise PlatformError(
            f"namespace {self.namespace} has no {said} {name}", "check the namespace and the name"
        )

    def read(self, kind: Changed, name: str) -> object:
        """An object of a kind that faults change; raises ApiException."""
        if kind == "node":
            return self.core.read_node(name, _request_timeout=TIMEOUT_S)
        call = getattr(self.apps, f"read_namespaced_{kind.replace('set', '_set')}")
        return call(name, self.namespace, _request_timeout=TIMEOUT_S)

    def patch(self, kind: Changed, name: str, body: Mapping[str, object]) -> None:
        """Change such an object by a strategic merge."""
        with telling(f"{kind} {name}"):
            if kind == "node":
                self.core.patch_node(name, dict(body), _request_timeout=TIMEOUT_S)
                return
            call = getattr(self.apps, f"patch_namespaced_{kind.replace('set', '_set')}")
            call(name, self.namespace, dict(body), _request_timeout=TIMEOUT_S)

    def workloads(self) -> list[tuple[WorkloadKind, object]]:
        """(kind, object) of everything in the namespace that makes pods of a service."""
        found = []
        for kind in KINDS:
            with telling(f"{kind}s of {self.namespace}"):
                call = getattr(self.apps, f"list_namespaced_{kind.replace('set', '_set')}")
                items = call(self.namespace, _request_timeout=TIMEOUT_S).items
            found += [(kind, item) for item in items]
        return found

    def events(self, namespace: str | None = None, fields: str = "") -> list[EventItem] | None:
        """Kubernetes' events as they came, cached ones; None where another namespace is barred.

        Not made into the client's objects: a busy namespace has thousands.
        """
        where = namespace or self.namespace
        with telling(f"events of {where}"):
            try:
                answer = self.core.list_namespaced_event(
                    where,
                    field_selector=fields,
                    resource_version="0",
                    _preload_content=False,
                    _request_timeout=TIMEOUT_S,
                )
            except ApiException as problem:
                if namespace is not None and problem.status == FORBIDDEN:
                    return None
                raise
            return list(json.loads(answer.data).get("items") or ())

    def budgets(self, labels: Mapping[str, str]) -> list[Budget]:
        """The disruption budgets that select pods with these labels."""
        with telling("disruption budgets"):
            found = self.policy.list_namespaced_pod_disruption_budget(
                self.namespace, _request_timeout=TIMEOUT_S
            )
        return [each for each in found.items if selection.selects(each.spec.selector, labels)]


def base_url(address: str | None, port: int) -> str:
    """Where an address is asked, an IPv6 one in brackets; empty where there is none yet."""
    if not address:
        return ""
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def check_namespace(name: str) -> None:
    """Raise UsageError for a namespace that cannot be or that is the cluster's own."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"namespace {name!r} is no name", "give one that `kubectl get ns` lists")
    if name.startswith("kube-"):
        raise UsageError(
            f"namespace {name} belongs to the cluster itself", "name the service's own namespace"
        )


def _workload(
    kind: WorkloadKind, item: client.V1Deployment | client.V1StatefulSet | client.V1DaemonSet
) -> Workload:
    spec, status = item.spec, item.status
    if kind == "daemonset":
        wanted = status.desired_number_scheduled or 0
        taken, there = status.updated_number_scheduled or 0, status.current_number_scheduled or 0
        ready = status.number_available or 0
        strategy = spec.update_strategy
    else:
        wanted = 1 if spec.replicas is None else spec.replicas
        taken, there = status.updated_replicas or 0, status.replicas or 0
        ready = status.available_replicas or 0
        strategy = spec.strategy if kind == "deployment" else spec.update_strategy
    return Workload(
        kind=kind,
        replicas=wanted,
        paused=kind == "deployment" and bool(spec.paused),
        strategy=(strategy.type if strategy else None) or "RollingUpdate",
        taken=taken,
        there=there,
        available=ready,
        item=item,
    )


def _node(item: client.V1Node) -> Node:
    labels = item.metadata.labels or {}
    addresses: Sequence[client.V1NodeAddress] = item.status.addresses or ()
    internal = [each.address for each in addresses if each.type == "InternalIP"]
    ready = [each.status for each in item.status.conditions or () if each.type == "Ready"]
    return Node(
        name=item.metadata.name,
        region=labels.get(REGION, UNKNOWN),
        zone=labels.get(ZONE, UNKNOWN),
        addresses=tuple(internal),
        subnets=tuple(item.spec.pod_cidrs or filter(None, [item.spec.pod_cidr])),
        ready=ready[0] if ready else "Unknown",
        unschedulable=bool(item.spec.unschedulable),
        labels=labels,
        taints=tuple(
            f"{each.key}={each.value}:{each.effect}" if each.value else f"{each.key}:{each.effect}"
            for each in item.spec.taints or ()
            if each.effect != "PreferNoSchedule"
        ),
    )


def _pod(item: client.V1Pod, port: client.V1ServicePort | None = None) -> Pod:
    conditions = item.status.conditions or ()
    statuses = item.status.container_statuses or ()
    return Pod(
        name=item.metadata.name,
        uid=item.metadata.uid,
        node=item.spec.node_name or "",
        address=item.status.pod_ip,
        labels=item.metadata.labels or {},
        ready=any(each.type == "Ready" and each.status == "True" for each in conditions),
        phase=item.status.phase or "Unknown",
        restarts=sum(each.restart_count for each in statuses),
        deleting=item.metadata.deletion_timestamp is not None,
        envoy=any(_is_envoy(each) for each in _containers(item)),
        host_network=bool(item.spec.host_network),
        port=selection.listens_on(port, item) if port is not None else 0,
        unfit=selection.unfit(item),
        owner=next((each.kind for each in item.metadata.owner_references or ()), ""),
    )


def _containers(item: client.V1Pod) -> list[client.V1Container]:
    """The containers that run beside each other; a sidecar may stand among the first ones."""
    before = [c for c in item.spec.init_containers or () if c.restart_policy == "Always"]
    return [*before, *item.spec.containers]


def _is_envoy(container: client.V1Container) -> bool:
    return any(word in f"{container.name} {container.image}" for word in ENVOYS)
