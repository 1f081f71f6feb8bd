"""Where users come in: an Ingress that leads to the service, its load balancer, or its Service.

An Ingress is reached by the address in its own status, with its host's name in the Host header and
as whom a TLS server must be: in DNS the same name may lead to another cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from harness.catalog.model import Service
from harness.platform.kubernetes.cluster import Cluster

if TYPE_CHECKING:
    from kubernetes import client


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """The address users take, the Host header that it needs, and what it is."""

    url: str
    host: str | None
    what: str


class _Way(NamedTuple):
    """Which host and path an Ingress leads to which Service."""

    host: str | None
    path: str
    to: str | None


def entry_point(cluster: Cluster, service: Service) -> EntryPoint:
    """The service's entry point in this namespace; PlatformError for no Service or no address."""
    for ingress in sorted(cluster.ingresses(), key=lambda each: str(each.metadata.name)):
        found = _of_ingress(ingress, service)
        if found is not None:
            return found
    balanced = _status_address(cluster.service(service.name))
    if balanced is not None:
        port = cluster.port(service)
        return EntryPoint(f"http://{balanced}:{port}", None, f"load balancer of {service.name}")
    return EntryPoint(cluster.address(service), None, f"Service {service.name}")


def _of_ingress(ingress: client.V1Ingress, service: Service) -> EntryPoint | None:
    """None where it does not lead all of the service's routes to it, or has no address yet."""
    ways = [way for way in _ways(ingress) if way.to == service.name and _all(service, way.path)]
    address = _status_address(ingress)
    if not ways or address is None:
        return None
    host = ways[0].host.replace("*", service.name) if ways[0].host else None
    scheme = "https" if _is_secured(ingress, ways[0].host) else "http"
    return EntryPoint(f"{scheme}://{address}", host, f"Ingress {ingress.metadata.name}")


def _is_secured(ingress: client.V1Ingress, host: str | None) -> bool:
    """Whether TLS is named for the host, for a wildcard above it, or for every host."""
    for each in ingress.spec.tls or ():
        names = each.hosts or ()
        above = "*." + host.partition(".")[2] if host else None
        if not names or host in names or above in names:
            return True
    return False


def _ways(ingress: client.V1Ingress) -> Iterator[_Way]:
    for rule in ingress.spec.rules or ():
        for each in rule.http.paths if rule.http else ():
            yield _Way(rule.host, each.path or "/", _name(each.backend))
    yield _Way(None, "/", _name(ingress.spec.default_backend))


def _name(backend: client.V1IngressBackend | None) -> str | None:
    return backend.service.name if backend and backend.service else None


def _all(service: Service, path: str) -> bool:
    prefix = path.rstrip("/*")
    return all(route.path.startswith(prefix) for route in service.routes)


def _status_address(item: client.V1Ingress | client.V1Service) -> str | None:
    balancer = item.status.load_balancer if item.status else None
    for each in (balancer.ingress if balancer else None) or ():
        address = each.hostname or each.ip
        if address:
            return f"[{address}]" if ":" in address else str(address)
    return None
