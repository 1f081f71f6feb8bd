"""What the checks of an experiment look at, gathered from its record once."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.catalog.expectations import Expectations
from harness.events import Canary, Chaos, Health, Proof, Read, ServicePod
from harness.judge.effect import Effect, effect_of
from harness.judge.failover import (
    Backlog,
    Milestones,
    Stages,
    backlog_of,
    milestones_of,
    own_delay_of,
    recovery_of,
    stages_of_faults,
)
from harness.judge.lost_writes import (
    LostWrites,
    diverged,
    lost_writes,
    one_read_a_stage,
    reads_of,
    writes_of,
)
from harness.messages import Write
from harness.record.run import RunRecord
from harness.stats.burn import budget
from harness.stats.recovery import Recovery
from harness.toolkit import Journal, journal_at

CAUTION = 0.1
"""A recovery that is late by seconds that chance puts out of band ten times as often is a doubt:
below 50 requests/s one sound experiment in 400 would fail by them (benchmarks/stats)."""


@dataclass(frozen=True, slots=True)
class FaultFacts:
    """One of several faults in a row; `shown`: whether it was seen to be in effect."""

    kind: str
    stages: Stages
    recovery: Recovery
    at_best: Recovery
    sure: Recovery
    shown: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the checks look at."""

    record: RunRecord
    expect: Expectations
    stages: Stages
    effect: Effect
    milestones: Milestones
    recovery: Recovery
    at_best: Recovery
    """The same if all that this machine may have added to a latency was its own."""

    sure: Recovery
    """The same by seconds that noise hardly explains: a failure needs them."""

    backlog: Backlog
    writes: LostWrites | None
    lacking: Mapping[str, int]
    journal: Journal
    faults: tuple[FaultFacts, ...] = ()


def facts_of(record: RunRecord, expect: Expectations, stages: Stages, targets: list[str]) -> Facts:
    """Read them; raises DataError where too little came before the fault."""
    faults = _each_fault(record, stages)
    found, at_best = _recoveries(record, stages, faults)
    backlog = backlog_of(record, stages)
    effect = effect_of(
        record.of(Canary),
        record.of(Proof),
        stages.inject,
        stages.heal,
        stages.end,
        _replaced(record),
    )
    writes, lacking = _audit(record, stages)
    return Facts(
        record=record,
        expect=expect,
        stages=stages,
        effect=effect,
        milestones=milestones_of(record, stages, found, backlog, targets),
        recovery=found,
        at_best=at_best,
        sure=recovery_of(record, stages, caution=CAUTION),
        backlog=backlog,
        writes=writes,
        lacking=lacking,
        journal=journal_of(record),
        faults=faults,
    )


def _recoveries(
    record: RunRecord, stages: Stages, faults: tuple[FaultFacts, ...]
) -> tuple[Recovery, Recovery]:
    """As measured, and at best."""
    if faults:
        found, at_best = ([getattr(e, name) for e in faults] for name in ("recovery", "at_best"))
        shifts = [each.stages.inject - stages.inject for each in faults]
        return _overall(found, shifts), _overall(at_best, shifts)
    delay = own_delay_of(record, stages, 0.95)
    return recovery_of(record, stages), recovery_of(record, stages, own_delay=delay)


def _overall(each: Sequence[Recovery], shifts: Sequence[float]) -> Recovery:
    """The impact of the first fault that was felt, the recovery from the last one."""
    felt = [(one, shift) for one, shift in zip(each, shifts, strict=True) if one.impact is not None]
    if not felt:
        return each[-1]
    first, last = (_later(*one) for one in (felt[0], felt[-1]))
    return replace(last, impact=first.impact)


def _later(found: Recovery, shift: float) -> Recovery:
    """The same on the clock of an injection that was `shift` seconds before."""

    def moved(at: float | None) -> float | None:
        return None if at is None else at + shift

    return replace(
        found,
        impact=moved(found.impact),
        detection=moved(found.detection),
        recovery=moved(found.recovery),
        low=moved(found.low),
        high=moved(found.high),
        relapse=moved(found.relapse),
    )


