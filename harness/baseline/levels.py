"""How the level of today stands to those accepted before: small steps add up."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.baseline.model import QUANTILES, TOTAL, AcceptedRun, Baseline
from harness.stats.compare import compare_metric
from harness.stats.drift import drift

BLOCK = 5
"""Runs that make one level: as many as a baseline should have before it is compared with."""

LEAST = 3
"""Fewer runs at the end join the level before them: two have hardly a scatter."""

ALPHA = 0.05
KEPT = (*QUANTILES, "error_ratio", "throughput")


@dataclass(frozen=True, slots=True)
class Level:
    """Accepted runs that follow one another, the first of the day `since`, the last of `until`.

    `values`, oldest first, are in the metric's unit.
    """

    since: str
    until: str
    values: tuple[float, ...]

    @property
    def value(self) -> float:
        """The median."""
        return float(np.median(self.values))


@dataclass(frozen=True, slots=True)
class Gap:
    """Today's level against an earlier one; `shift`, `low` and `high` are relative."""

    name: str
    level: Level
    now: float
    shift: float
    low: float
    high: float
    beyond_chance: bool

    def sentence(self, metric: str) -> str:
        """`p95: +18.2% [+15.1%, +21.4%] against the oldest accepted level, 5 runs of …`."""
        days = self.level.since
        if self.level.until != days:
            days += f" to {self.level.until}"
        return (
            f"{metric} of all endpoints: {self.shift:+.1%} [{self.low:+.1%}, {self.high:+.1%}] "
            f"against the {self.name} accepted level, {len(self.level.values)} runs of {days}"
        )


def kept_level(runs: Iterable[AcceptedRun]) -> dict[str, object]:
    """What a note keeps of accepted runs that leave a baseline in good order."""
    figures = [
        {"run": run.id, "created": run.created} | {name: run.values(name, TOTAL) for name in KEPT}
        for run in runs
    ]
    return {"figures": figures}


def accepted_series(baseline: Baseline, metric: str) -> tuple[tuple[str, float], ...]:
    """(created, value) of all endpoints together, of every run that was ever accepted.

    Runs that a cut or a prune took out are among them; dropped ones, which were wrong, are not.
    """
    found = {run.id: (run.created, run.values(metric, TOTAL)) for run in baseline.runs}
    for note in baseline.notes:
        figures = note.get("figures")
        for kept in figures if isinstance(figures, list | tuple) else ():
            value = kept.get(metric) if isinstance(kept, Mapping) else None
            if isinstance(value, int | float):
                found.setdefault(str(kept.get("run")), (str(kept.get("created")), value))
    ordered = sorted((at, name, value) for name, (at, value) in found.items() if value is not None)
    return tuple((at, float(value)) for at, _, value in ordered)


def levels(series: Sequence[tuple[str, float]]) -> tuple[Level, ...]:
    """The series in blocks of five, the last with what is left; none below three runs."""
    if len(series) < LEAST:
        return ()
    edges = list(range(0, len(series), BLOCK))
    if len(series) - edges[-1] < LEAST and len(edges) > 1:
        edges.pop()
    parts = [series[a:b] for a, b in zip(edges, [*edges[1:], len(series)], strict=True)]
    return tuple(
        Level(part[0][0][:10], part[-1][0][:10], tuple(value for _, value in part))
        for part in parts
    )


def gaps(
    before: Sequence[Level], now: Sequence[float], *, lower_is_better: bool = True
) -> tuple[Gap, ...]:
    """Today against the oldest and the best level, the same one only once.

    The best of k levels is the luckiest of them too, so each interval has the confidence
    1 - 2 alpha / k (Bonferroni). Values must be positive; none else gives any gap.
    """
    if not before or not now or min(*now, *(v for each in before for v in each.values)) <= 0:
        return ()
    pick = min if lower_is_better else max
    wanted = {"oldest": before[0], "best": pick(before, key=lambda level: level.value)}
    if wanted["oldest"] is wanted["best"]:
        wanted = {"oldest and best": before[0]}
    found = []
    for name, level in wanted.items():
        seen = compare_metric(
            level.values, now, 0.0, ALPHA / len(before), lower_is_better=lower_is_better
        )
        if seen.low is None or seen.high is None:
            continue
        worse = seen.low > 0 if lower_is_better else seen.high < 0
        found.append(
            Gap(name, level, float(np.median(now)), seen.shift, seen.low, seen.high, worse)
        )
    return tuple(found)


def standing(baseline: Baseline, candidates: Sequence[AcceptedRun], metric: str) -> tuple[Gap, ...]:
    """Candidate runs against the oldest and the best level that was ever accepted.

    The gate compares with the baseline as it is; this is what steps below its margin add up to.
    """
    fresh = {run.id for run in candidates}
    known = replace(baseline, runs=tuple(run for run in baseline.runs if run.id not in fresh))
    found = (run.values(metric, TOTAL) for run in candidates)
    now = [value for value in found if value is not None]
    before = levels(accepted_series(known, metric))
    return gaps(before, now, lower_is_better=metric != "throughput")


def standing_now(baseline: Baseline, metric: str) -> tuple[Gap, ...]:
    """The latest accepted level against the oldest and the best before it."""
    found = levels(accepted_series(baseline, metric))
    if len(found) < 2:  # noqa: PLR2004 - nothing before it
        return ()
    return gaps(found[:-1], found[-1].values, lower_is_better=metric != "throughput")


def level_warnings(
    baseline: Baseline, candidates: Sequence[AcceptedRun], metric: str, margin: float
) -> tuple[str, ...]:
    """What a gate must mention though it may pass: the sum of steps that were each too small.

    One sentence for each earlier level that the candidates are worse than, beyond chance and by
    the margin or more, and one for the drift of all accepted runs and the candidates, if any.
    """
    found = [
        gap.sentence(metric)
        for gap in standing(baseline, candidates, metric)
        if gap.beyond_chance and abs(gap.shift) >= margin
    ]
    if not found:
        return ()
    known = accepted_series(baseline, metric)
    now = [run.values(metric, TOTAL) for run in candidates]
    seen = drift([*(value for _, value in known), *(v for v in now if v is not None)], ALPHA)
    if seen is not None and seen.p_value <= ALPHA and seen.scale == "ratio":
        found.append(
            f"{metric} of all endpoints drifts by {seen.slope:+.1%} a run "
            f"[{seen.low:+.1%}, {seen.high:+.1%}] since {known[0][0][:10]}"
        )
    return tuple(found)
