"""Services of which a part is worse than the rest, or which get worse: what others may try."""

from __future__ import annotations

import numpy as np

from benchmarks.capacity.virtual import CHUNK_S, Bools, Floats, Service


class Split(Service):
    """Independent parts that each take a share of the requests, by chance."""

    shares: tuple[float, ...]

    def __init__(self, random: np.random.Generator, *parts: Service) -> None:
        super().__init__(random)
        self.parts = parts
        for part in parts:
            part.now = self.now

    def chunk(self, rate: float) -> tuple[int, Floats, Bools]:
        """All parts' requests; shares of a Poisson process are Poisson processes."""
        found = [p.chunk(rate * share) for p, share in zip(self.parts, self.shares, strict=True)]
        self.now += CHUNK_S
        self.idle_s = 0.0
        self.backlog = max(p.backlog / p.speed() for p in self.parts) * self.speed()
        return (
            sum(count for count, *_ in found),
            np.concatenate([latencies for _, latencies, _ in found]),
            np.concatenate([lost for *_, lost in found]),
        )

    def rest(self, seconds: float) -> None:
        """No load for any."""
        super().rest(seconds)
        for part in self.parts:
            part.rest(seconds)


def _workers(random: np.random.Generator, workers: float) -> Service:
    part = Service(random)
    part.workers = workers
    return part


class SlowShard(Split):
    """4 % of the keys are on a shard that serves 24/s: 600/s in all, and P95 does not show it."""

    shares = (0.96, 0.04)

    def __init__(self, random: np.random.Generator) -> None:
        super().__init__(random, _workers(random, 10.0), _workers(random, 0.24))


class HotShard(Split):
    """30 % of the keys are on a shard with a fifth of the workers."""

    shares = (0.7, 0.3)

    def __init__(self, random: np.random.Generator) -> None:
        super().__init__(random, _workers(random, 8.0), _workers(random, 2.0))


class SlowReplica(Split):
    """Of three replicas behind a balancer that takes turns one is half as fast."""

    shares = (1 / 3, 1 / 3, 1 / 3)

    def __init__(self, random: np.random.Generator) -> None:
        super().__init__(random, *(_workers(random, n) for n in (4.0, 4.0, 2.0)))


class BadReplica(Split):
    """Of three replicas one answers a tenth of its requests with an error, at any rate."""

    shares = (1 / 3, 1 / 3, 1 / 3)

    def __init__(self, random: np.random.Generator) -> None:
        broken = Failing(random)
        super().__init__(random, _workers(random, 4.0), _workers(random, 4.0), broken)


class Failing(Service):
    """Every tenth request fails."""

    workers = 4.0

    def refused(self, at: Floats, waits: Floats) -> Bools:
        """By chance."""
        failed: Bools = self.random.random(len(at)) < 0.1
        return failed


class Collecting(Service):
    """Collects garbage after every 1,500 requests, for longer the higher the rate was."""

    served = 0
    pause_until = 0.0

    def blocked_s(self) -> float:
        """The rest of the pause."""
        return max(0.0, self.pause_until - self.now)

    def after(self, rate: float, latencies: Floats, lost: Bools) -> None:
        """120 ms at 1,000/s."""
        self.served += len(latencies)
        if self.served >= 1_500:
            self.served = 0
            self.pause_until = self.now + CHUNK_S + 0.120 * (rate / 1_000) ** 2


class DeepBucket(Service):
    """600 tokens a second, and five seconds' worth in the bucket."""

    depth = 3_000.0

    def __init__(self, random: np.random.Generator) -> None:
        super().__init__(random)
        self.tokens, self.filled = self.depth, self.now

    def refused(self, at: Floats, waits: Floats) -> Bools:
        """No token left."""
        until = self.now + CHUNK_S
        self.tokens = min(self.depth, self.tokens + 600 * (until - self.filled))
        self.filled = until
        allowed = int(self.tokens)
        self.tokens -= min(len(at), allowed)
        return np.arange(len(at)) >= allowed


class FewConnections(Service):
    """Twenty connections to a database that answers in 30 ms: P95 is near its limit when idle."""

    workers = 20.0
    service_s = 0.030


class SlowLeak(Service):
    """Half as fast after a million requests."""

    served = 0

    def speed(self) -> float:
        """Never the same again."""
        return self.workers / (1 + self.served / 1_000_000)

    def after(self, rate: float, latencies: Floats, lost: Bools) -> None:
        """Count."""
        self.served += len(latencies)
