"""Nodes, pods and workloads as the harness sees them, from what the API server answers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network

from kubernetes import client

from harness.catalog.pods import OS
from harness.errors import PlatformError
from harness.platform.kubernetes import selection
from harness.platform.undo import WorkloadKind

REGION = "topology.kubernetes.io/region"
ZONE = "topology.kubernetes.io/zone"
VIRTUAL = (("type", "virtual-kubelet"), ("eks.amazonaws.com/compute-type", "fargate"))
"""Labels of nodes whose pods run elsewhere: none of the harness sees their processes."""

ENVOYS = ("envoy", "istio-proxy", "consul-dataplane")
"""Names and images of containers that are, or start, an Envoy."""

UNKNOWN = "unknown"
"""Region or zone of a node without the label."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node: its region and zone (`unknown` without the label), addresses, subnets of its pods."""

    name: str
    region: str
    zone: str
    addresses: tuple[str, ...]
    subnets: tuple[str, ...]
    ready: str
    unschedulable: bool
    agentless: str | None = None
    """Why no agent can run there: another operating system, no machine; None where one can."""

    taints: tuple[str, ...] = ()
    """Taints that keep a pod without tolerations away, `key=value:effect` or `key:effect`."""

    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of interest."""

    name: str
    uid: str
    node: str
    address: str | None
    labels: Mapping[str, str]
    ready: bool
    phase: str
    restarts: int
    deleting: bool
    envoy: bool = False
    """Whether one of its containers is an Envoy, by its name or image."""

    host_network: bool = False
    """Whether it shares the node's network."""

    port: int = 0
    """Where it listens for its Service; 0 where it was not read as a Service's."""

    unfit: str | None = None
    """Why it is none of a service's replicas, whatever its labels."""

    owner: str = ""
    """The kind of object that controls it; `Node` for a static pod."""

    addresses: tuple[str, ...] = ()
    """All of its addresses: of a dual-stack cluster one of each family."""

    @property
    def on_own_network(self) -> bool:
        """Whether its addresses are its own: not its node's, nor given back when it finished."""
        return not self.host_network and self.phase not in {"Succeeded", "Failed"}


@dataclass(frozen=True, slots=True)
class Workload:
    """What makes a service's pods: `kind` is deployment, statefulset or daemonset.

    Of the wanted `replicas`, `taken` have the present template, `there` exist (old ones too) and
    `available` are ready.
    """

    kind: WorkloadKind
    replicas: int
    paused: bool
    strategy: str
    taken: int
    there: int
    available: int
    known: client.V1Deployment | client.V1StatefulSet | client.V1DaemonSet | None = None
    """None of a Rollout."""

    @property
    def item(self) -> client.V1Deployment | client.V1StatefulSet | client.V1DaemonSet:
        """The object; raises PlatformError for a Rollout, whose template nobody here reads."""
        if self.known is None:
            raise PlatformError(f"a {self.kind} has no template to read", "use scale")
        return self.known

    @property
    def replacing(self) -> bool:
        """Whether pods of another template are still there or to come."""
        return self.taken < self.replicas or self.there > self.replicas

    @property
    def rolling(self) -> bool:
        """Whether that is so, or a new pod is not ready."""
        return self.replacing or self.available < self.replicas


def workload_of(
    kind: WorkloadKind, item: client.V1Deployment | client.V1StatefulSet | client.V1DaemonSet
) -> Workload:
    """A workload of Kubernetes' own."""
    spec, status = item.spec, item.status
    if kind == "daemonset":
        wanted = status.desired_number_scheduled or 0
        taken, there = status.updated_number_scheduled or 0, status.current_number_scheduled or 0
        ready = status.number_available or 0
        strategy = spec.update_strategy
    else:
        wanted = 1 if spec.replicas is None else spec.replicas
        taken, there = status.updated_replicas or 0, status.replicas or 0
        ready = status.available_replicas or 0
        strategy = spec.strategy if kind == "deployment" else spec.update_strategy
    return Workload(
        kind=kind,
        replicas=wanted,
        paused=kind == "deployment" and bool(spec.paused),
        strategy=(strategy.type if strategy else None) or "RollingUpdate",
        taken=taken,
        there=there,
        available=ready,
        known=item,
    )


def node_of(item: client.V1Node) -> Node:
    """A node."""
    labels = item.metadata.labels or {}
    addresses: Sequence[client.V1NodeAddress] = item.status.addresses or ()
    internal = [each.address for each in addresses if each.type == "InternalIP"]
    ready = [each.status for each in item.status.conditions or () if each.type == "Ready"]
    return Node(
        name=item.metadata.name,
        region=labels.get(REGION, UNKNOWN),
        zone=labels.get(ZONE, UNKNOWN),
        addresses=tuple(internal),
        subnets=tuple(item.spec.pod_cidrs or filter(None, [item.spec.pod_cidr])),
        ready=ready[0] if ready else "Unknown",
        unschedulable=bool(item.spec.unschedulable),
        labels=labels,
        agentless=_agentless(labels),
        taints=tuple(
            f"{each.key}={each.value}:{each.effect}" if each.value else f"{each.key}:{each.effect}"
            for each in item.spec.taints or ()
            if each.effect != "PreferNoSchedule"
        ),
    )


def _agentless(labels: Mapping[str, str]) -> str | None:
    system = labels.get(OS, "linux")
    if system != "linux":
        return f"runs {system}"
    return next((f"is no machine ({k}={v})" for k, v in VIRTUAL if labels.get(k) == v), None)


def pod_of(item: client.V1Pod, port: client.V1ServicePort | None = None) -> Pod:
    """A pod; `port` is that of the Service that it listens for."""
    conditions = item.status.conditions or ()
    statuses = item.status.container_statuses or ()
    return Pod(
        name=item.metadata.name,
        uid=item.metadata.uid,
        node=item.spec.node_name or "",
        address=item.status.pod_ip,
        addresses=_addresses(item.status),
        labels=item.metadata.labels or {},
        ready=any(each.type == "Ready" and each.status == "True" for each in conditions),
        phase=item.status.phase or "Unknown",
        restarts=sum(each.restart_count for each in statuses),
        deleting=item.metadata.deletion_timestamp is not None,
        envoy=any(_is_envoy(each) for each in _containers(item)),
        host_network=bool(item.spec.host_network),
        port=selection.listens_on(port, item) if port is not None else 0,
        unfit=selection.unfit(item),
        owner=next((each.kind for each in item.metadata.owner_references or ()), ""),
    )


def _addresses(status: client.V1PodStatus) -> tuple[str, ...]:
    every = [status.pod_ip, *(each.ip for each in status.pod_ips or ())]
    return tuple(dict.fromkeys(filter(None, every)))


def _containers(item: client.V1Pod) -> list[client.V1Container]:
    """The containers that run beside each other; a sidecar may stand among the first ones."""
    before = [c for c in item.spec.init_containers or () if c.restart_policy == "Always"]
    return [*before, *item.spec.containers]


def _is_envoy(container: client.V1Container) -> bool:
    return any(word in f"{container.name} {container.image}" for word in ENVOYS)


def within(address: str, networks: Iterable[str]) -> bool:
    """Whether an address or a subnet lies in one of these."""
    one = ip_network(address)
    for each in networks:
        other = ip_network(each)
        if one.version == other.version and one.subnet_of(other):  # type: ignore[arg-type]
            return True
    return False
