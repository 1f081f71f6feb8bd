"""Each objective on a stretch of a run, from the record alone.

Latency and errors are judged by the share of offered requests that broke them (see
`harness.stats.shares`), throughput by the share of the offered rate that was carried, availability
by slices of the window that the catalogue declares.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from harness.catalog.model import TIMES, Indicator, Objective
from harness.judge import wording
from harness.judge.evidence import Evidence, gather
from harness.judge.model import CONFIDENCE, ObjectiveResult, ResultWord
from harness.judge.schedule import scheduled_requests
from harness.record.distribution import Counts
from harness.record.run import RunRecord
from harness.record.series import Kind
from harness.stats.errors import binomial_bounds
from harness.stats.shares import ShareFinding, clean_requests, judge_share
from harness.traffic.endpoints import stream_endpoints
from harness.traffic.populations import closed_models
from harness.units import format_duration, format_rate, format_ratio

SLICE_S = 60.0
"""Seconds of an availability slice where the catalogue declares no window."""

DEFAULT_ERROR_BUDGET = 0.001
"""Share of requests that may fail without missing the throughput objective, where the service has
no error objective of its own."""

DEFAULT_QUEUE_S = 1.0
"""Latency that a service without a latency objective may have before requests under way count as
a queue that grows."""

BAD_SLICES = 3
"""Bad availability slices from which they are a pattern, however short the run."""


KINDS: dict[Indicator, Kind] = {"time_to_first_token": "ttft", "inter_token_latency": "itl"}
"""The histograms that are judged, where they are not of responses."""

STREAMED: tuple[Indicator, ...] = (*KINDS, "goodput")
"""Indicators that are of streams only."""


@dataclass(frozen=True, eq=False)
class Stretch:
    """Seconds of a run (i64[n]) that are judged as one: the hold, or one of its stages."""

    record: RunRecord
    seconds: Counts

    @cached_property
    def _evidence(self) -> dict[tuple[str, ...], Evidence]:
        return {}

    def evidence(self, objective: Objective) -> Evidence:
        """The counts that the objective is about."""
        kind, scope = KINDS.get(objective.indicator, "response"), objective.endpoints
        if objective.indicator in STREAMED:
            # Where there is none, a name that no endpoint has.
            scope = stream_endpoints(self.record.plan.traffic, scope) or ("",)
        key = (kind, *scope)
        if key not in self._evidence:
            self._evidence[key] = gather(self.record, self.seconds, scope, kind)
        return self._evidence[key]


def judge_objective(stretch: Stretch, objective: Objective) -> ObjectiveResult:
    """The result of one objective; its statement tells what would settle an open one."""
    evidence = stretch.evidence(objective)
    scope = ", ".join(objective.endpoints) or "all endpoints"
    if not evidence.offered.sum():
        # A scenario need not send what an objective for some endpoints is about.
        open_to_it = objective.endpoints or objective.indicator in STREAMED
        word: ResultWord = None if open_to_it else "inconclusive"
        nothing = _nothing(stretch, objective)
        return ObjectiveResult(objective, None, None, None, word, nothing, scope=scope)
    match objective.indicator:
        case "latency" | "time_to_first_token" | "inter_token_latency":
            result = _latency(evidence, objective)
        case "goodput":
            result = _goodput(stretch, evidence, objective)
        case "error_ratio":
            result = _errors(evidence, objective)
        case "throughput":
            result = _throughput(stretch, evidence, objective)
        case "availability":
            result = _availability(stretch, objective)
    plan = stretch.record.plan
    closed = closed_models(plan.traffic, plan.profile)
    if objective.indicator in TIMES and closed:
        said = wording.closed(closed if plan.traffic.others else ())
        result = replace(result, statement=f"{result.statement} {said}")
    return replace(result, scope=scope)


def _nothing(stretch: Stretch, objective: Objective) -> str:
    if objective.indicator in STREAMED and len(stretch.seconds):
        return f"{objective.name}: no request whose answer is a stream was due."
    if objective.endpoints and len(stretch.seconds):
        known = ", ".join(stretch.record.endpoints)
        return f"No request of {', '.join(objective.endpoints)} was due; the endpoints are {known}."
    return "Nothing was measured in the hold."


def combine(measured: ShareFinding, certain: ShareFinding) -> ResultWord:
    """The word on a figure that the generator may have made worse, never better.

    `measured` counts everything, `certain` only what nothing but the service explains.
    """
    if measured.outcome == "pass" or certain.outcome == "fail":
        return "pass" if measured.outcome == "pass" else "fail"
    return measured.outcome if certain.outcome == measured.outcome else "invalid"


def _latency(evidence: Evidence, objective: Objective) -> ObjectiveResult:
    """Requests that were not answered well within the limit, from the instant they were due."""
    q = objective.quantile if objective.quantile is not None else 0.95
    limit = objective.threshold
    measured = judge_share(evidence.beyond(limit), evidence.offered, 1 - q)
    certain = judge_share(evidence.certainly_beyond(limit), evidence.offered, 1 - q)
    if measured is None or certain is None:
        raise AssertionError
    outcome = combine(measured, certain)
    value = evidence.quantile(q)
    low, high = (None, None) if measured.why == "sustained" else quantile_bounds(evidence, q)
    statement = wording.latency(evidence, objective, measured, outcome, (low, value, high))
    method = wording.method(measured, evidence)
    if value is None:
        low = high = None
    return ObjectiveResult(objective, value, low, high, outcome, statement, method)


def quantile_bounds(evidence: Evidence, q: float) -> tuple[float | None, float | None]:
    """The largest limit (s) that the quantile clearly misses, and the smallest it clearly meets.

    The judgement turned round (order statistics at the bounds of the share), so neither leaves
    the range of observed latencies; None where no observed latency is clear.
    """
    values = evidence.values
    if not len(values):
        return None, None

    def outcome(place: int) -> str | None:
        found = judge_share(evidence.beyond(float(values[place])), evidence.offered, 1 - q)
        return None if found is None else found.outcome

    # The larger the limit, the better: fail, open, pass.
    high = bisect_left(range(len(values)), 1, key=lambda place: int(outcome(place) == "pass"))
    low = bisect_left(range(high), 1, key=lambda place: int(outcome(place) != "fail")) - 1
    return (float(values[max(low, 0)]), float(values[high]) if high < len(values) else None)


def _errors(evidence: Evidence, objective: Objective) -> ObjectiveResult:
    """Failed and unfinished requests of all that were offered."""
    found = judge_share(evidence.lost, evidence.offered, objective.threshold)
    certain = judge_share(evidence.certainly_lost, evidence.offered, objective.threshold)
    if found is None or certain is None:
        raise AssertionError
    outcome = combine(found, certain)
    statement = wording.errors(evidence, objective, found, outcome)
    return ObjectiveResult(
        objective,
        found.share,
        found.low,
        found.high,
        outcome,
        statement,
        wording.method(found, evidence),
    )


def _goodput(stretch: Stretch, evidence: Evidence, objective: Objective) -> ObjectiveResult:
    """Streams that did not keep every limit, as the engine saw them one by one.

    Of these at most as many may be the generator's doing as it may have pushed beyond each limit.
    """
    streams = stream_endpoints(stretch.record.plan.traffic, objective.endpoints)
    good = sum(stretch.record.series("due", name).good[stretch.seconds] for name in streams)
    missed: Counts = evidence.offered - good
    doubtful: Counts = np.zeros_like(missed)
    asked = [o for o in stretch.record.service.objectives if o.indicator in TIMES]
    for each in asked:
        part = stretch.evidence(replace(each, endpoints=streams))
        limit = each.threshold
        doubtful = doubtful + part.beyond(limit) - part.certainly_beyond(limit)
    certain: Counts = np.maximum(missed - np.maximum(doubtful, evidence.own), 0)
    allowed = 1 - objective.threshold
    found = judge_share(missed, evidence.offered, allowed)
    sure = judge_share(certain, evidence.offered, allowed)
    if found is None or sure is None:
        raise AssertionError
    outcome = combine(found, sure)
    rate = float(np.sum(good)) / len(evidence.seconds)
    statement = wording.goodput(evidence, objective, found, outcome, rate)
    return ObjectiveResult(
        objective, 1 - found.share, 1 - found.high, 1 - found.low, outcome, statement,
        wording.method(found, evidence),
    )  # fmt: skip


def _throughput(stretch: Stretch, evidence: Evidence, objective: Objective) -> ObjectiveResult:
    """The scheduled rate less what was lost and what only made a queue grow.

    Chance in a random schedule is not the service's doing, so the share that was carried of what
    was offered is applied to the scheduled rate. The share that the error objective lets fail is
    allowed for, since the error objective judges it.
    """
    record = stretch.record
    scheduled = None if objective.endpoints else scheduled_requests(record, stretch.seconds)
    offered = float(evidence.offered.sum()) if scheduled is None else scheduled
    rate = offered / len(stretch.seconds)
    growth = queue_growth(evidence, record.service.least("latency", DEFAULT_QUEUE_S))
    budget = record.service.least("error_ratio", DEFAULT_ERROR_BUDGET)
    measured = _Carried.of(evidence.lost, evidence, growth, budget)
    certain = _Carried.of(evidence.certainly_lost, evidence, growth, budget)
    need = objective.threshold * (1 - budget) / rate
    words = (measured.against(need), certain.against(need))
    outcome: ResultWord = words[0] if words[0] == words[1] or words[0] == "pass" else "invalid"
    estimate = f"completed {format_rate(measured.share * rate)} of {format_rate(rate)} offered" + (
        f"; a queue grew by {format_ratio(growth)} of it" if growth else ""
    )
    if rate < objective.threshold * (1 - 1e-9) and outcome != "pass":
        outcome = None
        carried = format_rate(measured.share * rate)
        why = wording.not_tested(record, format_rate(objective.threshold), rate)
        statement = f"{why} ({carried} completed)."
    else:
        statement = wording.throughput(estimate, objective, outcome, measured.finding)
    return ObjectiveResult(
        objective, measured.share * rate, measured.least * rate, measured.most * rate, outcome,
        statement, "share of the offered requests that was completed",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Carried:
    """The share of the offered requests that was carried, with its interval."""

    share: float
    least: float
    most: float
    finding: ShareFinding

    @classmethod
    def of(cls, lost: Counts, evidence: Evidence, growth: float, budget: float) -> _Carried:
        """Offered less lost (i64[n]) and less the share that only made a queue grow."""
        found = judge_share(lost, evidence.offered, budget)
        if found is None:
            raise AssertionError
        share, least, most = (
            max(0.0, 1 - p - growth) for p in (found.share, found.high, found.low)
        )
        # What carried everything carried everything, however little it was.
        return cls(share, share if not found.share else least, most, found)

    def against(self, need: float) -> ResultWord:
        """Pass, fail or open; None where so few requests cannot tell."""
        if self.least >= need:
            return "pass"
        if self.most < need:
            return "fail"
        return None if self.finding.outcome is None else "inconclusive"


def queue_growth(evidence: Evidence, latency_s: float) -> float:
    """The share of the offered requests that only made a queue grow, 0 where none grew.

    Requests under way grow by offered less ended ones. By Little's law a service that answers
    within `latency_s` has no more than rate x `latency_s` of them; beyond that, the slope counts
    (Theil 1950, Sen 1968: the median of the slopes of all pairs, so that one stall is none).
    """
    ended = evidence.done + evidence.failed
    under_way = np.cumsum(evidence.offered - ended).astype(np.float64)
    rate = float(evidence.offered.mean())
    last = under_way[-max(1, len(under_way) // 3) :]
    if len(under_way) < 3 or float(np.median(last)) <= rate * latency_s:  # noqa: PLR2004 - a slope
        return 0.0
    step = max(1, len(under_way) // 300)
    y, x = under_way[::step], np.arange(len(under_way))[::step]
    first, second = np.triu_indices(len(y), 1)
    slope = float(np.median((y[second] - y[first]) / (x[second] - x[first])))
    return min(1.0, max(0.0, slope) / rate)


def _availability(stretch: Stretch, objective: Objective) -> ObjectiveResult:
    """Good slices of all slices; what so few can never show is not judged."""
    bad, total, window = bad_slices(stretch, objective)
    known = binomial_bounds(total - len(bad), total, CONFIDENCE)
    low, high = known.low or 0.0, 1.0 if known.high is None else known.high
    counted = wording.slices(len(bad), total, window)
    wanted = f"{objective.threshold * 100:g} %"

    def result(word: ResultWord, text: str) -> ObjectiveResult:
        return ObjectiveResult(
            objective, known.estimate, low, high, word, text, "exact binomial (Clopper-Pearson)"
        )

    if len(bad) >= BAD_SLICES and high < objective.threshold:
        bound = f"so availability is below {high * 100:.4g} %, not {wanted}"
        return result("fail", f"{counted}, {bound}.")
    if low >= objective.threshold:
        return result("pass", f"{counted}: at least {low * 100:.4g} %.")
    needed = clean_requests(1 - objective.threshold, CONFIDENCE) * window
    where = "".join(f" from second {second}," for second in bad)
    listed = f" (the bad:{where.rstrip(',')})" if bad else ""
    return result(
        None, f"{counted}{listed}; {wanted} takes {format_duration(needed)} without a bad one."
    )


def bad_slices(stretch: Stretch, objective: Objective) -> tuple[list[int], int, float]:
    """(begins of the bad slices in seconds, all slices with load, their length in seconds).

    A slice is bad only where its own interval excludes an objective for latency or errors of the
    service; the last slice is what is left of the hold.
    """
    window = objective.window_s or SLICE_S
    width = max(1, round(window))
    bad, total = [], 0
    asked = [
        o for o in stretch.record.service.objectives
        if o.indicator in {"latency", "error_ratio"} and not o.endpoints
    ]  # fmt: skip
    evidence = stretch.evidence(objective)
    for begin in range(0, len(stretch.seconds), width):
        part = evidence.part(begin, begin + width)
        if not part.offered.sum():
            continue
        total += 1
        if any(_missed(part, other) for other in asked):
            bad.append(int(stretch.seconds[begin]))
    return bad, total, window


def _missed(part: Evidence, objective: Objective) -> bool:
    """Whether the exact interval of this part's own requests excludes the objective."""
    limit, bad = objective.threshold, part.certainly_lost
    if objective.indicator == "latency":
        bad = part.certainly_beyond(objective.threshold)
        limit = 1 - (objective.quantile if objective.quantile is not None else 0.95)
    low = binomial_bounds(int(bad.sum()), int(part.offered.sum()), CONFIDENCE).low
    return (low or 0.0) > limit


def second_is_bad(evidence: Evidence, place: int, objectives: tuple[Objective, ...]) -> bool:
    """Whether one second's own interval excludes a latency or error objective."""
    part = evidence.part(place, place + 1)
    asked = (o for o in objectives if o.indicator in {"latency", "error_ratio"})
    return bool(part.offered.sum()) and any(_missed(part, o) for o in asked if not o.endpoints)
