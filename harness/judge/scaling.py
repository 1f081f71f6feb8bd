"""The verdict on a scaling test: did the autoscaler follow the load, within stated limits?

A run that cannot be trusted is invalid, an autoscaler that could not be seen or was not provoked
is inconclusive; a limit is judged only where what it limits was seen.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.judge.model import PRIORITY, Outcome, RunVerdict, ValidityCheck
from harness.judge.validity import check_validity
from harness.record.distribution import Floats
from harness.record.run import RunRecord
from harness.stats import scaling
from harness.units import format_duration, format_rate

SETTLED_S = 20
"""Seconds without a change of the pods after which the metric speaks of these pods only: a window
of 10 to 15 s of the metrics server and a period of 15 s of the autoscaler, most of the time."""

LEAST_SETTLED = 5
"""Seconds at least from which a cost per request is told."""

PROVOKED = 1.0 + scaling.HPA_TOLERANCE
"""Pressure (metric by target) above which an HPA must scale."""

PATIENCE_S = 60
"""Seconds above it, after which one that did not scale is at fault."""

Bools = NDArray[np.bool_]
Word = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True, slots=True)
class ScalingLimits:
    """What is asked; seconds and counts. None: measured and shown, not judged."""

    first_ready_s: float | None = 60.0
    holds_again_s: float | None = 120.0
    flaps: int | None = 0
    most_replicas: int | None = None
    under_pod_s: float | None = None
    over_pod_s: float | None = None
    scaled_down_s: float | None = None


@dataclass(frozen=True, slots=True)
class ScalingTrace:
    """Per-second series of a run, f64[n], NaN unknown; `broken` bool[n]; `rise`, `fall` in s."""

    rate: Floats
    p95: Floats
    broken: Bools
    ready: Floats
    desired: Floats
    pressure: Floats
    needed: Floats | None
    per_replica: float | None
    per_replica_from: str
    rise: int
    fall: int


@dataclass(frozen=True, slots=True)
class ScalingCheck:
    """One question; `measured` in `unit`, None unknown; `outcome` None: not judged."""

    name: str
    measured: float | None
    limit: float | None
    unit: str
    outcome: Word | None
    statement: str


@dataclass(frozen=True, slots=True)
class ScalingVerdict(RunVerdict):
    """The answer to one scaling test."""

    checks: tuple[ScalingCheck, ...]
    validity: tuple[ValidityCheck, ...]
    autoscaler: dict[str, Any]


def trace(record: RunRecord, per_replica: float | None = None) -> ScalingTrace:
    """The series of a recorded scaling test.

    `per_replica` (requests/s that one replica shall carry) decides how many were needed; without
    it, it is what one replica carries at the autoscaler's own target, by the metric per request
    measured in the settled part of the peak.
    """
    seconds = record.seconds
    times: Floats = np.add(np.arange(seconds), 0.5, dtype=np.float64)
    phases = {name: (begin, end) for name, begin, end in record.plan.profile.phases()}
    rise = round(phases.get("ramp", phases["hold"])[0])
    fall = round(phases["hold"][1])

    def seen(field: str) -> Floats:
        found = record.measurements("scaling", field)
        return scaling.on_grid([t for t, _ in found], [v for _, v in found], seconds)

    rate, ready, broken = _scheduled(record, times), seen("ready"), _broken(record)
    source, tolerance = "stated", 1.0
    if per_replica is None:
        source = "measured at the autoscaler's target"
        settled = _settled(ready) & ~broken & (times > rise) & (times < fall)
        done = record.series("done").completed.astype(np.float64)
        per_replica = _per_replica(seen("usage"), seen("share"), done, settled)
        tolerance += scaling.HPA_TOLERANCE  # what is within it, the autoscaler leaves alone, too
    return ScalingTrace(
        rate=rate,
        p95=record.quantile_series(0.95),
        broken=broken,
        ready=ready,
        desired=seen("desired"),
        pressure=seen("pressure"),
        needed=None if per_replica is None else scaling.needed(rate, per_replica * tolerance),
        per_replica=per_replica,
        per_replica_from=source,
        rise=rise,
        fall=min(fall, seconds),
    )


def _scheduled(record: RunRecord, times: Floats) -> Floats:
    """The profile's rate at each time, requests/s."""
    rate = np.zeros(len(times))
    begin = 0.0
    for segment in record.plan.profile.segments:
        share = (times - begin) / segment.duration_s
        inside = (share >= 0) & (share < 1)
        rate[inside] = segment.from_rate + share[inside] * (segment.to_rate - segment.from_rate)
        begin += segment.duration_s
    return rate


def _settled(ready: Floats) -> Bools:
    """bool[n]: the seconds before which the pods have been the same for SETTLED_S."""
    settled = np.zeros(len(ready), np.bool_)
    since = 0
    for second in range(1, len(ready)):
        since = since + 1 if ready[second] == ready[second - 1] else 0
        settled[second] = since >= SETTLED_S
    return settled


