"""What the platform told beside a run: its pods' changes and its own events, as rows of a table."""

from dataclasses import dataclass

from harness.events import PlatformEvent, PlatformNews, PlatformView, ServicePod
from harness.record.run import RunRecord
from harness.report.summary import Table

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


def events_in(record: RunRecord) -> tuple[PlatformNews, ...]:
    """The same as the record's own events, all of them."""
    found: tuple[PlatformNews, ...] = (
        *record.of(ServicePod),
        *record.of(PlatformEvent),
        *record.of(PlatformView),
    )
    return tuple(sorted(found, key=lambda event: event["wall_ns"]))


def _row(event: PlatformNews) -> tuple[str, str, str, str]:
    at = event.get("t")
    when = "before" if at is None else f"{at:.1f} s"
    if event["type"] == "service_pod":
        text = f"on {event['node']}" if event["node"] else ""
        if event.get("restarts"):
            text = f"{event['restarts']} restarts, {text}".removesuffix(", ")
        return (when, f"pod {event['what']}", event["pod"], text)
    if event["type"] == "platform_view":
        what = "seen again" if event["ok"] else "not seen"
        return (when, what, "API server", event["reason"])
    times = f" ({event['count']} times)" if event["count"] > 1 else ""
    return (when, event["reason"], event["object"], f"{event['message']}{times}")
