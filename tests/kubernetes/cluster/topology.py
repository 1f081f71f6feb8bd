"""Who is where: regions, zones, nodes, and the addresses of one cluster.

Up to `SLOTS` clusters live on one machine beside each other. Each has 4096 addresses of
198.18.128.0/17, which RFC 2544 sets aside for benchmarks; Docker's defaults here lie elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network

SLOTS = 4
REGIONS = ("us-east-1", "eu-west-1")
ZONES = ("a", "b")
DOMAIN = "cluster.local"


@dataclass(frozen=True)
class Place:
    """One node: its name (also its zone's), its region, its address, its pods' addresses."""

    name: str
    region: str
    zone: str
    address: str
    pods: str

    @property
    def labels(self) -> dict[str, str]:
        """The well-known topology labels of Kubernetes."""
        return {
            "topology.kubernetes.io/region": self.region,
            "topology.kubernetes.io/zone": self.zone,
        }


@dataclass(frozen=True)
class Topology:
    """The names and addresses of the cluster in one slot."""

    slot: int

    @property
    def prefix(self) -> str:
        """The cluster's name: its cgroup and its link on the host are called so."""
        return f"chk{self.slot}"

    def _network(self, index: int, length: int = 24) -> IPv4Network:
        return IPv4Network(f"198.18.{128 + 16 * self.slot + index}.0/{length}")

    @property
    def machines(self) -> IPv4Network:
        """Addresses of the host (.1), the control plane (.2) and the nodes (.11 and up)."""
        return self._network(0)

    @property
    def host(self) -> str:
        """The host's own address towards the cluster."""
        return str(self.machines[1])

    @property
    def control(self) -> str:
        """The control plane's address, and the host's way to the services."""
        return str(self.machines[2])

    @property
    def services(self) -> IPv4Network:
        """Addresses of Services."""
        return self._network(1)

    @property
    def dns(self) -> str:
        """The Service address of the cluster's DNS."""
        return str(self.services[10])

    @property
    def pods(self) -> IPv4Network:
        """Addresses of pods on all nodes."""
        return self._network(8, 21)

    @property
    def nodes(self) -> tuple[Place, ...]:
        """Two regions of two zones of one node."""
        zones = [(region, region + zone) for region in REGIONS for zone in ZONES]
        return tuple(
            Place(zone, region, zone, str(self.machines[11 + i]), str(self._network(8 + i)))
            for i, (region, zone) in enumerate(zones)
        )
