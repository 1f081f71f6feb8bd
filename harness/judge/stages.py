"""The stages of a profile that has several: a row each, and how long the service took after."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from harness.catalog.model import Service
from harness.judge.model import CERTAINTY, ResultWord, StageResult
from harness.judge.objectives import Stretch, judge_objective, second_is_bad
from harness.record.distribution import Counts, Distribution
from harness.record.run import RunRecord
from harness.traffic.model import LoadProfile, Segment
from harness.traffic.profiles import STAGES
from harness.units import format_duration, format_rate

QUANTILES = (0.5, 0.95, 0.99)

RAMP_PARTS = 5
DAY_PARTS = 8
"""A straight ramp is shown in five stages, a day of many pieces in eight."""

HELD_SECONDS = 10
HELD_BAD = 1
"""The objectives hold again from the first of 10 seconds of which at most one misses them: the
rule with the fewest early answers on noisy seconds (benchmarks/stats)."""

Span = tuple[str, float, float]
"""Name, begin and end in seconds from the start."""


def stage_spans(profile: LoadProfile) -> tuple[Span, ...]:
    """The stages of the hold; none where it has one constant rate or no segments at all."""
    pieces: list[tuple[float, Segment]] = []
    begin = 0.0
    for segment in profile.segments:
        if segment.phase == "hold":
            pieces.append((begin, segment))
        begin += segment.duration_s
    if profile.model == "closed" or not pieces:
        return ()
    if len(pieces) == 1:
        start, only = pieces[0]
        return () if only.from_rate == only.to_rate else _parts_of_ramp(start, only)
    if len(pieces) > DAY_PARTS and not profile.name.startswith(STAGES):
        edges = np.linspace(pieces[0][0], pieces[-1][0] + pieces[-1][1].duration_s, DAY_PARTS + 1)
        return tuple(
            (f"part {i + 1}", float(a), float(b)) for i, (a, b) in enumerate(pairwise(edges))
        )
    return tuple(
        (name, at, at + segment.duration_s)
        for name, (at, segment) in zip(_names(profile, pieces), pieces, strict=True)
    )


def _parts_of_ramp(begin: float, segment: Segment) -> tuple[Span, ...]:
    edges = np.linspace(begin, begin + segment.duration_s, RAMP_PARTS + 1)
    rates = np.linspace(segment.from_rate, segment.to_rate, RAMP_PARTS + 1)
    return tuple(
        (_way(low, high), float(a), float(b))
        for (a, b), (low, high) in zip(pairwise(edges), pairwise(rates), strict=True)
    )


def _way(low: float, high: float) -> str:
    return f"{format_rate(low).removesuffix('/s')} to {format_rate(high)}"


def _names(profile: LoadProfile, pieces: Sequence[tuple[float, Segment]]) -> list[str]:
    if profile.name.startswith(STAGES):
        ways = (format_rate(s.to_rate) if s.from_rate == s.to_rate else _way(s.from_rate, s.to_rate)
                for _, s in pieces)  # fmt: skip
        return [f"{i + 1}: {way}" for i, way in enumerate(ways)]
    rates = [max(s.from_rate, s.to_rate) for _, s in pieces]
    if len(rates) == 3 and rates[1] > max(rates[0], rates[2]):  # noqa: PLR2004 - up and down again
        return ["before", "peak", "after"]
    return [f"step {i + 1} ({format_rate(rate)})" for i, rate in enumerate(rates)]


def stage_stretches(record: RunRecord) -> tuple[tuple[str, Stretch], ...]:
    """The recorded stages by name; none where the profile has one stage only."""
    hold = record.seconds_of("hold")
    found = []
    for name, begin, end in stage_spans(record.plan.profile):
        inside = hold[(hold >= math.ceil(begin - 1e-9)) & (hold + 1 <= end + 1e-9)]
        if len(inside):
            found.append((name, Stretch(record, inside)))
    return tuple(found) if len(found) > 1 else ()


def judge_stages(
    record: RunRecord, service: Service, stages: Sequence[tuple[str, Stretch]]
) -> tuple[StageResult, ...]:
    """A row for each stage: its figures, and the worst word of its objectives."""
    return tuple(_stage(service, name, stretch, stages) for name, stretch in stages)


def _stage(
    service: Service, name: str, stretch: Stretch, stages: Sequence[tuple[str, Stretch]]
) -> StageResult:
    results = [
        judge_objective(stretch, o) for o in service.objectives if o.indicator != "availability"
    ]
    words = {result.outcome for result in results}
    outcome: ResultWord = next((word for word in CERTAINTY if word in words), None)
    statement = next((r.statement for r in results if r.outcome == outcome), "")
    if stretch is stages[-1][1] and len(stages) > 1:
        statement = f"{statement} {_held_again(service, stretch)}".strip()
    record, seconds = stretch.record, stretch.seconds
    due, done = record.series("due"), record.series("done")
    offered = int(due.offered[seconds].sum())
    return StageResult(
        name=name,
        begin=float(seconds[0]),
        end=float(seconds[-1]) + 1,
        offered_rate=offered / len(seconds),
        completed_rate=float(done.completed[seconds].sum()) / len(seconds),
        quantiles={f"p{q * 100:g}": _quantile(record, seconds, q) for q in QUANTILES},
        error_ratio=float(due.lost[seconds].sum()) / offered if offered else 0.0,
        outcome=outcome,
        statement=statement,
    )


def _quantile(record: RunRecord, seconds: Counts, q: float) -> float | None:
    parts = record.distributions("response")
    return Distribution.merge(parts[second] for second in seconds).quantile(q)


def _held_again(service: Service, stretch: Stretch) -> str:
    seconds = time_until_held(service, stretch)
    if seconds is None:
        return "The objectives did not hold again before the end."
    return (
        f"The objectives held {format_duration(seconds)} after the stage before." if seconds else ""
    )


def time_until_held(service: Service, stretch: Stretch) -> float | None:
    """Seconds from the stretch's begin until the objectives hold again; None: not before its end.

    A second misses only where its own interval excludes an objective for latency or errors.
    """
    evidence = stretch.evidence(service.objectives[0]) if service.objectives else None
    if evidence is None:
        return 0.0
    bad = [second_is_bad(evidence, i, service.objectives) for i in range(len(stretch.seconds))]
    return held_from(bad)


def held_from(bad: Sequence[bool]) -> float | None:
    """The second from which the objectives hold, by which seconds miss them; None: none does."""
    for begin in range(len(bad)):
        if not bad[begin] and sum(bad[begin : begin + HELD_SECONDS]) <= HELD_BAD:
            return float(begin)
    return None
