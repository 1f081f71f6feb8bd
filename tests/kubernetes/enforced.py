"""NetworkPolicies enforced on a test's own nodes, whose network plug-in knows none.

Packet rules in each node's network follow the pods of the namespace: a pod that a policy selects
takes new connections from those that it lets in, and from the node itself, as of every plug-in.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kubernetes import client

from harness.platform.kubernetes.access import connect
from tests.kubernetes.cluster.handle import Handle
from tests.kubernetes.policies import openings, selects

TABLE = "network_policies"
FOLLOW_S = 0.5
"""How long a new pod may go without rules."""

Pods = Mapping[str, Mapping[str, str]]
"""The labels of pods by their addresses."""


def rules(policies: Sequence[Mapping[str, Any]], pods: Pods) -> str:
    """The nftables script that replaces the rules by those for these pods."""
    lines = []
    for address, labels in sorted(pods.items()):
        found = openings(policies, labels)
        if found is None:
            continue
        for each in found:
            to = f"ip daddr {address}" + ("" if each.port is None else f" tcp dport {each.port}")
            if each.labels is None:
                lines.append(f"{to} accept")
            else:
                wanted = each.labels
                who = sorted(one for one, has in pods.items() if selects(wanted, has))
                lines += [f"{to} ip saddr {{ {', '.join(who)} }} accept"] if who else []
        lines.append(f"ip daddr {address} counter drop")
    chain = (
        "type filter hook forward priority 0; policy accept; ct state established,related accept"
    )
    text = "\n".join(lines)
    gone = f"add table inet {TABLE}\ndelete table inet {TABLE}\n"
    return f"{gone}table inet {TABLE} {{\nchain forward {{\n{chain}\n{text}\n}}\n}}\n"


@contextmanager
def enforced(
    cluster: Handle, namespace: str, policies: Sequence[Mapping[str, Any]]
) -> Iterator[None]:
    """Hold the pods of a namespace to its policies meanwhile."""
    core = client.CoreV1Api(connect(None, cluster.kubeconfig))
    nodes, ended = [node.pid for node in cluster.own().nodes], threading.Event()

    def follow() -> None:
        known = ""
        while not ended.is_set():
            found = core.list_namespaced_pod(namespace).items
            script = rules(
                policies,
                {pod.status.pod_ip: pod.metadata.labels or {} for pod in found if _counts(pod)},
            )
            if script != known:
                known = script
                for pid in nodes:
                    _nft(pid, script)
            ended.wait(FOLLOW_S)

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        for pid in nodes:
            _nft(pid, f"add table inet {TABLE}\ndelete table inet {TABLE}\n")


def _counts(pod: client.V1Pod) -> bool:
    """Whether it has an address of its own."""
    return bool(pod.status.pod_ip) and not pod.spec.host_network and pod.status.phase == "Running"


def _nft(pid: int, script: str) -> None:
    words = ["nsenter", f"--target={pid}", "--net", "nft", "-f", "-"]
    subprocess.run(words, input=script, text=True, check=True, capture_output=True)
