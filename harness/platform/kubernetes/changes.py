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
from harness.platform.kubernetes.inverse import patch_of
from harness.platform.kubernetes.lease import heal_of
from harness.platform.model import Heal, Proof

EVICT_S = 60.0
"""How long a drain asks again where a disruption budget says not now (429)."""

TOO_MANY = 429
CONFLICT = 409
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
    kind, name = _kind(change), service
    if "cordon" in change:
        kind, name = "node", change["cordon"]
        made: dict[str, Any] = {"unschedulable": True}
        spec: dict[str, Any] = {} if change["was"] else {"unschedulable": None}
    elif "scale" in change:
        made, spec = {"replicas": change["scale"]}, {"replicas": change["was"]}
    elif "release" in change:
        container = {"name": change["container"], **change["release"]}
        made = {"template": {"spec": {"containers": [container]}}}
        spec = _release(change["container"], change["was"])
    else:
        return None
    mark = f"{MARK}{lease}"
    nothing = {mark: None}
    patch = {"metadata": {"labels": nothing, "annotations": nothing}, "spec": spec}
    return {"kind": kind, "name": name, "mark": mark, "set": made, "patch": patch}


def _kind(change: Mapping[str, Any]) -> str:
    return str(change.get("kind", "deployment"))


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
        cluster.patch("node", change["cordon"], {**marks, "spec": {"unschedulable": True}})
        for name, uid in change["evict"].items():
            _evict(cluster, name, uid)
    if "scale" in change:
        cluster.patch(_kind(change), service, {**marks, "spec": {"replicas": change["scale"]}})
    if "restart" in change:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        template = {"metadata": {"annotations": {RESTARTED: now}}}
        cluster.patch(_kind(change), service, {"spec": {"template": template}})
    if "release" in change:
        spec = _release(change["container"], change["release"])
        cluster.patch(_kind(change), service, {**marks, "spec": spec})


def undo(cluster: Cluster, back: Mapping[str, Any]) -> None:
    """Carry an `inverse` out where the fault's mark still is; idempotent.

    An object that is gone has nothing left to undo.
    """
    kind, name = back["kind"], back["name"]
    with telling(f"{kind} {name}"):
        try:
            found = cluster.api.sanitize_for_serialization(cluster.read(kind, name))
        except ApiException as problem:
            if is_gone(problem):
                return
            raise
    patch = patch_of(back, found)
    if patch is not None:
        cluster.patch(kind, name, patch)


def marked(cluster: Cluster) -> list[Mark]:
    """Everything that faults of this namespace changed and nobody has put back."""
    with telling("nodes"):
        nodes = cluster.core.list_node(_request_timeout=TIMEOUT_S).items
    items = [*(("node", node) for node in nodes), *cluster.workloads()]
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
        return _fewer(cluster, service, change)
    workload = cluster.workload(service, _kind(change))
    if "scale" in change:
        now = workload.replicas
        return Proof(now == change["scale"] != change["was"], f"{service} is scaled to {now}")
    if "release" in change:
        item = workload.item
        now = cluster.api.sanitize_for_serialization(item.spec.template.spec.containers)
        mine: dict[str, Any] = next(
            (each for each in now if each["name"] == change["container"]), {}
        )
        bad = all(mine.get(key) == value for key, value in change["release"].items())
        seen = (item.status.observed_generation or 0) >= (item.metadata.generation or 0)
        taken = workload.taken if seen else 0
        if bad and not taken:
            return Proof(in_effect=False, statement=f"no pod of {service} has taken the release")
        return Proof(bad, f"{service} has {'the bad' if bad else 'its old'} template")
    return Proof(workload.rolling, f"{service} is {'' if workload.rolling else 'not '}rolling")


def _fewer(cluster: Cluster, service: str, change: Mapping[str, Any]) -> Proof:
    """Whether fewer pods are ready than there were, or than are wanted since."""
    pods = cluster.pods(change["labels"])
    gone = set(change["delete"].values())
    ready = sum(pod.ready and not pod.deleting and pod.uid not in gone for pod in pods)
    wanted = change["ready"]
    if "kind" in change and ready < wanted:
        wanted = min(wanted, cluster.workload(service, _kind(change)).replicas)
    return Proof(ready < wanted, f"{ready} of {wanted} pods are ready")


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


def _evict(cluster: Cluster, name: str, uid: str) -> None:
    """Evict as kubectl drain does: again and again while a budget says not now.

    A pod that has come under the same name since then is another: it is left alone.
    """
    deadline = time.monotonic() + EVICT_S
    body = client.V1Eviction(
        metadata=client.V1ObjectMeta(name=name, namespace=cluster.namespace),
        delete_options=client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=uid)),
    )
    while True:
        with telling(f"eviction of {name}"):
            try:
                cluster.core.create_namespaced_pod_eviction(
                    name, cluster.namespace, body, _request_timeout=TIMEOUT_S
                )
            except ApiException as problem:
                if is_gone(problem) or problem.status == CONFLICT:
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


def _release(container: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The spec with exactly these fields of a container.

    A list is replaced: merged by name, a variable that only the other release has would stay.
    """
    exact = {
        key: [{"$patch": "replace"}, *value] if isinstance(value, list) else value
        for key, value in fields.items()
    }
    return {"template": {"spec": {"containers": [{"name": container, **exact}]}}}
