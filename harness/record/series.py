"""What happened in each second of a run, summed over workers."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from harness._engine import Histogram
from harness.errors import RecordError
from harness.record.distribution import Counts, Distribution, Floats, merge

Axis = Literal["due", "done", "chain"]
"""The last is of chains, by the second in which they ended; the others are of requests."""

Kind = Literal[
    "response", "service", "lag", "wait", "failed", "ttfb", "ttft", "itl", "gap", "length"
]  # fmt: skip
"""Of these, the last five are of streams only."""

COUNTERS = (
    "offered", "completed", "failed", "unfinished", "bytes_in", "bytes_out", "connects",
    "retried", "tokens", "events", "coalesced", "good",
)  # fmt: skip
"""The last four are of completed streams, and 0 where there are none, as `retried` is."""

LONGEST_RUN_S = 7 * 86_400

MOST = 1 << 53
"""Of anything that a slice counts: beyond it a float is not exact."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Counts per second, i64[n]; index s is the second [s, s+1) from the start.

    On the axis `due` a request counts in the second it was due, on `done` in the one it ended.
    """

    axis: Axis
    offered: Counts
    completed: Counts
    failed: Counts
    unfinished: Counts
    bytes_in: Counts
    bytes_out: Counts
    connects: Counts
    retried: Counts
    tokens: Counts
    events: Counts
    coalesced: Counts
    good: Counts
    errors: dict[str, Counts]

    @property
    def seconds(self) -> int:
        """How many seconds the series spans."""
        return len(self.offered)

    @property
    def lost(self) -> Counts:
        """Requests per second without a good answer: failed and unfinished ones."""
        return self.failed + self.unfinished


def _check(row: dict[str, Any]) -> None:
    """Raise RecordError for a slice whose counts are no counts or whose histograms are no text."""
    errors, hist = row.get("errors", {}), row.get("hist", {})
    if not isinstance(errors, dict) or not isinstance(hist, dict):
        raise RecordError("a slice has errors or hist that are no objects", "the record is damaged")
    counts = {name: row.get(name, 0) for name in COUNTERS} | errors
    for name, count in counts.items():
        if type(count) is not int or not 0 <= count <= MOST:
            raise RecordError(f"a slice has {name} {count!r}", "the record is damaged")
    if any(text is not None and not isinstance(text, str) for text in hist.values()):
        raise RecordError("a slice has a histogram that is no text", "the record is damaged")


class SliceTable:
    """The slices of a run by axis and endpoint; histograms are decoded once, when asked for."""

    def __init__(self, slices: Iterable[dict[str, Any]]) -> None:
        self._rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.seconds = 0
        for row in slices:
            second = row.get("second")
            if type(second) is not int or not 0 <= second < LONGEST_RUN_S:
                raise RecordError(f"a slice has the second {second!r}", "the record is damaged")
            _check(row)
            self._rows.setdefault((str(row["axis"]), str(row["endpoint"])), []).append(row)
            self.seconds = max(self.seconds, second + 1)
        self._decoded: dict[tuple[str, str | None, str], list[Distribution | None]] = {}

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Every endpoint that occurs, in alphabetical order; chains are none."""
        return tuple(sorted({endpoint for axis, endpoint in self._rows if axis != "chain"}))

    def series(self, axis: Axis, endpoint: str | None) -> Series:
        """The counts of one endpoint, of a population (`crawler/*`), or of all of them."""
        counters = {name: np.zeros(self.seconds, np.int64) for name in COUNTERS}
        errors: dict[str, Counts] = {}
        for row in self._select(axis, endpoint):
            second = row["second"]
            for name, counter in counters.items():
                counter[second] += row.get(name, 0)
            for kind, count in row.get("errors", {}).items():
                errors.setdefault(kind, np.zeros(self.seconds, np.int64))[second] += count
        return Series(axis=axis, errors=dict(sorted(errors.items())), **counters)

    def distributions(
        self, kind: Kind, axis: Axis, endpoint: str | None
    ) -> list[Distribution | None]:
        """One distribution a second; None where nothing was recorded."""
        key = (axis, endpoint, kind)
        if key not in self._decoded:
            texts: list[list[str]] = [[] for _ in range(self.seconds)]
            for row in self._select(axis, endpoint):
                text = row.get("hist", {}).get(kind)
                if text is not None:
                    texts[row["second"]].append(text)
            self._decoded[key] = [
                Distribution.of(merge(found)) if found else None for found in texts
            ]
        return self._decoded[key]

    def merged(self, kind: Kind, axis: Axis, endpoint: str | None, seconds: Counts) -> Histogram:
        """The histograms of some seconds together."""
        wanted = {int(second) for second in seconds}
        return merge(
            row["hist"][kind]
            for row in self._select(axis, endpoint)
            if row["second"] in wanted and kind in row.get("hist", {})
        )

    def _select(self, axis: Axis, endpoint: str | None) -> list[dict[str, Any]]:
        if endpoint is not None and (axis, endpoint) in self._rows:
            return self._rows[axis, endpoint]
        if endpoint is not None and not endpoint.endswith("/*"):
            return []
        begin = "" if endpoint is None else endpoint.removesuffix("*")
        return [
            row
            for (at, name), rows in self._rows.items()
            if at == axis and name.startswith(begin)
            for row in rows
        ]


def quantiles(parts: list[Distribution | None], q: float) -> Floats:
    """The quantile of each distribution in seconds, f64[n]; NaN where there is none."""
    found = [part.quantile(q) if part is not None else None for part in parts]
    return np.array([np.nan if value is None else value for value in found], np.float64)
