"""Which process of a lab listens where: regions are loopback subnets."""

import os
import socket
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, cast

from harness.catalog.model import Service
from harness.platform.lab.messages import PlaceRow
from harness.platform.lab.options import REGIONS
from harness.platform.lab.own import FIRST_PORT, HOST

DATABASE_PORT = 7000
EDGE_PORT = 8080
ADMIN_PORT = 9901
GLOBAL = "global"

Kind = Literal["database", "replica", "edge"]


@dataclass(frozen=True, slots=True)
class Place:
    """The address of one process; `admin` is an edge's second port."""

    id: str
    kind: Kind
    region: str
    host: str
    port: int
    service: str | None = None
    admin: int | None = None

    @property
    def url(self) -> str:
        """The address as a URL."""
        return f"http://{self.host}:{self.port}"

    def row(self) -> PlaceRow:
        """The place as a lab's plan has it."""
        return cast("PlaceRow", asdict(self))


def subnet(region: str) -> str:
    """The subnet that is a region, or the global edge's."""
    if region == GLOBAL:
        return "127.100.0.0/16"
    return f"127.{REGIONS.index(region) + 1}.0.0/16"


def places(
    services: Sequence[Service],
    regions: Sequence[str],
    replicas: int | None,
    *,
    edges: bool,
    isolated: bool,
    own: bool = False,
) -> tuple[Place, ...]:
    """Every process of a lab; in a namespace of its own the ports are the catalogue's.

    `own`: the replicas are the user's program, which has no database of ours; they share an
    address and have ports of their own.
    """
    ports = _Ports(isolated=isolated)
    found: list[Place] = []
    for region in regions:
        net = f"127.{REGIONS.index(region) + 1}"
        if not own:
            host = ports.host(f"{net}.0.5")
            port = ports.port(host, DATABASE_PORT)
            found.append(Place(f"database-{region}", "database", region, host, port))
        for block, service in enumerate(services, 1):
            for number in range(replicas or min(service.replicas, os.cpu_count() or 1)):
                host = HOST if own else ports.host(f"{net}.{block}.{number + 1}")
                name = f"{service.name}-{region}-{number}"
                port = ports.port(host, FIRST_PORT + len(found) if own else service.port)
                found.append(Place(name, "replica", region, host, port, service.name))
    if edges:
        for number, service in enumerate(services):
            for region in (*regions, GLOBAL):
                net = subnet(region).removesuffix(".0.0/16")
                host = ports.host(f"{net}.0.1")
                port = ports.port(host, EDGE_PORT + number)
                admin = ports.port(host, ADMIN_PORT + number)
                name = f"edge-{service.name}-{region}"
                found.append(Place(name, "edge", region, host, port, service.name, admin))
    ports.close()
    return tuple(found)


def regions_of(found: Iterable[Place]) -> list[str]:
    """The regions in which something runs, in order of priority."""
    return list(dict.fromkeys(place.region for place in found if place.region != GLOBAL))


class _Ports:
    """The wanted address in a namespace of our own, else one that is free on this host."""

    def __init__(self, *, isolated: bool) -> None:
        self._isolated = isolated
        self._held: list[socket.socket] = []

    def close(self) -> None:
        """Give the drawn ports free for the processes they are meant for."""
        for probe in self._held:
            probe.close()

    def host(self, wanted: str) -> str:
        return wanted if self._isolated or sys.platform == "linux" else "127.0.0.1"

    def port(self, host: str, wanted: int) -> int:
        if self._isolated:
            return wanted
        probe = socket.socket()  # held until the last one is drawn, so that none is drawn twice
        probe.bind((host, 0))
        self._held.append(probe)
        return int(probe.getsockname()[1])
