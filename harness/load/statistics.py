"""Feeding the engine's slices into Locust's own statistics, for its CSV files and web UI.

Locust rounds response times (1 ms below 100 ms, then to two digits); this project's own figures
never come from here.
"""

from collections.abc import Mapping

from locust.stats import RequestStats, StatsEntry, StatsError

from harness._engine import Histogram
from harness.messages import SliceRow
from harness.units import NANOSECONDS

_MILLISECOND = NANOSECONDS // 1000


def feed(stats: RequestStats, piece: SliceRow, methods: Mapping[str, str], wall_s: float) -> None:
    """Add one slice of the axis `done` that ended about `wall_s` (Unix seconds).

    Call it from a greenlet of Locust's own loop, never from another thread.
    """
    ended = piece["completed"] + piece["failed"]
    if not ended:
        return
    name = piece["endpoint"]
    method = methods.get(name, "")
    second = int(wall_s)
    entry = StatsEntry(stats, name, method)
    entry.num_requests = ended
    entry.num_failures = piece["failed"]
    entry.num_reqs_per_sec = {second: ended}
    entry.num_fail_per_sec = {second: piece["failed"]} if piece["failed"] else {}
    entry.total_content_length = piece["bytes_in"]
    entry.start_time = wall_s - 1
    entry.last_request_timestamp = wall_s
    for kind in ("response", "failed"):
        text = piece["hist"].get(kind)
        if text is not None:
            _add_times(entry, Histogram.decode(text))
    stats.get(name, method).extend(entry)
    stats.total.extend(entry)
    for kind, count in piece["errors"].items():
        _add_error(stats, name, method, kind, count)


def _add_times(entry: StatsEntry, histogram: Histogram) -> None:
    values, counts = histogram.buckets()
    times = [float(value) / _MILLISECOND for value in values]
    for time, count in zip(times, (int(count) for count in counts), strict=True):
        bucket = _bucket(time)
        entry.response_times[bucket] = entry.response_times.get(bucket, 0) + count
        entry.total_response_time += time * count
    low, high = times[0], times[-1]
    entry.min_response_time = (
        low if entry.min_response_time is None else min(entry.min_response_time, low)
    )
    entry.max_response_time = max(entry.max_response_time, high)


def _bucket(milliseconds: float) -> int:
    """Locust's rounding: two significant digits above 100 ms (StatsEntry._log_response_time)."""
    for limit, digits in ((100, 0), (1_000, -1), (10_000, -2)):
        if milliseconds < limit:
            return int(round(milliseconds, digits))
    return int(round(milliseconds, -3))


def _add_error(stats: RequestStats, name: str, method: str, kind: str, count: int) -> None:
    key = StatsError.create_key(method, name, kind)
    error = stats.errors.get(key)
    if error is None:
        error = stats.errors[key] = StatsError(method, name, kind)
    error.occurrences += count
