"""The injectors of a cluster: agents on nodes, and changes of the desired state by the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from harness.platform.kubernetes import changes
from harness.platform.kubernetes.cluster import Cluster
from harness.platform.kubernetes.lease import Leases, Work
from harness.platform.model import Heal, Injector, Proof

IN_EFFECT = frozenset({"in-effect", "remains"})


class ByAgents:
    """A fault that agents hold on nodes while its lease is renewed."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases

    def apply(self, fault: Heal) -> None:
        """Start the agents and give them the word; what has begun is undone where one fails."""
        works = works_of(fault)
        self._leases.prepare(fault.arguments["lease"], works, asdict(fault))
        try:
            self._leases.hold(fault.arguments["lease"], [work.node for work in works])
            self._change(fault)
        except BaseException:
            self.undo(fault)
            raise

    def verify(self, fault: Heal) -> Proof:
        """What the agents show."""
        held = self.residual(fault)
        if held:
            return Proof(in_effect=True, statement="; ".join(held))
        shown = self._leases.shown(fault.arguments["lease"])
        words = "; ".join(f"{node}: {text}" for node, (_, text) in sorted(shown.items()))
        return Proof(in_effect=False, statement=words or "no agent holds it")

    def undo(self, fault: Heal) -> None:
        """Return when undone; a lease that is gone leaves nothing to its agents."""
        self._leases.release(fault.arguments["lease"], works_of(fault))

    def residual(self, fault: Heal) -> list[str]:
        """The nodes on which an agent shows it."""
        shown = self._leases.shown(fault.arguments["lease"])
        return [f"{n}: {text}" for n, (state, text) in sorted(shown.items()) if state in IN_EFFECT]

    def _change(self, fault: Heal) -> None:
        """Nothing: the agents do it all."""


class ByApi(ByAgents):
    """A change of the desired state, marked; its one agent only undoes it."""

    def __init__(self, leases: Leases, cluster: Cluster) -> None:
        super().__init__(leases)
        self._cluster = cluster

    def verify(self, fault: Heal) -> Proof:
        """What the API server shows."""
        return changes.shows(self._cluster, fault.arguments["service"], fault.arguments["change"])

    def undo(self, fault: Heal) -> None:
        """Put back what is still marked, then release the agent."""
        if fault.arguments.get("undo"):
            changes.undo(self._cluster, fault.arguments["undo"])
        super().undo(fault)

    def residual(self, fault: Heal) -> list[str]:
        """The change, where it shows."""
        shown = self.verify(fault)
        return [shown.statement] if shown.in_effect else []

    def _change(self, fault: Heal) -> None:
        arguments: Mapping[str, Any] = fault.arguments
        changes.apply(self._cluster, arguments["service"], arguments["change"], fault)


def works_of(fault: Heal) -> list[Work]:
    """What its agents do."""
    return [Work(**work) for work in fault.arguments["works"]]


def injector_of(fault: Heal, leases: Leases, cluster: Cluster) -> Injector[Heal]:
    """The injector of a planned fault."""
    return ByApi(leases, cluster) if fault.arguments["change"] else ByAgents(leases)
