"""What an experiment's method may do, as Chaos Toolkit actions.

Both raise ActivityFailed with one line on failure; a fault that matches nothing is a failure.
"""

from __future__ import annotations

import secrets
from typing import Any

from chaoslib.exceptions import ActivityFailed

from harness.chaos.context import current
from harness.chaos.events import tell
from harness.chaos.undo import undo_all
from harness.errors import HarnessError
from harness.platform.model import Fault

__all__ = ["heal", "inject"]


def inject(fault: str, **arguments: Any) -> dict[str, Any]:
    """Resolve a fault, write the intent, carry it out; its heal is in the ledger before it."""
    context = current()
    platform, ledger, service = context.platform, context.faults, context.entry
    fault_id = f"{fault}-{secrets.token_hex(3)}"
    told: dict[str, Any] = {"fault_id": fault_id, "kind": fault, "arguments": arguments}
    try:
        asked = Fault(fault, arguments)
        plan = platform.plan_heal(service, asked, fault_id)
        targets = list(plan.arguments.get("targets", ()))
        told["targets"] = targets
        entry = ledger.intend(plan, platform.handle())
        tell("chaos", what="inject", **told)
        platform.inject(service, asked, plan)
        ledger.injected(entry)
    except HarnessError as error:
        tell("chaos", what="inject_failed", detail=str(error), **told)
        raise ActivityFailed(f"{fault}: {error}") from error
    tell("chaos", what="injected", **told)
    proof = platform.proof(plan)
    tell("proof", fault_id=fault_id, in_effect=proof.in_effect, statement=proof.statement)
    return {**told, "proof": proof.statement}


def heal() -> list[str]:
    """Undo every fault that this experiment has injected; nothing to undo is no failure."""
    context = current()
    undone = undo_all(context.platform, context.faults, tell)
    failed = [f"{each.heal.fault_id}: {each.problem}" for each in undone if each.problem]
    if failed:
        raise ActivityFailed("; ".join(failed))
    return [each.heal.fault_id for each in undone]
