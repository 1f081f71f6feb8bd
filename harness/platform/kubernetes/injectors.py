"""The injectors of a cluster: agents on nodes, and changes of the desired state by the API."""

from harness.errors import PlatformError
from harness.platform.kubernetes import api_changes
from harness.platform.kubernetes.agent_pods import Work, undoing
from harness.platform.kubernetes.agent_pool import AgentPool
from harness.platform.kubernetes.cluster import Cluster
from harness.platform.model import Injector, Proof
from harness.platform.undo import Change, ClusterUndo, UndoRecord

IN_EFFECT = frozenset({"in-effect", "remains"})


class ByAgents:
    """A fault that agents hold on nodes while its lease is renewed."""

    def __init__(self, agents: AgentPool) -> None:
        self._agents = agents

    def apply(self, fault: UndoRecord) -> None:
        """Start the agents and give them the word; what has begun is undone where one fails."""
        works, lease = works_of(fault), cluster_undo(fault).lease
        self._agents.prepare(lease, works, fault)
        try:
            self._agents.hold(lease, [work.node for work in works])
            self._change(fault)
        except BaseException:
            self.undo(fault)
            raise

    def verify(self, fault: UndoRecord) -> Proof:
        """What the agents show."""
        held = self.residual(fault)
        if held:
            return Proof(in_effect=True, statement="; ".join(held))
        shown = self._agents.shown(cluster_undo(fault).lease)
        words = "; ".join(f"{node}: {text}" for node, (_, text) in sorted(shown.items()))
        return Proof(in_effect=False, statement=words or "no agent holds it")

    def undo(self, fault: UndoRecord) -> None:
        """Return when undone; a lease that is gone leaves nothing to its agents."""
        self._agents.release(cluster_undo(fault).lease, works_of(fault))

    def residual(self, fault: UndoRecord) -> list[str]:
        """The nodes on which an agent shows it."""
        shown = self._agents.shown(cluster_undo(fault).lease)
        return [f"{n}: {text}" for n, (state, text) in sorted(shown.items()) if state in IN_EFFECT]

    def _change(self, fault: UndoRecord) -> None:
        """Nothing: the agents do it all."""


class ByApi(ByAgents):
    """A change of the desired state, marked; its one agent only undoes it."""

    def __init__(self, agents: AgentPool, cluster: Cluster) -> None:
        super().__init__(agents)
        self._cluster = cluster

    def verify(self, fault: UndoRecord) -> Proof:
        """What the API server shows."""
        return api_changes.shows(self._cluster, cluster_undo(fault).service, self._change_of(fault))

    def undo(self, fault: UndoRecord) -> None:
        """Put back what is still marked, then release the agent."""
        back = api_changes.inverse(cluster_undo(fault))
        if back is not None:
            api_changes.undo(self._cluster, back)
        super().undo(fault)

    def residual(self, fault: UndoRecord) -> list[str]:
        """The change, where it shows."""
        shown = self.verify(fault)
        return [shown.statement] if shown.in_effect else []

    def _change(self, fault: UndoRecord) -> None:
        api_changes.apply(self._cluster, cluster_undo(fault).service, self._change_of(fault), fault)

    def _change_of(self, fault: UndoRecord) -> Change:
        change = cluster_undo(fault).change
        if change is None:
            raise PlatformError(f"{fault.fault_id}: it changes nothing", "is it of agents?")
        return change


def cluster_undo(fault: UndoRecord) -> ClusterUndo:
    """The cluster's part of a record; raises PlatformError where it is of another platform."""
    if not isinstance(fault.undo, ClusterUndo):
        raise PlatformError(f"{fault.fault_id} is no fault of a cluster", "is it of a lab?")
    return fault.undo


def works_of(fault: UndoRecord) -> list[Work]:
    """What its agents do: those of the nodes, and the one that puts a change back."""
    undo = cluster_undo(fault)
    back = api_changes.inverse(undo)
    works = [Work(node, task) for node, task in undo.agents.items()]
    return [*works, undoing(fault.kind, back)] if back else works


def injector_of(fault: UndoRecord, agents: AgentPool, cluster: Cluster) -> Injector[UndoRecord]:
    """The injector of a planned fault."""
    changed = cluster_undo(fault).change is not None
    return ByApi(agents, cluster) if changed else ByAgents(agents)
