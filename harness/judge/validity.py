"""Whether the measurement can be trusted: every limit is named, justified and checked here.

A broken check says that the generator or its host shaped some figures, and which: invalidity
belongs to those figures, not to the run. A check without data is None and shown as unknown.
"""

from collections.abc import Callable

import numpy as np

from harness.judge.connections import check_connections
from harness.judge.evidence import PROBE_FROM_S, STEAL_FROM
from harness.judge.model import ValidityCheck
from harness.judge.schedule import bound_is_too_low, scheduled_requests
from harness.messages import ChildDied, LoadPod, WorkerLost
from harness.record.run import RunRecord
from harness.record.series import COUNTERS, Series
from harness.units import NANOSECONDS, format_duration

LAG_SHARE = 0.10
"""Of a latency quantile that may be the generator's own lateness at that quantile. Response time
contains the lag, so beyond a tenth the figure describes the generator as much as the service."""

LAG_FLOOR_S = PROBE_FROM_S
"""Lag and control-probe latency below this never break their check."""

REPORTED = (0.50, 0.95, 0.99)
"""The quantiles that the lag and the probe are held against: those every report shows."""

GAME_DAY_LAG_FLOOR_S = 0.05
"""The same for an experiment: what is judged there is counted in whole seconds, and a twentieth of
one moves none of them in or out of the band."""

OFFERED_SHARE = 0.001
"""Of the scheduled requests that may be missing: below the 0.1 % error objective, so that what is
unknown cannot decide it."""

CPU_LIMIT = 0.90
"""Of one core that the generator may use on average. Above it, queueing theory makes its own
delays several times its service time (M/M/1: ten times at 90 %)."""

STEAL_LIMIT = STEAL_FROM
"""Of the processor time that the hypervisor may give to others; beyond it every time stretches."""

CLOCK_STEP_S = 0.1
"""Between the wall and the monotonic clock from one second to the next. NTP slews 0.5 ms a second
at most, so this is a clock that was set or a machine that slept."""

MINIMUM_HOLD_S = 10
"""Seconds: two for each of the five sections that an interval of a quantile needs."""

ENDED = ("Failed", "Terminating", "gone")
"""How the state of a load pod that ends begins."""

POISSON_SIGMAS = 5.0
"""Width of what chance may do to a Poisson schedule: one run in 1.7 million."""


def check_validity(record: RunRecord) -> tuple[ValidityCheck, ...]:
    """Every check on the stored record; one that crashes is inconclusive and says how."""
    return tuple(_guarded(check, record) for check in _CHECKS)


def _guarded(check: Callable[[RunRecord], ValidityCheck], record: RunRecord) -> ValidityCheck:
    try:
        return check(record)
    except Exception as error:  # noqa: BLE001 - a crash of a check must cost certainty, not the run
        name = check.__name__.strip("_").replace("_", " ")
        return ValidityCheck(
            name, ok=False, measured="unknown", limit="", costs="inconclusive",
            reason=f"The check crashed: {type(error).__name__}: {error}.",
            remedy="report this as a defect of the harness",
        )  # fmt: skip


def _ended(record: RunRecord) -> ValidityCheck:
    """The generator said goodbye; a user's interruption costs certainty, a death the run."""
    ends, status = record.events_of("end"), record.status
    faults = [str(error) for event in ends for error in event.get("errors") or ()]
    if faults:
        return ValidityCheck(
            "ended", ok=False, measured="errors", limit="none",
            reason=f"The load generator reported: {'; '.join(faults)}.",
            remedy="correct what it names, then run again",
        )  # fmt: skip
    if ends and status in {"complete", "running"}:
        return ValidityCheck(
            "ended", ok=True, measured=status, limit="complete", reason="The load ran to its end."
        )
    if status == "interrupted":
        return ValidityCheck(
            "ended", ok=False, measured=status, limit="complete", costs="inconclusive",
            reason=f"The run was interrupted after {format_duration(record.seconds)}."
            if record.seconds else "The run was interrupted before its load began.",
            remedy="run it again to the end",
        )  # fmt: skip
    why = {
        "running": "The run has not ended yet.",
        "partial": "The harness was killed or had no space: the record stops in the middle.",
        "failed": f"The run failed: {record.meta.get('problem') or 'no reason was recorded'}"
        f"{_last_words(record)}.",
        "complete": f"The load generator died without its last message{_last_words(record)}.",
    }[status]
    return ValidityCheck(
        "ended", ok=False, measured=status, limit="complete", reason=why,
        remedy="wait for its end" if status == "running" else "run it again",
        costs="inconclusive" if status == "running" else "invalid",
    )  # fmt: skip


