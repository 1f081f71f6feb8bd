"""What each fault means on a cluster: whom it hits, what its agents do, what the API undoes.

A fault of nodes or packets is held by agents (`lease`); a fault of the desired state is an API
call and its inverse. Both are resolved to a `Resolved` before anything is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from harness.catalog.model import Service
from harness.errors import CapabilityMissing, PlatformError
from harness.faults.draw import ANY, Among, draw
from harness.platform import envoy
from harness.platform.kubernetes.access import Need
from harness.platform.kubernetes.cluster import Cluster, Node, Pod
from harness.platform.kubernetes.lease import Work
from harness.platform.model import Fault

READ: tuple[Need, ...] = (
    ("", "pods", "list"),
    ("", "nodes", "list"),
    ("", "services", "get"),
    ("", "events", "list"),
    ("apps", "deployments", "get"),
    ("apps", "deployments", "list"),
    ("policy", "poddisruptionbudgets", "list"),
    ("networking.k8s.io", "ingresses", "list"),
)
"""What a plan, a run's timeline and a look for marks read, whatever the fault."""

LEASE: tuple[Need, ...] = (
    ("", "configmaps", "create"),
    ("", "configmaps", "get"),
    ("", "configmaps", "list"),
    ("", "configmaps", "patch"),
    ("", "configmaps", "delete"),
)
"""What every fault's entry in the cluster takes."""

EXCLUSIVE: tuple[Need, ...] = (
    ("coordination.k8s.io", "leases", "create"),
    ("coordination.k8s.io", "leases", "get"),
    ("coordination.k8s.io", "leases", "update"),
    ("coordination.k8s.io", "leases", "delete"),
)
"""What keeps two runs from breaking one namespace."""

BASE: tuple[Need, ...] = (*READ, *LEASE, *EXCLUSIVE)
"""What every run takes, whatever it breaks."""

AGENT: tuple[Need, ...] = (
    ("", "pods", "create"),
    ("", "pods", "get"),
    ("", "pods", "deletecollection"),
)

AGENT_KINDS = (
    "pause-replicas",
    "fail-region",
    "fail-zone",
    "kill-node",
    "isolate-region",
    "partition-regions",
    "partition-dependency",
    "lose-packets",
    "delay-link",
    "reset-connections",
    "delay-requests",
    "abort-requests",
    "pause-database",
    "dns-failure",
    "cpu-pressure",
    "memory-pressure",
    "disk-pressure",
)
NODES: tuple[Need, ...] = (("", "nodes", "get"), ("", "nodes", "patch"))
DEPLOYMENTS: tuple[Need, ...] = (("apps", "deployments", "get"), ("apps", "deployments", "patch"))
API_NEEDS: Mapping[str, tuple[Need, ...]] = {
    "kill-replicas": (("", "pods", "delete"),),
    "kill-database": (("", "pods", "delete"),),
    "drain-node": (*NODES, ("", "pods/eviction", "create"), *AGENT),
    "scale": (*DEPLOYMENTS, *AGENT),
    "rolling-restart": (("apps", "deployments", "patch"),),
    "bad-release": (*DEPLOYMENTS, *AGENT),
}
UNDO_NEEDS: Mapping[str, tuple[Need, ...]] = {
    "drain-node": NODES,
    "scale": DEPLOYMENTS,
    "bad-release": DEPLOYMENTS,
}
"""What the agent that undoes a change by the API takes besides its lease."""

KINDS = (*AGENT_KINDS, *API_NEEDS)

MOST_DELAY_S = 1.0
"""Of a link, each way: beyond it the agents could not look at their lease across it in time."""

EVERYWHERE = "global"
"""The edge that is no region's."""

ALIKE = ("app", "app.kubernetes.io/name", "app.kubernetes.io/instance")
"""Labels that the pods of one database share, as far as they have them."""