def _per_replica(usage: Floats, share: Floats, done: Floats, settled: Bools) -> float | None:
    """Requests/s of one replica at the target: its share of the metric by the metric a request.

    Only of seconds in which the objectives held: a service in trouble spends on refusals, too.
    """
    known = settled & np.isfinite(usage) & np.isfinite(share)
    if known.sum() < LEAST_SETTLED or not (answered := float(done[known].mean())):
        return None
    cost = float(np.median(usage[known])) / answered
    return float(np.median(share[known])) / cost if cost else None


def _broken(record: RunRecord) -> Bools:
    """bool[n]: the seconds whose requests miss a latency or an error objective."""
    due = record.series("due")
    broken = np.zeros(record.seconds, np.bool_)
    for objective in record.service.objectives:
        if objective.indicator == "latency" and objective.quantile:
            found = record.quantile_series(objective.quantile)
            broken |= np.nan_to_num(found, nan=0.0) > objective.threshold
        if objective.indicator == "error_ratio":
            broken |= due.lost > objective.threshold * np.maximum(due.offered, 1)
    return broken


def judge_scaling(
    record: RunRecord,
    limits: ScalingLimits,
    autoscaler: dict[str, object],
    per_replica: float | None = None,
) -> ScalingVerdict:
    """Judge a recorded scaling test. A crash of a check is inconclusive, with its reason."""
    validity = check_validity(record)
    try:
        seen = trace(record, per_replica)
        checks = tuple(_checks(seen, limits, autoscaler))
    except Exception as error:  # noqa: BLE001 - a crash of a check must cost certainty, not the run
        text = f"The analysis crashed: {type(error).__name__}: {error}."
        checks = (ScalingCheck("analysis", None, None, "", "inconclusive", text),)
    broken = [each for each in validity if each.ok is False]
    words: set[Outcome] = {each.costs for each in broken}
    words |= {each.outcome for each in checks if each.outcome is not None}
    usual: Outcome = "inconclusive"
    outcome = next((word for word in PRIORITY if word in words), usual)
    told: list[tuple[str, str]] = [(each.costs, each.reason) for each in broken]
    told += [(each.outcome, each.statement) for each in checks if each.outcome is not None]
    order = ("pass",) if outcome == "pass" else PRIORITY[:-1]
    reasons = tuple(text for word in order for got, text in told if got == word)
    return ScalingVerdict(
        record.id, record.service.name, outcome, reasons, checks, validity, autoscaler
    )


def _checks(
    seen: ScalingTrace, limits: ScalingLimits, autoscaler: dict[str, object]
) -> Iterator[ScalingCheck]:
    first = scaling.first_rise(seen.ready, seen.rise)
    waited = float(seen.fall - seen.rise)
    yield _scaled(seen, autoscaler, first)
    yield _within(
        "first new ready pod", first, limits.first_ready_s, "s", waited,
        lambda s: f"The first new pod was ready {s:.0f} s after the load rose",
        f"No new pod was ready within {waited:.0f} s of the rise",
    )  # fmt: skip
    yield _relief(seen, limits.holds_again_s)
    yield from _provisioned(seen, limits)
    turns = scaling.flaps(seen.desired, seen.rate) if np.isfinite(seen.desired).any() else None
    yield _at_most(
        "flapping", turns, limits.flaps, "turns",
        lambda n: f"The replicas wanted turned {n:.0f} times more often than the load",
    )  # fmt: skip
    most = float(np.nanmax(seen.ready)) if np.isfinite(seen.ready).any() else None
    yield _at_most(
        "most replicas", most, limits.most_replicas, "pods",
        lambda n: f"At most {n:.0f} pods were ready of {autoscaler.get('most')} allowed",
    )  # fmt: skip
    yield _scaled_down(seen, limits.scaled_down_s)


def _scaled(seen: ScalingTrace, autoscaler: dict[str, object], first: int | None) -> ScalingCheck:
    """Whether there was anything to judge: the load provoked the autoscaler, and was it seen."""
    window, most = slice(seen.rise, seen.fall), autoscaler.get("most")
    pressure, desired = seen.pressure[window], seen.desired[window]
    known = pressure[np.isfinite(pressure)]
    peak = float(known.max()) if len(known) else None
    above = int((known > PROVOKED).sum())
    word: Word = "inconclusive"
    if first is not None or _rose(desired):
        word, text = "pass", "The autoscaler scaled up"
        text += f"; its metric reached {peak:.0%} of the target." if peak else "."
    elif peak is None:
        text = "The autoscaler's metric was never seen during the peak: nothing can be said of it."
    elif peak <= PROVOKED:
        text = (
            f"The load did not provoke the autoscaler: its metric reached {peak:.0%} of the"
            f" target, it acts above {PROVOKED:.0%}. Raise --rate or hold longer."
        )
    elif isinstance(most, int) and np.nanmax(desired, initial=0) >= most:
        text = "The autoscaler was at its maximum before the load rose; start from fewer replicas."
    elif above >= PATIENCE_S:
        word = "fail"
        text = f"The metric was above the target for {above} s, and the autoscaler did not scale."
    else:
        text = f"The metric was above the target for only {above} s; hold the peak longer."
    return ScalingCheck("scaled up", peak, PROVOKED, "of target", word, text)


