"""A Kubernetes cluster as a platform: pods by their Service, regions by the nodes'."""

from __future__ import annotations

import _thread
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace

from harness.bounded import wait_until
from harness.catalog.model import Service
from harness.catalog.pods import NONE, PodSettings
from harness.errors import CapabilityMissing, PlatformError
from harness.faults.draw import ANY, Among
from harness.faults.registry import ignored, kinds
from harness.platform.kubernetes import api_changes, events, faults, preflight
from harness.platform.kubernetes.access import BASE, check_context, require, tool_environment
from harness.platform.kubernetes.agent_pool import AgentPool
from harness.platform.kubernetes.cluster import IMAGE, Cluster, base_url, check_namespace
from harness.platform.kubernetes.cross_region_probe import relay
from harness.platform.kubernetes.ingress import EntryPoint, entry_point
from harness.platform.kubernetes.injectors import injector_of, works_of
from harness.platform.kubernetes.namespace_lock import evicting, exclusive
from harness.platform.kubernetes.objects import Node, Pod
from harness.platform.kubernetes.replaced import replaced
from harness.platform.kubernetes.signing import Kept
from harness.platform.kubernetes.view import View, check_nodes, check_room
from harness.platform.model import (
    Crossing,
    EventFeed,
    Fault,
    Health,
    Injector,
    Observation,
    Platform,
    Proof,
    Region,
    Replica,
    Target,
    Through,
)
from harness.platform.undo import ClusterUndo, RelayTo, Restart, UndoRecord, lease_name
from harness.typed import adapter
from harness.units import counted

IMAGE_VARIABLE = "HARNESS_IMAGE"
ROLES = "the roles in deploy/rbac: base.yaml and the file of each fault that is allowed"
FRESH_S = 0.5
"""How long a look at the cluster serves; it is asked five times a second."""

RESTORE_S = 90.0
"""How long a restart that spreads the pods anew may take."""

NODES_S = 60.0
"""How long the nodes' regions are taken for known."""


@dataclass(frozen=True, slots=True)
class Where:
    """Which cluster, and where in it; None takes kubectl's own defaults."""

    namespace: str
    context: str | None = None
    kubeconfig: str | None = None
    url: str | None = None
    """Where the service is reached; None: at its Service's cluster address."""

    pods: PodSettings = NONE
    """What is set of the agents' pods."""


