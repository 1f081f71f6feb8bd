"""What each fault means on a cluster: whom it hits, what its agents do, what the API undoes.

A fault of nodes or packets is held by agents (`lease`); a fault of the desired state is an API
call and its inverse. Both are resolved to a `Resolved` before anything is touched.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from harness.errors import CapabilityMissing, PlatformError
from harness.faults.arguments import EVERYWHERE, Dependency, InRegion, Link, Replicas
from harness.faults.kinds.abort_requests import AbortRequests
from harness.faults.kinds.bad_release import BadRelease
from harness.faults.kinds.cpu_pressure import CpuPressure
from harness.faults.kinds.delay_link import DelayLink
from harness.faults.kinds.delay_requests import DelayRequests
from harness.faults.kinds.disk_pressure import DiskPressure
from harness.faults.kinds.drain_node import DrainNode
from harness.faults.kinds.fail_region import FailRegion
from harness.faults.kinds.fail_zone import FailZone
from harness.faults.kinds.kill_database import KillDatabase
from harness.faults.kinds.kill_node import KillNode
from harness.faults.kinds.lose_packets import LosePackets
from harness.faults.kinds.memory_pressure import MemoryPressure
from harness.faults.kinds.partition_dependency import PartitionDependency
from harness.faults.kinds.pause_database import PauseDatabase
from harness.faults.kinds.reset_connections import ResetConnections
from harness.faults.kinds.scale import Scale
from harness.faults.model import Arguments, OnKubernetes
from harness.faults.registry import arguments_of, kinds
from harness.platform import envoy
from harness.platform.kubernetes import selection
from harness.platform.kubernetes.objects import Node, Pod, within
from harness.platform.kubernetes.view import (
    COMPONENT,
    Resolved,
    View,
    neighbours,
    not_static,
    own_network,
    rolls_out,
    shared_keys,
)
from harness.platform.model import Fault
from harness.platform.undo import (
    Burn,
    ContainerFields,
    Cordon,
    CutBetween,
    CutNames,
    CutNode,
    Delay,
    Deletion,
    FillDisk,
    KillOnNode,
    NodeTask,
    PauseOnNode,
    PausePods,
    Release,
    ResetPort,
    Restart,
    Scaling,
    SetEnvoy,
    WorkloadKind,
)


def on_cluster() -> Mapping[str, OnKubernetes]:
    """The kinds that a cluster can carry out, with what each takes."""
    found = {name: kind.kubernetes for name, kind in kinds().items()}
    return {name: each for name, each in found.items() if isinstance(each, OnKubernetes)}


Given = TypeVar("Given", bound=Arguments)
Resolver = Callable[[str, Given, View], Resolved]
_RESOLVERS: dict[str, Resolver[Any]] = {}


def _resolves(*names: str) -> Callable[[Resolver[Given]], Resolver[Given]]:
    """Register how faults of these kinds are resolved."""

    def register(resolver: Resolver[Given]) -> Resolver[Given]:
        _RESOLVERS.update(dict.fromkeys(names, resolver))
        return resolver

    return register


def resolve(fault: Fault, view: View) -> Resolved:
    """Decide everything about a fault; PlatformError where nothing matches or a value cannot be."""
    arguments = arguments_of(fault.kind, fault.arguments, "kubernetes")
    return _RESOLVERS[fault.kind](fault.kind, arguments, view)


# -- replicas ------------------------------------------------------------------------------------


def _chosen(kind: str, given: Replicas, view: View, region: str | None = None) -> list[Pod]:
    """The ready pods that are drawn, by name; `region` instead of the given one."""
    region = region or given.region
    ready = {
        pod.name: pod
        for pod in view.pods
        if pod.ready and not pod.deleting and region in {None, view.region(pod)}
    }
    return [ready[name] for name in sorted(given.draw(kind, list(ready), view.among))]


@_resolves("kill-replicas")
def _kill(kind: str, given: Replicas, view: View) -> Resolved:
    workload = view.cluster.made_by(view.service.name)
    hit = _chosen(kind, given, view)
    selected = view.cluster.selector(view.service)
    keys = selected if selected.keys() <= hit[0].labels.keys() else shared_keys(hit[0])
    made_by = workload.kind if workload else None
    return _deleting(kind, hit, view.pods, keys, made_by)


def _deleting(
    kind: str,
    hit: Sequence[Pod],
    alike: Sequence[Pod],
    keys: Iterable[str],
    made_by: WorkloadKind | None = None,
) -> Resolved:
    """Felt for as long as fewer pods alike are ready than before."""
    not_static(kind, hit)
    change = Deletion(
        delete={pod.name: pod.uid for pod in hit},
        labels={key: hit[0].labels[key] for key in keys},
        ready=sum(pod.ready and not pod.deleting for pod in alike),
        kind=made_by,
    )
    return Resolved(tuple(pod.name for pod in hit), change=change)


@_resolves("pause-replicas")
def _pause(kind: str, given: Replicas, view: View) -> Resolved:
    return _pausing(_chosen(kind, given, view))


def _pausing(pods: Sequence[Pod]) -> Resolved:
    return _at_nodes(pods, lambda here: PausePods([pod.uid for pod in here]))


def _at_nodes(pods: Sequence[Pod], task: Callable[[Sequence[Pod]], NodeTask]) -> Resolved:
    """A task on each node of these pods, made from those that run there."""
    nodes = sorted({pod.node for pod in pods})
    agents = {node: task([pod for pod in pods if pod.node == node]) for node in nodes}
    return Resolved(tuple(pod.name for pod in pods), agents)


def _addresses(pods: Iterable[Pod]) -> list[str]:
    return [address for pod in pods for address in pod.addresses]


def _dependency(kind: str, given: Dependency, view: View, region: str | None) -> list[Pod]:
    """The pods of a dependency: by component, of the service's own or the given name."""
    component = given.dependency
    every = [
        pod
        for pod in view.cluster.pods({COMPONENT: component})
        if not pod.deleting and pod.unfit is None and region in {None, view.region(pod)}
    ]
    found = [
        pod
        for pod in every
        if (
            pod.labels.get(selection.NAME) == given.name
            if given.name
            else selection.is_dependency(pod.labels, view.service.name, component)
        )
    ]
    if not found:
        where = f" in {region}" if region else ""
        whose = given.name or view.service.name
        others = sorted({str(pod.labels.get(selection.NAME, pod.name)) for pod in every})
        raise PlatformError(
            f"{kind}: no pod of {whose} with component {component}{where}",
            f"give name, one of {', '.join(others)}"
            if others
            else f"label the dependency's pods {COMPONENT}, or name another",
        )
    return found