def _last_words(record: RunRecord) -> str:
    """What the dead child left: its exit code and the last line it wrote."""
    for event in record.of(ChildDied):
        lines = event["stderr"].splitlines() or ["without a message"]
        return f" (exit code {event['code']}: {lines[-1].strip()})"
    return ""


def _workers(record: RunRecord) -> ValidityCheck:
    """Every worker's every report arrived."""
    lost = record.of(WorkerLost)
    if lost:
        parts = [
            f"worker {event['worker']}{_fate(record, event)} is unknown"
            f" from second {event['from_second']} on"
            for event in lost
        ]
        return ValidityCheck(
            "workers", ok=False, measured=f"{len(lost)} lost", limit="none",
            reason=f"A part of the load is unknown: {'; '.join(parts)}.",
            remedy="look for the out-of-memory killer or a crash in the events, then run again",
        )  # fmt: skip
    missing = _missing_reports(record)
    if missing:
        return ValidityCheck(
            "workers", ok=False, measured=f"{missing} reports missing", limit="none",
            reason=f"{missing} reports of the workers never arrived.",
            remedy="run again; if it stays, use fewer workers",
        )  # fmt: skip
    workers = record.plan.workers
    return ValidityCheck(
        "workers", ok=True, measured=f"{workers} of {workers}", limit="all",
        reason="Every report of every worker arrived.",
    )  # fmt: skip


def _fate(record: RunRecord, lost: WorkerLost) -> str:
    """What the cluster said of a lost worker's pod; empty for one of this machine.

    The worker's name begins with its host's, which is the pod's without its random end.
    """
    told = [
        event
        for event in record.of(LoadPod)
        if f"{event['pod'].rpartition('-')[0]}_" in lost["reason"]
        and event["state"].partition(":")[0] in ENDED
    ]
    if not told:
        return ""
    event = next((each for each in told if ":" in each["state"]), told[0])
    return f" (pod {event['pod']}: {event['state']})"


def _missing_reports(record: RunRecord) -> int:
    """How many sequence numbers are absent below the highest seen of their worker."""
    seen: dict[int, set[int]] = {}
    for row in record.slices:
        if isinstance(row.get("seq"), int):
            seen.setdefault(row.get("worker", 0), set()).add(row["seq"])
    return sum(max(numbers) - min(numbers) + 1 - len(numbers) for numbers in seen.values())


def _conserved(record: RunRecord) -> ValidityCheck:
    """Requests close: offered = completed + failed + unfinished, on both axes, by both counts."""
    due, done = _sums(record.series("due")), _sums(record.series("done"))
    rest = due["completed"] + due["failed"] + due["unfinished"]
    measured = (
        f"{due['offered']:,} = {rest:,}"
        if due["offered"] == rest
        else (f"{due['offered']:,} ≠ {rest:,}")
    )
    faults = []
    if due["offered"] != rest:
        faults.append("requests were offered of which nothing is known")
    # Until the last message, what is due in one second and done in the next stands on one axis.
    if due != done and any(done.values()) and record.totals is not None:
        faults.append("the two time axes do not hold the same requests")
    totals = record.totals or {}
    faults += [
        f"the generator counted {totals[name]:,} {name}, the slices {count:,}"
        for name, count in due.items()
        if isinstance(totals.get(name), int) and totals[name] != count
    ]
    if record.conserved is False:
        faults.append("the engine's own sum does not close")
    return ValidityCheck(
        "conserved", ok=not faults, measured=measured,
        limit="offered = completed + failed + unfinished",
        reason=f"{'; '.join(faults).capitalize()}." if faults else (
            "Every offered request is accounted for."
        ),
        remedy="run again; if it stays, report it as a defect of the harness" if faults else None,
    )  # fmt: skip


def _sums(series: Series) -> dict[str, int]:
    return {name: int(getattr(series, name).sum()) for name in COUNTERS[:4]}


