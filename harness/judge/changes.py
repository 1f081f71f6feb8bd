"""What changed inside the hold: a level that moved, seconds that missed, a trend."""

import math
from itertools import pairwise

import numpy as np

from harness.judge.model import CONFIDENCE
from harness.judge.objectives import Stretch, second_is_bad
from harness.judge.stages import stage_spans
from harness.record.distribution import Distribution, Floats
from harness.record.run import RunRecord
from harness.stats.autocorrelation import memory
from harness.stats.changepoints import change_points
from harness.stats.interval import Interval, t_quantile
from harness.stats.noise import tamed
from harness.stats.segmentation import level
from harness.units import counted, format_duration

LEAST_FACTOR = 1.5
"""A level that moves by less is scatter to a reader of one run."""

FALSE_ALARMS = 0.01
"""Of a steady run: a sentence that is wrong in one run of a hundred."""

LEAST_SECONDS = 10
TREND_FROM_S = 600
TREND_BATCHES = 20
"""A hold of ten minutes or more shows a trend, from so many batches of seconds."""

MOST_CHANGES = 3
"""More changes than that are no levels but scatter."""

BEYOND_WANDERING = 14.0
"""What each change must explain, twice the gain of the log likelihood, beside a level that wanders
by itself (AR(1)). Simulated (80 series a cell): of levels with a memory of .9 and a deviation of .5
a quarter show a change in 60 s, one in ten of these explains more; of true moves by half or more in
30 s or more one in twenty explains less (benchmarks/RESULTS.md, 6c3)."""


def describe_changes(record: RunRecord) -> list[str]:
    """A sentence on the levels of the hold, where they moved: `steady at 12 ms until …`.

    None for a profile with stages, whose rate moves by itself.
    """
    if stage_spans(record.plan.profile):
        return []
    seconds = record.seconds_of("hold")
    objective = next((o for o in record.service.objectives if o.indicator == "latency"), None)
    if len(seconds) < LEAST_SECONDS or objective is None or objective.endpoints:
        return []
    q = objective.quantile if objective.quantile is not None else 0.95
    series = record.quantile_series(q)[seconds]
    known = ~np.isnan(series)
    if known.sum() < LEAST_SECONDS:
        return []
    places = [int(np.flatnonzero(known)[p]) for p in level_changes(series[known])]
    if not places:
        return _trend(series[known], q)
    evidence = Stretch(record, seconds).evidence(objective)
    missed = sum(second_is_bad(evidence, i, (objective,)) for i in range(len(seconds)))
    parts = record.distributions("response")
    levels = []
    for begin, end in zip([0, *places], [*places, len(seconds)], strict=True):
        whole = Distribution.merge(parts[second] for second in seconds[begin:end])
        until = "to the end" if end == len(seconds) else f"until second {seconds[end]}"
        levels.append(f"{format_duration(whole.quantile(q) or 0.0)} {until}")
    limit = format_duration(objective.threshold)
    missing = f": {missed} of {counted(len(seconds), 'second')} missed {limit}" if missed else ""
    return [f"The p{q * 100:g} was not steady: {', then '.join(levels)}{missing}."]


def _trend(series: Floats, q: float) -> list[str]:
    found = drift(series)
    if found is None or found.low is None or found.high is None:
        return []
    interval = f"{found.low:+.1%} to {found.high:+.1%}".replace("%", " %")
    change = f"{found.estimate:+.1%}".replace("%", " %")
    return [f"The p{q * 100:g} drifted by {change} an hour ({interval})."]


def drift(series: Floats) -> Interval | None:
    """The relative change an hour of a series of latencies (s), one a second, f64[n].

    Least squares on the logarithms of batch medians, Student's t, widened by what the residuals
    remember (`autocorrelation.memory`). None below ten minutes.
    """
    if len(series) < TREND_FROM_S:
        return None
    edges = np.linspace(0, len(series), TREND_BATCHES + 1).astype(int)
    y = np.array([np.log(np.median(series[a:b])) for a, b in pairwise(edges)])
    hours = (edges[:-1] + edges[1:]) / 2 / 3600
    x = hours - hours.mean()
    slope = float(x @ y / (x @ x))
    residual = np.subtract(y - y.mean(), slope * x, dtype=np.float64)
    freedom = TREND_BATCHES - 2
    error = math.sqrt(float(residual @ residual) / freedom / float(x @ x) * memory(residual).time)
    half = t_quantile(1 - (1 - CONFIDENCE) / 2, freedom) * error
    low, high = math.expm1(slope - half), math.expm1(slope + half)
    return Interval(math.expm1(slope), low, high, CONFIDENCE, "least squares", TREND_BATCHES)


def level_changes(series: Floats) -> list[int]:
    """The places at which the level of a series of latencies (s), one a second, moves clearly."""
    found = change_points(series, false_alarms=FALSE_ALARMS, min_effect=1 - 1 / LEAST_FACTOR)
    low, high = 1 / LEAST_FACTOR - 1, LEAST_FACTOR - 1
    places = [each.index for each in found if each.shift >= high or each.shift <= low]
    if not 0 < len(places) <= MOST_CHANGES or not _beyond_wandering(np.log(series), places):
        return []
    return places


def _beyond_wandering(y: Floats, places: list[int]) -> bool:
    """Whether levels with these steps explain more than one that remembers where it was."""
    tame = tamed(y, places)
    alone = _surprise(np.subtract(tame, tame.mean()))
    beside = _surprise(np.subtract(tame, level(tame, places)))
    if beside <= 0:
        return alone > 0
    return len(y) * math.log(alone / beside) > BEYOND_WANDERING * len(places)


def _surprise(rest: Floats) -> float:
    """The squares that are left when each value is foretold from the one before."""
    before, after = rest[:-1], rest[1:]
    squares = float(before @ before)
    rho = float(before @ after) / squares if squares else 0.0
    gap = after - rho * before
    return float(gap @ gap)
