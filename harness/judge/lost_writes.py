"""Which acknowledged writes were lost, by Jepsen's set-full rule.

The rule is that of `set-full` in jepsen.checker (github.com/jepsen-io/jepsen): an element is
*known* when its add was acknowledged or when the first read that saw it ended, whichever is
earlier. It is *lost* when it is known and the latest read that missed it began after it was known
and later than any read that saw it; *stable* when the latest read that saw it began later than any
that missed it; *never read* otherwise. A stable element that a read missed after it was known was
*stale* until then. A write that was never acknowledged is indeterminate: it need not survive.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.errors import DataError
from harness.events import Read as ReadEvent
from harness.events import ReadStage
from harness.messages import Write as WriteEvent

Fate = Literal["stable", "lost", "never-read"]

EXAMPLES = 5
"""Of each kind that are told in full; the ids of all lost writes are kept."""


@dataclass(frozen=True, slots=True)
class Write:
    """One attempt to add an element; seconds from the start, `done_s` None: no answer came."""

    id: str
    sent_s: float
    done_s: float | None
    acknowledged: bool


@dataclass(frozen=True, slots=True)
class Read:
    """One look for one element; `seen` None: the read failed, so it says nothing."""

    id: str
    begin_s: float
    end_s: float
    seen: bool | None
    where: str = ""
    copies: int | None = None
    value_ok: bool | None = None


@dataclass(frozen=True, slots=True)
class Traced:
    """What became of one element.

    `known_s` is when it was first known, None: never. `stale_s` is how long after that a read
    still missed it (0: none did), of stable ones only.
    """

    id: str
    fate: Fate
    acknowledged: bool
    acknowledged_s: float | None
    known_s: float | None
    stale_s: float
    missed_at: str | None
    copies: int
    corrupt: bool


@dataclass(frozen=True, slots=True)
class LostWrites:
    """All writes of a run.

    `indeterminate` were not acknowledged (`recovered` of them were seen all the same).
    `never_read` counts acknowledged ones that no conclusive read followed. `duplicated` were seen
    more than once by one read, `corrupt` with another value. `rpo_s` is the age, at the fault,
    of the oldest acknowledged write that was lost: 0 where none was, None where the fault's time
    is unknown.
    """

    attempted: int
    acknowledged: int
    indeterminate: int
    recovered: int
    stable: int
    lost: tuple[str, ...]
    stale: int
    worst_stale_s: float
    never_read: int
    duplicated: int
    corrupt: int
    unknown_reads: int
    rpo_s: float | None
    examples: tuple[Traced, ...]


def trace(writes: Iterable[Write], reads: Iterable[Read]) -> tuple[Traced, ...]:
    """The fate of each element written, by the set-full rule.

    Reads of ids nobody wrote are left out. Raises DataError when an id is written twice or a
    read ends before it begins.
    """
    by_id: dict[str, list[Read]] = {}
    for read in reads:
        if read.end_s < read.begin_s:
            raise DataError(f"the read of {read.id} ends before it begins", "check the clock")
        by_id.setdefault(read.id, []).append(read)
    found: dict[str, Traced] = {}
    for write in writes:
        if write.id in found:
            raise DataError(f"{write.id} was written twice", "write unique ids")
        found[write.id] = _traced(write, by_id.get(write.id, ()))
    return tuple(found.values())


def _traced(write: Write, reads: Sequence[Read]) -> Traced:
    present = [read for read in reads if read.seen]
    absent = [read for read in reads if read.seen is False]
    known = min(
        [read.end_s for read in present]
        + ([write.done_s] if write.acknowledged and write.done_s is not None else []),
        default=None,
    )
    last_present = max((read.begin_s for read in present), default=None)
    last_miss = max(absent, key=lambda read: read.begin_s, default=None)
    fate: Fate = "never-read"
    if last_present is not None and (last_miss is None or last_miss.begin_s < last_present):
        fate = "stable"
    elif known is not None and last_miss is not None and last_miss.begin_s > known:
        fate = "lost" if last_present is None or last_miss.begin_s > last_present else "never-read"
    stale = 0.0
    if fate == "stable" and last_miss is not None and known is not None:
        stale = max(last_miss.begin_s - known, 0.0)
    return Traced(
        id=write.id,
        fate=fate,
        acknowledged=write.acknowledged,
        acknowledged_s=write.done_s if write.acknowledged else None,
        known_s=known,
        stale_s=stale,
        missed_at=last_miss.where if last_miss is not None else None,
        copies=max((read.copies or 1 for read in present), default=0),
        corrupt=any(read.value_ok is False for read in present),
    )


def lost_writes(
    writes: Iterable[Write], reads: Sequence[Read], fault_s: float | None
) -> LostWrites:
    """What the writes and the reads of a run tell; raises DataError as `trace` does."""
    traced = trace(writes, reads)
    kept = [each for each in traced if each.acknowledged]
    lost = [each for each in traced if each.fate == "lost"]
    stale = [each for each in traced if each.stale_s > 0]
    unread = [each for each in kept if each.fate == "never-read"]
    odd = [each for each in traced if each.copies > 1 or each.corrupt]
    ages = [
        max(fault_s - each.acknowledged_s, 0.0)
        for each in lost
        if fault_s is not None and each.acknowledged_s is not None
    ]
    worst = sorted(stale, key=lambda each: -each.stale_s)
    return LostWrites(
        attempted=len(traced),
        acknowledged=len(kept),
        indeterminate=len(traced) - len(kept),
        recovered=sum(not each.acknowledged and each.fate == "stable" for each in traced),
        stable=sum(each.fate == "stable" for each in kept),
        lost=tuple(each.id for each in lost),
        stale=len(stale),
        worst_stale_s=worst[0].stale_s if worst else 0.0,
        never_read=len(unread),
        duplicated=sum(each.copies > 1 for each in traced),
        corrupt=sum(each.corrupt for each in traced),
        unknown_reads=sum(read.seen is None for read in reads),
        rpo_s=None if fault_s is None else max(ages, default=0.0),
        examples=tuple(
            each
            for group in (sorted(lost, key=lambda each: each.known_s or 0.0), odd, worst, unread)
            for each in group[:EXAMPLES]
        ),
    )


def writes_of(events: Iterable[WriteEvent]) -> list[Write]:
    """The `write` events of a record; acknowledged is a 2xx answer without an error."""
    return [
        Write(
            event["id"],
            event["due_s"] if event["sent_s"] is None else event["sent_s"],
            event["done_s"],
            event["error"] is None and 200 <= (event["status"] or 0) < 300,  # noqa: PLR2004 - success
        )
        for event in events
        if event["id"] is not None
    ]


def reads_of(events: Iterable[ReadEvent]) -> list[Read]:
    """The `read` events of a record that carry both their times."""
    return [
        Read(
            event["id"],
            event["begin_s"],
            event["end_s"],
            event["seen"],
            event["where"],
            event.get("copies"),
            event.get("value_ok"),
        )
        for event in events
        if "begin_s" in event and "end_s" in event
    ]


def one_read_a_stage(events: Iterable[ReadEvent]) -> Iterator[ReadEvent]:
    """The reads of an id in one stage as one read of the whole system.

    Entry points are asked one after the other: what one has and the next lacks is not lost. It is
    seen when any has it, missing when every one that answered lacks it, unknown when none did.
    """
    groups: dict[tuple[ReadStage, str], list[ReadEvent]] = defaultdict(list)
    for event in events:
        groups[event["stage"], event["id"]].append(event)
    for (stage, key), found in groups.items():
        known = [event["seen"] for event in found if event["seen"] is not None]
        seen = any(known) if known else None
        yield {
            "type": "read",
            "stage": stage,
            "id": key,
            "where": ", ".join(sorted({event["where"] for event in found})),
            "begin_s": min(event["begin_s"] for event in found),
            "end_s": max(event["end_s"] for event in found),
            "seen": seen,
            "copies": max((event.get("copies") or 0 for event in found), default=0),
            "value_ok": not any(event.get("value_ok") is False for event in found),
        }


def diverged(events: Iterable[ReadEvent]) -> dict[str, int]:
    """How many ids each entry point lacks at the end, when all is quiet, that another has."""
    last: dict[str, dict[str, bool]] = defaultdict(dict)
    for event in events:
        if event["stage"] == "after" and event["seen"] is not None:
            last[event["id"]][event["where"]] = event["seen"]
    lacking: dict[str, int] = defaultdict(int)
    for entry_points in last.values():
        if any(entry_points.values()):
            for where, seen in entry_points.items():
                lacking[where] += not seen
    return {where: count for where, count in sorted(lacking.items()) if count}
