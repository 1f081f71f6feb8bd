"""The cells of the table, and what a fair judge must say of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from benchmarks.verdicts.worlds import ERROR_LIMIT, LIMIT_S, QUANTILE, World
from harness.judge.objectives import Stretch, queue_growth
from harness.record.run import RunRecord
from harness.stats.shares import clean_requests

Label = Literal["sound", "bad", "boundary", "too small"]

LENGTHS = (10, 30, 60, 300)
RATES = (50.0, 1000.0, 10_000.0)

POWER_99 = 1.960 + 2.326
"""Standard deviations of a run's share between truth and limit from which the best test of level
5 % decides in 99 of 100 runs."""

NEAR = 0.02
"""A truth within 2 % of the limit is the boundary."""


@dataclass(frozen=True)
class Cell:
    """A row of the table: a kind of service, under one length and rate."""

    kind: str
    world: World


KINDS: dict[str, dict[str, object]] = {
    "p95 at half the limit": {},
    "p95 at half, level wanders 10 %": {"wander": 0.1},
    "p95 at half, level wanders 30 %": {"wander": 0.3},
    "p95 at 0.9": {"ratio": 0.9},
    "p95 at 0.9, wanders 10 %": {"ratio": 0.9, "wander": 0.1},
    "p95 at 1.0": {"ratio": 1.0},
    "p95 at 1.0, wanders 10 %": {"ratio": 1.0, "wander": 0.1},
    "p95 at 1.1": {"ratio": 1.1},
    "p95 at 1.5": {"ratio": 1.5},
    "p95 at 1.5, wanders 30 %": {"ratio": 1.5, "wander": 0.3},
    "p95 at 10": {"ratio": 10.0},
    "one stall of 1 s": {"slow": "stall"},
    "last third slow": {"slow": "last third"},
    "every 10th second slow": {"slow": "tenth"},
    "0.05 % errors": {"errors": 0.0005},
    "0.05 % errors in clusters": {"errors": 0.0005, "clustered": True},
    "0.1 % errors": {"errors": 0.001},
    "0.2 % errors": {"errors": 0.002},
    "0.2 % errors in clusters": {"errors": 0.002, "clustered": True},
    "2 % errors": {"errors": 0.02},
    "2 % errors in clusters": {"errors": 0.02, "clustered": True},
    "0.5 % refused": {"lost": 0.005},
    "capacity 0.5 % short": {"short": 0.005},
    "capacity 2 % short": {"short": 0.02},
    "capacity 10 % short": {"short": 0.1},
}


def cells() -> Iterator[Cell]:
    """Every kind at every length and rate, with random and constant arrivals."""
    for kind, fields in KINDS.items():
        for seconds in LENGTHS:
            for rate in RATES:
                yield Cell(kind, World(seconds, rate, **fields))  # type: ignore[arg-type]
            if seconds == 30:
                world = World(seconds, 1000.0, **fields)  # type: ignore[arg-type]
                yield Cell(f"{kind}, constant arrivals", replace(world, spacing="constant"))
                for lag_s in (0.001, 0.005):
                    late = f"{kind}, generator {lag_s * 1e3:g} ms late"
                    yield Cell(late, replace(world, lag_s=lag_s))


def label(cell: Cell, records: list[RunRecord]) -> Label:
    """What the truth is, from the cell's own runs: the best test knows its own scatter."""
    world = cell.world
    if world.slow:
        return _slow_label(world)
    if world.short:
        return _short_label(world, records)
    if world.errors or world.lost:
        shares = [_share(record, lambda e: e.lost) for record in records]
        return _by_power(world.errors + world.lost, ERROR_LIMIT, shares, world.seconds * world.rate)
    # The service's own share: the generator's lateness is not its doing.
    alone = replace(world, lag_s=0.0)
    limit = LIMIT_S + world.lag_s
    shares = [_share(record, lambda e: e.beyond(limit)) for record in records]
    truth = true_share(alone)
    return _by_power(truth, 1 - QUANTILE, shares, world.seconds * world.rate, alone.ratio)


def true_share(world: World) -> float:
    """The long-run share of requests beyond the limit of a world without patterns."""
    from scipy.special import ndtr  # noqa: PLC0415

    spread = math.hypot(0.5, world.wander)
    return float(ndtr((math.log(world.ratio) - 1.645 * spread) / spread))


def _share(record: RunRecord, bad: Callable[..., np.ndarray]) -> float:  # type: ignore[type-arg]
    stretch = Stretch(record, record.seconds_of("hold"))
    evidence = stretch.evidence(record.service.objectives[0])
    return float(bad(evidence).sum() / evidence.offered.sum())


def _by_power(
    truth: float, limit: float, shares: list[float], requests: float, ratio: float | None = None
) -> Label:
    if abs((ratio if ratio is not None else truth / limit) - 1) < NEAR:
        wandering = float(np.std(shares)) > 0.1 * limit
        return "too small" if requests < clean_requests(limit) or wandering else "boundary"
    if truth < limit and requests < clean_requests(limit):
        return "too small"
    spread = float(np.std(shares)) or 1e-12
    decided = abs(truth - limit) / spread >= POWER_99
    return ("sound" if truth < limit else "bad") if decided else "too small"


def _slow_label(world: World) -> Label:
    if world.slow == "stall":  # one event: how often it comes is not known from a short run
        return "sound" if world.seconds >= 60 else "too small"
    return "too small" if len(world.slow_seconds()) == 1 else "bad"


def _short_label(world: World, records: list[RunRecord]) -> Label:
    """Bad once the queue is beyond what a service within its latency objective can hold."""
    backlog = world.short * world.seconds * 5 / 6  # the middle of the last third
    if backlog < 1.2 * LIMIT_S:
        return "too small"
    stretch = Stretch(records[0], records[0].seconds_of("hold"))
    evidence = stretch.evidence(records[0].service.objectives[0])
    return "bad" if queue_growth(evidence, LIMIT_S) or world.short > 0 else "too small"
