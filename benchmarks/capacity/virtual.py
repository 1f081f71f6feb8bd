"""A service in virtual time: a queue that is simulated in chunks of a quarter second, vectorised.

All workers are one server of their joint speed in front of the request's own time (Lindley's
recursion as a running maximum); what is special about a service is its speed, its admission or
what it adds to a latency. Nothing waits: the clock moves with the simulation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.capacity.evidence import Limit, Observation, lost_for_certain
from harness.capacity.steps import LEAD_PART

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CHUNKS = 4
"""Per second."""

CHUNK_S = 1 / CHUNKS
START_S = 3.0
RAMP_S = 2
DRAIN_S = 10.0
TIMEOUT_S = 10.0
LIMITS = (Limit("p95", 0.05, 0.1), Limit("errors", 0.001, None))


class Service:
    """Ten workers of 10 ms; subclasses change what the comments of each method say."""

    workers = 10.0
    service_s = 0.010

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.now = float(random.uniform(0, 60))
        self.backlog = 0.0  # seconds of work
        self.idle_s = 60.0

    def speed(self) -> float:
        """Seconds of work done in a second, at `now`."""
        return self.workers

    def demands(self, count: int) -> Floats:
        """Seconds of work of each request."""
        return self.random.exponential(self.service_s, count)

    def blocked_s(self) -> float:
        """For how long from `now` nothing is served."""
        return 0.0

    def refused(self, at: Floats, waits: Floats) -> Bools:
        """Which requests are refused, given the wait each would have."""
        return np.zeros(len(at), np.bool_)

    def added(self, count: int, rate: float) -> Floats:
        """Seconds on top of the wait and the request's own time."""
        return np.zeros(count)

    def after(self, rate: float, latencies: Floats, lost: Bools) -> None:
        """What the chunk does to the service."""

    def rest(self, seconds: float) -> None:
        """No load for so long."""
        self.backlog = max(0.0, self.backlog - seconds * max(self.speed(), 1e-9))
        self.now += seconds
        self.idle_s += seconds

    def chunk(self, rate: float) -> tuple[int, Floats, Bools]:
        """(offered, latencies, lost) of a quarter second of Poisson arrivals."""
        count = int(self.random.poisson(rate * CHUNK_S))
        at = np.sort(self.random.uniform(0, CHUNK_S, count))
        work = self.demands(count)
        blocked = self.blocked_s()
        speed = self.speed()
        before, end = self._queue(at, work, speed, blocked)
        waits = before / speed + np.maximum(blocked - at, 0.0)
        refused = self.refused(at, waits)
        if refused.any():
            before, end = self._queue(at, np.where(refused, 0.0, work), speed, blocked)
            waits = before / speed + np.maximum(blocked - at, 0.0)
        self.backlog = end
        latencies = waits + work * self.workers / speed + self.added(count, rate)
        latencies[refused] = 0.001
        lost = refused | (latencies > TIMEOUT_S)
        self.after(rate, latencies, lost)
        self.now += CHUNK_S
        self.idle_s = 0.0
        return count, latencies, lost

    def _queue(
        self, at: Floats, work: Floats, speed: float, blocked: float
    ) -> tuple[Floats, float]:
        """(work found by each arrival, work left at the end), nothing being done while blocked."""
        blocked = min(blocked, CHUNK_S)
        sums = np.zeros(len(work) + 1)
        np.cumsum(work, out=sums[1:])
        last = float(sums[-1] - speed * (CHUNK_S - blocked))
        if not len(at):
            return at, max(0.0, last + self.backlog)
        idle = speed * (np.maximum(at - blocked, 0.0) if blocked > 0 else at) - sums[:-1]
        most = np.maximum(self.backlog, np.maximum.accumulate(idle))
        return most - idle, max(0.0, last + float(most[-1]))


@dataclass(frozen=True, slots=True, eq=False)
class Second:
    """One second: `row` is [offered, lost, refused, bad for each limit], latencies in seconds."""

    row: NDArray[np.int64]
    total: float
    median: float
    completed: int
    pending: int


