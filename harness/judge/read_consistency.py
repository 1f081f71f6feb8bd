"""What several entry points together say of a write: one reads it here and misses it there."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from harness.events import Read, ReadStage


def one_read_a_stage(events: Iterable[Read]) -> Iterator[Read]:
    """The reads of an id in one stage as one read of the whole system.

    Entry points are asked one after the other: what one has and the next lacks is not lost. It is
    seen when any has it, missing when every one that answered lacks it, unknown when none did.
    """
    groups: dict[tuple[ReadStage, str], list[Read]] = defaultdict(list)
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


def diverged(events: Iterable[Read]) -> dict[str, int]:
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