_OF_PODS = ("region", "count", "percent", "seed")
TAKES: Mapping[str, tuple[str, ...]] = {
    "kill-replicas": _OF_PODS,
    "pause-replicas": _OF_PODS,
    "kill-database": ("region", "dependency"),
    "pause-database": ("region", "dependency"),
    "fail-region": ("region", "mode"),
    "fail-zone": ("zone", "mode"),
    "kill-node": ("node", "region"),
    "isolate-region": ("region",),
    "partition-regions": ("regions",),
    "partition-dependency": ("region", "dependency"),
    "lose-packets": ("regions", "share"),
    "delay-link": ("regions", "delay_s"),
    "reset-connections": (*_OF_PODS, "share", "port"),
    "delay-requests": (*_OF_PODS, "edge", "share", "delay_s", "admin_port"),
    "abort-requests": (*_OF_PODS, "edge", "share", "status", "admin_port"),
    "dns-failure": _OF_PODS,
    "cpu-pressure": (*_OF_PODS, "workers"),
    "memory-pressure": (*_OF_PODS, "megabytes"),
    "disk-pressure": (*_OF_PODS, "megabytes"),
    "drain-node": ("node", "region"),
    "scale": ("replicas",),
    "rolling-restart": (),
    "bad-release": ("image", "env", "latency_s", "error_ratio", "garbage_ratio"),
}
"""The arguments of each kind."""

_WHOLE = "a Deployment is rolled out as a whole"
_FOR_S = "it holds until the heal, or until the lease of this harness runs out"
OTHERWISE: Mapping[str, Mapping[str, str]] = {
    "kill-replicas": {"hold": "its controller starts another pod at once"},
    "kill-database": {"hold": "its controller starts the pod again at once"},
    "pause-database": {"hold": "it hangs until the heal"},
    "partition-dependency": dict.fromkeys(
        ("count", "percent", "seed"), "every pod of the region is cut off"
    ),
    "cpu-pressure": {"for_s": _FOR_S},
    "memory-pressure": {"for_s": _FOR_S},
    "rolling-restart": dict.fromkeys((*_OF_PODS, "grace_s"), _WHOLE),
    "bad-release": dict.fromkeys((*_OF_PODS, "grace_s"), _WHOLE),
}
"""Arguments of the lab's faults that mean nothing here, with what happens instead."""

OF_REGIONS = frozenset({"fail-region", "isolate-region", "partition-regions"})
"""Faults that a service survives only where it runs in more than one region."""

RESTORE: tuple[Need, ...] = (("apps", "deployments", "patch"),)
MOVING = frozenset({"fail-region", "fail-zone", "isolate-region", "kill-node", "drain-node"})
"""Faults after which pods may have left a region for good: a restart spreads them anew."""

NOT_HERE = {
    "kill-edge": "a cluster's edge is its ingress controller: kill its pods by their own labels",
    "pause-edge": "a cluster's edge is its ingress controller: kill its pods by their own labels",
    "slow-replicas": "no means to slow a foreign process; see bad-release and cpu-pressure",
    "clock-jump": "Linux has no namespace for the wall clock",
}


def needs_of(kind: str) -> tuple[Need, ...]:
    """What a fault of this kind and its aftermath take besides BASE."""
    own = AGENT if kind in AGENT_KINDS else API_NEEDS.get(kind, ())
    return (*own, *(RESTORE if kind in MOVING else ()))


@dataclass(frozen=True, slots=True)
class Resolved:
    """A fault with nothing left to decide: what is shown, what agents do, what the API changes."""

    targets: tuple[str, ...]
    works: tuple[Work, ...] = ()
    change: Mapping[str, Any] = field(default_factory=dict)


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

    def nodes_of(self, region: str, by: str = "region") -> list[Node]:
        """The nodes of a region or zone; raises PlatformError where there is none."""
        found = [node for node in self.nodes.values() if getattr(node, by) == region]
        if not found:
            known = ", ".join(sorted({getattr(node, by) for node in self.nodes.values()}))
            raise PlatformError(f"no node in {by} {region!r}", f"there are {known}")
        return found