def _offered_rate(record: RunRecord) -> ValidityCheck:
    """The load that was promised was sent; what the in-flight bound refused was not."""
    seconds = record.seconds_of("hold")
    series = record.series("due")
    offered = int(series.offered[seconds].sum())
    refused = int(series.errors.get("in_flight_limit", np.zeros(series.seconds))[seconds].sum())
    scheduled = scheduled_requests(record, seconds)
    wanted = offered if scheduled is None else round(scheduled)
    if not wanted:
        return ValidityCheck(
            "offered rate", ok=None, measured="nothing was due", limit="the schedule",
            reason="No request was due in the hold.",
        )  # fmt: skip
    chance = POISSON_SIGMAS * wanted**0.5 if record.plan.profile.spacing == "poisson" else 1.0
    tolerance = OFFERED_SHARE * wanted + (chance if scheduled is not None else 0)
    to_blame = refused if bound_is_too_low(record, offered / len(seconds)) else 0
    limit = f"at most {_percent(OFFERED_SHARE)} missing"
    measured = f"{offered - refused:,} sent of {wanted:,} scheduled"
    short = wanted - offered > tolerance
    if not short and to_blame <= OFFERED_SHARE * wanted:
        by_service = (
            f" The service let {record.plan.max_in_flight:,} requests pile up; the"
            f" {refused:,} that found no room count as its errors."
        )
        return ValidityCheck(
            "offered rate", ok=True, measured=measured, limit=limit,
            reason="The schedule was kept." + (by_service if refused else ""),
        )  # fmt: skip
    if short:
        reason = f"Only {offered:,} of {wanted:,} scheduled requests were offered in the hold."
        remedy = "add --workers or lower the rate"
    else:
        reason = (
            f"{refused:,} of {wanted:,} requests were refused by the generator's own bound of"
            f" {record.plan.max_in_flight:,} in flight."
        )
        remedy = "raise --max-in-flight or lower the rate"
    return ValidityCheck(
        "offered rate",
        ok=False,
        figures="load",
        measured=measured,
        limit=limit,
        reason=reason,
        remedy=remedy,
    )


def _lag(record: RunRecord) -> ValidityCheck:
    """The pacer's lateness is a small part of every latency reported."""
    lag, response = record.distribution("lag"), record.distribution("response")
    if not lag.count or not response.count:
        limit = _share_limit(record)
        return _unknown("generator lag", limit, "No lag was recorded in the hold.")
    pairs = [(q, lag.quantile(q) or 0.0, response.quantile(q) or 0.0) for q in REPORTED]
    broken = [(q, own, all_) for q, own, all_ in pairs if _too_much(record, own, all_)]
    q, own, whole = broken[-1] if broken else pairs[-1]
    measured = f"p{q * 100:g} lag {format_duration(own)} of {format_duration(whole)}"
    if not broken:
        return ValidityCheck(
            "generator lag", ok=True, measured=measured, limit=_share_limit(record),
            reason="The generator was on time.",
        )  # fmt: skip
    return ValidityCheck(
        "generator lag", ok=False, figures="latency", measured=measured, limit=_share_limit(record),
        reason=(
            f"The generator itself was {format_duration(own)} late at p{q * 100:g}, where the"
            f" response took {format_duration(whole)}."
        ),
        remedy="give the generator a free core, add --workers or lower the rate",
    )  # fmt: skip


def _unknown(name: str, limit: str, reason: str) -> ValidityCheck:
    return ValidityCheck(name, ok=None, measured="unknown", limit=limit, reason=reason)


def _too_much(record: RunRecord, own: float, whole: float) -> bool:
    return own > _lag_floor(record) and own > LAG_SHARE * whole


def _lag_floor(record: RunRecord) -> float:
    """What never invalidates, by what the run was made for."""
    return GAME_DAY_LAG_FLOOR_S if "experiment" in record.labels else LAG_FLOOR_S


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"


def _share_limit(record: RunRecord) -> str:
    floor = format_duration(_lag_floor(record))
    return f"{_percent(LAG_SHARE)} of the response, or {floor}"


def _probe(record: RunRecord) -> ValidityCheck:
    """The same engine against a null server in its own process: noise that no service caused."""
    found = [own / NANOSECONDS for own in record.in_hold("probe", "p99_ns")]
    whole = record.distribution("response").quantile(REPORTED[-1])
    if not found or whole is None:
        limit = _share_limit(record)
        return _unknown("control probe", limit, "No control probe ran beside the load.")
    own = float(np.median(found))
    ok = not _too_much(record, own, whole)
    return ValidityCheck(
        "control probe", ok=ok, figures="latency",
        measured=f"p99 {format_duration(own)} of {format_duration(whole)}",
        limit=_share_limit(record),
        reason=f"A null server beside the load answered within {format_duration(own)} (p99).",
        remedy=None if ok else "free the machine: other work on it disturbs the measurement",
    )  # fmt: skip


