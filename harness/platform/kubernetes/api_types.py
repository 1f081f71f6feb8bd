"""Objects of the Kubernetes API as its JSON has them; only what is read has a field."""

from typing import TypedDict

Manifest = dict[str, object]
"""An object to be created, as YAML has it."""


class EventAbout(TypedDict, total=False):
    """What an event of Kubernetes is about."""

    kind: str
    name: str


class EventMetadata(TypedDict, total=False):
    """What names it."""

    uid: str
    creationTimestamp: str | None


class EventSeries(TypedDict, total=False):
    """How often it came."""

    count: int | None
    lastObservedTime: str | None


class EventItem(TypedDict, total=False):
    """An event as the API gives it (core/v1)."""

    metadata: EventMetadata
    involvedObject: EventAbout
    type: str | None
    reason: str | None
    message: str | None
    count: int | None
    series: EventSeries | None
    firstTimestamp: str | None
    lastTimestamp: str | None
    eventTime: str | None
