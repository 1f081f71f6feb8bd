"""The counts per second that an objective is judged by, and what the generator explains of them.

A response contains the generator's own lateness, and whatever delayed a null server beside the
load delayed the service as well. So a request counts as slow for certain only where its response
exceeds the limit by more than these explain; a server's answer is never excused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.catalog.model import in_scope
from harness.judge.connections import check_connections
from harness.judge.schedule import bound_is_too_low
from harness.load.plan import LATE_SHARE
from harness.record.distribution import Counts, Distribution, Floats, stack
from harness.record.run import RunRecord
from harness.record.series import Kind, Series
from harness.units import NANOSECONDS

LAG_FROM_S = 0.0005
"""Lag below this explains nothing: what the pacer keeps to at p99 on a machine with a free core
(benchmarks/RESULTS.md, section 2)."""

PROBE_FROM_S = 0.001
"""Control-probe latency below this explains nothing: a hundredth of the 100 ms objective, and about
what a scheduler of a shared machine can promise."""

STEAL_FROM = 0.05
"""Share of stolen processor time in a second from which it may have delayed that second."""

LAG_QUANTILES = (0.5, 0.9, 0.99, 1.0)
"""Where the lag of a second is held against its responses; any of them gives a valid bound."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """One scope (all endpoints, one, or a group) over a stretch of seconds.

    `offered`, `lost` (failed and unfinished), `own` (lost ones that may be the generator's doing)
    and `completed` count by the second a request was due, `failed` and `done` (completed) ones by
    the second they ended, all i64[n]. `values` f64[m] (s) and `counts` i64[n, m] are the times that
    are judged, `lag_values` and `lag_counts` the generator's lag. `delays` f64[n] (s) is what the
    machine alone may have added.
    """

    seconds: Counts
    offered: Counts
    lost: Counts
    own: Counts
    completed: Counts
    failed: Counts
    done: Counts
    values: Floats
    counts: Counts
    lag_values: Floats
    lag_counts: Counts
    delays: Floats

    @cached_property
    def _cumulative(self) -> Counts:
        zero = np.zeros((len(self.counts), 1), np.int64)
        return np.hstack([zero, np.cumsum(self.counts, axis=1)])

    def _slower(self, limits: NDArray[np.floating[Any]]) -> Counts:
        """Completed requests per second whose response exceeds that second's limit."""
        place = np.searchsorted(self.values, limits, side="right")
        whole = self._cumulative
        result: Counts = whole[:, -1] - whole[np.arange(len(whole)), place]
        return result

    def beyond(self, limit: float) -> Counts:
        """Offered requests per second that were not answered well within `limit` seconds."""
        slow = self._slower(np.full(len(self.seconds), limit))
        return np.minimum(self.lost + slow, self.offered)

    def certainly_beyond(self, limit: float) -> Counts:
        """The same without what the generator or the machine may have caused.

        At most as many requests as were sent later than e can owe more than e to the generator,
        and a burst sent e late delays a service that carries its rate by at most e more. So the
        service's own slow ones are at least those above limit + 2 e, less those with a lag above
        e; the largest such bound over several e counts.
        """
        floor: Floats = np.full(len(self.seconds), LAG_FROM_S)
        found = self._slower(limit + self.delays) - self._later(floor)
        for lag in self._lags:
            late: Floats = np.maximum(lag, LAG_FROM_S)
            found = np.maximum(
                found, self._slower(limit + self.delays + 2 * late) - self._later(late)
            )
        return np.minimum(self.certainly_lost + np.maximum(found, 0), self.offered)

    @property
    def certainly_lost(self) -> Counts:
        """Lost requests per second that the generator did not refuse by itself."""
        return self.lost - self.own

    @cached_property
    def _lags(self) -> list[Floats]:
        """The lag of each second at some quantiles, not below the one of the second before."""
        if not self.lag_counts.size:
            return []
        whole = np.cumsum(self.lag_counts, axis=1)
        found = []
        for q in LAG_QUANTILES:
            rank = np.ceil(q * whole[:, -1])
            place = (whole < rank[:, None]).sum(axis=1).clip(max=len(self.lag_values) - 1)
            lag = np.where(whole[:, -1] > 0, self.lag_values[place], 0.0)
            found.append(np.maximum(lag, np.concatenate([[0.0], lag[:-1]])))
        return found

    def _later(self, limits: Floats) -> Counts:
        if not self.lag_counts.size:
            return np.zeros(len(self.seconds), np.int64)
        place = np.searchsorted(self.lag_values, limits, side="right")
        zero = np.zeros((len(self.lag_counts), 1), np.int64)
        whole = np.hstack([zero, np.cumsum(self.lag_counts, axis=1)])
        result: Counts = whole[:, -1] - whole[np.arange(len(whole)), place]
        return result

    def explained_s(self) -> float:
        """The most that the generator and the machine explain of one second's latencies."""
        lag = max((float(found.max(initial=0.0)) for found in self._lags[:3]), default=0.0)
        late = 2 * lag if lag > LAG_FROM_S else 0.0
        return late + float(self.delays.max(initial=0.0))

    def part(self, begin: int, end: int) -> Evidence:
        """The seconds at the places `begin` to `end` (not included) alone."""
        cut = slice(begin, end)
        return Evidence(
            self.seconds[cut], self.offered[cut], self.lost[cut], self.own[cut],
            self.completed[cut], self.failed[cut], self.done[cut], self.values,
            self.counts[cut], self.lag_values, self.lag_counts[cut], self.delays[cut],
        )  # fmt: skip

    def quantile(self, q: float) -> float | None:
        """The response (s) within which a share `q` of the offered requests was answered well.

        None where fewer were answered at all.
        """
        offered = int(self.offered.sum())
        if not offered or not len(self.values):
            return None
        whole = np.cumsum(self.counts.sum(axis=0))
        rank = max(1, int(np.ceil(q * offered - 1e-9)))
        return float(self.values[np.searchsorted(whole, rank)]) if rank <= whole[-1] else None


def gather(
    record: RunRecord, seconds: Counts, endpoints: Sequence[str] = (), kind: Kind = "response"
) -> Evidence:
    """The evidence of some seconds (i64[n], ascending): of all endpoints, or of those named.

    Names may be patterns (`GET *`). `kind` is the time that is judged: a response, a time to the
    first token, or a time between tokens, to which the generator's lag adds nothing.
    """
    scope: list[str | None] = [None]
    if endpoints:
        scope = [name for name in record.endpoints if in_scope(name, endpoints)]
    due = [record.series("due", name) for name in scope]
    done = [record.series("done", name) for name in scope]

    def total(parts: list[Counts]) -> Counts:
        return np.sum([part[seconds] for part in parts], axis=0, dtype=np.int64) if parts else (
            np.zeros(len(seconds), np.int64)
        )  # fmt: skip

    completed = total([part.completed for part in due])
    values, counts = stack(_per_second(record, kind, scope, seconds))
    if kind == "itl":  # a stream of one token has no time between two
        alone: Counts = completed - counts.sum(axis=1)
        values = np.concatenate([[0.0], values])
        counts = np.hstack([alone[:, None], counts])
    late = scope if kind != "itl" else []
    lag_values, lag_counts = stack(_per_second(record, "lag", late, seconds))
    return Evidence(
        seconds=seconds,
        offered=total([part.offered for part in due]),
        lost=total([part.lost for part in due]),
        own=total(
            [
                *(_own(record, part) for part in due),
                *(
                    _kept_open(record, name)
                    for name in record.endpoints
                    if not endpoints or in_scope(name, endpoints)
                ),
            ]
        ),
        completed=completed,
        failed=total([part.failed for part in done]),
        done=total([part.completed for part in done]),
        values=values,
        counts=counts,
        lag_values=lag_values,
        lag_counts=lag_counts,
        delays=machine_delays(record)[seconds],
    )


def _own(record: RunRecord, due: Series) -> Counts:
    """Requests per second that failed on the generator's side of the network."""
    found = np.zeros(due.seconds, np.int64) + due.errors.get("local", 0)
    seconds = record.seconds_of("hold")
    offered = record.series("due").offered[seconds].sum() / max(len(seconds), 1)
    if bound_is_too_low(record, float(offered)):
        found = found + due.errors.get("in_flight_limit", 0)
    result: Counts = found
    return result


def _kept_open(record: RunRecord, endpoint: str) -> Counts:
    """Unfinished requests per second that the generator's own lag may have kept from their end."""
    due = record.series("due", endpoint)
    if due.unfinished.any():
        lag = record.distribution("lag", phase=None, endpoint=endpoint).quantile(0.99)
        if lag is not None and lag > LATE_SHARE * record.plan.drain_s:
            return due.unfinished
    return np.zeros(due.seconds, np.int64)


def _per_second(
    record: RunRecord, kind: Kind, scope: list[str | None], seconds: Counts
) -> list[Distribution | None]:
    parts = [record.distributions(kind, "due", name) for name in scope]
    if len(parts) == 1:
        return [parts[0][second] for second in seconds]
    return [Distribution.merge(part[second] for part in parts) for second in seconds]


def machine_delays(record: RunRecord) -> Floats:
    """What the machine may have added to any latency of each second, f64[seconds], in seconds.

    The control probe's slow requests, the stolen share of the second, a jump of the clock, and
    waits for a connection where the generator had too few.
    """
    found: Floats = np.zeros(record.seconds, np.float64)
    for time, nanoseconds in record.measurements("probe", "p99_ns"):
        if nanoseconds / NANOSECONDS > PROBE_FROM_S:
            _raise(found, time, nanoseconds / NANOSECONDS)
    for time, share in record.measurements("tick", "steal"):
        if share > STEAL_FROM:
            # A tick speaks of the second before it.
            _raise(found, time, share)
            _raise(found, time - 1, share)
    for time, jump in record.measurements("clock_jump", "seconds"):
        _raise(found, time, abs(jump))
    if check_connections(record).ok is False:
        found += np.nan_to_num(record.quantile_series(1.0, "wait"))
    return found


def _raise(delays: Floats, time: float, value: float) -> None:
    second = int(time)
    if 0 <= second < len(delays):
        delays[second] = max(delays[second], value)
