"""What the checks of an experiment look at, gathered from its record once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.catalog.expectations import Expectations
from harness.judge.doors import diverged, one_read_a_stage
from harness.judge.effect import Effect, effect_of
from harness.judge.failover import (
    Backlog,
    Milestones,
    Stages,
    backlog_of,
    milestones_of,
    own_delay_of,
    recovery_of,
)
from harness.judge.lost_writes import LostWrites, lost_writes, reads_of, writes_of
from harness.record.run import RunRecord
from harness.record.storage import read_object
from harness.stats.burn import budget
from harness.stats.recovery import Recovery


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

    backlog: Backlog
    writes: LostWrites | None
    lacking: Mapping[str, int]
    journal: Mapping[str, Any]


def facts_of(record: RunRecord, expect: Expectations, stages: Stages, targets: list[str]) -> Facts:
    """Read them; raises DataError where too little came before the fault."""
    found = recovery_of(record, stages)
    backlog = backlog_of(record, stages)
    effect = effect_of(
        record.events_of("canary"),
        record.events_of("proof"),
        stages.inject,
        stages.heal,
        stages.end,
        _replaced(record),
    )
    journal = record.directory / "journal.json"
    writes, lacking = _audit(record, stages)
    return Facts(
        record=record,
        expect=expect,
        stages=stages,
        effect=effect,
        milestones=milestones_of(record, stages, found, backlog, targets),
        recovery=found,
        at_best=recovery_of(record, stages, own_delay=own_delay_of(record, stages, 0.95)),
        backlog=backlog,
        writes=writes,
        lacking=lacking,
        journal=read_object(journal) if journal.is_file() else {},
    )


def _replaced(record: RunRecord) -> dict[str, float]:
    """When a replica went for good, or left its address: the door to it leads nowhere since."""
    last: dict[str, tuple[float, object]] = {}
    for event in record.events_of("health"):
        if isinstance(event.get("t"), float):
            last[str(event["id"])] = event["t"], event.get("now")
    gone = {name: at for name, (at, word) in last.items() if word is None}
    moves = [e for e in record.events_of("service_pod") if e.get("what") == "moved"]
    moved = {str(e["pod"]): e["t"] for e in reversed(moves) if isinstance(e.get("t"), float)}
    return moved | gone


def _audit(record: RunRecord, stages: Stages) -> tuple[LostWrites | None, dict[str, int]]:
    """The writes' fate over all doors, and how many each door lacks at the end."""
    writes = writes_of(record.events_of("write"))
    if not writes:
        return None, {}
    events = [event for event in record.events_of("read") if "begin_s" in event]
    reads = reads_of(one_read_a_stage(events))
    acknowledged = {write.id for write in writes if write.acknowledged}
    lacking = diverged(event for event in events if event["id"] in acknowledged)
    return lost_writes(writes, reads, stages.inject), lacking


def was_healed(record: RunRecord) -> bool:
    """Whether every fault that was begun was undone with proof."""
    begun = {e["fault_id"] for e in record.events_of("chaos") if e["what"] == "inject"}
    undone = {e["fault_id"] for e in record.events_of("chaos") if e["what"] == "healed"}
    return begun <= undone


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
