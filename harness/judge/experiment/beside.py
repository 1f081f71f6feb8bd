"""What the platform did beside the fault while an experiment ran: it may explain the verdict.

Named in the reasons of a verdict that is not a pass, never judged: a rollout, an autoscaler's
decision, an eviction or a container out of memory is as good an explanation as the fault.
"""

from collections.abc import Mapping

from harness.events import Chaos, PlatformEvent
from harness.judge.model import Outcome
from harness.record.run import RunRecord

OWN: Mapping[str, frozenset[str]] = {
    "ScalingReplicaSet": frozenset({"scale", "bad-release", "rolling-restart", "drain-node"}),
    "SuccessfulRescale": frozenset({"scale"}),
    "Evicted": frozenset({"drain-node", "memory-pressure", "disk-pressure"}),
    "TaintManagerEviction": frozenset({"drain-node", "kill-node", "fail-zone", "fail-region"}),
    "Preempted": frozenset(),
    "OOMKilling": frozenset({"memory-pressure"}),
    "NodeNotReady": frozenset({"kill-node", "fail-zone", "fail-region", "isolate-region"}),
    "FailedScheduling": frozenset({"kill-node", "fail-zone", "fail-region", "drain-node"}),
}
"""Reasons of Kubernetes' events that change a service's pods, with the faults that bring them."""

MOST = 3


def beside_the_fault(record: RunRecord, outcome: Outcome) -> tuple[str, ...]:
    """A sentence on what Kubernetes told that no fault of the run brings; none for a pass."""
    if outcome == "pass":
        return ()
    kinds = {str(e.get("kind")) for e in record.of(Chaos) if e["what"] == "inject"}
    found = [
        event
        for event in record.of(PlatformEvent)
        if event["reason"] in OWN and not OWN[event["reason"]] & kinds
    ]
    if not found:
        return ()
    named = "; ".join(map(_said, found[:MOST]))
    more = f"; and {len(found) - MOST} more" if len(found) > MOST else ""
    return (f"Beside the fault, the platform reported: {named}{more}.",)


def _said(event: PlatformEvent) -> str:
    at = event.get("t")
    when = "before the load" if at is None else f"at {at:.0f} s"
    words = f"{event['reason']} of {event['object']} {when}"
    message = event["message"].rstrip(".")
    return f"{words} ({message})" if message else words
