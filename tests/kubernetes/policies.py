"""Which connections NetworkPolicies let into a pod, as Kubernetes defines it for their `ingress`.

Only what deploy/network.yaml uses is known; anything else raises ValueError rather than be ignored.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SHIPPED = Path(__file__).parents[2] / "deploy" / "network.yaml"
Labels = Mapping[str, str]


@dataclass(frozen=True)
class Opening:
    """Who may connect, by the labels of its pod, and to which TCP port; None: anybody, any port."""

    labels: Labels | None
    port: int | None


def shipped() -> list[dict[str, Any]]:
    """The policies of deploy/network.yaml."""
    return list(yaml.load_all(SHIPPED.read_text(encoding="utf-8"), yaml.CSafeLoader))


def openings(policies: Sequence[Mapping[str, Any]], pod: Labels) -> list[Opening] | None:
    """What a pod with these labels takes from its namespace; None where no policy is about it."""
    specs = [_only(each["spec"], {"podSelector", "policyTypes", "ingress"}) for each in policies]
    about = [spec for spec in specs if selects(_labels(spec["podSelector"]), pod)]
    if not about:
        return None
    return [each for spec in about for rule in spec.get("ingress", ()) for each in _of(rule)]


def allows(
    policies: Sequence[Mapping[str, Any]], source: Labels | None, pod: Labels, port: int
) -> bool:
    """Whether a pod takes a connection to a port; `source` None: from outside of the namespace."""
    found = openings(policies, pod)
    return found is None or any(
        (each.labels is None or (source is not None and selects(each.labels, source)))
        and each.port in {None, port}
        for each in found
    )


def selects(wanted: Labels, labels: Labels) -> bool:
    """Whether a selector's labels are all there; an empty selector takes every pod."""
    return wanted.items() <= labels.items()


def _of(rule: Mapping[str, Any]) -> Iterator[Opening]:
    _only(rule, {"from", "ports"})
    peers = [_labels(_only(each, {"podSelector"})["podSelector"]) for each in rule.get("from", ())]
    ports = [_port(_only(each, {"protocol", "port"})) for each in rule.get("ports", ())]
    for labels, port in itertools.product(peers or (None,), ports or (None,)):
        yield Opening(labels, port)


def _port(port: Mapping[str, Any]) -> int:
    if port["protocol"] != "TCP":
        raise ValueError(f"protocol {port['protocol']}")
    return int(port["port"])


def _labels(selector: Mapping[str, Any]) -> Labels:
    found: Labels = _only(selector, {"matchLabels"}).get("matchLabels", {})
    return found


def _only(found: Mapping[str, Any], known: set[str]) -> Mapping[str, Any]:
    if more := found.keys() - known:
        raise ValueError(f"not known of a NetworkPolicy: {sorted(more)}")
    if found.get("policyTypes", ["Ingress"]) != ["Ingress"]:
        raise ValueError(f"policyTypes {found['policyTypes']}")
    return found