def resolve(fault: Fault, view: View) -> Resolved:
    """Decide everything about a fault; raises PlatformError where nothing matches."""
    if fault.kind in NOT_HERE:
        raise CapabilityMissing(f"kubernetes: {fault.kind}", NOT_HERE[fault.kind])
    if fault.kind not in _RESOLVERS:
        raise PlatformError(f"kubernetes: no fault {fault.kind!r}", f"known: {', '.join(KINDS)}")
    takes = TAKES[fault.kind]
    for name in fault.arguments:
        if name not in takes and name not in OTHERWISE.get(fault.kind, {}):
            known = ", ".join(takes) or "none"
            raise PlatformError(f"{fault.kind}: no argument {name!r}", f"it takes {known}")
    try:
        return _RESOLVERS[fault.kind](fault, view)
    except (TypeError, ValueError, KeyError, AttributeError) as problem:
        given = ", ".join(f"{name}={value!r}" for name, value in fault.arguments.items())
        raise PlatformError(
            f"{fault.kind}: it cannot be carried out with {given or 'no argument'}: {problem}",
            "see `harness experiment plan` and docs/kubernetes.md",
        ) from None


def otherwise(fault: Fault) -> tuple[str, ...]:
    """What of the fault is not as on the lab, in words for its plan."""
    told = OTHERWISE.get(fault.kind, {})
    return tuple(
        f"{fault.kind}: {name}={fault.arguments[name]} is not kept: {told[name]}"
        for name in told
        if fault.arguments.get(name) not in (None, False)
    )


# -- replicas ------------------------------------------------------------------------------------


def _chosen(fault: Fault, view: View) -> list[Pod]:
    """`region`, then `count` or `percent` (rounded up) of the ready pods, by the fault's seed."""
    words = fault.arguments
    region = words.get("region")
    ready = {
        pod.name: pod
        for pod in view.pods
        if pod.ready and not pod.deleting and region in {None, view.region(pod)}
    }
    count, percent = words.get("count"), words.get("percent")
    names = draw(
        fault.kind,
        list(ready),
        view.among,
        count=None if count is None else int(count),
        percent=None if percent is None else float(percent),
        seed=words.get("seed", 1),
    )
    return [ready[name] for name in sorted(names)]


def _kill(fault: Fault, view: View) -> Resolved:
    return _deleting(_chosen(fault, view), view.pods, ("app.kubernetes.io/name",))


def _deleting(hit: Sequence[Pod], alike: Sequence[Pod], keys: Sequence[str]) -> Resolved:
    """Felt for as long as fewer pods alike are ready than before."""
    change = {
        "delete": {pod.name: pod.uid for pod in hit},
        "labels": {key: hit[0].labels[key] for key in keys},
        "ready": sum(pod.ready and not pod.deleting for pod in alike),
    }
    return Resolved(tuple(pod.name for pod in hit), change=change)


def _pause(fault: Fault, view: View) -> Resolved:
    return _pausing(_chosen(fault, view))


def _pausing(pods: Sequence[Pod]) -> Resolved:
    works = [
        Work(node, "pause-pods", {"uids": [pod.uid for pod in pods if pod.node == node]})
        for node in sorted({pod.node for pod in pods})
    ]
    return Resolved(tuple(pod.name for pod in pods), tuple(works))


def _dependency(fault: Fault, view: View, region: str | None) -> list[Pod]:
    """The pods of a dependency: by component, of the service's own and of one region."""
    component = str(fault.arguments.get("dependency", "database"))
    found = [
        pod
        for pod in view.cluster.pods({"app.kubernetes.io/component": component})
        if not pod.deleting
        and view.service.name in str(pod.labels.get("app.kubernetes.io/name", ""))
        and region in {None, view.region(pod)}
    ]
    if not found:
        where = f" in {region}" if region else ""
        raise PlatformError(
            f"{fault.kind}: no pod with component {component}{where}",
            "label the dependency's pods app.kubernetes.io/component, or name another",
        )
    return found


def _kill_database(fault: Fault, view: View) -> Resolved:
    pods = _dependency(fault, view, fault.arguments.get("region"))
    keys = [key for key in ALIKE if key in pods[0].labels]
    same = {key: pods[0].labels[key] for key in keys}
    alike = [pod for pod in pods if same.items() <= pod.labels.items()]
    return _deleting(alike, alike, keys)


def _pause_database(fault: Fault, view: View) -> Resolved:
    return _pausing(_dependency(fault, view, fault.arguments.get("region")))


