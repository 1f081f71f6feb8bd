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
