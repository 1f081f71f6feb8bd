"""What a service answered: how often which status, and a few of the failures to look at."""

from collections import Counter

from harness.messages import FailureExample
from harness.record.run import RunRecord
from harness.units import format_duration, one_line

EXAMPLES = 5
"""Shown of one kind of failure."""

_SHOWN = 160
"""Characters of a body or a message in a line."""


def statuses(record: RunRecord) -> str | None:
    """How often which status over the whole run, and where redirects lead; None: not recorded."""
    counts: Counter[int] = Counter()
    for row in record.slices:
        for status, count in (row.get("statuses") or {}).items():
            counts[int(status)] += count
    if not counts:
        return None
    to = {e.get("status"): e["location"] for e in record.of(FailureExample) if e.get("location")}
    return ", ".join(
        f"{count:,} × {status}" + (f" → {one_line(str(to[status]), 80)}" if status in to else "")  # noqa: RUF001 - times
        for status, count in sorted(counts.items())
    )


def retried(record: RunRecord) -> str | None:
    """How many requests were sent again, because a connection went away before they were read."""
    count = int(record.series("due").retried.sum())
    return f"{count:,} sent again: connection going away" if count else None


def throttled(record: RunRecord) -> str | None:
    """How often the service limited its clients, and how long it asked them to wait."""
    found = record.series("due").errors.get("throttled")
    count = 0 if found is None else int(found.sum())
    if not count:
        return None
    said = (e.get("retry_after_s") for e in record.of(FailureExample))
    waits = [seconds for seconds in said if seconds is not None]
    text = f"{count:,} answers 429"
    if not waits:
        return f"{text}, no Retry-After"
    low, high = format_duration(min(waits)), format_duration(max(waits))
    return f"{text}, Retry-After {low if low == high else f'{low} to {high}'}"


def failures(record: RunRecord) -> tuple[tuple[str, str], ...]:
    """(kind, what was seen) of the first few failures of each kind, each text once."""
    found: dict[str, dict[str, None]] = {}
    for example in record.of(FailureExample):
        texts = found.setdefault(example["kind"], {})
        if len(texts) < EXAMPLES:
            texts[_text(example)] = None
    return tuple((kind, text) for kind, texts in sorted(found.items()) for text in texts)


def _text(example: FailureExample) -> str:
    """One failure in a line: `pay: 500 {"error": …}`, `visit: KeyError: 'token' (shop.py:12)`."""
    parts = []
    if example.get("status"):
        parts.append(str(example["status"]))
    if example.get("location"):
        parts.append(f"→ {example['location']}")
    if example.get("exception"):
        message = f": {example['message']}" if example.get("message") else ""
        parts.append(f"{example['exception']}{one_line(message, _SHOWN)}")
    elif example.get("message"):
        parts.append(one_line(str(example["message"]), _SHOWN))
    if example.get("place"):
        parts.append(f"({str(example['place']).rpartition('/')[2]})")
    if example.get("head"):
        parts.append(one_line(str(example["head"]), _SHOWN))
    said = " ".join(parts)
    return f"{example['endpoint']}: {said}" if said else example["endpoint"]