# -- nodes, regions, packets ---------------------------------------------------------------------


def _named(fault: Fault, key: str) -> str:
    value = fault.arguments.get(key)
    if not isinstance(value, str) or not value:
        raise PlatformError(f"{fault.kind}: no {key} named", f"give {key}")
    return value


def _all_of(fault: Fault, view: View, nodes: Sequence[Node], action: str) -> Resolved:
    """Every node at once; the pods on them are what the users lose."""
    names = {node.name for node in nodes}
    pods = [pod.name for pod in view.pods if pod.node in names]
    works = tuple(Work(name, action, {}) for name in sorted(names))
    return Resolved((*sorted(names), *pods), works)


def _fail_region(fault: Fault, view: View) -> Resolved:
    mode = str(fault.arguments.get("mode", "pause"))
    actions = {"pause": "pause-node", "kill": "kill-node", "cut": "cut-node"}
    if mode not in actions:
        raise PlatformError(f"{fault.kind}: mode {mode!r}", "give pause, kill or cut")
    by = "zone" if fault.kind == "fail-zone" else "region"
    return _all_of(fault, view, view.nodes_of(_named(fault, by), by), actions[mode])


def _kill_node(fault: Fault, view: View) -> Resolved:
    name = fault.arguments.get("node")
    if name is None:
        region = _named(fault, "region")
        name = min(node.name for node in view.nodes_of(region))
    if name not in view.nodes:
        raise PlatformError(f"{fault.kind}: no node {name!r}", f"there are {', '.join(view.nodes)}")
    return _all_of(fault, view, [view.nodes[name]], "kill-node")


def _isolate(fault: Fault, view: View) -> Resolved:
    return _all_of(fault, view, view.nodes_of(_named(fault, "region")), "cut-node")


def _networks(everybody: Sequence[Pod], nodes: Sequence[Node]) -> list[str]:
    """The nodes' own addresses, and the subnets of their pods.

    A network plug-in may take no heed of the subnets that the nodes are said to have: then the
    pods of this namespace are met by their addresses, as they are now.
    """
    found: list[str] = []
    for node in nodes:
        pods = [p.address for p in everybody if p.address and p.node == node.name]
        kept = all(any(_within(each, net) for net in node.subnets) for each in pods)
        found += [*node.addresses, *(node.subnets if kept else pods)]
    return sorted(dict.fromkeys(found))


def _within(address: str, subnet: str) -> bool:
    return ip_address(address) in ip_network(subnet)


def _number(fault: Fault, name: str, default: float | None, low: float, high: float) -> float:
    """An argument above `low`, up to `high`; raises PlatformError for any other."""
    value = fault.arguments.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low < value <= high:
        raise PlatformError(
            f"{fault.kind}: {name} {value!r}", f"give more than {low:g}, up to {high:g}"
        )
    return float(value)


def _share(fault: Fault) -> float:
    return _number(fault, "share", 1.0, 0.0, 1.0)


def _partition(fault: Fault, view: View) -> Resolved:
    """Cut two regions apart, or lose a share of the packets between them."""
    return _between_regions(fault, view, "cut-between", share=_share(fault))


def _delay_link(fault: Fault, view: View) -> Resolved:
    delay_s = _number(fault, "delay_s", 0.05, 0.0, MOST_DELAY_S)
    return _between_regions(fault, view, "delay", delay_s=delay_s)


def _between_regions(fault: Fault, view: View, action: str, **words: Any) -> Resolved:
    """An action on all that passes between two regions, done by the nodes of the first."""
    pair = fault.arguments.get("regions")
    if not isinstance(pair, list | tuple) or len(set(map(str, pair))) != 2:  # noqa: PLR2004 - two ends
        raise PlatformError(f"{fault.kind}: regions {pair!r}", "give two of them")
    near, far = (view.nodes_of(str(each)) for each in pair)
    everybody = view.cluster.pods({})
    other = _networks(everybody, far)
    works = (
        Work(node.name, action, {"near": _networks(everybody, [node]), "far": other, **words})
        for node in near
    )
    return Resolved((f"{pair[0]}|{pair[1]}",), tuple(works))