@dataclass
class Virtual:
    """A search's `Measure` over a virtual service; `noise` is the share of spoilt steps."""

    server: Service
    service: str = "virtual"
    limits: tuple[Limit, ...] = LIMITS
    noise: float = 0.0
    under_way: NDArray[np.float64] = field(default_factory=lambda: np.empty((2, 0)))
    """When each request that is not over ends, and whether with a good answer (0 or 1)."""

    def now(self) -> float:
        """Virtual seconds."""
        return self.server.now

    def pause(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.server.rest(seconds)

    def observe(self, rate: float, hold_s: float, lead_s: float, seed: int) -> Observation:
        """A step in virtual time, ended early by the same rule as a real one."""
        server = self.server
        server.rest(START_S)
        for _ in range(round(lead_s)):
            self._second(LEAD_PART * rate)
        for second in range(RAMP_S):
            self._second(rate * (0.25 + 0.75 * (second + 0.5) / RAMP_S))
        rows: list[Second] = []
        early = False
        while len(rows) < round(hold_s) and not early:
            rows.append(self._second(rate))
            counts = np.array([second.row for second in rows]).T
            early = lost_for_certain(self.limits, counts[3:], counts[0], hold_s)
        counts = np.array([second.row for second in rows]).T
        if not early:
            server.rest(min(DRAIN_S, server.backlog / max(server.speed(), 1e-9)))
        offered, lost, refused = counts[:3]
        trouble = "noise" if self.noise and server.random.random() < self.noise else None
        completed = sum(second.completed for second in rows) / len(rows)
        mean = sum(second.total for second in rows) / max(int((offered - lost).sum()), 1)
        return Observation(
            run=f"{seed}", rate=rate, allowed=tuple(limit.allowed for limit in self.limits),
            offered=offered, asked=np.tile(offered, (len(self.limits), 1)), bad=counts[3:],
            lost=lost, refused=refused,
            medians=np.array([second.median for second in rows]),
            pending=np.array([second.pending for second in rows]),
            completed_rate=completed, p95=None, concurrency=completed * mean, waited=False,
            cpu=None, trouble=trouble, ended_early=early,
        )  # fmt: skip

    def _second(self, rate: float) -> Second:
        begins = []
        times: list[Floats] = []
        losses: list[Bools] = []
        for _ in range(CHUNKS):
            begin = self.server.now
            count, took, failed = self.server.chunk(rate)
            begins.append(begin + CHUNK_S * (np.arange(count) + 0.5) / max(count, 1))
            times.append(took)
            losses.append(failed)
        latencies, lost = np.concatenate(times), np.concatenate(losses)
        bad = [
            lost if limit.latency_s is None else lost | (latencies > limit.latency_s)
            for limit in self.limits
        ]
        refused = lost & (latencies < TIMEOUT_S)
        row = [len(lost), *(np.count_nonzero(each) for each in (lost, refused, *bad))]
        good = latencies[~lost]
        ends = np.array([np.concatenate(begins) + np.minimum(latencies, TIMEOUT_S), ~lost])
        under_way = np.concatenate([self.under_way, ends], axis=1)
        over = under_way[0] <= self.server.now
        completed = np.count_nonzero(under_way[1, over])
        self.under_way = under_way[:, ~over]
        median = float(np.median(good)) if len(good) else np.nan
        pending = self.under_way.shape[1]
        return Second(np.array(row, np.int64), float(good.sum()), median, completed, pending)


def holds(make: Callable[[np.random.Generator], Service], rate: float, seconds: int) -> bool:
    """Whether the service meets the limits over a long run at this rate, warm."""
    measure = Virtual(make(np.random.default_rng(99)))
    for second in range(120):
        measure._second(rate * min(1.0, (second + 1) / 60))  # noqa: SLF001 - its own module
    rows = np.array([measure._second(rate).row for _ in range(seconds)])  # noqa: SLF001
    offered = rows[:, 0].sum()
    return all(rows[:, 3 + k].sum() < limit.allowed * offered for k, limit in enumerate(LIMITS))


def truth(make: Callable[[np.random.Generator], Service], seconds: int = 2500) -> float:
    """The highest Poisson rate that holds over so many seconds, to half a percent."""
    low, high = 20.0, 20_000.0
    while high / low > 1.005:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if holds(make, middle, seconds) else (low, middle)
    return low
