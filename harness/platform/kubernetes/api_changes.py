"""Changes of the desired state, their inverses, and whether they show: by the API alone.

What a change leaves until it is undone (a cordon, a scale, a template) carries a mark: a label,
and the fault's heal in an annotation, put there by the very patch that makes the change and taken
away by the one that undoes it. So it can be found and undone from any machine, and only once. The
label is what counts: a Deployment's annotations live on in its ReplicaSets, and `kubectl rollout
undo` brings them back.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from harness.errors import PlatformError
from harness.platform.kubernetes.access import is_gone, telling
from harness.platform.kubernetes.cluster import Cluster
from harness.platform.kubernetes.inverse import patch_of
from harness.platform.kubernetes.signing import Kept
from harness.platform.model import Proof
from harness.platform.undo import (
    Change,
    Changed,
    ClusterUndo,
    ContainerFields,
    Cordon,
    Deletion,
    PutBack,
    Release,
    Restart,
    Scaling,
    UndoRecord,
)

EVICT_S = 60.0
"""How long a drain asks again where a disruption budget says not now (429)."""

TAKEN_S = 15.0
"""How long a release may take until the first pod has it; whether one has is for the proof."""

POLL_S = 0.25
TOO_MANY = 429
CONFLICT = 409
RESTARTED = "kubectl.kubernetes.io/restartedAt"
MARK = "undo.harness.codai/"
"""Followed by the name of the fault's lease: two faults may change one Deployment."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a fault changed and has not been put back, and what the object keeps of it."""

    what: str
    name: str
    kept: Kept


def inverse(undo: ClusterUndo) -> PutBack | None:
    """The patch that puts back what was changed, no more; None: Kubernetes does it itself."""
    kind: Changed
    made: Mapping[str, object]
    spec: Mapping[str, object]
    match undo.change:
        case Cordon(cordon=name, was=cordoned):
            kind, made = "node", {"unschedulable": True}
            spec = {} if cordoned else {"unschedulable": None}
        case Scaling(scale=scale, was=was, kind=kind):
            name, made, spec = undo.service, {"replicas": scale}, {"replicas": was}
        case Release(kind=kind) as change:
            container = {"name": change.container, **_values(change, change.release)}
            name, made = undo.service, {"template": {"spec": {"containers": [container]}}}
            spec = _template(change, change.was)
        case _:
            return None
    mark = f"{MARK}{undo.lease}"
    nothing = {mark: None}
    patch = {"metadata": {"labels": nothing, "annotations": nothing}, "spec": spec}
    return PutBack(kind, name, mark, made, patch)


def apply(cluster: Cluster, service: str, change: Change, record: UndoRecord | None = None) -> None:
    """Carry the change out; raises PlatformError where the API server or a budget refuses.

    `record` is that of the fault whose change it is: what it leaves is marked with it.
    """
    marks = _marks(cluster, record)
    match change:
        case Deletion(delete=pods):
            for name, uid in pods.items():
                _delete(cluster, name, uid)
        case Cordon(cordon=node, evict=pods):
            cluster.patch("node", node, {**marks, "spec": {"unschedulable": True}})
            for name, uid in pods.items():
                _evict(cluster, name, uid)
        case Scaling(scale=replicas, kind=kind):
            cluster.patch(kind, service, {**marks, "spec": {"replicas": replicas}})
        case Restart(kind=kind):
            now = datetime.now(UTC).isoformat(timespec="seconds")
            template = {"metadata": {"annotations": {RESTARTED: now}}}
            cluster.patch(kind, service, {"spec": {"template": template}})
        case Release(release=worse, kind=kind):
            cluster.patch(kind, service, {**marks, "spec": _template(change, worse)})
            deadline = time.monotonic() + TAKEN_S
            while time.monotonic() < deadline and not shows(cluster, service, change).in_effect:
                time.sleep(POLL_S)