def _partition_dependency(fault: Fault, view: View) -> Resolved:
    region = fault.arguments.get("region")
    pods = [pod for pod in view.pods if pod.address and region in {None, view.region(pod)}]
    others = _dependency(fault, view, region)
    if not pods:
        raise PlatformError(f"{fault.kind}: no pod of {view.service.name}", "name another region")
    far = sorted({other.address for other in others if other.address})
    works = tuple(
        Work(
            node,
            "cut-between",
            {"near": [p.address for p in pods if p.node == node], "far": far},
        )
        for node in sorted({pod.node for pod in pods})
    )
    return Resolved(tuple(f"{a.name}|{b.name}" for a in pods for b in others), works)


def _at_pods(pods: Sequence[Pod], action: str, **words: Any) -> Resolved:
    """An action on the nodes of these pods, on their addresses."""
    works = tuple(
        Work(node, action, {"addresses": [p.address for p in pods if p.node == node], **words})
        for node in sorted({pod.node for pod in pods})
    )
    return Resolved(tuple(pod.name for pod in pods), works)


def _names(fault: Fault, view: View) -> Resolved:
    return _at_pods(_chosen(fault, view), "cut-names")


def _reset(fault: Fault, view: View) -> Resolved:
    port = fault.arguments.get("port", view.service.port)
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:  # noqa: PLR2004 - TCP's
        raise PlatformError(f"{fault.kind}: port {port!r}", "give the port that the pods listen on")
    return _at_pods(_chosen(fault, view), "reset", port=port, share=_share(fault))


def _delay_requests(fault: Fault, view: View) -> Resolved:
    delay_s = _number(fault, "delay_s", 1.0, 0.0, 60.0)
    return _at_envoys(fault, view, envoy.delaying(_share(fault), delay_s))


def _abort_requests(fault: Fault, view: View) -> Resolved:
    status = fault.arguments.get("status", 503)
    if isinstance(status, bool) or not isinstance(status, int) or not 400 <= status <= 599:  # noqa: PLR2004 - HTTP's
        raise PlatformError(f"{fault.kind}: status {status!r}", "give a whole number 400 to 599")
    return _at_envoys(fault, view, envoy.aborting(_share(fault), status))


def _at_envoys(fault: Fault, view: View, values: Mapping[str, str]) -> Resolved:
    """The pods' own Envoys are their edge; `edge` names the region that they are of, as `region`.

    Raises CapabilityMissing where none of the chosen pods has one.
    """
    words = {name: value for name, value in fault.arguments.items() if name != "edge"}
    edge = fault.arguments.get("edge")
    if edge not in {None, EVERYWHERE}:
        words["region"] = edge
    pods = _chosen(Fault(fault.kind, words), view)
    if not all(pod.envoy for pod in pods):
        without = sum(not pod.envoy for pod in pods)
        raise CapabilityMissing(
            f"kubernetes: {fault.kind}",
            f"it takes an Envoy beside the service, and {without} of {len(pods)} pods have none",
        )
    port = fault.arguments.get("admin_port")
    works = tuple(
        Work(
            node,
            "envoy",
            {
                "uids": [pod.uid for pod in pods if pod.node == node],
                "values": dict(values),
                "admin_port": port,
            },
        )
        for node in sorted({pod.node for pod in pods})
    )
    return Resolved(tuple(pod.name for pod in pods), works)


def _pressure(fault: Fault, view: View) -> Resolved:
    pods = _chosen(fault, view)
    words = fault.arguments
    action = "burn"
    arguments: dict[str, Any] = {"workers": int(words.get("workers", 2)), "megabytes": 0}
    if fault.kind == "memory-pressure":
        arguments = {"workers": 0, "megabytes": min(int(words.get("megabytes", 256)), 4096)}
    if fault.kind == "disk-pressure":
        action = "fill-disk"
        arguments = {"path": "/tmp", "megabytes": min(int(words.get("megabytes", 512)), 65536)}  # noqa: S108 - the pod's own, on the node's disk
    nodes = sorted({pod.node for pod in pods})
    return Resolved(
        tuple(pod.name for pod in pods), tuple(Work(node, action, arguments) for node in nodes)
    )


