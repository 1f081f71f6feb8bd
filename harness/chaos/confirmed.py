"""What was confirmed is what is done: the resolved faults of a plan, and how wide they may hit.

The process that injects gets them. It injects each once, on exactly its targets, and nothing else.
"""

import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from harness.chaos.model import BlastRadius, Experiment, ExperimentPlan
from harness.errors import ExperimentError
from harness.faults.draw import Among
from harness.faults.registry import kinds
from harness.platform.model import Fault, Replica
from harness.platform.undo import UndoRecord
from harness.units import format_ratio


@dataclass(frozen=True, slots=True)
class ConfirmedFault:
    """One resolved fault: its id in the ledger, and exactly what it hits."""

    fault_id: str
    kind: str
    arguments: Mapping[str, object]
    targets: tuple[str, ...]

    def is_asked(self, fault: Fault) -> bool:
        """Whether it is what was asked for, as JSON has it."""
        return (self.kind, _text(self.arguments)) == (fault.kind, _text(fault.arguments))

    @property
    def among(self) -> Among:
        """Its targets, and the ends of its links, and nobody else."""
        return Among(confirmed=frozenset(end for each in self.targets for end in each.split("|")))


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The faults that may be injected; `ready`: the replicas ready when they were planned."""

    faults: tuple[ConfirmedFault, ...]
    ready: tuple[str, ...]
    blast_radius: BlastRadius


def confirmed_of(experiment: Experiment, plan: ExperimentPlan) -> Confirmed:
    """What the plan of an experiment confirms."""
    faults = [
        ConfirmedFault(hit.heal.fault_id, hit.fault.kind, hit.fault.arguments, hit.targets)
        for hit in plan.hits
        if hit.heal is not None
    ]
    return Confirmed(tuple(faults), plan.ready, experiment.blast_radius)


def new_fault_id(fault: Fault) -> str:
    """The name of a fault to be, in the ledger and the record."""
    return f"{fault.kind}-{secrets.token_hex(3)}"


class Injections:
    """The confirmed faults that are not yet injected."""

    def __init__(self, confirmed: Confirmed) -> None:
        self._confirmed = confirmed
        self._left = list(confirmed.faults)

    def take(self, asked: Fault) -> ConfirmedFault:
        """The next confirmed fault that is what was asked for, once; ExperimentError for none."""
        for each in self._left:
            if each.is_asked(asked):
                self._left.remove(each)
                return each
        words = " ".join(f"{name}={value}" for name, value in asked.arguments.items())
        raise ExperimentError(
            f"{f'{asked.kind} {words}'.strip()} is not in the plan that was confirmed",
            "inject in the method, and only what `harness experiment plan` shows",
        )

    def check(
        self,
        fault: ConfirmedFault,
        resolved: UndoRecord,
        holding: Sequence[UndoRecord],
        replicas: Sequence[Replica],
    ) -> None:
        """Raise ExperimentError where the plan does not hold any more.

        `resolved` is the fault as it would be injected now; `holding` are the faults that hold.
        """
        targets = resolved.targets
        if set(targets) != set(fault.targets):
            raise ExperimentError(
                f"confirmed for {', '.join(fault.targets)}, "
                f"and now it would hit {', '.join(targets)}",
                "plan it again",
            )
        down = taken(fault.kind, fault.arguments, fault.targets, replicas)
        for heal in holding:
            down |= taken(heal.kind, heal.arguments, heal.targets, replicas)
        ready = [each for each in replicas if each.health == "ready"]
        known = {each.id for each in ready} | (down & {*self._confirmed.ready})
        for refusal in too_wide(self._confirmed.blast_radius, down, known, ready):
            raise ExperimentError(
                f"with the faults that hold {refusal}", "widen blast_radius, or heal in between"
            )


def taken(
    kind: str,
    arguments: Mapping[str, object],
    targets: Collection[str],
    replicas: Sequence[Replica],
) -> set[str]:
    """The replicas that a fault takes from the users, by what it was resolved to."""
    found = set(targets)
    known = kinds().get(kind)
    if known is not None and known.whole_region:
        region = arguments.get("region")
        found |= {each.id for each in replicas if each.region == region}
    return found


def share_of(down: Collection[str], known: Collection[str]) -> float:
    """The share of the known replicas that are down."""
    return len({*known} & {*down}) / len(known) if known else 0.0


def too_wide(
    limit: BlastRadius, down: Collection[str], known: Collection[str], ready: Sequence[Replica]
) -> list[str]:
    """What is beyond the blast radius if these replicas are down; `ready` are so now."""
    found = []
    share = share_of(down, known)
    if share > limit.share + 1e-9:
        found.append(
            f"it would hit {format_ratio(share)} of the ready replicas, "
            f"more than {format_ratio(limit.share)}"
        )
    left = {each.region for each in ready if each.id not in down}
    if share and not left and not limit.last_region:
        found.append("it would hit the last healthy region")
    return found


def _text(arguments: Mapping[str, object]) -> str:
    return json.dumps(arguments, sort_keys=True, default=str)
