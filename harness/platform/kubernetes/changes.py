"""Changes of the desired state, their inverses, and whether they show: by the API alone."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from harness.errors import PlatformError
from harness.platform.kubernetes.access import TIMEOUT_S, is_gone, telling
from harness.platform.kubernetes.cluster import MANAGED, OURS, Cluster
from harness.platform.model import Proof

EVICT_S = 60.0
"""How long a drain asks again where a disruption budget says not now (429)."""

TOO_MANY = 429
RESTARTED = "kubectl.kubernetes.io/restartedAt"
CORDONED = "harness.codai/cordoned"


def apply(cluster: Cluster, service: str, change: Mapping[str, Any]) -> None:
    """Carry the change out; raises PlatformError where the API server or a budget refuses."""
    if "delete" in change:
        for name, uid in change["delete"].items():
            _delete(cluster, name, uid)
    if "cordon" in change:
        _cordon(cluster, change["cordon"], unschedulable=True)
        for name in change["evict"]:
            _evict(cluster, name)
    if "scale" in change:
        _patch(cluster, service, {"spec": {"replicas": change["scale"]}})
    if "restart" in change:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        _template(cluster, service, {"metadata": {"annotations": {RESTARTED: now}}})
    if "release" in change:
        _release(cluster, service, change["container"], change["release"])


def undo(cluster: Cluster, service: str, change: Mapping[str, Any]) -> None:
    """Put back what was; idempotent. What Kubernetes restores by itself needs nothing."""
    if "cordon" in change and not change["was"]:
        _cordon(cluster, change["cordon"], unschedulable=False)
    if "scale" in change:
        _patch(cluster, service, {"spec": {"replicas": change["was"]}})
    if "release" in change:
        _release(cluster, service, change["container"], change["was"])


def shows(cluster: Cluster, service: str, change: Mapping[str, Any]) -> Proof:
    """Whether the change is in effect now."""
    if "cordon" in change:
        node = cluster.nodes().get(change["cordon"])
        cordoned = node is not None and node.unschedulable and not change["was"]
        return Proof(cordoned, f"{change['cordon']} is {'' if cordoned else 'not '}cordoned")
    if "delete" in change:
        pods = cluster.pods(change["labels"])
        gone = set(change["delete"].values())
        ready = sum(pod.ready and not pod.deleting and pod.uid not in gone for pod in pods)
        return Proof(ready < change["ready"], f"{ready} of {change['ready']} pods are ready")
    deployment = cluster.deployment(service)
    if "scale" in change:
        now = deployment.spec.replicas
        return Proof(now == change["scale"] != change["was"], f"{service} is scaled to {now}")
    if "release" in change:
        now = cluster.api.sanitize_for_serialization(deployment.spec.template.spec.containers)
        mine = next(each for each in now if each["name"] == change["container"])
        bad = all(mine.get(key) == value for key, value in change["release"].items())
        return Proof(bad, f"{service} has {'the bad' if bad else 'its old'} template")
    status = deployment.status
    wanted = deployment.spec.replicas
    rolling = (status.updated_replicas or 0) < wanted or (status.replicas or 0) > wanted
    rolling = rolling or (status.available_replicas or 0) < wanted
    return Proof(rolling, f"{service} is {'' if rolling else 'not '}rolling")


def _delete(cluster: Cluster, name: str, uid: str) -> None:
    with telling(f"pod {name}"):
        cluster.core.delete_namespaced_pod(
            name,
            cluster.namespace,
            body=client.V1DeleteOptions(
                grace_period_seconds=0, preconditions=client.V1Preconditions(uid=uid)
            ),
            _request_timeout=TIMEOUT_S,
        )


def _cordon(cluster: Cluster, name: str, *, unschedulable: bool) -> None:
    mark = OURS if unschedulable else None
    body = {
        "metadata": {"annotations": {CORDONED: mark}},
        "spec": {"unschedulable": unschedulable or None},
    }
    with telling(f"node {name}"):
        cluster.core.patch_node(name, body, _request_timeout=TIMEOUT_S)


def _evict(cluster: Cluster, name: str) -> None:
    """Evict as kubectl drain does: again and again while a budget says not now."""
    deadline = time.monotonic() + EVICT_S
    body = client.V1Eviction(metadata=client.V1ObjectMeta(name=name, namespace=cluster.namespace))
    while True:
        with telling(f"eviction of {name}"):
            try:
                cluster.core.create_namespaced_pod_eviction(
                    name, cluster.namespace, body, _request_timeout=TIMEOUT_S
                )
            except ApiException as problem:
                if is_gone(problem):
                    return
                if problem.status != TOO_MANY:
                    raise
            else:
                return
        if time.monotonic() > deadline:
            raise PlatformError(
                f"eviction of {name}: the disruption budget has allowed none for {EVICT_S:g} s",
                "a budget that forbids everything makes the node impossible to maintain",
            )
        time.sleep(1.0)


def _patch(cluster: Cluster, service: str, body: Mapping[str, Any]) -> None:
    with telling(f"deployment {service}"):
        cluster.apps.patch_namespaced_deployment(
            service, cluster.namespace, dict(body), _request_timeout=TIMEOUT_S
        )


def _template(cluster: Cluster, service: str, template: Mapping[str, Any]) -> None:
    _patch(cluster, service, {"spec": {"template": dict(template)}})


def _release(cluster: Cluster, service: str, container: str, fields: Mapping[str, Any]) -> None:
    _template(cluster, service, {"spec": {"containers": [{"name": container, **fields}]}})


def cordoned_by_us(cluster: Cluster) -> list[str]:
    """Nodes that carry our mark."""
    with telling("nodes"):
        found = cluster.core.list_node(_request_timeout=TIMEOUT_S)
    marked = [
        item.metadata.name
        for item in found.items
        if (item.metadata.annotations or {}).get(CORDONED) == OURS
    ]
    return [f"node {name} is cordoned ({MANAGED} {OURS})" for name in marked]