# -- desired state -------------------------------------------------------------------------------


def _drain(fault: Fault, view: View) -> Resolved:
    name = fault.arguments.get("node")
    if name is None:
        names = {node.name for node in view.nodes_of(_named(fault, "region"))}
        used = names & {pod.node for pod in view.pods if not pod.deleting}
        name = min(used or names)
    node = view.nodes.get(name)
    if node is None:
        raise PlatformError(f"{fault.kind}: no node {name!r}", f"there are {', '.join(view.nodes)}")
    pods = {pod.name: pod.uid for pod in view.pods if pod.node == name and not pod.deleting}
    if not pods:
        raise PlatformError(f"{fault.kind}: no pod of {view.service.name} on {name}", "another?")
    change = {"cordon": name, "was": node.unschedulable, "evict": pods}
    return Resolved((name, *pods), change=change)


def _scale(fault: Fault, view: View) -> Resolved:
    wanted = fault.arguments.get("replicas")
    if not isinstance(wanted, int) or wanted < 0:
        raise PlatformError(f"scale: replicas {wanted!r}", "give a whole number")
    deployment = view.cluster.deployment(view.service.name)
    change = {"scale": wanted, "was": deployment.spec.replicas}
    return Resolved((view.service.name,), change=change)


def _restart(fault: Fault, view: View) -> Resolved:
    view.cluster.deployment(view.service.name)
    return Resolved(tuple(pod.name for pod in view.pods), change={"restart": True})


def _bad_release(fault: Fault, view: View) -> Resolved:
    """Another image, or other variables of the first container; the old template is kept."""
    deployment = view.cluster.deployment(view.service.name)
    template = view.cluster.api.sanitize_for_serialization(deployment.spec.template)
    container = template["spec"]["containers"][0]
    words = fault.arguments
    patch = _release(container, words)
    if not patch:
        raise PlatformError(
            "bad-release: nothing that would make it worse", "give image or env (a mapping)"
        )
    was = {key: container.get(key) for key in patch}
    return Resolved(
        tuple(pod.name for pod in view.pods),
        change={"release": patch, "was": was, "container": container["name"]},
    )


def _release(container: Mapping[str, Any], words: Mapping[str, Any]) -> dict[str, Any]:
    """The changed fields of the container: `image`, `env`, or the reference service's own plan."""
    import json  # noqa: PLC0415 - only here

    env = {each["name"]: each for each in container.get("env") or ()}
    if "image" in words:
        return {"image": words["image"]}
    if "env" in words:
        changed = {name: {"name": name, "value": str(v)} for name, v in words["env"].items()}
        return {"env": list({**env, **changed}.values())}
    text = (env.get("PLAN") or {}).get("value")
    if text is None:
        return {}
    plan = json.loads(text)
    behaviour = plan.setdefault("behaviour", {})
    worse = {
        "error_ratio": words.get("error_ratio"),
        "garbage_ratio": words.get("garbage_ratio"),
        "latency_median_s": words.get("latency_s"),
    }
    behaviour.update({key: value for key, value in worse.items() if value})
    changed = {**env, "PLAN": {"name": "PLAN", "value": json.dumps(plan)}}
    return {"env": list(changed.values())}


_RESOLVERS: Mapping[str, Callable[[Fault, View], Resolved]] = {
    "kill-replicas": _kill,
    "pause-replicas": _pause,
    "kill-database": _kill_database,
    "pause-database": _pause_database,
    "fail-region": _fail_region,
    "fail-zone": _fail_region,
    "kill-node": _kill_node,
    "isolate-region": _isolate,
    "partition-regions": _partition,
    "partition-dependency": _partition_dependency,
    "lose-packets": _partition,
    "delay-link": _delay_link,
    "reset-connections": _reset,
    "delay-requests": _delay_requests,
    "abort-requests": _abort_requests,
    "dns-failure": _names,
    "cpu-pressure": _pressure,
    "memory-pressure": _pressure,
    "disk-pressure": _pressure,
    "drain-node": _drain,
    "scale": _scale,
    "rolling-restart": _restart,
    "bad-release": _bad_release,
}
