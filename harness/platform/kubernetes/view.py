"""The cluster as it is when a fault is resolved, and what of it rules the fault out."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.catalog.model import Service
from harness.catalog.pods import PodSettings
from harness.errors import CapabilityMissing, PlatformError, did_you_mean
from harness.faults.draw import ANY, Among
from harness.platform.kubernetes import selection
from harness.platform.kubernetes.cluster import Cluster
from harness.platform.kubernetes.objects import UNKNOWN, Node, Pod, Workload
from harness.platform.undo import Change, NodeTask

MOST_NAMED = 6
"""Neighbours on a node that a plan names."""

COMPONENT = "app.kubernetes.io/component"

ALIKE = ("app", selection.NAME, selection.INSTANCE)
"""Labels that the pods of one database share, as far as they have them."""


def shared_keys(pod: Pod) -> list[str]:
    """The keys of those labels that it has."""
    return [key for key in ALIKE if key in pod.labels]


@dataclass(frozen=True, slots=True)
class Resolved:
    """A fault with nothing left to decide: what is shown, what agents do, what the API changes."""

    targets: tuple[str, ...]
    agents: Mapping[str, NodeTask] = field(default_factory=dict)
    change: Change | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """The cluster as it is now."""

    cluster: Cluster
    service: Service
    nodes: Mapping[str, Node]
    pods: Sequence[Pod]
    among: Among = ANY

    def region(self, pod: Pod) -> str:
        """The region of the pod's node."""
        node = self.nodes.get(pod.node)
        return node.region if node else "unknown"

    @property
    def sound_regions(self) -> set[str]:
        """The regions with a node that takes pods."""
        nodes = self.nodes.values()
        return {n.region for n in nodes if n.ready == "True" and not n.unschedulable}

    def nodes_of(self, region: str, by: str = "region") -> list[Node]:
        """The nodes of a region or zone; raises PlatformError where there is none."""
        labelled = [node for node in self.nodes.values() if getattr(node, by) != UNKNOWN]
        found = [node for node in labelled if getattr(node, by) == region]
        if not found:
            known = sorted({getattr(node, by) for node in labelled}) or ["none: label the nodes"]
            raise PlatformError(
                f"no node in {by} {region!r}",
                f"{did_you_mean(region, known)}there are {', '.join(known)}",
            )
        return found

    def node(self, kind: str, name: str) -> Node:
        """The node of this name; raises PlatformError where there is none."""
        if name not in self.nodes:
            raise PlatformError(f"{kind}: no node {name!r}", f"there are {', '.join(self.nodes)}")
        return self.nodes[name]


def check_room(view: View, pods: PodSettings, but: str | None = None) -> None:
    """Raise PlatformError where no node but `but` takes an undo's agent with these settings."""
    wanted = pods.nodeSelector.items()
    nodes = [n for n in view.nodes.values() if n.name != but and n.agentless is None]
    selected = [node for node in nodes if wanted <= node.labels.items()]
    sound = [node for node in selected if node.ready == "True" and not node.unschedulable]
    if any(not pods.keeping_away(node.taints) for node in sound):
        return
    taints = sorted({taint for node in selected for taint in pods.keeping_away(node.taints)})
    labels = ", ".join(f"{key}={value}" for key, value in wanted)
    why = f"taints {', '.join(taints)}" if taints else "not ready or cordoned"
    raise PlatformError(
        "no node would take the agent that undoes the fault: "
        + (why if selected else f"none has the labels {labels}"),
        "uncordon or untaint one, or give tolerations: --pods FILE",
    )


def check_nodes(kind: str, view: View, names: Iterable[str]) -> None:
    """Raise CapabilityMissing where one of these nodes takes no agent."""
    for name in names:
        node = view.nodes.get(name)
        if node is not None and node.agentless is not None:
            raise CapabilityMissing(
                f"kubernetes: {kind}", f"{name} {node.agentless}: no agent can run there"
            )


def neighbours(view: View, nodes: Sequence[str]) -> tuple[str, ...]:
    """Who else is on nodes that are hit as a whole, by namespace."""
    own = {pod.uid for pod in view.pods}
    others: Counter[str] = Counter()
    for node in nodes:
        found = view.cluster.pods_on(node)
        if found is None:
            said = "this account may not list the pods of other namespaces on these nodes"
            return (f"{said}: they are hit as well",)
        for namespace, pod in found:
            if pod.uid not in own and pod.phase == "Running" and pod.owner != "Node":
                name = (
                    pod.labels.get(selection.NAME)
                    or pod.labels.get("app")
                    or pod.labels.get("k8s-app")
                )
                others[f"{namespace}/{name or pod.name}"] += 1
    if not others:
        return ()
    named = ", ".join(f"{count} of {name}" for name, count in sorted(others.items())[:MOST_NAMED])
    more = len(others) - MOST_NAMED
    return (f"also hits on these nodes: {named}" + (f" and {more} more" if more > 0 else ""),)


def own_network(kind: str, pods: Sequence[Pod]) -> None:
    """Raise CapabilityMissing for a pod on its node's network: others there would be hit."""
    shared = [pod for pod in pods if pod.host_network]
    if shared:
        raise CapabilityMissing(
            f"kubernetes: {kind}",
            f"{shared[0].name} has the network of its node {shared[0].node} (hostNetwork):"
            " everything on that address would be hit",
        )


def not_static(kind: str, pods: Sequence[Pod]) -> None:
    """Raise PlatformError for a static pod: to delete it removes its mirror only."""
    static = next((pod for pod in pods if pod.owner == "Node"), None)
    if static is not None:
        raise PlatformError(
            f"{kind}: {static.name} is a static pod of {static.node}: its containers would go on",
            "use pause-replicas or kill-node",
        )


def rolls_out(kind: str, view: View) -> Workload:
    """The workload; raises PlatformError where no pod would take a new template now."""
    workload = view.cluster.workload(view.service.name)
    named = f"{kind}: {workload.kind} {view.service.name}"
    if workload.kind == "rollout":
        raise PlatformError(
            f"{named} is one of Argo Rollouts, which has steps of its own", "use kill-replicas"
        )
    if workload.paused:
        raise PlatformError(
            f"{named} is paused: no pod would be replaced",
            f"kubectl rollout resume {workload.kind} {view.service.name}",
        )
    if workload.strategy == "OnDelete":
        raise PlatformError(
            f"{named} replaces its pods only when they are deleted (OnDelete)", "use kill-replicas"
        )
    if workload.replacing:
        raise PlatformError(
            f"{named} is being rolled out already",
            f"wait for it: kubectl rollout status {workload.kind} {view.service.name}",
        )
    return workload
