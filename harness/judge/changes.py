"""What changed inside the hold: a level that moved, seconds that missed, a trend."""

from __future__ import annotations

import numpy as np

from harness.judge.objectives import Stretch, second_is_bad
from harness.judge.stages import stage_spans
from harness.record.distribution import Distribution, Floats
from harness.record.run import RunRecord
from harness.stats.changepoints import change_points
from harness.units import counted, format_duration

LEAST_FACTOR = 1.5
"""A level that moves by less is scatter to a reader of one run."""

FALSE_ALARMS = 0.01
"""Of a steady run: a sentence that is wrong in one run of a hundred."""

LEAST_SECONDS = 10
MOST_CHANGES = 3
"""More changes than that are no levels but scatter."""


def describe_changes(record: RunRecord) -> list[str]:
    """A sentence on the levels of the hold, where they moved: `steady at 12 ms until …`.

    None for a profile with stages, whose rate moves by itself.
    """
    if stage_spans(record.plan.profile):
        return []
    try:
        return _described(record)
    except Exception:  # noqa: BLE001 - a sentence that cannot be made costs no verdict
        return []


def _described(record: RunRecord) -> list[str]:
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
        return []
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


def level_changes(series: Floats) -> list[int]:
    """The places at which the level of a series of latencies (s), one a second, moves clearly."""
    found = change_points(series, false_alarms=FALSE_ALARMS, min_effect=LEAST_FACTOR - 1)
    places = [point.index for point in found if _clear(point.shift)]
    return places if len(places) <= MOST_CHANGES else []


def _clear(shift: float) -> bool:
    return shift >= LEAST_FACTOR - 1 or shift <= 1 / LEAST_FACTOR - 1
