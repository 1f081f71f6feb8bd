"""A share of the packets between two regions is lost."""

from harness.faults.arguments import Link, Share
from harness.faults.model import FaultKind, OnKubernetes, OnLab


class LosePackets(Share, Link):
    """Between which regions, and how many."""


FAULT = FaultKind(
    arguments=LosePackets, hits="link", lab=OnLab("packets", "nftables"), kubernetes=OnKubernetes()
)
