"""How the experiment itself went: its steady state, its activities, its undo."""

from __future__ import annotations

from harness.judge.experiment.facts import Facts, was_healed
from harness.judge.experiment.model import Check, Made
from harness.record.run import RunRecord


def undone(record: RunRecord) -> tuple[Check, ...]:
    """Whether every fault was undone with proof, at once."""
    failed = [e for e in record.events_of("chaos") if e["what"] == "heal_failed"]
    if not was_healed(record) or failed:
        why = str(failed[-1].get("detail")) if failed else "no heal was recorded"
        if was_healed(record):
            why = f"only after another try: {why}"
        return (
            Check("undone", "fail", "not at once", "undone", f"The heal did not undo it: {why}."),
        )
    if not record.events_of("stage"):
        return ()
    return (Check("undone", "pass", "proven", "undone", "The fault was undone, with proof."),)


def steady_state(facts: Facts) -> Made:
    """Chaos Toolkit's own hypothesis before and after, by what its probes said."""
    states = facts.journal.get("steady_states") or {}
    before = (states.get("before") or {}).get("steady_state_met")
    after = (states.get("after") or {}).get("steady_state_met")
    during = [state.get("steady_state_met") for state in states.get("during") or ()]
    share = f"{sum(met is True for met in during)} of {len(during)} times during"
    if before is None:
        return None, "unknown", "met", "Chaos Toolkit left no word on the steady state."
    if not before:
        return (
            "inconclusive",
            "not before",
            "met",
            "The steady state did not hold before the fault.",
        )
    if after is False:
        return (
            "fail",
            "not after",
            "met",
            f"The steady state did not hold after the heal ({share}).",
        )
    return "pass", "met", "met", f"The steady state held before and after the fault ({share})."
