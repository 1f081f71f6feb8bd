"""What the platform reads and writes at the API server, in the words of the harness.

Every call has a deadline, and every refusal becomes one PlatformError with a remedy.
"""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TypeAlias, TypeVar, cast

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from harness.catalog.model import Service
from harness.errors import PlatformError, UsageError
from harness.platform.kubernetes import rollouts, selection
from harness.platform.kubernetes.access import FORBIDDEN, allowed, connect, is_gone, telling
from harness.platform.kubernetes.api_types import EventItem
from harness.platform.kubernetes.objects import Node, Pod, Workload, node_of, pod_of, workload_of
from harness.platform.kubernetes.signing import Seal
from harness.platform.undo import Changed, WorkloadKind

MANAGED = "app.kubernetes.io/managed-by"
OURS = "codai-harness"

IMAGE = "codai-harness:dev"
"""The image that deploy/images makes; a cluster with a registry names its own."""

KINDS: tuple[WorkloadKind, ...] = ("deployment", "statefulset", "daemonset")
"""What makes a service's pods, of Kubernetes' own."""

LISTED_S = 1.0
"""How long what EndpointSlices list is taken as it was read."""


T = TypeVar("T")
Budget: TypeAlias = client.V1PodDisruptionBudget

SERVICE_S = 5.0
"""How long a Service object is taken as it was read; it hardly changes, and is asked for often."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class Cluster:
    """A connection to one namespace of one cluster."""

    def __init__(
        self, namespace: str, context: str | None = None, kubeconfig: str | None = None
    ) -> None:
        self.namespace = namespace
        self.context = context
        self.kubeconfig = kubeconfig
        self._reads: dict[str, tuple[float, object]] = {}

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
    def discovery(self) -> client.DiscoveryV1Api:
        """EndpointSlices."""
        return client.DiscoveryV1Api(self.api)

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
            found = self.core.list_node()
        return {item.metadata.name: node_of(item) for item in found.items}

    def pods(self, labels: Mapping[str, str], port: object = None) -> list[Pod]:
        """The pods with these labels, by name; `port` is the Service's that they listen for."""
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        return self._pods(self.namespace, label_selector=selector, port=port)

    def pods_on(self, node: str) -> list[tuple[str, Pod]] | None:
        """(namespace, pod) of every namespace on a node; None where this account may not ask."""
        found = allowed(
            f"pods on {node}",
            lambda: self.core.list_pod_for_all_namespaces(field_selector=f"spec.nodeName={node}"),
        )
        return [(item.metadata.namespace, pod_of(item)) for item in found.items] if found else None

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
        """Pods that its Service selects; one that its EndpointSlices do not list is unfit.

        A Service without a selector has those that are listed.
        """
        found = self.service(service.name)
        port, listed = selection.port_of(found, service), self._listed(service.name)
        if listed is not None and not found.spec.selector:
            return [pod for pod in self.pods({}, port) if pod.uid in listed]
        pods = self.pods(self.selector(service), port)
        return [
            replace(pod, unfit="not in the Service")
            if listed is not None and pod.ready and not pod.unfit and pod.uid not in listed
            else pod
            for pod in pods
        ]

    def _listed(self, name: str) -> frozenset[str] | None:
        """UIDs of the pods in a Service's EndpointSlices; None where there is none to be read."""
        found = self._kept(
            f"slices of {name}",
            LISTED_S,
            lambda: allowed(
                f"endpoint slices of {name}",
                lambda: self.discovery.list_namespaced_endpoint_slice(
                    self.namespace, label_selector=f"kubernetes.io/service-name={name}"
                ),
            ),
        )
        if not found or not found.items:
            return None
        aims = [each.target_ref for one in found.items for each in one.endpoints or ()]
        return frozenset(str(aim.uid) for aim in aims if aim and aim.kind == "Pod")

    def _pods(self, namespace: str, port: object, **selectors: str) -> list[Pod]:
        with telling(f"pods of {namespace}"):
            found = self.core.list_namespaced_pod(namespace, **selectors)
        return sorted((pod_of(item, port) for item in found.items), key=lambda pod: pod.name)

    def service(self, name: str) -> client.V1Service:
        """The Service object of that name, some seconds old at most."""

        def read() -> client.V1Service:
            with telling(f"service {name}"):
                return self.core.read_namespaced_service(name, self.namespace)

        return self._kept(f"service {name}", SERVICE_S, read)

    def _kept(self, what: str, seconds: float, read: Callable[[], T]) -> T:
        """What was read no longer ago than that."""
        now = time.monotonic()
        if what not in self._reads or now - self._reads[what][0] > seconds:
            self._reads[what] = (now, read())
        return cast("T", self._reads[what][1])

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
            found = self.networking.list_namespaced_ingress(self.namespace)
        return list(found.items)

    def made_by(
        self, name: str, kinds: Sequence[WorkloadKind] = (*KINDS, "rollout")
    ) -> Workload | None:
        """The Deployment, StatefulSet, DaemonSet or Rollout of that name; None: there is none."""
        for each in kinds:
            if each == "rollout":
                return rollouts.find(self, name)
            with telling(f"{each} {name}"):
                try:
                    return workload_of(each, self.read(each, name))
                except ApiException as problem:
                    if not is_gone(problem):
                        raise
        return None

    def workload(self, name: str, kind: WorkloadKind | None = None) -> Workload:
        """The same; raises PlatformError where there is none."""
        found = self.made_by(name, (kind,)) if kind else self.made_by(name)
        if found is not None:
            return found
        said = kind or f"{', '.join(KINDS[:-1])} or {KINDS[-1]}"
        raise PlatformError(
            f"namespace {self.namespace} has no {said} {name}", "check the namespace and the name"
        )

    def read(self, kind: Changed, name: str) -> object:
        """An object of a kind that faults change; raises ApiException."""
        if kind == "node":
            return self.core.read_node(name)
        if kind == "rollout":
            return rollouts.read(self, name)
        call = getattr(self.apps, f"read_namespaced_{kind.replace('set', '_set')}")
        return call(name, self.namespace)

    def patch(self, kind: Changed, name: str, body: Mapping[str, object]) -> None:
        """Change such an object by a strategic merge; Argo's, which knows none, by a plain one."""
        with telling(f"{kind} {name}"):
            if kind == "node":
                self.core.patch_node(name, dict(body))
                return
            if kind == "rollout":
                rollouts.patch(self, name, body)
                return
            call = getattr(self.apps, f"patch_namespaced_{kind.replace('set', '_set')}")
            call(name, self.namespace, dict(body))

    def workloads(self) -> list[tuple[WorkloadKind, client.V1ObjectMeta]]:
        """(kind, metadata) of everything in the namespace that makes pods of a service."""
        found: list[tuple[WorkloadKind, client.V1ObjectMeta]] = []
        for kind in KINDS:
            with telling(f"{kind}s of {self.namespace}"):
                call = getattr(self.apps, f"list_namespaced_{kind.replace('set', '_set')}")
                items = call(self.namespace).items
            found += [(kind, item.metadata) for item in items]
        return found + [("rollout", each) for each in rollouts.known(self)]

    def events(self, namespace: str | None = None, fields: str = "") -> list[EventItem] | None:
        """Kubernetes' events as they came, cached ones; None where another namespace is barred.

        Not made into the client's objects: a busy namespace has thousands.
        """
        where = namespace or self.namespace
        with telling(f"events of {where}"):
            try:
                answer = self.core.list_namespaced_event(
                    where, field_selector=fields, resource_version="0", _preload_content=False
                )
            except ApiException as problem:
                if namespace is not None and problem.status == FORBIDDEN:
                    return None
                raise
            return list(json.loads(answer.data).get("items") or ())

    def budgets(self, labels: Mapping[str, str]) -> list[Budget]:
        """The disruption budgets that select pods with these labels."""
        with telling("disruption budgets"):
            found = self.policy.list_namespaced_pod_disruption_budget(self.namespace)
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
