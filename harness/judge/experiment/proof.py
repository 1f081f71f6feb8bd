"""The check that a fault was in effect: without its proof no other figure means anything."""

from typing import Literal

from harness.judge.effect import TAKEN, Effect
from harness.judge.experiment.facts import Facts, injected
from harness.judge.experiment.model import Made, Word
from harness.judge.failover import starved
from harness.units import counted, format_duration, format_ratio


def proof_of_effect(facts: Facts) -> Made:
    """Whether the fault was seen to begin and to end, or took what it takes."""
    unmet = facts.effect.unmet
    if unmet is None:
        return _seen(facts)
    at, what = unmet
    return (
        "inconclusive", f"not in effect from second {at:.0f}", "in effect until the heal",
        f"The fault was not in effect from second {at:.0f} of the load on: {what}.",
    )  # fmt: skip


def _seen(facts: Facts) -> Made:
    effect, stages = facts.effect, facts.stages
    if not injected(facts.record):
        return None, "-", "not asked", "The file breaks things by itself: nothing is proven of it."
    if effect.platform_began is False:
        return (
            "inconclusive", "not in effect", "seen",
            "The injection came back, but the platform shows no fault in effect.",
        )  # fmt: skip
    unseen = [(n, each.kind) for n, each in enumerate(facts.faults, 1) if not each.shown]
    if unseen and effect.began is not None:
        number, kind = unseen[0]
        return (
            "inconclusive", f"{len(unseen)} not seen", "seen to begin",
            f"The canary did not see fault {number} ({kind}) begin.",
        )  # fmt: skip
    if effect.began is None:
        return _taken(effect)
    first = min(effect.observers, key=lambda each: each.began)
    begun = f"{first.where} ({first.connection} connection: {first.how})"
    if effect.ended is None:
        open_ = next(each for each in effect.observers if each.ended is None)
        failing = effect.platform_ended and open_.how != "slow"
        word: Word | Literal["noisy"] = "inconclusive"
        if failing or effect.platform_ended is False:
            late = failing and starved(facts.record, stages.heal, stages.end)
            word = "noisy" if late else "fail"
        return (
            word, "no end seen", "seen to end",
            f"The canary saw the fault begin at {begun}, but not end at {open_.where}.",
        )  # fmt: skip
    after = format_duration(max(first.began - stages.inject, 0.0))
    return (
        "pass", counted(len(effect.observers), "observer"), "seen to begin and end",
        f"The canary saw it begin after {after} at {begun}, and end.",
    )  # fmt: skip


def _taken(effect: Effect) -> Made:
    """What the processor time says that the fault took, where the canary saw nothing."""
    if effect.taken is None:
        return (
            "inconclusive", "not seen", "seen to begin",
            "The canary did not see the fault begin: nothing is proven.",
        )  # fmt: skip
    took = f"{format_ratio(effect.taken)} of the service's cores"
    limit = f">= {format_ratio(TAKEN)} of the cores, or seen to begin"
    if not effect.presses:
        return (
            "inconclusive", took, limit,
            f"The canary did not see the fault begin, and it took {took} only: nothing is proven.",
        )  # fmt: skip
    if not effect.platform_ended:
        word: Word = "inconclusive" if effect.platform_ended is None else "fail"
        return word, took, limit, f"It took {took}, and was not seen to end."
    return "pass", took, limit, f"It took {took} until it was undone; the canary felt nothing."