class Kubernetes(Platform):
    """One namespace of one cluster."""

    name = "kubernetes"

    def __init__(self, where: Where, progress: Callable[[str], None] | None = None) -> None:
        check_namespace(where.namespace)
        self._where = where
        self._progress = progress or (lambda _: None)
        self._cluster = Cluster(where.namespace, where.context, where.kubeconfig)
        image = os.environ.get(IMAGE_VARIABLE) or IMAGE
        self._agents = AgentPool(self._cluster, image, where.pods)
        self._halted_by: list[str] = []
        self._seen: tuple[float, Observation] | None = None
        self._kept_nodes: tuple[float, Mapping[str, Node]] | None = None

    @classmethod
    def from_handle(cls, handle: Mapping[str, object]) -> Kubernetes:
        """As another process gave it."""
        return cls(adapter(Where).validate_python(handle["where"]))

    def handle(self) -> Mapping[str, object]:
        """The names that lead back here; no credential is in them."""
        return {"platform": "kubernetes", "where": asdict(self._where)}

    def tool_environment(self) -> Mapping[str, str]:
        """The way that chaostoolkit-kubernetes takes; it would take the user's usual one."""
        return tool_environment(self._where.context, self._where.kubeconfig)

    # -- what it is ----------------------------------------------------------------------------

    @contextmanager
    def provision(self, service: Service) -> Iterator[None]:
        """Nothing is made: the service must be there, with a pod that is ready."""
        check_context(self._cluster.api, self._where.namespace)
        self._cluster.service(service.name)
        replicas = self.replicas(service)
        ready = sum(each.health == "ready" for each in replicas)
        if not ready:
            raise PlatformError(
                f"{service.name}: {counted(len(replicas), 'pod')} in {self._where.namespace},"
                " none ready",
                "deploy it, or see kubectl describe pod",
            )
        self._progress(f"{ready} of {counted(len(replicas), 'pod')} of {service.name} are ready")
        yield

    def exclusive(self) -> AbstractContextManager[None]:
        """Hold the namespace; a run whose namespace is taken over is interrupted, and heals."""
        check_context(self._cluster.api, self._where.namespace)
        return exclusive(
            self._cluster, self._progress, _thread.interrupt_main, self._halted_by.append
        )

    def halted(self) -> str | None:
        """Who has written into the namespace's Lease that its holder should end."""
        return self._halted_by[0] if self._halted_by else None

    def halt(self, who: str) -> AbstractContextManager[str | None]:
        """Hold the namespace as soon as its holder has ended, or does not answer the request."""
        check_context(self._cluster.api, self._where.namespace)
        return evicting(self._cluster, self._progress, who)

    def target(
        self, service: Service, through: Through = "service", region: str | None = None
    ) -> Target:
        """The Service's address; through `global` the users' entry point, with `region` its pods.

        What the user named is taken for both of the first.
        """
        host = None
        if through == "edge" or (region is not None and through == "service"):
            region = region or self._first_region(service)
            pods = [
                p for p in self._pods(service) if p.ready and p.address and self._in(p) == region
            ]
            if not pods:
                raise PlatformError(
                    f"{service.name}: no ready pod in {region}", "see `harness experiment plan`"
                )
            urls = tuple(base_url(pod.address, pod.port) for pod in pods)
            what = f"{counted(len(urls), 'pod')} of {service.name} in {region}"
        else:
            found = self._entry_point(service, through)
            urls, host, what = (found.url,), found.host, found.what
        return Target(
            service=service.name,
            urls=urls,
            through=through,
            host=host,
            server_name=host,
            description=f"kubernetes {self._where.namespace}: {what}",
            environment=self._environment(service),
        )

    def _entry_point(self, service: Service, through: Through) -> EntryPoint:
        if self._where.url:
            return EntryPoint(self._where.url, None, f"{service.name} at the named URL")
        if through == "global":
            return entry_point(self._cluster, service)
        return EntryPoint(self._cluster.address(service), None, f"Service {service.name}")

    def _environment(self, service: Service) -> dict[str, object]:
        nodes = self._cluster.nodes()
        return {
            "platform": self.name,
            "namespace": self._where.namespace,
            "replicas": len(self._pods(service)),
            "regions": sorted({node.region for node in nodes.values()}),
            "nodes": len(nodes),
        }

    def regions(self, service: Service) -> tuple[Region, ...]:
        """Regions of nodes that run a pod of the service, in the catalogue's order."""
        present = {self._in(pod) for pod in self._pods(service)} - {"unknown"}
        order = [*[r for r in service.regions if r in present], *sorted(present)]
        roles = dict(zip(service.regions, service.region_roles, strict=False))
        return tuple(Region(name, roles.get(name, "active")) for name in dict.fromkeys(order))

    def replicas(self, service: Service) -> tuple[Replica, ...]:
        """Every pod of the service, ready or not."""
        return tuple(
            Replica(
                id=pod.name,
                service=service.name,
                region=self._in(pod),
                url=base_url(pod.address, pod.port),
                health=_health(pod),
                restarts=pod.restarts,
            )
            for pod in self._pods(service)
        )

    def _pods(self, service: Service) -> list[Pod]:
        return self._cluster.replicas(service)

    def _in(self, pod: Pod) -> str:
        node = self._nodes().get(pod.node)
        return node.region if node else "unknown"

    def _nodes(self) -> Mapping[str, Node]:
        """Nodes hardly change their region: looked up once a minute."""
        now = time.monotonic()
        if self._kept_nodes is None or now - self._kept_nodes[0] > NODES_S:
            self._kept_nodes = (now, self._cluster.nodes())
        return self._kept_nodes[1]

    def _first_region(self, service: Service) -> str:
        found = self.regions(service)
        if not found:
            raise PlatformError(f"{service.name}: no pod in a labelled region", "label the nodes")
        return found[0].name

    def observe(self, service: Service) -> Observation:
        """Pods by readiness, nodes by their condition; half a second old at most."""
        now = time.monotonic()
        if self._seen is None or now - self._seen[0] > FRESH_S:
            health = {pod.name: str(_health(pod)) for pod in self._pods(service)}
            for node in self._cluster.nodes().values():
                health[f"node {node.name}"] = "Ready" if node.ready == "True" else "NotReady"
            self._seen = (now, Observation(health))
        return self._seen[1]

    def events(self, service: Service) -> EventFeed | None:
        """Changes of the service's pods, and the cluster's own events of them and of the nodes."""
        return events.EventFeed(self._cluster, service.name, self._cluster.selector(service)).look

    def rebalance(self, service: Service) -> str | None:
        """Spread the pods anew when a region with sound nodes has none of them.

        Evicted pods stay where they landed: the scheduler moves nothing back by itself, and the
        next experiment on that region would hit nobody. A rolling restart is what an operator does.
        """
        self._kept_nodes = None
        view = self._view(service)
        empty = view.sound_regions - {view.region(pod) for pod in view.pods} - {"unknown"}
        if not empty:
            return None
        workload = self._cluster.made_by(service.name)
        if workload is None or workload.kind == "rollout":
            return None
        restart = Restart(workload.kind)
        api_changes.apply(self._cluster, service.name, restart)
        wait_until(
            lambda: not api_changes.shows(self._cluster, service.name, restart).in_effect,
            RESTORE_S,
            poll_s=1.0,
        )
        where = ", ".join(sorted(empty))
        return f"restarted {service.name} one by one: no pod had come back to {where}"

    def preflight_failures(self, service: Service, fault: Fault) -> tuple[str, ...]:
        """Regions it should run in and does not; budgets that allow no drain of sound pods."""
        return preflight.preflight_failures(self._view(service), fault)

    def notes(self, service: Service) -> tuple[str, ...]:
        """What a plan should show besides: disruption budgets and the spread of the pods."""
        return preflight.notes(self._view(service))

    def _view(self, service: Service) -> View:
        return View(self._cluster, service, self._nodes(), self._pods(service))

    @contextmanager
    def cross_region_probe(
        self, service: Service, near: str, far: str
    ) -> Iterator[Crossing | None]:
        """Through a node of the near region to a ready pod of the far; None: there is no such."""
        nodes = [n for n in self._nodes().values() if n.region == near and n.ready == "True"]
        pods = [p for p in self._pods(service) if p.ready and self._in(p) == far]
        address, port = next(((p.address, p.port) for p in pods if p.address), (None, 0))
        if not nodes or address is None:
            yield None
            return
        node, to = min(each.name for each in nodes), RelayTo(address, port)
        where = f"kubernetes {self._where.namespace}: {near} to {far}"
        across = relay(self._agents, self._progress, service.name, f"{near}|{far}", node, to)
        with across as url:
            yield None if url is None else Crossing(Target(service.name, (url,), "service", where))

    # -- faults --------------------------------------------------------------------------------

    def capabilities(self) -> Mapping[str, str | None]:
        """Fault kind -> None where it can be carried out, else why not."""
        found = {name: kind.kubernetes for name, kind in kinds().items()}
        return {name: each if isinstance(each, str) else None for name, each in found.items()}

    def plan_heal(
        self, service: Service, fault: Fault, fault_id: str, among: Among = ANY
    ) -> UndoRecord:
        """Everything that undoes the fault; also kept in the cluster, with its lease.

        `targets` are pods, nodes and links.
        """
        self._kept_nodes = None
        nodes, pods = self._cluster.nodes(), self._pods(service)
        view = View(self._cluster, service, nodes, pods, among)
        found = faults.resolve(fault, view)
        check_nodes(fault.kind, view, found.agents)
        undo = ClusterUndo(service.name, lease_name(fault_id), found.agents, found.change)
        back = api_changes.inverse(undo)
        if back is not None:
            closed = back.name if back.kind == "node" else None
            check_room(view, self._where.pods, but=closed)
        notes = (*ignored(fault.kind, fault.arguments, self.name), *found.notes)
        record = UndoRecord(fault_id, fault.kind, fault.arguments, found.targets, undo, notes)
        needs = (*BASE, *faults.on_cluster()[fault.kind].all_permissions)
        require(self._cluster.api, self._where.namespace, needs, ROLES)
        agents = self._agents.rehearse(works_of(record))
        more = preflight.check(self._cluster, service.name, found.change, agents)
        return replace(record, notes=(*notes, *more))

    def inject(self, service: Service, fault: Fault, heal: UndoRecord) -> None:
        """Carry out on exactly what the heal names."""
        reason = self.capabilities().get(fault.kind, "the cluster's platform does not know it")
        if reason is not None:
            raise CapabilityMissing(f"kubernetes: {fault.kind}", reason)
        self._injector(heal).apply(heal)

    def heal(self, heal: UndoRecord) -> None:
        """Undo and return when undone."""
        self._injector(heal).undo(heal)

    def verify(self, heal: UndoRecord) -> Proof:
        """What the agents show, or the API server for a change of the desired state."""
        return self._injector(heal).verify(heal)

    def replaced(self, service: Service, heal: UndoRecord) -> str | None:
        """Pods that came while a fault of packets holds, and that its rules do not meet."""
        return replaced(heal, self._view(service))

    def _injector(self, heal: UndoRecord) -> Injector[UndoRecord]:
        return injector_of(heal, self._agents, self._cluster)

    def orphaned_heals(self, named: Collection[str] = ()) -> tuple[UndoRecord, ...]:
        """Faults that the cluster remembers, by a lease or by a mark: any harness can undo them.

        Those that are signed, and unsigned ones of the leases that are named.
        """
        found = [
            kept.record
            for lease, kept in self._kept()
            if kept.record is not None and (kept.signed or lease in named)
        ]
        return tuple({record.fault_id: record for record in found}.values())

    def unsigned(self) -> Mapping[str, UndoRecord]:
        """Records by their leases that no harness with this namespace's key has written."""
        return {
            lease: kept.record
            for lease, kept in self._kept()
            if kept.record is not None and not kept.signed
        }

    def _kept(self) -> list[tuple[str, Kept]]:
        """What the leases and the marks of the namespace say, by the lease."""
        seal = self._cluster.seal
        found = [(name, seal.opened(data.get("heal"), name)) for name, data in self._agents.all()]
        return [*found, *((mark.name, mark.kept) for mark in api_changes.marked(self._cluster))]

    def residual_faults(self) -> tuple[str, ...]:
        """Leases, agents and marked changes of ours that are still there."""
        unsigned = self.unsigned()
        found = [f"lease {name}{_by_whom(name in unsigned)}" for name, _ in self._agents.all()]
        found += [f"agent pod {name}" for name in self._agents.agents()]
        marked = api_changes.marked(self._cluster)
        found += [
            f"{mark.what} is changed by {mark.name}{_by_whom(mark.name in unsigned)}"
            for mark in marked
        ]
        return tuple(found)


def _by_whom(unsigned: bool) -> str:  # noqa: FBT001 - one of two endings
    return ": not signed by a harness, nothing was carried out (reap --force)" if unsigned else ""


def _health(pod: Pod) -> Health:
    if pod.ready:
        return "ready"
    return "starting" if pod.phase == "Pending" else "unready"
