"""Services of known truth, and records of runs against them, made in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtr

from harness.catalog.model import Objective, Service
from harness.load.plan import LoadPlan
from harness.platform.model import Target
from harness.record.distribution import Counts, Distribution, Floats
from harness.record.run import RunRecord
from harness.record.series import SliceTable
from harness.traffic.model import LoadProfile, Request, Segment, Spacing, TrafficModel

LIMIT_S = 0.1
QUANTILE = 0.95
ERROR_LIMIT = 0.001

SIGMA = 0.5
"""Of the logarithm of a latency within one second."""

MEMORY = 0.9
"""Correlation of the level from one second to the next, where it wanders."""

ENDPOINT = "GET /"
GRID_S = np.array([LIMIT_S * 1.015**power for power in range(-460, 430)], np.float64)
"""Upper edges of the latency buckets, 1.5 % apart; the limit is one of them."""


@dataclass(frozen=True)
class World:
    """A service under load; every field but the first three is a way to break it.

    `ratio` is its p95 over the limit, `wander` the standard deviation of the level's logarithm
    from second to second, `slow` seconds in which everything takes ten times the limit, `errors`
    the share of failed requests, in bursts of a tenth of a second's requests where `clustered`,
    `lost` the share that is refused, `short` the share of the rate by which the capacity falls
    short (a queue grows), `lag_s` the generator's own lateness in every request.
    """

    seconds: int
    rate: float
    spacing: Spacing = "poisson"
    ratio: float = 0.5
    wander: float = 0.0
    slow: str = ""
    errors: float = 0.0
    clustered: bool = False
    lost: float = 0.0
    short: float = 0.0
    lag_s: float = 0.0

    def slow_seconds(self) -> list[int]:
        """The seconds in which everything is slow, by the name of the pattern."""
        third = self.seconds // 3
        return {
            "": [],
            "stall": [self.seconds // 2],
            "last third": list(range(self.seconds - third, self.seconds)),
            "tenth": list(range(4, self.seconds, 10)),
        }[self.slow]


def make_record(world: World, seed: int) -> RunRecord:
    """One run: what a load child would have reported, with the caches of its record filled."""
    random = np.random.default_rng(seed)
    t, rate = world.seconds, world.rate
    offered = random.poisson(rate, t) if world.spacing == "poisson" else np.full(t, round(rate))
    failed = _failures(world, offered, random)
    completed = offered - failed
    queue = world.short * (np.arange(t) + 0.5)  # seconds of backlog
    responses = [_responses(world, random, n, q, s) for n, q, s in
                 zip(completed, queue, _levels(world, random), strict=True)]  # fmt: skip
    done = np.minimum(completed, np.round(rate * (1 - world.short)).astype(int)) if (
        world.short
    ) else completed  # fmt: skip
    return _record(world, offered, failed, done, responses)


def _levels(world: World, random: np.random.Generator) -> Floats:
    """What is added to the logarithm of each second's latencies."""
    level = np.zeros(world.seconds)
    noise = random.normal(size=world.seconds)
    step = np.sqrt(1 - MEMORY**2)
    for second in range(world.seconds):
        level[second] = MEMORY * level[second - 1] + step * noise[second] if second else noise[0]
    level *= world.wander
    level[world.slow_seconds()] = np.log(10 / world.ratio) + 1.645 * SIGMA
    return level


def _responses(
    world: World, random: np.random.Generator, n: int, queue_s: float, level: float
) -> Distribution:
    """The marginal p95 over all levels is `ratio` times the limit."""
    spread = np.sqrt(SIGMA**2 + world.wander**2)
    middle = np.log(world.ratio * LIMIT_S) - 1.645 * spread + level
    below = ndtr((np.log(GRID_S) - middle) / SIGMA)
    counts = random.multinomial(n, np.append(np.diff(np.append(0.0, below)), 1 - below[-1]))
    counts[-2] += counts[-1]
    seen = np.flatnonzero(counts[:-1])
    values = np.add(GRID_S[seen], queue_s + world.lag_s, dtype=np.float64)
    return Distribution(values, counts[seen].astype(np.int64))


def _failures(world: World, offered: Counts, random: np.random.Generator) -> Counts:
    share = world.errors + world.lost
    if not world.clustered:
        return random.binomial(offered, share)
    bursts = random.random(world.seconds) < min(1.0, share / 0.1)
    return random.binomial(offered, np.where(bursts, 0.1, 0.0))


def objectives(rate: float) -> tuple[Objective, ...]:
    """The objectives of a platform's service, at this rate."""
    return (
        Objective("p95", "latency", LIMIT_S, QUANTILE),
        Objective("throughput", "throughput", rate),
        Objective("errors", "error_ratio", ERROR_LIMIT),
    )


def _record(
    world: World, offered: Counts, failed: Counts, done: Counts, responses: list[Distribution]
) -> RunRecord:
    rows: list[dict[str, Any]] = []
    for second, (n, bad, ended) in enumerate(zip(offered, failed, done, strict=True)):
        common = {"second": second, "endpoint": ENDPOINT, "errors": {"status_5xx": int(bad)}}
        counts = {"offered": int(n), "failed": int(bad), "completed": int(n - bad)}
        rows.append({"axis": "due", **common, **counts})
        rows.append({"axis": "done", **common, **counts, "completed": int(ended)})
    table = SliceTable(rows)
    lags = [Distribution(np.array([max(world.lag_s, 1e-5)]), np.array([n])) for n in offered]
    for name in (None, ENDPOINT):
        table._decoded["due", name, "response"] = list(responses)  # noqa: SLF001
        table._decoded["due", name, "lag"] = list(lags)  # noqa: SLF001
    record = RunRecord(Path("synthetic"), _META, _service(world.rate), _plan(world), live=False)
    whole = {"response": Distribution.merge(responses), "lag": Distribution.merge(lags)}
    record.__dict__.update(
        {
            "_table": table,
            "_slices": (rows, False),
            "events": tuple(_events(world)),
            "_distributions": {(kind, "hold", None, "due"): found for kind, found in whole.items()},
        }
    )
    return record


_META: dict[str, Any] = {"id": "synthetic", "state": "complete", "conserved": True, "totals": None}


def _events(world: World) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = [{"type": "end"}]
    for second in range(world.seconds):
        tick = {"type": "tick", "t": second + 0.5, "cpu": 0.3, "steal": 0.0, "clock_ns": 1}
        events += [tick, {"type": "probe", "second": second, "p99_ns": 200_000}]
    return events


def _plan(world: World) -> LoadPlan:
    segments = (Segment("hold", float(world.seconds), world.rate, world.rate),)
    return LoadPlan(
        target=Target(service="synthetic", urls=("http://127.0.0.1:1",), through="service",
                      description="a made-up service"),
        traffic=TrafficModel("synthetic", "synthetic", "", (Request(ENDPOINT, "GET", "/"),)),
        profile=LoadProfile("perf", segments, spacing=world.spacing),
    )  # fmt: skip


def _service(rate: float) -> Service:
    return Service(
        name="synthetic", tier="foundation", core_app=False, port=1, purpose="", replicas=1,
        cpu=1.0, memory="1Gi", health_path="/", routes=(), regions=("us-east-1",),
        environments=(), objectives=objectives(rate), primary="p95",
    )  # fmt: skip


__all__ = ["ERROR_LIMIT", "LIMIT_S", "QUANTILE", "World", "make_record", "objectives", "replace"]
