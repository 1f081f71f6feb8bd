"""How much a service's own speed moves, from the latency far below its capacity."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from harness.capacity.evidence import Observation
from harness.capacity.model import Step
from harness.stats.capacity import isotonic

JUDGED = ("held", "unknown", "missed")

CALM = 0.75
"""Of the capacity: below it a queue makes no stalls, so what stalls there is the service."""

LEVELS_CALM = 0.8
"""The same for runs that are compared with each other: four workers' queue moves them by a tenth
near 0.9 of their capacity, and by nothing to speak of below this."""

WANDERS_AND_OVERTURNED = 0.015
"""Standard deviation of a service's own speed from which it is named where a repeat contradicted a
step as well."""

SIGMAS = 2.5
"""Standard errors of no correlation (Bartlett 1946: the root of 1/n) that neighbouring seconds
must be correlated by."""

DOUBT_SIGMAS = 1.0
"""The same to look longer: a sixth of the steady services, nearly all that move."""

MOVED = 0.03
MOVED_SIGMAS = 2.0
"""The same for a level that is another at the end than at the beginning."""

CHANCE_LEVEL = 0.01
"""Probability that levels scatter so much by the chance of single requests (chi-square)."""

LEAST_SECONDS = 5
LEAST_RUNS = 3
"""Of a run, and runs, below which nothing is said about how the speed moves."""

Seen = Sequence[tuple[Step, Observation]]


def drift(seen: Seen) -> tuple[float, float, float] | None:
    """(median latency at first, in the last calm steps, standard error of their logarithms)."""
    calm = [o for s, o in seen if s.purpose == "calm" and s.outcome in JUDGED]
    last = [o for o in calm if o.rate == calm[-1].rate]
    first = [
        o for s, o in seen
        if last and s.rate == last[0].rate and s.purpose != "calm" and s.outcome == "held"
    ]  # fmt: skip
    before, after = (_logs(part) for part in (first[:1], last))
    if min(len(before), len(after)) < LEAST_SECONDS:
        return None
    # Ten seconds tell little of their own variance; at the same rate both have the same.
    squares = float(before.var() * len(before) + after.var() * len(after))
    variance = squares / (len(before) + len(after) - 2)
    error = math.sqrt(variance * (1 / len(before) + 1 / len(after)))
    return float(np.exp(before.mean())), float(np.exp(after.mean())), error


def _logs(observations: Sequence[Observation]) -> NDArray[np.float64]:
    """Logarithms of all seconds' median latencies."""
    medians = np.concatenate([[], *(o.medians for o in observations)])
    logs: NDArray[np.float64] = np.log(medians[medians > 0])
    return logs


def wander(seen: Seen, low: float | None) -> float:
    """How much the service's own speed moves: the sd of the logarithm of its median latency.

    Far below the capacity, where no queue moves it. Within a run by the covariance of neighbouring
    seconds, which the chance of single requests does not share; between runs by what a curve that
    only rises with the rate (isotonic regression) leaves over.
    """
    held = [(s, o) for s, o in seen if s.outcome in {"held", "unknown"}]
    within, chance, pairs = _within(_calm_levels(held, low))
    if not pairs or within <= SIGMAS * chance / np.sqrt(pairs):
        within = 0.0
    top = 0.0 if low is None else LEVELS_CALM * low
    levels = [
        (o.rate, float(np.log(o.medians[o.medians > 0]).mean()), o.seconds)
        for _, o in held
        if o.rate <= top and (o.medians > 0).any()
    ]
    return float(np.sqrt(within + _between(levels, chance)))


def may_wander(seen: Seen, low: float | None) -> bool:
    """Whether neighbouring seconds are somewhat alike: then a longer look tells."""
    held = [(s, o) for s, o in seen if s.outcome in {"held", "unknown"}]
    shared, chance, pairs = _within(_calm_levels(held, low))
    doubt = DOUBT_SIGMAS * chance / np.sqrt(max(pairs, 1))
    return bool(shared > max(doubt, WANDERS_AND_OVERTURNED**2))


def may_drift(seen: Seen) -> bool:
    """Whether the calm step's level is another than at the beginning: a longer look tells."""
    found = drift(seen)
    if found is None:
        return False
    usual, now, error = found
    return abs(float(np.log(now / usual))) > max(MOVED, MOVED_SIGMAS * error)


def _calm_levels(seen: Seen, low: float | None) -> list[NDArray[np.float64]]:
    return [np.log(o.medians[o.medians > 0]) for o in calm_steps(seen, low)]


def _within(series: Sequence[NDArray[np.float64]]) -> tuple[float, float, int]:
    """(covariance of neighbouring seconds, variance of a second, pairs), of logarithms."""
    gaps = [x - x.mean() for x in series if len(x) >= LEAST_SECONDS]
    pairs = sum(len(x) - 1 for x in gaps)
    chance = sum(float(x @ x) for x in gaps) / max(pairs, 1)
    return sum(float(x[1:] @ x[:-1]) for x in gaps) / max(pairs, 1), chance, pairs


def _between(levels: Sequence[tuple[float, float, int]], chance: float) -> float:
    """Variance of runs' levels (rate, level, seconds) about a curve that only rises."""
    if len(levels) < LEAST_RUNS:
        return 0.0
    rates, logs, seconds = (np.array(part, np.float64) for part in zip(*levels, strict=True))
    fitted = isotonic(rates, logs)
    free = max(1, len(levels) - len(np.unique(fitted)))
    squares = (logs - fitted) ** 2
    if not chance or float(squares @ seconds) / chance < chdtri(free, CHANCE_LEVEL):
        return 0.0
    return float(squares.sum()) / free


def calm_steps(seen: Seen, low: float | None) -> list[Observation]:
    """Steps so far below the capacity that no queue makes a stall."""
    top = min((s.rate for s, _ in seen), default=0.0) if low is None else CALM * low
    return [o for s, o in seen if s.outcome not in {"generator", "warming"} and s.rate <= top]
