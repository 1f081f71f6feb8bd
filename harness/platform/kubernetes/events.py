"""What the cluster tells of a service: changes of its pods, and Kubernetes' own events.

Events are read of the service's pods and of what makes and scales them (by its name) and, where
the account may (deploy/rbac/node-events.yaml), of the nodes. What was there at the first look is
no news.
"""

from collections.abc import Iterator, Mapping, Sequence

from harness.errors import PlatformError
from harness.events import PlatformEvent, PlatformNews, PlatformView, PodChange, ServicePod
from harness.platform.kubernetes.api_types import EventAbout, EventItem
from harness.platform.kubernetes.cluster import Cluster
from harness.platform.kubernetes.objects import Pod

NODES_NAMESPACE = "default"
"""Where Kubernetes keeps the events of what is in no namespace."""

NODE_NEEDS = (("", "events", "list"),)
"""What it takes in that namespace."""

_NAMED = frozenset({"Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget"})


class EventFeed:
    """The service's pods and events as they were last seen."""

    def __init__(self, cluster: Cluster, service: str, labels: Mapping[str, str]) -> None:
        self._cluster = cluster
        self._service = service
        self._labels = labels
        self._pods: dict[str, Pod] | None = None
        self._addresses: dict[str, str] = {}
        self._names: set[str] = set()
        self._told: dict[str, tuple[object, ...]] | None = None
        self._nodes = True
        self._silent = False

    def look(self) -> Sequence[PlatformNews]:
        """What is new since the last look, as a record's events (`type`, fields).

        An API server that does not answer is told once, and that it answers again.
        """
        found: list[PlatformNews] = []
        try:
            found += self._pod_changes()
            found += self._events()
        except PlatformError as problem:
            told, self._silent = self._silent, True
            return found if told else [*found, _view(str(problem), ok=False)]
        if self._silent:
            self._silent = False
            found.insert(0, _view("", ok=True))
        return found

    def _pod_changes(self) -> list[ServicePod]:
        now = {pod.uid: pod for pod in self._cluster.pods(self._labels)}
        before, self._pods = self._pods, now
        self._names |= {pod.name for pod in now.values()}
        was = before or {}
        pods = {**was, **now}
        found = [
            _changed(pods[uid], change)
            for uid in sorted(pods, key=lambda uid: pods[uid].name)
            for change in (*_changes(was.get(uid), now.get(uid)), *self._moves(now.get(uid)))
        ]
        return [] if before is None else found

    def _moves(self, pod: Pod | None) -> Iterator[PodChange]:
        """Whether its name has another address, as after its node's death or in a StatefulSet."""
        if pod is None or not pod.address:
            return
        was = self._addresses.get(pod.name)
        self._addresses[pod.name] = pod.address
        if was not in (None, pod.address):
            yield "moved"

    def _events(self) -> list[PlatformEvent | PlatformView]:
        items = self._cluster.events()
        if self._nodes:
            of_nodes = self._cluster.events(NODES_NAMESPACE, "involvedObject.kind=Node")
            self._nodes = of_nodes is not None
            items = [*(items or ()), *(of_nodes or ())]
        stamps = {item["metadata"]["uid"]: (item, _stamp(item)) for item in items or ()}
        if self._told is None:
            self._told = {uid: stamp for uid, (_, stamp) in stamps.items()}
            unseen = None if self._nodes else "events of nodes: this account may not list them"
            return [_view(unseen, ok=False)] if unseen else []
        new = [
            (uid, item, stamp)
            for uid, (item, stamp) in stamps.items()
            if self._told.get(uid) != stamp and self._concerns(item["involvedObject"])
        ]
        kept = {uid: stamp for uid, stamp in self._told.items() if uid in stamps}
        self._told = kept | {uid: stamp for uid, _, stamp in new}
        told = sorted((_event(item) for _, item, _ in new), key=lambda event: str(event["last"]))
        return list(told)

    def _concerns(self, about: EventAbout) -> bool:
        kind, name = about.get("kind"), str(about.get("name"))
        if kind == "Pod":
            return name in self._names
        if kind == "ReplicaSet":
            return name.rpartition("-")[0] == self._service
        return kind == "Node" or (kind in _NAMED and name == self._service)


def _changes(was: Pod | None, now: Pod | None) -> Iterator[PodChange]:
    if now is None:
        yield "deleted"
        return
    if was is None:
        yield "added"
    if now.restarts > (was.restarts if was else 0):
        yield "restarted"
    if now.ready != (was.ready if was else False):
        yield "ready" if now.ready else "unready"
    if now.deleting and not (was and was.deleting):
        yield "deleting"


def _changed(pod: Pod, what: PodChange) -> ServicePod:
    event: ServicePod = {"type": "service_pod", "what": what, "pod": pod.name, "node": pod.node}
    if what == "restarted":
        event["restarts"] = pod.restarts
    return event


def _stamp(item: EventItem) -> tuple[object, ...]:
    """What is another whenever the same event is told again."""
    return _count(item), _last(item)


def _count(item: EventItem) -> int:
    return int((item.get("series") or {}).get("count") or item.get("count") or 1)


def _last(item: EventItem) -> str | None:
    series = item.get("series") or {}
    known = (series.get("lastObservedTime"), item.get("lastTimestamp"), item.get("eventTime"))
    found = next(filter(None, known), item["metadata"].get("creationTimestamp"))
    return None if found is None else str(found)


def _event(item: EventItem) -> PlatformEvent:
    about = item["involvedObject"]
    return {
        "type": "platform_event",
        "level": item.get("type") or "Normal",
        "object": f"{about.get('kind')}/{about.get('name')}",
        "reason": item.get("reason") or "",
        "message": " ".join(str(item.get("message") or "").split()),
        "count": _count(item),
        "first": item.get("firstTimestamp") or item.get("eventTime") or _last(item),
        "last": _last(item),
    }


def _view(reason: str, *, ok: bool) -> PlatformView:
    return {"type": "platform_view", "ok": ok, "reason": reason}
