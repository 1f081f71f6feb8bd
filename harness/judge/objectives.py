"""Each objective on the hold phase, from the record alone."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import numpy as np

from harness.catalog.model import Objective
from harness.judge.estimate import (
    mean_estimate,
    quantile_estimate,
    ratio_estimate,
)
from harness.judge.model import CONFIDENCE, ObjectiveResult
from harness.judge.validity import scheduled_requests
from harness.record.distribution import Counts
from harness.record.run import RunRecord
from harness.stats.interval import Interval
from harness.units import format_duration, format_rate, format_ratio

SLICE_S = 1
"""Seconds of an availability slice: good when both its error ratio and its p95 hold."""

DEFAULT_ERROR_BUDGET = 0.001
"""Share of requests that may fail without missing the throughput objective, where the service has
no error objective of its own."""

MOST_WORTH_SUGGESTING_S = 24 * 3600


def judge_objective(record: RunRecord, objective: Objective) -> ObjectiveResult:
    """The result of one objective; its statement tells what would settle an open one."""
    seconds = record.seconds_of("hold")
    if not len(seconds) or not record.series("due").offered[seconds].sum():
        return _open(objective, None, "Nothing was measured in the hold.")
    match objective.indicator:
        case "latency":
            return _latency(record, objective, seconds)
        case "error_ratio":
            return _errors(record, objective, seconds)
        case "throughput":
            return _throughput(record, objective, seconds)
        case "availability":
            return _availability(record, objective, seconds)


def _latency(record: RunRecord, objective: Objective, seconds: Counts) -> ObjectiveResult:
    """Completed requests, from the instant they were due."""
    q = objective.quantile if objective.quantile is not None else 0.95
    series = record.series("due")
    lost, offered = int(series.lost[seconds].sum()), int(series.offered[seconds].sum())
    estimate = quantile_estimate(*record.matrix("response"), q)
    if estimate is None:
        return _open(objective, None, "No request was answered in the hold.")
    name = f"p{q * 100:g}"
    if lost / offered >= 1 - q:
        return _open(
            objective,
            estimate,
            f"{format_ratio(lost / offered)} of the requests got no good answer, so the {name} of"
            f" the others ({format_duration(estimate.estimate)}) says nothing about the service.",
        )
    return _against(objective, estimate, name, len(seconds))


def _errors(record: RunRecord, objective: Objective, seconds: Counts) -> ObjectiveResult:
    """Failed and unfinished requests of all that were offered."""
    series = record.series("due")
    estimate = ratio_estimate(series.lost[seconds], series.offered[seconds])
    if estimate is None:
        return _open(objective, None, "No request was due in the hold.")
    return _against(objective, estimate, "error ratio", len(seconds))


def _against(objective: Objective, estimate: Interval, name: str, seconds: int) -> ObjectiveResult:
    """A ceiling against an interval: below passes, above fails, across is open."""
    limit = _format(objective, objective.threshold)
    value = _format(objective, estimate.estimate)
    if estimate.low is None or estimate.high is None:
        return _open(
            objective,
            estimate,
            f"{name} {value}, {estimate.method}; hold for at least 10 s.",
        )
    interval = (
        f"{_format(objective, max(0.0, estimate.low))} to {_format(objective, estimate.high)}"
    )
    if estimate.high < objective.threshold:
        return _result(
            objective, estimate, "pass", f"{name} {value} ({interval}) is below {limit}."
        )
    if estimate.low >= objective.threshold:
        return _result(
            objective, estimate, "fail", f"{name} {value} ({interval}) is not below {limit}."
        )
    return _open(
        objective,
        estimate,
        f"{name} {value} ({interval}) may lie on either side of {limit}; "
        f"{_what_settles(objective, estimate, seconds)}.",
    )


def _what_settles(objective: Objective, estimate: Interval, seconds: int) -> str:
    """The longer hold that would do: an interval narrows with the root of its length."""
    if estimate.low is None or estimate.high is None:
        raise AssertionError
    gap = abs(objective.threshold - estimate.estimate)
    width = max(estimate.high - estimate.estimate, estimate.estimate - estimate.low)
    more = seconds * ((width / gap) ** 2 - 1) if gap else math.inf
    if more > MOST_WORTH_SUGGESTING_S:
        return "it is too close to the objective for any longer run to tell"
    return f"a hold {_about(more)} longer would tell"


def _about(seconds: float) -> str:
    """A length to plan with: tens of seconds, then whole minutes."""
    if seconds < 120:  # noqa: PLR2004 - two minutes
        return f"about {max(10, math.ceil(seconds / 10) * 10)} s"
    return f"about {math.ceil(seconds / 60)} minutes"


def _throughput(record: RunRecord, objective: Objective, seconds: Counts) -> ObjectiveResult:
    """How much of the scheduled rate was completed, in the seconds in which it was.

    What chance adds to a random schedule is not the service's doing: the share completed of what
    was offered is applied to the scheduled rate. The share that the error objective lets fail is
    allowed for, since the error objective judges it.
    """
    due, done = record.series("due"), record.series("done")
    offered = float(due.offered[seconds].sum())
    scheduled = scheduled_requests(record, seconds)
    rate = (offered if scheduled is None else scheduled) / len(seconds)
    share = mean_estimate(np.divide(done.completed[seconds], offered / len(seconds), dtype=float))
    if share is None:
        return _open(objective, None, "Nothing was measured in the hold.")
    low, high = (None if bound is None else bound * rate for bound in (share.low, share.high))
    estimate = replace(share, estimate=share.estimate * rate, low=low, high=high)
    wanted = format_rate(objective.threshold)
    got = f"completed {format_rate(estimate.estimate)} of {format_rate(rate)} offered"
    need = objective.threshold * (1 - _error_budget(record))
    if low is not None and low >= need:
        return _result(objective, estimate, "pass", f"{_upper(got)}; {wanted} is reached.")
    if rate < objective.threshold * (1 - 1e-9):
        closed = record.plan.profile.model == "closed"
        why = (
            f"{record.plan.profile.users} users in a closed loop asked for only"
            if closed
            else ("the profile offered only")
        )
        return _result(
            objective, estimate, None,
            f"Not tested at {wanted}: {why} {format_rate(rate)}"
            f" ({format_rate(estimate.estimate)} completed).",
        )  # fmt: skip
    if high is not None and high < need:
        return _result(objective, estimate, "fail", f"{_upper(got)}; {wanted} is not reached.")
    return _open(objective, estimate, f"{_upper(got)}, too uncertain to tell; hold for longer.")


def _error_budget(record: RunRecord) -> float:
    ratios = [o.threshold for o in record.service.objectives if o.indicator == "error_ratio"]
    return min(ratios, default=DEFAULT_ERROR_BUDGET)


def _availability(record: RunRecord, objective: Objective, seconds: Counts) -> ObjectiveResult:
    """Good seconds of all seconds with load; what so few can never show is not judged."""
    good, total = good_slices(record, seconds)
    estimate = ratio_estimate(np.array([good]), np.array([total]))
    if estimate is None or estimate.low is None or estimate.high is None:
        return _open(objective, estimate, "No request was due in the hold.")
    low, high = estimate.low, estimate.high
    counted = f"{good} of {total} slices of {SLICE_S} s were good"
    wanted = f"{objective.threshold * 100:g} %"
    if high < objective.threshold:
        bound = f"so availability is below {high * 100:.4g} %, not {wanted}"
        return _result(objective, estimate, "fail", f"{counted}, {bound}.")
    if low >= objective.threshold:
        return _result(objective, estimate, "pass", f"{counted}: at least {low * 100:.4g} %.")
    needed = math.ceil(math.log((1 - CONFIDENCE) / 2) / math.log(objective.threshold))
    return _result(
        objective, estimate, None,
        f"{counted}; this run can show at most {low * 100:.3g} %, {wanted} takes"
        f" {format_duration(needed * SLICE_S)} without a bad one.",
    )  # fmt: skip


def good_slices(record: RunRecord, seconds: Counts) -> tuple[int, int]:
    """(good, all) seconds in which something was due.

    A second is bad when its error ratio or its p95 reaches the service's objective for it.
    """
    series = record.series("due")
    loaded = seconds[series.offered[seconds] > 0]
    ratio = series.lost[loaded] / series.offered[loaded]
    bad = np.zeros(len(loaded), np.bool_)
    for objective in record.service.objectives:
        if objective.indicator == "error_ratio":
            bad |= ratio >= objective.threshold
        elif objective.indicator == "latency" and objective.quantile is not None:
            slow = record.quantile_series(objective.quantile)[loaded]
            bad |= np.nan_to_num(slow, nan=np.inf) >= objective.threshold
    return int((~bad).sum()), len(loaded)


def _result(
    objective: Objective,
    estimate: Interval,
    outcome: Literal["pass", "fail", "inconclusive"] | None,
    statement: str,
) -> ObjectiveResult:
    return ObjectiveResult(
        objective, estimate.estimate, estimate.low, estimate.high, outcome, _upper(statement),
        estimate.method,
    )  # fmt: skip


def _open(objective: Objective, estimate: Interval | None, statement: str) -> ObjectiveResult:
    if estimate is None:
        return ObjectiveResult(objective, None, None, None, "inconclusive", statement)
    return _result(objective, estimate, "inconclusive", statement)


def _format(objective: Objective, value: float) -> str:
    return format_duration(value) if objective.indicator == "latency" else format_ratio(value)


def _upper(sentence: str) -> str:
    """The sentence with a capital, except before a quantile such as p95."""
    return sentence if sentence[:1] == "p" else sentence[:1].upper() + sentence[1:]
