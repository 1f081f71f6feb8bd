"""A made-up experiment: a region fails, the global edge fails over; each part can be broken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.load.plan import LoadPlan
from harness.record import RunRecord, RunWriter
from harness.traffic.model import Segment
from tests.record.synthetic import Made, messages, plan, service

WARM, INJECT, HEAL, END = 4, 20, 32, 54
US, EU = "us-east-1", "eu-west-1"
Event = dict[str, Any]


@dataclass(frozen=True)
class Story:
    """What happens; the default is a sound failover of five seconds that loses nothing."""

    outage: tuple[int, int] = (INJECT, 25)
    after_errors: float = 0.0
    tail: float = 1.0
    over_at: float | None = 22.0
    back_at: float | None = 34.0
    canary: bool = True
    canary_ends: bool = True
    platform_sees: bool = True
    taken: float | None = None
    taken_until: int = HEAL
    healed: bool = True
    lost: int = 0
    problem: str | None = None
    expect: dict[str, Any] = field(
        default_factory=lambda: {
            "recovery_s": 8, "fail_back_s": 8, "error_budget": 0.01, "lost_writes": 0,
            "impact": True,
        }
    )  # fmt: skip
    extra: tuple[Event, ...] = ()
    made: dict[str, Any] = field(default_factory=dict)


def experiment(root: Path, story: Story | None = None) -> RunRecord:
    """The story as the command line would have recorded it."""
    story = story or Story()
    made = Made(**({"plan": _plan(), "sigma": 0.2, "failures": _failures(story)} | story.made))
    writer = RunWriter.create(root, service(), made.plan, {"platform": "lab", "cores": 2})
    for message in messages(made):
        writer.message(message)
    for event in sorted((*_events(story), *story.extra), key=lambda each: each["t"]):
        writer.event(event["type"], **{k: v for k, v in event.items() if k != "type"})
    document = {
        "experiment": {"name": "fail-region", "expect": story.expect},
        "plan": {"hits": [{"targets": ["memorai-us-east-1-0"]}]},
    }
    (writer.directory / "plan.json").write_text(json.dumps({"schema": 1, **document}))
    met = {"steady_state_met": True}
    journal = {"steady_states": {"before": met, "after": met, "during": [met]}}
    (writer.directory / "journal.json").write_text(json.dumps(journal))
    return writer.finish("complete" if story.healed else "failed", problem=story.problem)


def _plan() -> LoadPlan:
    made = plan(rate=400.0)
    segments = (Segment("warmup", WARM, 200, 400), Segment("hold", END - WARM, 400, 400))
    return LoadPlan(
        made.target, made.traffic, type(made.profile)("experiment", segments, "constant")
    )


def _failures(story: Story) -> Any:
    def failures(second: int, endpoint: str, offered: int) -> dict[str, int]:
        if story.outage[0] <= second < story.outage[1]:
            return {"timeout": offered // 2}
        if second >= HEAL and story.after_errors:
            return {"check": int(offered * story.after_errors)}
        return {}

    return failures


def _events(story: Story) -> Iterator[Event]:
    yield {"type": "chaos", "t": float(INJECT), "what": "inject", "fault_id": "f1",
           "kind": "fail-region", "targets": ["memorai-us-east-1-0"]}  # fmt: skip
    for t in range(INJECT + 1, story.taken_until):
        taken = {} if story.taken is None else {"taken_s": story.taken * (t - INJECT)}
        yield _proof(t, in_effect=story.platform_sees) | taken
    done = "healed" if story.healed else "heal_failed"
    yield {"type": "chaos", "t": HEAL, "what": done, "fault_id": "f1", "kind": "fail-region",
           "detail": "memorai-us-east-1-0 is stopped"}  # fmt: skip
    yield _proof(HEAL + 0.1, in_effect=not story.healed)
    for name, begin, end in (
        ("before", WARM, INJECT), ("during", INJECT, HEAL), ("after", HEAL, END)
    ):  # fmt: skip
        yield {"type": "stage", "t": float(END), "stage": name, "begin": begin, "end": end}
    yield from _canary(story)
    yield {"type": "health", "t": 21.5, "id": "edge-memorai-global>us-east-1", "was": "healthy",
           "now": "failed"}  # fmt: skip
    served = {US: 0, EU: 0}
    for t in range(WARM, END):
        served[_region(story, t)] += 400
        yield {"type": "served", "t": t + 0.01, "regions": dict(served)}
    yield from _writes(story)


def _proof(t: float, *, in_effect: bool) -> Event:
    return {"type": "proof", "t": float(t), "fault_id": "f1", "in_effect": in_effect,
            "statement": "the region is stopped"}  # fmt: skip


def _region(story: Story, t: float) -> str:
    over, back = story.over_at, story.back_at
    if over is None or t < over or (back is not None and t >= back):
        return US
    return EU


def _canary(story: Story) -> Iterator[Event]:
    until = HEAL + 0.5 if story.canary_ends else END
    for tick in range(WARM * 5, END * 5):
        t = tick / 5
        for connection in ("kept", "new"):
            for where in ("global", US):
                down = story.canary and INJECT <= t < until and where == US
                down |= story.canary and where == "global" and INJECT <= t < (story.over_at or HEAL)
                yield {
                    "type": "canary", "t": t + 0.01, "where": where, "connection": connection,
                    "ok": not down, "error": "timeout" if down else None, "latency_s": 0.01,
                    "region": None if down else (US if where == US else _region(story, t)),
                }  # fmt: skip


def _writes(story: Story) -> Iterator[Event]:
    before = [n for n in range(200) if WARM + n * (END - WARM) / 200 < INJECT]
    lost = set(before[-story.lost :]) if story.lost else set()
    for number in range(200):
        at = WARM + number * (END - WARM) / 200
        yield {"type": "write", "t": at, "id": f"w{number}", "endpoint": "POST", "due_s": at,
               "sent_s": at, "done_s": at + 0.02, "status": 201, "error": None}  # fmt: skip
        seen = number not in lost
        yield {"type": "read", "t": END + 1.0, "id": f"w{number}", "where": "global",
               "stage": "after", "begin_s": END + 0.5, "end_s": END + 0.6, "seen": seen,
               "copies": int(seen), "value_ok": True if seen else None}  # fmt: skip