@_resolves("kill-database")
def _kill_database(kind: str, given: KillDatabase, view: View) -> Resolved:
    pods = _dependency(kind, given, view, given.region)
    keys = shared_keys(pods[0])
    same = {key: pods[0].labels[key] for key in keys}
    alike = [pod for pod in pods if same.items() <= pod.labels.items()]
    return _deleting(kind, alike, alike, keys)


@_resolves("pause-database")
def _pause_database(kind: str, given: PauseDatabase, view: View) -> Resolved:
    return _pausing(_dependency(kind, given, view, given.region))


# -- nodes, regions, packets ---------------------------------------------------------------------


def _region(kind: str, given: InRegion) -> str:
    if given.region is None:
        raise PlatformError(f"{kind}: no region named", "give region")
    return given.region


_OF_NODES: Mapping[str, NodeTask] = {"pause": PauseOnNode(), "kill": KillOnNode(), "cut": CutNode()}


def _all_of(view: View, nodes: Sequence[Node], mode: str) -> Resolved:
    """Every node at once; the pods on them are what the users lose."""
    names = {node.name for node in nodes}
    pods = [pod.name for pod in view.pods if pod.node in names]
    agents = dict.fromkeys(sorted(names), _OF_NODES[mode])
    return Resolved((*sorted(names), *pods), agents, notes=neighbours(view, sorted(names)))


@_resolves("fail-region")
def _fail_region(kind: str, given: FailRegion, view: View) -> Resolved:
    return _all_of(view, view.nodes_of(_region(kind, given)), given.mode)


@_resolves("fail-zone")
def _fail_zone(kind: str, given: FailZone, view: View) -> Resolved:
    return _all_of(view, view.nodes_of(given.zone, "zone"), given.mode)


@_resolves("kill-node")
def _kill_node(kind: str, given: KillNode, view: View) -> Resolved:
    name = given.node or min(node.name for node in view.nodes_of(_region(kind, given)))
    return _all_of(view, [view.node(kind, name)], "kill")


