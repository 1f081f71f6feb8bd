"""Changes of the desired state, their inverses, and whether they show: by the API alone.

What a change leaves until it is undone (a cordon, a scale, a template) carries a mark: a label,
and the fault's heal in an annotation, put there by the very patch that makes the change and taken
away by the one that undoes it. So it can be found and undone from any machine, and only once. The
label is what counts: a Deployment's annotations live on in its ReplicaSets, and `kubectl rollout
undo` brings them back.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from harness.errors import PlatformError
from harness.platform.kubernetes.access import TIMEOUT_S, is_gone, telling
from harness.platform.kubernetes.cluster import Cluster
from harness.platform.kubernetes.lease import heal_of
from harness.platform.model import Heal, Proof

EVICT_S = 60.0
"""How long a drain asks again where a disruption budget says not now (429)."""

TOO_MANY = 429
RESTARTED = "kubectl.kubernetes.io/restartedAt"
MARK = "undo.harness.codai/"
"""Followed by the name of the fault's lease: two faults may change one Deployment."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a fault changed and has not been put back; `heal` None where it cannot be read."""

    what: str
    name: str
    heal: Heal | None


def inverse(service: str, change: Mapping[str, Any], lease: str) -> dict[str, Any] | None:
    """The patch that puts back what was, as data for whoever carries it out.

    None where Kubernetes restores by itself.
    """
    kind, name = "deployment", service
    if "cordon" in change:
        kind, name = "node", change["cordon"]
        spec: dict[str, Any] = {} if change["was"] else {"unschedulable": None}
    elif "scale" in change:
        spec = {"replicas": change["was"]}
    elif "release" in change:
        spec = _release(change["container"], change["was"])
    else:
        return None
    mark = f"{MARK}{lease}"
    nothing = {mark: None}
    patch = {"metadata": {"labels": nothing, "annotations": nothing}, "spec": spec}
    return {"kind": kind, "name": name, "mark": mark, "patch": patch}


def apply(
    cluster: Cluster, service: str, change: Mapping[str, Any], heal: Heal | None = None
) -> None:
    """Carry the change out; raises PlatformError where the API server or a budget refuses.

    `heal` is that of the fault whose change it is: what it leaves is marked with it.
    """
    marks = _marks(cluster, heal)
    if "delete" in change:
        for name, uid in change["delete"].items():
            _delete(cluster, name, uid)
    if "cordon" in change:
        _patch(cluster, "node", change["cordon"], {**marks, "spec": {"unschedulable": True}})
        for name in change["evict"]:
            _evict(cluster, name)
    if "scale" in change:
        _patch(cluster, "deployment", service, {**marks, "spec": {"replicas": change["scale"]}})
    if "restart" in change:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        template = {"metadata": {"annotations": {RESTARTED: now}}}
        _patch(cluster, "deployment", service, {"spec": {"template": template}})
    if "release" in change:
        spec = _release(change["container"], change["release"])
        _patch(cluster, "deployment", service, {**marks, "spec": spec})


def undo(cluster: Cluster, back: Mapping[str, Any]) -> None:
    """Carry an `inverse` out where the fault's mark still is; idempotent."""
    found = _read(cluster, back["kind"], back["name"])
    if found is not None and back["mark"] in (found.metadata.labels or {}):
        _patch(cluster, back["kind"], back["name"], back["patch"])


def marked(cluster: Cluster) -> list[Mark]:
    """Everything that faults of this namespace changed and nobody has put back."""
    with telling("nodes"):
        nodes = cluster.core.list_node(_request_timeout=TIMEOUT_S).items
    with telling(f"deployments of {cluster.namespace}"):
        deployments = cluster.apps.list_namespaced_deployment(
            cluster.namespace, _request_timeout=TIMEOUT_S
        ).items
    items = [("node", node) for node in nodes] + [("deployment", each) for each in deployments]
    found = []
    for kind, item in items:
        labels, notes = item.metadata.labels or {}, item.metadata.annotations or {}
        for key in labels:
            if key.startswith(MARK) and labels[key] == cluster.namespace:
                what, name = f"{kind} {item.metadata.name}", key.removeprefix(MARK)
                found.append(Mark(what, name, heal_of(notes.get(key))))
    return found


def _marks(cluster: Cluster, heal: Heal | None) -> dict[str, Any]:
    """Nodes belong to no namespace, so the label's value names the run's own."""
    back = heal.arguments.get("undo") if heal is not None else None
    if heal is None or back is None:
        return {}
    key = back["mark"]
    note = json.dumps(asdict(heal))
    return {"metadata": {"labels": {key: cluster.namespace}, "annotations": {key: note}}}


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


def _read(cluster: Cluster, kind: str, name: str) -> Any:
    """The node or Deployment; None when it is gone."""
    with telling(f"{kind} {name}"):
        try:
            if kind == "node":
                return cluster.core.read_node(name, _request_timeout=TIMEOUT_S)
            return cluster.apps.read_namespaced_deployment(
                name, cluster.namespace, _request_timeout=TIMEOUT_S
            )
        except ApiException as problem:
            if is_gone(problem):
                return None
            raise


def _patch(cluster: Cluster, kind: str, name: str, body: Mapping[str, Any]) -> None:
    with telling(f"{kind} {name}"):
        if kind == "node":
            cluster.core.patch_node(name, dict(body), _request_timeout=TIMEOUT_S)
            return
        cluster.apps.patch_namespaced_deployment(
            name, cluster.namespace, dict(body), _request_timeout=TIMEOUT_S
        )


def _release(container: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The spec with exactly these fields of a container.

    A list is replaced: merged by name, a variable that only the other release has would stay.
    """
    exact = {
        key: [{"$patch": "replace"}, *value] if isinstance(value, list) else value
        for key, value in fields.items()
    }
    return {"template": {"spec": {"containers": [{"name": container, **exact}]}}}
