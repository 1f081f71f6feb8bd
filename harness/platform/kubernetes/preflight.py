"""What a plan tells before anything breaks: what cannot end well, and what may get in the way.

A dry run asks for one pod. What a quota leaves for all of them, and who else changes the workload
that a fault changes, is read here; what this account may not read is passed over.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypedDict

from kubernetes.utils.quantity import parse_quantity

from harness.errors import PlatformError
from harness.faults.registry import kind_of
from harness.platform.kubernetes.access import allowed
from harness.platform.kubernetes.agent_pods import taken
from harness.platform.kubernetes.cluster import Budget, Cluster
from harness.platform.kubernetes.objects import Workload
from harness.platform.kubernetes.view import View
from harness.platform.model import Fault
from harness.platform.undo import Change, Release, Restart, Scaling, Task
from harness.units import counted

ALIASES: Mapping[str, str] = {
    "cpu": "requests.cpu",
    "memory": "requests.memory",
    "count/pods": "pods",
}
"""Older names of what a ResourceQuota limits."""


class _Reference(TypedDict, total=False):
    kind: str
    name: str


class _Policy(TypedDict, total=False):
    updateMode: str


class _VerticalSpec(TypedDict, total=False):
    targetRef: _Reference
    updatePolicy: _Policy


class _Vertical(TypedDict):
    metadata: _Reference
    spec: _VerticalSpec


EVICTING = ("Auto", "Recreate", "InPlaceOrRecreate")
"""Modes in which a VerticalPodAutoscaler may evict pods; Auto is its default."""


Resources = Mapping[str, Mapping[str, str]]
"""`requests` and `limits` of a container."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What some new pods take from a quota: resource as a quota names it -> how much."""

    what: str
    amounts: Mapping[str, Decimal]


def demand(what: str, pods: Sequence[Sequence[Resources]]) -> Demand:
    """The demand of pods, each given by its containers."""
    found: dict[str, Decimal] = {"pods": Decimal(len(pods))}
    for side in ("requests", "limits"):
        for container in (each for pod in pods for each in pod):
            for name, amount in (container.get(side) or {}).items():
                key = f"{side}.{name}"
                found[key] = found.get(key, Decimal(0)) + parse_quantity(amount)
    return Demand(what, found)


def check_limits(task: Task, agent: Resources) -> None:
    """Raise PlatformError where a LimitRange's default would keep an agent from its task."""
    limits = agent.get("limits") or {}
    for name, amount in taken(task).items():
        if name in limits and parse_quantity(limits[name]) < amount:
            needed = _amount(name, Decimal(amount))
            raise PlatformError(
                f"a LimitRange gives agents {limits[name]} of {name}; {needed} are needed for"
                f" {task.action}",
                "set limits: --pods FILE, or `pods` of the catalogue's environment",
            )


def check(cluster: Cluster, service: str, change: Change | None, agents: Demand) -> list[str]:
    """Notes on what may change the workload that a fault changes.

    Raises PlatformError where a quota leaves too little for the fault and its agents, and where an
    autoscaler would undo it at once.
    """
    wanted, notes = [agents] if agents.amounts["pods"] else [], []
    if isinstance(change, Scaling | Release | Restart):
        workload = cluster.workload(service, change.kind)
        notes = _autoscaled(cluster, workload, service, change)
        wanted += _of_change(cluster, change, workload)
    if wanted:
        _check_quotas(cluster, wanted)
    return notes


def _check_quotas(cluster: Cluster, demands: Sequence[Demand]) -> None:
    """Quotas with scopes count some pods only, and are left to the API server."""
    found = allowed(
        "resource quotas", lambda: cluster.core.list_namespaced_resource_quota(cluster.namespace)
    )
    what = " and ".join(each.what for each in demands)
    for quota in found.items if found else ():
        if quota.spec.scopes or quota.spec.scope_selector:
            continue
        used = quota.status.used or {}
        for name, hard in (quota.status.hard or {}).items():
            left = max(parse_quantity(hard) - parse_quantity(used.get(name, "0")), Decimal(0))
            need = sum(each.amounts.get(ALIASES.get(name, name), Decimal(0)) for each in demands)
            if need > left:
                raise PlatformError(
                    f"ResourceQuota {quota.metadata.name} leaves {_amount(name, left)} of {name};"
                    f" {_amount(name, Decimal(need))} are needed for {what}",
                    f"raise the quota of {cluster.namespace}, or free some of it",
                )


def _amount(name: str, value: Decimal) -> str:
    if "memory" in name or "storage" in name:
        return f"{float(value) / (1 << 20):g}Mi"
    return f"{float(value):g}"


