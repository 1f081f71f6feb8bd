"""Kinds of services whose capacity is known; what is special about each is all that it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.capacity import partial, untuned
from benchmarks.capacity.virtual import CHUNK_S, Bools, Floats, Service

Make = Callable[[np.random.Generator], Service]


class Constant(Service):
    """Every request takes the same work."""

    def demands(self, count: int) -> Floats:
        """Exactly 10 ms."""
        return np.full(count, self.service_s)


class Flat(Service):
    """Answers everything in 80 ms, whatever the rate."""

    workers = 1e9

    def demands(self, count: int) -> Floats:
        """No work."""
        return np.zeros(count)

    def added(self, count: int, rate: float) -> Floats:
        """The same for all."""
        return np.full(count, 0.080)


class Small(Service):
    """Four workers."""

    workers = 4.0


class Large(Service):
    """Sixty workers."""

    workers = 60.0


class Bounded(Service):
    """Refuses what would wait for more than 80 ms."""

    def refused(self, at: Floats, waits: Floats) -> Bools:
        """Full queue."""
        full: Bools = waits > 0.080
        return full


class WindowLimit(Service):
    """600 requests in each second of its own clock, then 429."""

    used = 0
    window = -1

    def refused(self, at: Floats, waits: Floats) -> Bools:
        """Beyond the window's allowance."""
        window = int(self.now // 1.0)
        if window != self.window:
            self.window, self.used = window, 0
        allowed = max(0, 600 - self.used)
        self.used += len(at)
        return np.arange(len(at)) >= allowed


class TokenBucket(Service):
    """600 tokens a second, 300 in the bucket."""

    def __init__(self, random: np.random.Generator) -> None:
        super().__init__(random)
        self.tokens, self.filled = 300.0, self.now

    def refused(self, at: Floats, waits: Floats) -> Bools:
        """No token left."""
        self.tokens = min(300.0, self.tokens + 600 * (self.now + CHUNK_S - self.filled))
        self.filled = self.now + CHUNK_S
        allowed = int(self.tokens)
        self.tokens -= min(len(at), allowed)
        return np.arange(len(at)) >= allowed


class Gradual(Service):
    """Latency grows with the rate, without a knee."""

    def added(self, count: int, rate: float) -> Floats:
        """Exponential around 33 ms at 800/s."""
        return self.random.exponential(1e-9 + 0.0285 * (rate / 800) ** 1.5, count)


class Closing(Service):
    """Closes its connections: each request pays for a new one."""

    def added(self, count: int, rate: float) -> Floats:
        """A handshake, now and then a slow one."""
        slow = self.random.random(count) < 0.01
        return np.where(slow, 0.2, 0.004)


class Bimodal(Service):
    """3 % of the requests take 150 ms more."""

    def added(self, count: int, rate: float) -> Floats:
        """Few slow ones."""
        return np.where(self.random.random(count) < 0.03, 0.150, 0.0)


class SomeErrors(Service):
    """0.03 % of the requests fail at any rate."""

    share = 0.0003

    def refused(self, at: Floats, waits: Floats) -> Bools:
        """By chance."""
        failed: Bools = self.random.random(len(at)) < self.share
        return failed


class NearlyErrors(SomeErrors):
    """0.08 % fail, the objective being 0.1 %."""

    share = 0.0008


class SlowShare(Service):
    """5 % of the requests take 150 ms more: the objective is met or missed by chance."""

    def added(self, count: int, rate: float) -> Floats:
        """As many slow ones as are allowed."""
        return np.where(self.random.random(count) < 0.05, 0.150, 0.0)


class Stalling(Service):
    """Stops for a second every 20 s."""

    every_s = 20.0
    for_s = 1.0

    def blocked_s(self) -> float:
        """The rest of the stall."""
        into = self.now % self.every_s
        return max(0.0, self.for_s - into)


class RareStalls(Stalling):
    """Stops for two seconds every minute."""

    every_s = 60.0
    for_s = 2.0


class Quota(Service):
    """42,000 requests a minute of its own clock, then refusals."""

    minute = -1
    used = 0

    def refused(self, at: Floats, waits: Floats) -> Bools:
        """Beyond the quota."""
        minute = int(self.now // 60)
        if minute != self.minute:
            self.minute, self.used = minute, 0
        allowed = max(0, 42_000 - self.used)
        self.used += len(at)
        return np.arange(len(at)) >= allowed

    workers = 100.0


class Metastable(Service):
    """Two seconds of waits above half a second halve its speed for good (retries, cold caches)."""

    broken = False
    long_s = 0.0

    def speed(self) -> float:
        """Half once broken."""
        return self.workers / 2 if self.broken else self.workers

    def after(self, rate: float, latencies: Floats, lost: Bools) -> None:
        """Count how long it has been overloaded."""
        slow = len(latencies) > 0 and float(np.mean(latencies)) > 0.5
        self.long_s = self.long_s + CHUNK_S if slow else 0.0
        self.broken = self.broken or self.long_s >= 2.0


class Breaker(Service):
    """Opens for 5 s when a fifth of a second's requests took more than 80 ms."""

    open_until = -1.0

    def __init__(self, random: np.random.Generator) -> None:
        super().__init__(random)
        self.recent: list[tuple[int, int]] = []

    def refused(self, at: Floats, waits: Floats) -> Bools:
        """While it is open."""
        return np.full(len(at), self.now < self.open_until)

    def after(self, rate: float, latencies: Floats, lost: Bools) -> None:
        """Look back over one second."""
        if self.now < self.open_until:
            return
        self.recent = [*self.recent[-3:], (len(latencies), int((latencies > 0.08).sum()))]
        count, slow = (sum(part) for part in zip(*self.recent, strict=True))
        if count and slow > 0.2 * count:
            self.open_until, self.recent, self.backlog = self.now + 5.0, [], 0.0


class Autoscaler(Service):
    """5 workers, up to 20: one more for each second above 70 %, ten seconds later."""

    def __init__(self, random: np.random.Generator) -> None:
        super().__init__(random)
        self.count = 5.0
        self.coming: list[tuple[float, float]] = []
        self.looked = self.now
        self.workers = 10.0

    def speed(self) -> float:
        """What has been started."""
        for due, count in self.coming:
            if due <= self.now:
                self.count = max(self.count, count)
        return self.count

    def after(self, rate: float, latencies: Floats, lost: Bools) -> None:
        """Every five seconds it wants as many as make 70 %."""
        if self.now - self.looked < 5:
            return
        self.looked = self.now
        wanted = min(20.0, np.ceil(rate * self.service_s / 0.7))
        if wanted > self.count:
            self.coming.append((self.now + 10.0, float(wanted)))


class Noisy(Service):
    """Its speed moves by +-20 % (a stationary process with a memory of ten seconds)."""

    spread = 0.2
    memory_s = 10.0

    def __init__(self, random: np.random.Generator) -> None:
        super().__init__(random)
        self.level = float(random.standard_normal())

    def speed(self) -> float:
        """Uniform within the spread, by the level's rank."""
        from scipy.special import ndtr  # noqa: PLC0415 - one kind needs it

        return self.workers * (1 + self.spread * (2 * float(ndtr(self.level)) - 1))

    def after(self, rate: float, latencies: Floats, lost: Bools) -> None:
        """Move on."""
        self._move(CHUNK_S)

    def rest(self, seconds: float) -> None:
        """Move on."""
        super().rest(seconds)
        self._move(seconds)

    def _move(self, seconds: float) -> None:
        keep = float(np.exp(-seconds / self.memory_s))
        step = float(self.random.standard_normal()) * (1 - keep**2) ** 0.5
        self.level = keep * self.level + step


class SlowlyNoisy(Noisy):
    """The same with a memory of a minute."""

    memory_s = 60.0


class ColdAfterPause(Service):
    """The first three seconds of load after a pause of a second run at a fifth of the speed."""

    warm_at = 0.0

    def speed(self) -> float:
        """Slow until warm."""
        if self.idle_s >= 1:
            self.warm_at = self.now + 5.0
        return self.workers / 5 if self.now < self.warm_at else self.workers


class ColdOnce(Service):
    """The first 15 s of its life run at a fifth of the speed."""

    def __init__(self, random: np.random.Generator) -> None:
        super().__init__(random)
        self.warm_at = self.now + 15

    def speed(self) -> float:
        """Slow until warm."""
        return self.workers / 5 if self.now < self.warm_at else self.workers


class Periodic(Service):
    """Half the speed for 10 s of every 40 s (a batch job)."""

    def speed(self) -> float:
        """Half while the job runs."""
        return self.workers / 2 if self.now % 40 < 10 else self.workers


class Leaking(Service):
    """Slower with every request it has served (a leak): half after 150,000."""

    served = 0

    def speed(self) -> float:
        """Never the same again."""
        return self.workers / (1 + self.served / 150_000)

    def after(self, rate: float, latencies: Floats, lost: Bools) -> None:
        """Count."""
        self.served += len(latencies)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of service and its truth, requests/s.

    `truth` is infinite without a limit, None where no rate tells.

    `plain`: a rate describes it, so the search must answer; else it must name what is special or
    cover the truth.
    """

    make: Make
    truth: float | None
    plain: bool = True
    names: tuple[str, ...] = ()


KINDS: dict[str, Kind] = {
    "M/M/10": Kind(Service, 966),
    "M/D/10": Kind(Constant, 984),
    "M/M/4": Kind(Small, 367),
    "M/M/60": Kind(Large, 5966),
    "bounded queue": Kind(Bounded, 932),
    "429, window of 1 s": Kind(WindowLimit, 560),
    "gradual": Kind(Gradual, 785),
    "closes connections": Kind(Closing, 961),
    "3 % slow": Kind(Bimodal, 961),
    "0.03 % errors": Kind(SomeErrors, 964),
    "warm-up once": Kind(ColdOnce, 964),
    "flat, no limit": Kind(Flat, np.inf, plain=False),
    "0.08 % errors": Kind(NearlyErrors, 964, plain=False),
    "5 % slow": Kind(SlowShare, None, plain=False),
    "429, token bucket": Kind(TokenBucket, 596, plain=False),
    "stalls": Kind(Stalling, 204, plain=False),
    "rare stalls": Kind(RareStalls, 400, plain=False),
    "quota": Kind(Quota, 697, plain=False),
    "metastable": Kind(Metastable, 964, plain=False),
    "circuit breaker": Kind(Breaker, 868, plain=False),
    "autoscaler": Kind(Autoscaler, 1964, plain=False),
    "noisy, 10 s": Kind(Noisy, 820, plain=False),
    "noisy, 60 s": Kind(SlowlyNoisy, 804, plain=False),
    "cold after pauses": Kind(ColdAfterPause, 964, plain=False),
    "batch job": Kind(Periodic, 483, plain=False),
    "leak": Kind(Leaking, None, plain=False),
    "slow leak": Kind(partial.SlowLeak, None, plain=False),
    "hot shard": Kind(partial.HotShard, 603),
    "slow replica": Kind(partial.SlowReplica, 536),
    "P95 near its limit": Kind(partial.FewConnections, 560),
    "collector": Kind(partial.Collecting, 860, plain=False),
    "slow shard of 4 %": Kind(partial.SlowShard, 591, plain=False),
    "one replica fails": Kind(partial.BadReplica, None, plain=False),
    "bucket of 5 s": Kind(partial.DeepBucket, 600, plain=False),
}

UNTUNED: dict[str, Kind] = {
    "1 % reports": Kind(untuned.Reports, 506),
    "lock": Kind(untuned.Contended, 842, plain=False),
    "shedding": Kind(untuned.Shedding, 780),
    "compiling": Kind(untuned.Compiling, 964, plain=False),
    "CPU credits": Kind(untuned.Credits, 200, plain=False),
    "restarts": Kind(untuned.Restarting, 812, plain=False),
    "heap": Kind(untuned.Heap, 643, plain=False),
    "connection pool": Kind(untuned.Pool, 564),
    "neighbour": Kind(untuned.Neighbour, 677, plain=False),
    "newest first": Kind(untuned.Newest, 1_024),
    "retry storm": Kind(untuned.Retries, 923, plain=False),
    "killed in overload": Kind(untuned.Killed, 964, plain=False),
    "admission control": Kind(untuned.Admission, 892),
    "filling cache": Kind(untuned.Cache, 1_141, plain=False),
}
"""No threshold of the search was chosen with these, nor is any test held to them."""

ALL = KINDS | UNTUNED