def _rose(desired: Floats) -> bool:
    known = desired[np.isfinite(desired)]
    return bool(len(known) and known.max() > known[0])


def _relief(seen: ScalingTrace, limit: float | None) -> ScalingCheck:
    found = scaling.relief(seen.broken, seen.rise, seen.fall)
    name = "objectives hold again"
    if found.broke is None:
        text = "The objectives held throughout the rise and the peak."
        return ScalingCheck(name, 0.0, limit, "s", "pass", text)
    return _within(
        name, found.again, limit, "s", found.waited,
        lambda s: f"The objectives broke {found.broke:.0f} s after the rise and held again at"
        f" {s:.0f} s",
        f"The objectives broke {found.broke:.0f} s after the rise and did not hold again within"
        f" {found.waited:.0f} s{_unreached(seen)}",
    )  # fmt: skip


def _unreached(seen: ScalingTrace) -> str:
    """A Service's address balances connections: the load's kept ones may never reach a new pod."""
    if seen.needed is None or scaling.first_rise(seen.ready, seen.rise) is None:
        return ""
    enough = np.flatnonzero((seen.ready >= seen.needed)[seen.rise : seen.fall])
    if not len(enough):
        return ""
    return (
        " though enough pods were ready (the load keeps its connections, and a Service's address"
        " balances connections, not requests: do new pods get any?)"
    )


def _provisioned(seen: ScalingTrace, limits: ScalingLimits) -> Iterator[ScalingCheck]:
    found = None if seen.needed is None else scaling.provisioning(seen.ready, seen.needed)
    names = ("under-provisioned", "over-provisioned")
    if found is None or seen.per_replica is None:
        why = "What one replica carries was never seen settled: give --per-replica."
        for name, limit in zip(names, (limits.under_pod_s, limits.over_pod_s), strict=True):
            word: Word | None = None if limit is None else "inconclusive"
            yield ScalingCheck(name, None, limit, "pod-seconds", word, why)
        return
    basis = f"at {format_rate(seen.per_replica)} a replica ({seen.per_replica_from})"
    yield _at_most(
        names[0], found.under, limits.under_pod_s, "pod-seconds",
        lambda n: f"{n:.0f} pod-seconds too few, {found.under_share:.0%} of the time, {basis}",
    )  # fmt: skip
    yield _at_most(
        names[1], found.over, limits.over_pod_s, "pod-seconds",
        lambda n: f"{n:.0f} pod-seconds too many, {found.over_share:.0%} of the time, {basis}",
    )  # fmt: skip


def _scaled_down(seen: ScalingTrace, limit: float | None) -> ScalingCheck:
    before = seen.ready[seen.rise] if seen.rise < len(seen.ready) else math.nan
    waited = float(len(seen.ready) - seen.fall)
    if not np.isfinite(before) or waited <= 0:
        word: Word | None = None if limit is None else "inconclusive"
        text = "The load never fell within what was recorded: nothing is known of scaling down."
        return ScalingCheck("scaled down", None, limit, "s", word, text)
    found = scaling.first_at_most(seen.ready, before, seen.fall)
    return _within(
        "scaled down", found, limit, "s", waited,
        lambda s: f"Back at {before:.0f} ready pods {s:.0f} s after the load fell",
        f"Not back at {before:.0f} ready pods within {waited:.0f} s of the load's fall",
    )  # fmt: skip


def _within(
    name: str,
    found: float | None,
    limit: float | None,
    unit: str,
    waited: float,
    seen: Callable[[float], str],
    unseen: str,
) -> ScalingCheck:
    """A time to something that may not have come while it was watched (right-censored)."""
    tail = "" if limit is None else f"; at most {format_duration(limit)} is allowed"
    if found is not None:
        word: Word | None = None if limit is None else ("pass" if found <= limit else "fail")
        return ScalingCheck(name, float(found), limit, unit, word, f"{seen(found)}{tail}.")
    word = None if limit is None else "fail" if waited >= limit else "inconclusive"
    return ScalingCheck(name, None, limit, unit, word, f"{unseen}{tail}.")


def _at_most(
    name: str, found: float | None, limit: float | None, unit: str, seen: Callable[[float], str]
) -> ScalingCheck:
    if found is None:
        word: Word | None = None if limit is None else "inconclusive"
        return ScalingCheck(name, None, limit, unit, word, f"{name.capitalize()}: unknown.")
    word = None if limit is None else ("pass" if found <= limit else "fail")
    tail = "" if limit is None else f"; at most {limit:g} is allowed"
    return ScalingCheck(name, float(found), limit, unit, word, f"{seen(found)}{tail}.")
