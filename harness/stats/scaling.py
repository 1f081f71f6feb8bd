"""How an autoscaler followed a load, from per-second series.

Under- and over-provisioning as pod-seconds and as shares of time, and the surplus of adaptations
(flapping), are the elasticity metrics of Herbst, Kounev, Reussner: Elasticity in Cloud Computing
(ICAC 2013): demand against supply, accuracy, time share and jitter. NaN is unknown: a second with
it counts on neither side and is told.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import DataError
from harness.stats.interval import Floats

WINDOW = 10
GOOD = 9
"""Objectives hold again from the first good second from which 9 of 10 are good: the rule by which
`harness.stats.recovery` ends an outage."""

HPA_TOLERANCE = 0.1
"""Of the ratio of metric and target that an HPA leaves alone (Kubernetes' default)."""


@dataclass(frozen=True, slots=True)
class Provisioning:
    """Supply against demand over some seconds.

    `under` and `over` in pod-seconds, `under_share` and `over_share` of the known time;
    `unknown_s` seconds of which nothing is known.
    """

    under: float
    over: float
    under_share: float
    over_share: float
    unknown_s: int


@dataclass(frozen=True, slots=True)
class Relief:
    """When objectives broke and when they held again, in seconds from the rise of the load.

    `broke` None: they never did. `again` None with `broke`: not within `waited` seconds.
    """

    broke: float | None
    again: float | None
    waited: float


def on_grid(times: ArrayLike, values: ArrayLike, seconds: int, longest_gap: float = 5.0) -> Floats:
    """The last value known in each second, f64[seconds].

    NaN before the first sample, and where the last one is older than `longest_gap` seconds.
    Raises DataError for series of different length.
    """
    at, found = np.asarray(times, np.float64), np.asarray(values, np.float64)
    if at.shape != found.shape or at.ndim != 1:
        raise DataError(f"{at.shape} times for {found.shape} values", "give one time a value")
    grid = np.full(seconds, np.nan)
    order = np.argsort(at, kind="stable")
    at, found = at[order], found[order]
    ends = np.arange(seconds, dtype=np.float64) + 1
    last = np.searchsorted(at, ends, side="left") - 1
    known = last >= 0
    fresh = known.copy()
    fresh[known] = ends[known] - at[last[known]] <= longest_gap
    grid[fresh] = found[last[fresh]]
    return grid


def needed(rate: ArrayLike, per_replica: float, least: int = 1, most: int | None = None) -> Floats:
    """Replicas that each second's rate takes, f64[n], bounded by `least` and `most`.

    `per_replica` in requests/s. Raises DataError unless it is positive.
    """
    if not (per_replica > 0 and math.isfinite(per_replica)):
        raise DataError(f"a replica carries {per_replica} requests/s", "it must be positive")
    wanted = np.ceil(np.asarray(rate, np.float64) / per_replica - 1e-9)
    bounded: Floats = np.clip(wanted, least, np.inf if most is None else most)
    return bounded


def provisioning(supply: ArrayLike, demand: ArrayLike) -> Provisioning | None:
    """Pod-seconds too few and too many; None where no second is known."""
    gap = np.asarray(supply, np.float64) - np.asarray(demand, np.float64)
    known = gap[np.isfinite(gap)]
    if not len(known):
        return None
    return Provisioning(
        under=float(-known[known < 0].sum()),
        over=float(known[known > 0].sum()),
        under_share=float((known < 0).mean()),
        over_share=float((known > 0).mean()),
        unknown_s=len(gap) - len(known),
    )


def first_rise(series: ArrayLike, begin: int) -> int | None:
    """Seconds from `begin` to the first that exceeds what it was then; None if none does.

    None also where the value at `begin` is unknown.
    """
    values = np.asarray(series, np.float64)
    if begin >= len(values) or not np.isfinite(values[begin]):
        return None
    above = np.flatnonzero(values[begin:] > values[begin])
    return int(above[0]) if len(above) else None


def first_at_most(series: ArrayLike, level: float, begin: int) -> int | None:
    """Seconds from `begin` to the first from which the series stays at or below `level`.

    None if it does not stay there to its end.
    """
    values = np.asarray(series, np.float64)[begin:]
    above = np.flatnonzero(~(values <= level) & np.isfinite(values))
    if not len(values) or not np.isfinite(values[-1]):
        return None
    first = int(above[-1]) + 1 if len(above) else 0
    return first if first < len(values) else None


def relief(bad: ArrayLike, begin: int, end: int) -> Relief:
    """When objectives broke and held again within [begin, end), bool[n] of bad seconds."""
    series: NDArray[np.bool_] = np.asarray(bad, np.bool_)[begin:end]
    broken = np.flatnonzero(series)
    waited = float(len(series))
    if not len(broken):
        return Relief(None, None, waited)
    first = int(broken[0])
    for second in range(first + 1, len(series) - WINDOW + 1):
        ahead = series[second : second + WINDOW]
        if not ahead[0] and (~ahead).sum() >= GOOD:
            return Relief(float(first), float(second), waited)
    return Relief(float(first), None, waited)


def flaps(desired: ArrayLike, load: ArrayLike) -> int:
    """Turns of the desired replicas beyond those that the load itself makes.

    A load that rises and falls turns once, so up-and-down is no flap, up-down-up-down is two.
    """
    return max(0, _turns(desired) - _turns(load))


def _turns(series: ArrayLike) -> int:
    values = np.asarray(series, np.float64)
    steps = np.diff(values[np.isfinite(values)])
    signs = np.sign(steps[steps != 0])
    return int((np.diff(signs) != 0).sum())