def _generator_cpu(record: RunRecord) -> ValidityCheck:
    """The generator's busiest thread has a core to itself."""
    samples = record.in_hold("tick", "cpu")
    reason, remedy = "The generator used {} of a core.", "add --workers or lower the rate"
    return _below("generator cpu", samples, CPU_LIMIT, reason, remedy)


def _stolen_cpu(record: RunRecord) -> ValidityCheck:
    """The hypervisor gave this machine its time."""
    samples = record.in_hold("tick", "steal")
    reason = "The hypervisor kept {} of the processor time."
    return _below("stolen cpu", samples, STEAL_LIMIT, reason, "use a machine with its own cores")


def _below(
    name: str, samples: list[float], limit: float, reason: str, remedy: str
) -> ValidityCheck:
    """The mean of the samples of the hold against a limit, both shares of time."""
    if not samples:
        return _unknown(name, _percent(limit), "It was not measured in the hold.")
    mean = float(np.mean(samples))
    return ValidityCheck(
        name, ok=mean <= limit, figures="latency", measured=_percent(mean), limit=_percent(limit),
        reason=reason.format(_percent(mean)), remedy=remedy if mean > limit else None,
    )  # fmt: skip


def _clock(record: RunRecord) -> ValidityCheck:
    """Neither was a clock set nor did the machine sleep."""
    offsets = [event["clock_ns"] for event in record.events_of("tick") if event.get("clock_ns")]
    limit = format_duration(CLOCK_STEP_S)
    if len(offsets) < 2:  # noqa: PLR2004 - a step needs two ends
        return _unknown("clock", limit, "Too few readings.")
    own = [abs(seconds) for _, seconds in record.measurements("clock_jump", "seconds")]
    steps = np.abs(np.diff(np.asarray(offsets, np.int64))) / NANOSECONDS
    step = max(float(steps.max()), *own) if own else float(steps.max())
    ok = step <= CLOCK_STEP_S
    return ValidityCheck(
        "clock", ok=ok, figures="latency", measured=format_duration(step), limit=limit,
        reason="The clocks ran evenly." if ok else (
            f"The wall clock jumped by {format_duration(step)}: it was set or the machine slept."
        ),
        remedy=None if ok else "keep the machine awake and its clock steady, then run again",
    )  # fmt: skip


def _clipping(record: RunRecord) -> ValidityCheck:
    """Every latency lay within the histogram's range."""
    clipped = (record.totals or {}).get("clipped")
    if not isinstance(clipped, int):
        return _unknown("clipping", "none", "The generator did not say.")
    return ValidityCheck(
        "clipping", ok=clipped == 0, figures="latency",
        measured=f"{clipped:,} values", limit="none",
        reason="All latencies fit their histograms." if not clipped else (
            f"{clipped:,} latencies lay outside the histogram's range of 100 ns to one hour."
        ),
        remedy="shorten the request timeout" if clipped else None,
    )  # fmt: skip


def _hold_length(record: RunRecord) -> ValidityCheck:
    """Long enough for an interval; a short run is not wrong, it only shows little."""
    seconds = len(record.seconds_of("hold"))
    ok = seconds >= MINIMUM_HOLD_S
    return ValidityCheck(
        "hold length", ok=ok, measured=f"{seconds} s", limit=f"at least {MINIMUM_HOLD_S} s",
        reason=f"The hold lasted {seconds} s" + (
            "." if ok else f", less than the {MINIMUM_HOLD_S} s an interval needs."
        ),
        remedy=None if ok else f"hold for at least {MINIMUM_HOLD_S} s",
        costs="inconclusive",
    )  # fmt: skip


_CHECKS: tuple[Callable[[RunRecord], ValidityCheck], ...] = (
    _ended,
    _conserved,
    _workers,
    _offered_rate,
    _lag,
    _probe,
    _generator_cpu,
    _stolen_cpu,
    _clock,
    _clipping,
    check_connections,
    _hold_length,
)