@_resolves("isolate-region")
def _isolate(kind: str, given: InRegion, view: View) -> Resolved:
    return _all_of(view, view.nodes_of(_region(kind, given)), "cut")


def _networks(everybody: Sequence[Pod], nodes: Sequence[Node]) -> list[str]:
    """The nodes' own addresses, and the subnets of their pods.

    A network plug-in may take no heed of the subnets that the nodes are said to have: then the
    pods of this namespace are met by their addresses, as they are now.
    """
    found: list[str] = []
    for node in nodes:
        pods = _addresses(p for p in everybody if p.node == node.name and p.on_own_network)
        kept = all(within(each, node.subnets) for each in pods)
        found += [*node.addresses, *(node.subnets if kept else pods)]
    return sorted(dict.fromkeys(found))


@_resolves("partition-regions", "lose-packets")
def _partition(kind: str, given: Link, view: View) -> Resolved:
    share = given.share if isinstance(given, LosePackets) else 1.0
    return _between_regions(given, view, lambda near, far: CutBetween(near, far, share))


@_resolves("delay-link")
def _delay_link(kind: str, given: DelayLink, view: View) -> Resolved:
    return _between_regions(given, view, lambda near, far: Delay(near, far, given.delay_s))


def _between_regions(
    given: Link, view: View, task: Callable[[Sequence[str], Sequence[str]], NodeTask]
) -> Resolved:
    """A task on all that passes between two regions, done by the nodes of the first."""
    near, far = (view.nodes_of(each) for each in given.regions)
    everybody = view.cluster.pods({})
    other = _networks(everybody, far)
    agents = {node.name: task(_networks(everybody, [node]), other) for node in near}
    return Resolved(("|".join(given.regions),), agents)


@_resolves("partition-dependency")
def _partition_dependency(kind: str, given: PartitionDependency, view: View) -> Resolved:
    pods = [pod for pod in view.pods if pod.address and given.region in {None, view.region(pod)}]
    others = _dependency(kind, given, view, given.region)
    if not pods:
        raise PlatformError(f"{kind}: no pod of {view.service.name}", "name another region")
    own_network(kind, pods)
    far = sorted({*_addresses(others)})
    found = _at_nodes(pods, lambda here: CutBetween(_addresses(here), far))
    return replace(found, targets=tuple(f"{a.name}|{b.name}" for a in pods for b in others))


@_resolves("dns-failure")
def _names(kind: str, given: Replicas, view: View) -> Resolved:
    pods = _chosen(kind, given, view)
    own_network(kind, pods)
    return _at_nodes(pods, lambda here: CutNames(_addresses(here)))


@_resolves("reset-connections")
def _reset(kind: str, given: ResetConnections, view: View) -> Resolved:
    pods = _chosen(kind, given, view)
    port = given.port or pods[0].port or view.service.port
    own_network(kind, pods)
    return _at_nodes(pods, lambda here: ResetPort(_addresses(here), port, given.share))


@_resolves("delay-requests")
def _delay_requests(kind: str, given: DelayRequests, view: View) -> Resolved:
    return _at_envoys(kind, given, view, envoy.delaying(given.share, given.delay_s))


@_resolves("abort-requests")
def _abort_requests(kind: str, given: AbortRequests, view: View) -> Resolved:
    return _at_envoys(kind, given, view, envoy.aborting(given.share, given.status))


def _at_envoys(
    kind: str, given: DelayRequests | AbortRequests, view: View, values: Mapping[str, str]
) -> Resolved:
    """The pods' own Envoys are their edge; `edge` names the region that they are of, as `region`.

    Raises CapabilityMissing where one of the chosen pods has none.
    """
    pods = _chosen(kind, given, view, None if given.edge in {EVERYWHERE, "all"} else given.edge)
    if not all(pod.envoy for pod in pods):
        without = sum(not pod.envoy for pod in pods)
        raise CapabilityMissing(
            f"kubernetes: {kind}",
            f"it takes an Envoy beside the service, and {without} of {len(pods)} pods have none",
        )
    return _at_nodes(
        pods, lambda here: SetEnvoy([pod.uid for pod in here], values, given.admin_port)
    )


@_resolves("cpu-pressure")
def _cpu_pressure(kind: str, given: CpuPressure, view: View) -> Resolved:
    return _at_nodes(_chosen(kind, given, view), lambda _: Burn(workers=given.workers))