def _of_change(cluster: Cluster, change: Change, workload: Workload) -> list[Demand]:
    """What a change takes: replicas that a scaling adds, the first new pod of a rollout."""
    pod: list[Resources] = []
    if workload.known is not None:
        spec = workload.item.spec.template.spec
        containers = cluster.api.sanitize_for_serialization(spec.containers)
        pod = [each.get("resources") or {} for each in containers]
    match change:
        case Scaling(scale=scale, was=was) if scale > was:
            return [demand(f"{scale - was} more replicas", [pod] * (scale - was))]
        case Release() | Restart() if _only_surges(workload):
            return [demand("the first new pod", [pod])]
        case _:
            return []


def _only_surges(workload: Workload) -> bool:
    """Whether a rollout needs a pod more before it may end an old one."""
    if workload.kind != "deployment" or not workload.item.spec.strategy:
        return False
    rolling = workload.item.spec.strategy.rolling_update
    return rolling is not None and str(rolling.max_unavailable) in {"0", "0%"}


def _autoscaled(
    cluster: Cluster, workload: Workload, service: str, change: Scaling | Release | Restart
) -> list[str]:
    target = (workload.kind, service)
    notes = _horizontal(cluster, target, change.scale) if isinstance(change, Scaling) else []
    for each in _vertical(cluster):
        aim = each["spec"].get("targetRef") or {}
        mode = (each["spec"].get("updatePolicy") or {}).get("updateMode", EVICTING[0])
        if (str(aim.get("kind")).lower(), aim.get("name")) == target and mode in EVICTING:
            named = f"VerticalPodAutoscaler {each['metadata']['name']}"
            notes.append(f"{named} ({mode}) may evict pods during the fault")
    return notes


def _horizontal(cluster: Cluster, target: tuple[str, str], scale: int) -> list[str]:
    """A note for each that scales the target; none does while it has no replicas."""
    found = allowed(
        "autoscalers",
        lambda: cluster.scaling.list_namespaced_horizontal_pod_autoscaler(cluster.namespace),
    )
    notes = []
    for each in found.items if found else ():
        aim, most = each.spec.scale_target_ref, each.spec.max_replicas
        if (aim.kind.lower(), aim.name) != target:
            continue
        least = 1 if each.spec.min_replicas is None else each.spec.min_replicas
        named = f"HorizontalPodAutoscaler {each.metadata.name}"
        if scale and not least <= scale <= most:
            raise PlatformError(
                f"{named} keeps {aim.name} between {least} and {most} replicas:"
                f" {scale} would be undone at once",
                f"scale within {least} to {most}, or take the autoscaler away meanwhile",
            )
        notes.append(f"{named} ({least} to {most}) may change the replicas during the fault")
    return notes


def _vertical(cluster: Cluster) -> list[_Vertical]:
    """VerticalPodAutoscalers, which a cluster need not know."""
    found: Mapping[str, list[_Vertical]] | None = allowed(
        "vertical autoscalers",
        lambda: cluster.custom.list_namespaced_custom_object(
            "autoscaling.k8s.io", "v1", cluster.namespace, "verticalpodautoscalers",
        ),
    )  # fmt: skip
    return found["items"] if found else []


# -- what the service lacks, and what a plan shows besides ----------------------------------------


def preflight_failures(view: View, fault: Fault) -> tuple[str, ...]:
    """Regions it should run in and does not; budgets that allow no drain of sound pods."""
    service = view.service
    if kind_of(fault.kind).needs_regions:
        pods = {view.region(pod) for pod in view.pods if pod.ready}
        empty = [r for r in service.regions if r in view.sound_regions and r not in pods]
        return (f"no ready pod in {', '.join(empty)}, where it should run",) if empty else ()
    if fault.kind != "drain-node":
        return ()
    return tuple(
        f"disruption budget {each.metadata.name} allows no eviction, though all pods are ready"
        for each in _budgets(view)
        if each.status
        and not each.status.disruptions_allowed
        and each.status.current_healthy >= max(each.status.expected_pods, 1)
    )


def notes(view: View) -> tuple[str, ...]:
    """The spread of the pods, disruption budgets, and pods that are no replicas."""
    spread = Counter(view.region(pod) for pod in view.pods)
    where = ", ".join(f"{count} in {region}" for region, count in sorted(spread.items()))
    found = [f"pods: {where or 'none'}"]
    for budget in _budgets(view):
        may_go = budget.status.disruptions_allowed if budget.status else 0
        found.append(f"disruption budget {budget.metadata.name}: {may_go} allowed now")
    strangers = view.cluster.strangers(view.service)
    if strangers:
        named = ", ".join(f"{pod.name} ({pod.unfit})" for pod in strangers[:3])
        carry = f"{counted(len(strangers), 'pod')} with the Service's labels"
        found.append(f"{carry}, not counted as replicas: {named}")
    return tuple(found)


def _budgets(view: View) -> list[Budget]:
    return view.cluster.budgets(view.pods[0].labels if view.pods else {})
