"""The counters of a replica in Prometheus' text format."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Requests by status, their durations, those in flight and the replication's lag."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.in_flight = 0
        self._statuses: dict[int, int] = {}
        self._buckets = [0] * (len(BOUNDS_S) + 1)
        self._sum_s = 0.0

    def count(self, status: int, seconds: float) -> None:
        """Count one answer."""
        self._statuses[status] = self._statuses.get(status, 0) + 1
        self._buckets[bisect_left(BOUNDS_S, seconds)] += 1
        self._sum_s += seconds

    def text(self, lag: Mapping[str, tuple[int, float]]) -> str:
        """The exposition; `lag` is, for each peer region, (entries, seconds) behind."""
        name = f'service="{self.service}"'
        lines = ["# TYPE http_requests_total counter"]
        for status, count in sorted(self._statuses.items()):
            lines.append(f'http_requests_total{{{name},status="{status}"}} {count}')
        lines.append("# TYPE http_request_duration_seconds histogram")
        total = 0
        for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), self._buckets, strict=True):
            total += count
            lines.append(f'http_request_duration_seconds_bucket{{{name},le="{bound}"}} {total}')
        lines += [
            f"http_request_duration_seconds_sum{{{name}}} {self._sum_s:.6f}",
            f"http_request_duration_seconds_count{{{name}}} {total}",
            "# TYPE http_requests_in_flight gauge",
            f"http_requests_in_flight{{{name}}} {self.in_flight}",
            "# TYPE replication_backlog_entries gauge",
            *(f'replication_backlog_entries{{{name},peer="{p}"}} {n}' for p, (n, _) in lag.items()),
            "# TYPE replication_lag_seconds gauge",
            *(f'replication_lag_seconds{{{name},peer="{p}"}} {s:.3f}' for p, (_, s) in lag.items()),
        ]
        return "\n".join(lines) + "\n"