def undo(cluster: Cluster, back: PutBack) -> None:
    """Carry an `inverse` out where the fault's mark still is; idempotent, also for what is gone."""
    kind, name = back.kind, back.name
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
        nodes = cluster.core.list_node().items
    items = [*(("node", node.metadata) for node in nodes), *cluster.workloads()]
    found = []
    for kind, metadata in items:
        labels, notes = metadata.labels or {}, metadata.annotations or {}
        for key in labels:
            if key.startswith(MARK) and labels[key] == cluster.namespace:
                what, name = f"{kind} {metadata.name}", key.removeprefix(MARK)
                found.append(Mark(what, name, cluster.seal.opened(notes.get(key), name)))
    return found


def _marks(cluster: Cluster, record: UndoRecord | None) -> Mapping[str, object]:
    """Nodes belong to no namespace, so the label's value names the run's own."""
    back = inverse(record.undo) if record and isinstance(record.undo, ClusterUndo) else None
    if record is None or back is None:
        return {}
    labels, notes = {back.mark: cluster.namespace}, {back.mark: cluster.seal.sealed(record)}
    return {"metadata": {"labels": labels, "annotations": notes}}


def shows(cluster: Cluster, service: str, change: Change) -> Proof:
    """Whether the change is in effect now."""
    match change:
        case Cordon(cordon=name, was=before):
            node = cluster.nodes().get(name)
            cordoned = node is not None and node.unschedulable and not before
            return Proof(cordoned, f"{name} is {'' if cordoned else 'not '}cordoned")
        case Deletion():
            return _fewer(cluster, service, change)
        case Scaling(scale=scale, was=was, kind=kind):
            now = cluster.workload(service, kind).replicas
            return Proof(now == scale != was, f"{service} is scaled to {now}")
        case Release():
            return _released(cluster, service, change)
        case Restart(kind=kind):
            rolling = cluster.workload(service, kind).rolling
            return Proof(rolling, f"{service} is {'' if rolling else 'not '}rolling")


def _released(cluster: Cluster, service: str, change: Release) -> Proof:
    """Whether the template is the fault's, and a pod has taken it."""
    workload = cluster.workload(service, change.kind)
    item = workload.item
    now = cluster.api.sanitize_for_serialization(item.spec.template.spec.containers)
    mine: Mapping[str, object] = next(
        (each for each in now if each["name"] == change.container), {}
    )
    wanted = _values(change, change.release)
    bad = all(mine.get(key) == value for key, value in wanted.items())
    seen = (item.status.observed_generation or 0) >= (item.metadata.generation or 0)
    taken = workload.taken if seen else 0
    if bad and not taken:
        return Proof(in_effect=False, statement=f"no pod of {service} has taken the release")
    return Proof(bad, f"{service} has {'the bad' if bad else 'its old'} template")


def _fewer(cluster: Cluster, service: str, change: Deletion) -> Proof:
    """Whether fewer pods are ready than there were, or than are wanted since."""
    pods, gone, wanted = cluster.pods(change.labels), set(change.delete.values()), change.ready
    ready = sum(pod.ready and not pod.deleting and pod.uid not in gone for pod in pods)
    if change.kind is not None and ready < wanted:
        wanted = min(wanted, cluster.workload(service, change.kind).replicas)
    return Proof(ready < wanted, f"{ready} of {wanted} pods are ready")


def _delete(cluster: Cluster, name: str, uid: str) -> None:
    with telling(f"pod {name}"):
        cluster.core.delete_namespaced_pod(
            name,
            cluster.namespace,
            body=client.V1DeleteOptions(
                grace_period_seconds=0, preconditions=client.V1Preconditions(uid=uid)
            ),
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
                cluster.core.create_namespaced_pod_eviction(name, cluster.namespace, body)
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


def _values(change: Release, values: ContainerFields) -> dict[str, object]:
    """The values of the fields that a release changes; None: there was none."""
    names = [each.name for each in fields(values) if getattr(change.release, each.name) is not None]
    return {name: getattr(values, name) for name in names}


def _template(change: Release, values: ContainerFields) -> dict[str, object]:
    """The spec with exactly these values of a container.

    A list is replaced: merged by name, a variable that only the other release has would stay.
    """
    exact = {
        key: [{"$patch": "replace"}, *value] if isinstance(value, list | tuple) else value
        for key, value in _values(change, values).items()
    }
    return {"template": {"spec": {"containers": [{"name": change.container, **exact}]}}}
