"""What an experiment's method may do, as Chaos Toolkit actions.

Both raise ActivityFailed with one line on failure; a fault that matches nothing is a failure.
"""

from chaoslib.exceptions import ActivityFailed

from harness.catalog.model import Service
from harness.chaos.confirmed import new_fault_id
from harness.chaos.context import current, injections
from harness.chaos.events import send
from harness.chaos.ledger import Ledger
from harness.chaos.undo import proof_event, undo_all
from harness.errors import HarnessError
from harness.events import Chaos
from harness.platform.model import Fault, Platform
from harness.platform.undo import UndoRecord

__all__ = ["heal", "inject"]


def inject(fault: str, **arguments: object) -> dict[str, object]:
    """Carry a confirmed fault out; its heal is in the ledger before it."""
    context = current()
    platform, ledger, service = context.platform, context.faults, context.service
    event: Chaos = {"type": "chaos", "what": "inject", "kind": fault, "arguments": arguments}
    try:
        asked = Fault(fault, arguments)
        plan = _resolved(platform, service, ledger, asked)
        event["fault_id"], event["targets"] = plan.fault_id, list(plan.targets)
        entry = ledger.intend(plan, platform.handle())
        send(event)
        platform.inject(service, asked, plan)
        ledger.injected(entry)
    except HarnessError as error:
        send({**event, "what": "inject_failed", "detail": str(error)})
        raise ActivityFailed(f"{fault}: {error}") from error
    send({**event, "what": "injected"})
    proof = platform.verify(plan)
    send(proof_event(plan, proof))
    return {
        "kind": fault,
        "arguments": arguments,
        "fault_id": plan.fault_id,
        "targets": list(plan.targets),
        "proof": proof.statement,
    }


def _resolved(platform: Platform, service: Service, ledger: Ledger, asked: Fault) -> UndoRecord:
    """The fault as it was confirmed; where no plan was (plain `chaos run`), as it is now.

    Raises ExperimentError where it was not confirmed, or where the plan does not hold any more.
    """
    allowed = injections()
    if allowed is None:
        return platform.plan_heal(service, asked, new_fault_id(asked))
    confirmed = allowed.take(asked)
    found = platform.plan_heal(service, asked, confirmed.fault_id, confirmed.among)
    holding = [entry.heal for entry in ledger.entries()]
    allowed.check(confirmed, found, holding, platform.replicas(service))
    return found


def heal() -> list[str]:
    """Undo every fault that this experiment has injected; nothing to undo is no failure."""
    context = current()
    undone = undo_all(context.platform, context.faults, send)
    failed = [f"{each.heal.fault_id}: {each.problem}" for each in undone if each.problem]
    if failed:
        raise ActivityFailed("; ".join(failed))
    return [each.heal.fault_id for each in undone]
