"""Services that no threshold of the search was chosen with: how it ends on what it has not met."""

from __future__ import annotations

import numpy as np

from benchmarks.capacity.virtual import CHUNK_S, Bools, Floats, Service


class Reports(Service):
    """1 % of the requests are reports that take 30 times the work."""

    def demands(self, count: int) -> Floats:
        """A mixture of two exponentials."""
        times = np.where(self.random.random(count) < 0.01, 30.0, 1.0)
        work: Floats = self.random.exponential(self.service_s, count) * times
        return work


class Contended(Service):
    """A lock: the more work waits, the slower all of it is done, down to a third."""

    def speed(self) -> float:
        """Full with nothing waiting, half with five seconds of work."""
        return self.workers * max(1 / 3, 1 / (1 + self.backlog / 5.0))


class Shedding(Service):
    """Refuses a share of the requests that grows with their wait: none at 20 ms, all at 60 ms."""

    def refused(self, at: Floats, waits: Floats) -> Bools:
        """By chance, the more the longer the queue is."""
        refused: Bools = self.random.random(len(at)) < (waits - 0.020) / 0.040
        return refused


class Compiling(Service):
    """Half as fast at first, and at its full speed once it has served 40,000 requests."""

    served = 0

    def speed(self) -> float:
        """What has been compiled by now."""
        return self.workers * (0.5 + 0.5 * min(1.0, self.served / 40_000))

    def after(self, rate: float, latencies: Floats, lost: Bools) -> None:
        """Count."""
        self.served += len(latencies)


class Credits(Service):
    """A burstable machine: a fifth of its speed for ever, all of it for 150 s of credit."""

    saved_s = 150.0

    def speed(self) -> float:
        """All while there is credit."""
        return self.workers if self.saved_s > 0 else self.workers / 5

    def after(self, rate: float, latencies: Floats, lost: Bools) -> None:
        """Spend what the load takes beyond the fifth."""
        used = min(1.0, rate * self.service_s / self.workers)
        self.saved_s = min(150.0, self.saved_s + CHUNK_S * (0.2 - used))

    def rest(self, seconds: float) -> None:
        """Save."""
        super().rest(seconds)
        self.saved_s = min(150.0, self.saved_s + 0.2 * seconds)


class Restarting(Service):
    """One of its five replicas restarts for 8 s of every 90 s."""

    def speed(self) -> float:
        """Four fifths meanwhile."""
        return self.workers * (0.8 if self.now % 90 < 8 else 1.0)


class Heap(Service):
    """Collects garbage after every 4,000 requests, 40 ms at first and 200 ms with a full cache."""

    served = 0
    collected = 0
    pause_until = 0.0

    def blocked_s(self) -> float:
        """The rest of the pause."""
        return max(0.0, self.pause_until - self.now)

    def after(self, rate: float, latencies: Floats, lost: Bools) -> None:
        """What lives in the heap makes the pause long: the cache is full after 60,000 requests."""
        self.served += len(latencies)
        if self.served - self.collected >= 4_000:
            self.collected = self.served
            live = min(1.0, self.served / 60_000)
            self.pause_until = self.now + CHUNK_S + 0.040 + 0.160 * live


class Pool(Service):
    """Eight connections to a database that answers in 12 ms; 503 where 40 wait for one."""

    workers = 8.0
    service_s = 0.012

    def refused(self, at: Floats, waits: Floats) -> Bools:
        """More wait already."""
        full: Bools = waits * self.workers / self.service_s > 40
        return full


class Neighbour(Service):
    """Another tenant takes 30 % of the processor, for 20 s of a minute, on average."""

    until = 0.0
    busy = True

    def speed(self) -> float:
        """Seven tenths while it is busy."""
        while self.now >= self.until:
            self.busy = not self.busy
            self.until = self.now + float(self.random.exponential(20.0 if self.busy else 40.0))
        return self.workers * (0.7 if self.busy else 1.0)


class Newest(Service):
    """Serves the newest request first: in an overload a part waits for long, the rest does not."""

    def chunk(self, rate: float) -> tuple[int, Floats, Bools]:
        """By how much the queue grew beyond a tenth of a second, so much is not served in time."""
        before = self.backlog
        count, *_ = super().chunk(rate)
        grown = min(self.backlog - before, self.backlog - 0.1 * self.workers)
        stuck = self.random.random(count) < grown / max(count * self.service_s, 1e-9)
        own = self.random.exponential(self.service_s, count) + 0.005
        return count, np.where(stuck, 3.0, own), np.zeros(count, np.bool_)


class Retries(Service):
    """Clients ask twice more for what was not answered within 150 ms: load that feeds itself."""

    def after(self, rate: float, latencies: Floats, lost: Bools) -> None:
        """The work of the retries, which nobody waits for."""
        self.backlog += 2 * self.service_s * int((latencies > 0.150).sum())


class Killed(Service):
    """Killed for its memory where 400 requests wait, back after 6 s and slow for 10 s more."""

    down_until = warm_at = -1.0

    def speed(self) -> float:
        """Half while it is cold."""
        return self.workers * (0.5 if self.now < self.warm_at else 1.0)

    def refused(self, at: Floats, waits: Floats) -> Bools:
        """While it is down."""
        return np.full(len(at), self.now < self.down_until)

    def after(self, rate: float, latencies: Floats, lost: Bools) -> None:
        """Count what waits."""
        if self.backlog > 400 * self.service_s:
            self.backlog, self.down_until = 0.0, self.now + 6.0
            self.warm_at = self.down_until + 10.0


class Admission(Service):
    """503 beyond a limit of waiting requests that falls by a tenth when P95 exceeds 60 ms."""

    limit = 20.0

    def refused(self, at: Floats, waits: Floats) -> Bools:
        """More wait already."""
        full: Bools = waits * self.workers / self.service_s > self.limit
        return full

    def after(self, rate: float, latencies: Floats, lost: Bools) -> None:
        """Additive increase, multiplicative decrease."""
        slow = len(latencies) > 0 and float(np.quantile(latencies, 0.95)) > 0.060
        self.limit = max(4.0, self.limit * 0.9 if slow else self.limit + 0.25)


class Cache(Service):
    """Hits take 4 ms of work and misses 25 ms; 80 % hit once it has served 60,000 requests."""

    served = 0

    def demands(self, count: int) -> Floats:
        """By chance a hit or a miss, the more hits the fuller it is."""
        hit = self.random.random(count) < 0.8 * min(1.0, self.served / 60_000)
        self.served += count
        work: Floats = self.random.exponential(1.0, count) * np.where(hit, 0.004, 0.025)
        return work
