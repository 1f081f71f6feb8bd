"""What the platform told beside a run: its pods' changes and its own events, as rows of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.record.run import RunRecord
from harness.report.summary import Table

TYPES = ("service_pod", "platform_event", "platform_view")
NEWEST = 50


@dataclass(frozen=True, slots=True)
class PlatformEvents:
    """The newest rows in the order of time; `omitted` counts those before them."""

    table: Table
    omitted: int


def platform_events(record: RunRecord) -> PlatformEvents:
    """Everything that the platform told in this run."""
    told = events_in(record)
    rows = tuple(_row(event) for event in told[-NEWEST:])
    table = Table(("at", "what", "object", "in words"), rows)
    return PlatformEvents(table, len(told) - len(rows))


def events_in(record: RunRecord) -> tuple[dict[str, object], ...]:
    """The same as the record's own events, all of them."""
    return record.events_of(*TYPES)


def _row(event: dict[str, Any]) -> tuple[str, str, str, str]:
    at = event.get("t")
    when = "before" if at is None else f"{at:.1f} s"
    if event["type"] == "service_pod":
        text = f"on {event['node']}" if event.get("node") else ""
        if event.get("restarts"):
            text = f"{event['restarts']} restarts, {text}".removesuffix(", ")
        return (when, f"pod {event.get('what')}", str(event.get("pod")), text)
    if event["type"] == "platform_view":
        what = "seen again" if event.get("ok") else "not seen"
        return (when, what, "API server", str(event.get("reason") or ""))
    count = event.get("count") or 1
    times = f" ({count} times)" if count > 1 else ""
    return (
        when,
        str(event.get("reason")),
        str(event.get("object")),
        f"{event.get('message') or ''}{times}",
    )