@_resolves("memory-pressure")
def _memory_pressure(kind: str, given: MemoryPressure, view: View) -> Resolved:
    return _at_nodes(_chosen(kind, given, view), lambda _: Burn(megabytes=given.megabytes))


@_resolves("disk-pressure")
def _disk_pressure(kind: str, given: DiskPressure, view: View) -> Resolved:
    task = FillDisk("/tmp", given.megabytes)  # noqa: S108 - a volume of the agent's pod, on the node's disk
    return _at_nodes(_chosen(kind, given, view), lambda _: task)


# -- desired state -------------------------------------------------------------------------------


@_resolves("drain-node")
def _drain(kind: str, given: DrainNode, view: View) -> Resolved:
    name = given.node
    if name is None:
        names = {node.name for node in view.nodes_of(_region(kind, given))}
        used = names & {pod.node for pod in view.pods if not pod.deleting}
        name = min(used or names)
    node = view.node(kind, name)
    here = [pod for pod in view.pods if pod.node == name and not pod.deleting]
    if not here:
        raise PlatformError(f"{kind}: no pod of {view.service.name} on {name}", "name another node")
    pods = {pod.name: pod.uid for pod in here if pod.owner not in {"DaemonSet", "Node"}}
    if not pods:
        whose = "static" if here[0].owner == "Node" else "a DaemonSet's"
        raise PlatformError(
            f"{kind}: the pods of {view.service.name} are {whose}: a drain leaves them alone",
            "use kill-node or pause-replicas",
        )
    return Resolved((name, *pods), change=Cordon(name, node.unschedulable, pods))


@_resolves("scale")
def _scale(kind: str, given: Scale, view: View) -> Resolved:
    workload = view.cluster.workload(view.service.name)
    if workload.kind == "daemonset":
        raise PlatformError(
            f"{kind}: {view.service.name} is a DaemonSet: it has one pod on each node",
            "cordon or drain nodes instead",
        )
    change = Scaling(given.replicas, workload.replicas, workload.kind)
    return Resolved((view.service.name,), change=change)


@_resolves("rolling-restart")
def _restart(kind: str, given: Replicas, view: View) -> Resolved:
    workload = rolls_out(kind, view)
    change = Restart(workload.kind)
    return Resolved(tuple(pod.name for pod in view.pods), change=change)


@_resolves("bad-release")
def _bad_release(kind: str, given: BadRelease, view: View) -> Resolved:
    """Another image, or other variables of the application's container; the old one is kept."""
    workload = rolls_out(kind, view)
    service = view.service
    port = selection.port_of(view.cluster.service(service.name), service)
    spec = workload.item.spec.template.spec
    name = selection.application(spec, given.container, service.name, port)
    containers = view.cluster.api.sanitize_for_serialization(spec.containers)
    container = next(each for each in containers if each["name"] == name)
    worse = _release(container, given)
    if worse is None:
        raise PlatformError(
            "bad-release: nothing that would make it worse", "give image or env (a mapping)"
        )
    was = ContainerFields(
        container.get("image") if worse.image is not None else None,
        container.get("env") if worse.env is not None else None,
    )
    change = Release(worse, was, name, workload.kind)
    return Resolved(
        tuple(pod.name for pod in view.pods),
        change=change,
        notes=(f"{kind}: changes the container {name} of {workload.kind} {service.name}",),
    )


def _release(container: Mapping[str, Any], given: BadRelease) -> ContainerFields | None:
    """The changed fields of the container: `image`, `env`, or the reference service's own plan."""
    env = {each["name"]: each for each in container.get("env") or ()}
    if given.image is not None:
        return ContainerFields(image=given.image)
    if given.env is not None:
        changed = {name: {"name": name, "value": str(v)} for name, v in given.env.items()}
        return ContainerFields(env=list({**env, **changed}.values()))
    text = (env.get("PLAN") or {}).get("value")
    if text is None:
        return None
    plan = json.loads(text)
    behaviour = plan.setdefault("behaviour", {})
    worse = {
        "error_ratio": given.error_ratio,
        "garbage_ratio": given.garbage_ratio,
        "latency_median_s": given.latency_s,
    }
    behaviour.update({key: value for key, value in worse.items() if value})
    changed = {**env, "PLAN": {"name": "PLAN", "value": json.dumps(plan)}}
    return ContainerFields(env=list(changed.values()))