def _each_fault(record: RunRecord, stages: Stages) -> tuple[FaultFacts, ...]:
    found = []
    for kind, own in stages_of_faults(record, stages):
        delay = own_delay_of(record, own, 0.95)
        canary = [
            e
            for e in record.of(Canary)
            if (t := e.get("t")) is not None and (t < stages.inject or own.inject <= t < own.end)
        ]
        effect = effect_of(canary, record.of(Proof), own.inject, own.heal, own.end)
        quick, slow = (recovery_of(record, own, own_delay=each) for each in (None, delay))
        sure = recovery_of(record, own, caution=CAUTION)
        shown = effect.began is not None or effect.presses
        found.append(FaultFacts(kind, own, quick, slow, sure, shown))
    return tuple(found)


def journal_of(record: RunRecord) -> Journal:
    """Chaos Toolkit's journal, empty where it left none."""
    return journal_at(record.directory / "journal.json")


def _replaced(record: RunRecord) -> dict[str, float]:
    """When a replica went for good, or left its address: its entry point leads nowhere since."""
    last = {e["id"]: (t, e["now"]) for e in record.of(Health) if (t := e.get("t")) is not None}
    gone = {name: at for name, (at, health) in last.items() if health is None}
    moves = [(e["pod"], e.get("t")) for e in record.of(ServicePod) if e["what"] == "moved"]
    return {pod: t for pod, t in reversed(moves) if t is not None} | gone


def _audit(record: RunRecord, stages: Stages) -> tuple[LostWrites | None, dict[str, int]]:
    """The writes' fate over all entry points, and how many each entry point lacks at the end."""
    writes = writes_of(record.of(Write))
    if not writes:
        return None, {}
    events = [event for event in record.of(Read) if "begin_s" in event]
    reads = reads_of(one_read_a_stage(events))
    acknowledged = {write.id for write in writes if write.acknowledged}
    lacking = diverged(event for event in events if event["id"] in acknowledged)
    return lost_writes(writes, reads, stages.inject), lacking


def injected(record: RunRecord) -> bool:
    """Whether a fault of the harness was begun; an ordinary file breaks things by itself."""
    return any(e["what"] == "inject" for e in record.of(Chaos))


def was_healed(record: RunRecord) -> bool:
    """Whether every fault that was begun was undone with proof."""
    begun = {e.get("fault_id") for e in record.of(Chaos) if e["what"] == "inject"}
    undone = {e.get("fault_id") for e in record.of(Chaos) if e["what"] == "healed"}
    there = {each.fault_id for each in back_again(record) if not each.gone}
    return begun <= undone - there


@dataclass(frozen=True, slots=True)
class BackAgain:
    """A fault that was in effect again `after_s` seconds after it was undone with proof.

    `gone`: it was not in effect any more at the last look.
    """

    fault_id: str
    kind: str
    after_s: float
    statement: str
    gone: bool


def back_again(record: RunRecord) -> tuple[BackAgain, ...]:
    """The faults that came back: at two looks in a row, or at the last one."""
    undone: dict[str, tuple[float, str]] = {}
    for event in record.of(Chaos):
        if event["what"] == "healed" and (t := event.get("t")) is not None:
            undone.setdefault(str(event.get("fault_id")), (t, str(event.get("kind"))))
    found = []
    for fault_id, (healed, kind) in undone.items():
        looks = [
            (t - healed, bool(e["in_effect"]), e["statement"])
            for e in record.of(Proof)
            if e["fault_id"] == fault_id and (t := e.get("t")) is not None and t > healed
        ]
        again = [
            look
            for look, following in itertools.zip_longest(looks, looks[1:])
            if look[1] and (following is None or following[1])
        ]
        if again:
            found.append(BackAgain(fault_id, kind, again[0][0], again[0][2], not looks[-1][1]))
    return tuple(found)


def lost_ratio(record: RunRecord, begin: float, end: float) -> float | None:
    """The share of the requests due from `begin` to `end` (s) that failed; None without any."""
    series = record.series("due")
    part = slice(int(begin), int(end))
    offered = int(series.offered[part].sum())
    return float(series.lost[part].sum() / offered) if offered else None


def budget_spent(facts: Facts) -> float | None:
    """The share of the 30-day error budget that the fault cost, from the injection to the end."""
    objective = next(
        (o.threshold for o in facts.record.service.objectives if o.indicator == "error_ratio"), None
    )
    ratio = lost_ratio(facts.record, facts.stages.inject, facts.stages.end)
    if objective is None or ratio is None:
        return None
    seconds = facts.stages.end - facts.stages.inject
    found = budget(ratio * seconds, seconds, 1 - objective, seconds)
    return None if found is None else found.spent
