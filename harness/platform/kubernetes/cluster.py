"""What the platform reads and writes at the API server, in the words of the harness.

Every call has a deadline, and every refusal becomes one PlatformError with a remedy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from harness.catalog.model import Service
from harness.errors import PlatformError, UsageError
from harness.platform.kubernetes.access import TIMEOUT_S, connect, telling

REGION = "topology.kubernetes.io/region"
ZONE = "topology.kubernetes.io/zone"
MANAGED = "app.kubernetes.io/managed-by"
OURS = "codai-harness"
PART_OF = "app.kubernetes.io/part-of"
ECOSYSTEM = "codai-ecosystem"

IMAGE = "codai-harness:dev"
"""The image that deploy/images makes; a cluster with a registry names its own."""

ENVOYS = ("envoy", "istio-proxy", "consul-dataplane")
"""Names and images of containers that are, or start, an Envoy."""

FORBIDDEN = 403

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


class Cluster:
    """A connection to one namespace of one cluster."""

    def __init__(
        self, namespace: str, context: str | None = None, kubeconfig: str | None = None
    ) -> None:
        self.namespace = namespace
        self.context = context
        self.kubeconfig = kubeconfig

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
    def scaling(self) -> client.AutoscalingV2Api:
        """Autoscalers."""
        return client.AutoscalingV2Api(self.api)

    def nodes(self) -> dict[str, Node]:
        """Every node by its name."""
        with telling("nodes"):
            found = self.core.list_node(_request_timeout=TIMEOUT_S)
        return {item.metadata.name: _node(item) for item in found.items}

    def pods(self, labels: Mapping[str, str]) -> list[Pod]:
        """The pods with these labels that are not ending, by name."""
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        with telling(f"pods of {self.namespace}"):
            found = self.core.list_namespaced_pod(
                self.namespace, label_selector=selector, _request_timeout=TIMEOUT_S
            )
        return sorted((_pod(item) for item in found.items), key=lambda pod: pod.name)

    def service(self, name: str) -> Any:
        """The Service object of that name."""
        with telling(f"service {name}"):
            return self.core.read_namespaced_service(
                name, self.namespace, _request_timeout=TIMEOUT_S
            )

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
        return base_url(address, _port(found, service))

    def port(self, service: Service) -> int:
        """The port of the Service: the catalogue's, or its least where it has another."""
        return _port(self.service(service.name), service)

    def ingresses(self) -> list[Any]:
        """The Ingress objects of the namespace."""
        with telling(f"ingresses of {self.namespace}"):
            found = self.networking.list_namespaced_ingress(
                self.namespace, _request_timeout=TIMEOUT_S
            )
        return list(found.items)

    def deployment(self, name: str) -> Any:
        """The Deployment object of that name."""
        with telling(f"deployment {name}"):
            return self.apps.read_namespaced_deployment(
                name, self.namespace, _request_timeout=TIMEOUT_S
            )

    def events(self, namespace: str | None = None, fields: str = "") -> list[dict[str, Any]] | None:
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

    def budgets(self, labels: Mapping[str, str]) -> list[Any]:
        """The disruption budgets that select pods with these labels."""
        with telling("disruption budgets"):
            found = self.policy.list_namespaced_pod_disruption_budget(
                self.namespace, _request_timeout=TIMEOUT_S
            )
        return [
            each
            for each in found.items
            if _selects(getattr(each.spec.selector, "match_labels", None) or {}, labels)
        ]


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


def _port(found: Any, service: Service) -> int:
    ports = {int(each.port) for each in found.spec.ports or ()}
    return service.port if service.port in ports or not ports else min(ports)


def _selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())


def _node(item: Any) -> Node:
    labels = item.metadata.labels or {}
    addresses: Sequence[Any] = item.status.addresses or ()
    internal = [each.address for each in addresses if each.type == "InternalIP"]
    ready = [each.status for each in item.status.conditions or () if each.type == "Ready"]
    return Node(
        name=item.metadata.name,
        region=labels.get(REGION, "unknown"),
        zone=labels.get(ZONE, "unknown"),
        addresses=tuple(internal),
        subnets=tuple(item.spec.pod_cidrs or filter(None, [item.spec.pod_cidr])),
        ready=ready[0] if ready else "Unknown",
        unschedulable=bool(item.spec.unschedulable),
    )


def _pod(item: Any) -> Pod:
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
    )


def _containers(item: Any) -> list[Any]:
    """The containers that run beside each other; a sidecar may stand among the first ones."""
    before = [c for c in item.spec.init_containers or () if c.restart_policy == "Always"]
    return [*before, *item.spec.containers]


def _is_envoy(container: Any) -> bool:
    return any(word in f"{container.name} {container.image}" for word in ENVOYS)
