"""Besides the control plane: names (CoreDNS) and usage figures (metrics-server)."""

from __future__ import annotations

from pathlib import Path

from tests.kubernetes.cluster.images import DNS_IMAGE, METRICS_IMAGE
from tests.kubernetes.cluster.topology import DOMAIN, Topology

MANIFEST = Path(__file__).parent / "addons.yaml"


def manifest(topology: Topology) -> str:
    """The objects, as YAML."""
    values = {
        "DNS_IMAGE": DNS_IMAGE,
        "DNS_ADDRESS": topology.dns,
        "DOMAIN": DOMAIN,
        "METRICS_IMAGE": METRICS_IMAGE,
    }
    text = MANIFEST.read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text
