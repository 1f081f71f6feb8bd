"""Which pods, containers and ports of a namespace are a service's, by what Kubernetes itself reads.

A Service's selector says which pods are its own, its ports where they listen; names and labels are
compared exactly, as the API server does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.catalog.model import Service
from harness.errors import PlatformError
from harness.units import counted

if TYPE_CHECKING:
    from kubernetes import client

NAME = "app.kubernetes.io/name"
INSTANCE = "app.kubernetes.io/instance"

WEB = ("http", "https", "web", "http2", "http-web")
"""Usual names of the port that users reach, where neither number nor name is the catalogue's."""


def selects(selector: client.V1LabelSelector | None, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector selects these labels: an empty one all, None nothing."""
    if selector is None:
        return False
    wanted: Mapping[str, str] = selector.match_labels or {}
    return wanted.items() <= labels.items() and all(
        _holds(each, labels) for each in selector.match_expressions or ()
    )


def _holds(expression: client.V1LabelSelectorRequirement, labels: Mapping[str, str]) -> bool:
    key, values = expression.key, expression.values or ()
    match expression.operator:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels


def unfit(item: client.V1Pod) -> str | None:
    """Why a pod with the service's labels is none of its replicas; None for a replica."""
    if item.status.phase in {"Succeeded", "Failed"}:
        return str(getattr(item.status, "reason", None) or "finished").lower()
    owners = {owner.kind for owner in item.metadata.owner_references or ()}
    if "Job" in owners:
        return "of a Job"
    return None if owners else "without a controller"


def port_of(found: client.V1Service, service: Service) -> client.V1ServicePort:
    """The port of a Service object that users reach.

    The catalogue's number as port or target port, a usual or the service's own name, or the only
    one. Raises PlatformError where several are left.
    """
    ports: Sequence[client.V1ServicePort] = found.spec.ports or ()
    for fits in (
        lambda each: int(each.port) == service.port,
        lambda each: str(each.target_port) == str(service.port),
        lambda each: each.name == service.name,
        lambda each: each.name in WEB,
        lambda each: len(ports) == 1,
    ):
        fitting = [each for each in ports if fits(each)]
        if fitting:
            return fitting[0]
    said = ", ".join(f"{each.port} ({each.name})" for each in ports) or "none"
    raise PlatformError(
        f"Service {service.name} has {counted(len(ports), 'port')}, none is the catalogue's "
        f"{service.port}: {said}",
        f"correct the port in the catalogue's services/{service.name}.yaml, or name one:"
        " --target http://host:port",
    )


def listens_on(port: client.V1ServicePort, pod: client.V1Pod) -> int:
    """The number at which a pod (as the API has it) listens for a port of its Service."""
    target = port.target_port
    if target is None:
        return int(port.port)
    if str(target).isdigit():
        return int(target)
    for container in (*(pod.spec.containers or ()), *(pod.spec.init_containers or ())):
        for each in container.ports or ():
            if each.name == target:
                return int(each.container_port)
    return int(port.port)


def application(
    spec: client.V1PodSpec, name: str | None, service: str, port: client.V1ServicePort
) -> str:
    """The container that is the application: as named, as the service, or where its port leads.

    `spec` is a pod's, `port` the Service's. Sidecars that are init containers are never it. Raises
    PlatformError where several are left.
    """
    names = [each.name for each in spec.containers]
    if name is not None:
        if name in names:
            return name
        raise PlatformError(f"no container {name!r}", f"there are {', '.join(names)}")
    if len(names) == 1 or service in names:
        return service if service in names else names[0]
    target = port.target_port if port.target_port is not None else port.port
    for each in spec.containers:
        if any(
            target in {p.name, p.container_port, str(p.container_port)} for p in each.ports or ()
        ):
            return str(each.name)
    raise PlatformError(
        f"{service}: which of the containers {', '.join(names)} is the application is not known",
        "give container",
    )


def is_dependency(labels: Mapping[str, str], service: str, component: str) -> bool:
    """Whether a component's pod is the service's own, by exact name, instance or ending."""
    own = f"{service}-{component}"
    given = {labels.get(NAME), labels.get(INSTANCE)} - {None}
    return any(each in {service, own} or str(each).startswith(f"{own}-") for each in given)
