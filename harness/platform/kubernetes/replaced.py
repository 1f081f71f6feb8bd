"""Targets that were replaced while a network fault holds, and that its agents do not meet.

A fault of packets is written for addresses. A pod that comes after it has another one: what the
fault was for is not in effect any more, though every rule is still there.
"""

from collections.abc import Mapping, Sequence

from harness.errors import PlatformError
from harness.platform.kubernetes import faults
from harness.platform.kubernetes.cluster import MANAGED, OURS
from harness.platform.kubernetes.injectors import cluster_undo
from harness.platform.kubernetes.objects import Pod, within
from harness.platform.kubernetes.view import View
from harness.platform.model import Fault
from harness.platform.undo import CutBetween, CutNames, Delay, NodeTask, ResetPort, UndoRecord

LINKS = frozenset({"partition-dependency", "partition-regions", "lose-packets", "delay-link"})
"""Kinds that are about every pod of two sides: each new one of either must be met as well."""


def replaced(record: UndoRecord, view: View) -> str | None:
    """What of its targets a fault of packets does not meet now; None where it meets them all.

    Also None between a pod's end and its successor's address: there is nothing to reach then.
    Faults of processes and of the desired state are about the pods they hit, not about those
    that come after them.
    """
    held = cluster_undo(record).agents
    if record.kind in LINKS:
        return _unmet(record, held, view)
    return _gone(record, held, view)


def _unmet(record: UndoRecord, held: Mapping[str, NodeTask], view: View) -> str | None:
    """A pod that the fault would meet if it began now, and does not."""
    try:
        now = faults.resolve(Fault(record.kind, record.arguments), view).agents
    except PlatformError:  # one side has no pod with an address just now
        return None
    for node, task in sorted(now.items()):
        for wanted, known in zip(_sides(task), _sides(held.get(node)), strict=True):
            for address in wanted:
                new = None if within(address, known) else _pod_at(address, view)
                if new is not None:
                    return f"{new.name} at {address} came after the fault began and is not met"
    return None


def _gone(record: UndoRecord, held: Mapping[str, NodeTask], view: View) -> str | None:
    """A target whose address is not its own any more."""
    own = {each for pod in view.pods if pod.name in record.targets for each in pod.addresses}
    for task in held.values():
        if isinstance(task, CutNames | ResetPort):
            for address in task.addresses:
                if address not in own:
                    return f"the pod at {address} was replaced: the fault meets nothing there"
    return None


def _sides(task: NodeTask | None) -> tuple[Sequence[str], Sequence[str]]:
    return (task.near, task.far) if isinstance(task, CutBetween | Delay) else ((), ())


def _pod_at(address: str, view: View) -> Pod | None:
    """Whose address it is; not those of the harness's own pods."""
    pods = view.cluster.pods({})
    alive = (pod for pod in pods if not pod.deleting and pod.labels.get(MANAGED) != OURS)
    return next((pod for pod in alive if address in pod.addresses), None)
