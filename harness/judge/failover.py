"""What happened when: the timeline of an experiment, from the record alone.

Times are seconds from the start of the load; None is "not seen".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.events import Canary, Chaos, Health, Served, Stage
from harness.record.distribution import Counts, Floats
from harness.record.run import RunRecord
from harness.stats.burn import burn_rate
from harness.stats.recovery import Recovery, recovery
from harness.units import NANOSECONDS

UNHEALTHY = frozenset({"failed", "unready", "NotReady", "not ready", "Unknown", "removed"})
"""What a platform's own health check says of what it has given up."""

LATENCY_TOLERANCE = 0.25
"""What a second's latency may exceed that of before: the p95 of 200 requests, an experiment's
second, scatters by 7 %; with the 10 % of long series one sound failover in 23 was called late."""

USUAL = 0.975
"""The quantile of the seconds before the fault that is usual, as in their band."""

UNFELT = 0.1
"""Latencies below this share of the latency objective are all alike: from 1 ms to 3 ms of 100 ms
nobody is worse off, and no promise is nearer to being broken."""

OTHERS, WAITED_S, WAITED_EACH_S = 0.2, 1.0, 0.005
"""A second is crowded from this share of the service's cores for others on, if its threads waited
so long for a core, in all and a request (benchmarks/RESULTS.md, section 6)."""

STEADY = 5
"""Answers in a row from the first region again that make a fail-back."""

BURN_WINDOW_S, BURN_RATE = 5.0, 14.4
"""The alert rule shown: the SRE workbook's fast burn rate, on a window that fits an experiment."""

LATENCY_BURN_RATE = 6.0
"""The workbook's other rate that pages: a p95's budget cannot burn faster than 20 times."""


@dataclass(frozen=True, slots=True)
class Stages:
    """Where the experiment's stages begin and end.

    `usual_until`: where what is usual ends, if another fault came between it and the injection.
    """

    before: float
    inject: float
    heal: float
    end: float
    usual_until: float | None = None


@dataclass(frozen=True, slots=True)
class Milestones:
    """The instants, each on the load's clock."""

    injected: float
    impact: float | None
    detected: float | None
    alerted: float | None
    failed_over: float | None
    recovered: float | None
    healed: float
    failed_back: float | None
    drained: float | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """Requests due but not ended: the most at one time, and when it was paid off."""

    most: int
    drained: float | None


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests/s that each region answered, shape (seconds,) each, and their times."""

    seconds: Floats
    rates: Mapping[str, Floats]


def stages_of(record: RunRecord) -> Stages | None:
    """The stages, None where nothing was injected."""
    found = {event["stage"]: event for event in record.of(Stage)}
    if "during" not in found:
        return None
    during = found["during"]
    return Stages(found["before"]["begin"], during["begin"], during["end"], found["after"]["end"])


def stages_of_faults(record: RunRecord, whole: Stages) -> tuple[tuple[str, Stages], ...]:
    """The kinds and stages of each fault that was healed before the next; () where one was.

    What is usual is taken from before the first.
    """
    held: set[str] = set()
    found: list[tuple[list[str], float, float]] = []
    for event in record.of(Chaos):
        at, what, fault = event.get("t"), event["what"], str(event.get("fault_id"))
        if at is None:
            continue
        if what == "inject":
            if not held:
                found.append(([], at, whole.heal))
            found[-1][0].append(str(event.get("kind")))
            held.add(fault)
        elif what == "healed" and fault in held:
            held.remove(fault)
            if not held:
                kinds, begun, _ = found[-1]
                found[-1] = (kinds, begun, at)
    if len(found) < 2:  # noqa: PLR2004 - one fault has the stages of the whole
        return ()
    ends = [*(begun for _, begun, _ in found[1:]), whole.end]
    return tuple(
        (" + ".join(kinds), Stages(whole.before, begun, healed, end, whole.inject))
        for (kinds, begun, healed), end in zip(found, ends, strict=True)
    )


def recovery_of(
    record: RunRecord,
    stages: Stages,
    q: float = 0.95,
    *,
    own_delay: Floats | None = None,
    caution: float = 1.0,
) -> Recovery:
    """Recovery by errors, throughput and one quantile of the latency together (9 of 10 seconds).

    Latency and errors by when requests were due, throughput by when they ended, as a share of what
    was due; latencies below `unfelt_s` count as that, errors that the objective allows as none.
    `own_delay` (`own_delay_of`) is taken off the latencies after the injection; `caution` is that
    of `harness.stats.recovery`. Raises DataError where less than ten seconds came before.
    """
    since, until = int(stages.inject), int(stages.usual_until or stages.inject)
    usual = np.arange(int(np.ceil(stages.before)), until)
    rows = np.concatenate([usual, np.arange(since, int(stages.end))])
    seconds = np.concatenate([usual + since - until, rows[len(usual) :]])
    due, done = record.series("due"), record.series("done")
    latency, completed = record.quantile_series(q)[rows].copy(), done.completed[rows].copy()
    if own_delay is not None:
        after = rows[len(usual) :]
        latency[len(usual) :] -= own_delay[after]
        late = np.isinf(own_delay[after])
        completed[len(usual) :][late] = due.offered[after][late]
    series = {
        "latency": np.maximum(latency, unfelt_s(record)),
        "errors": due.lost[rows],
        "throughput": completed,
    }
    return recovery(
        seconds,
        series,
        stages.inject,
        stages.heal,
        latency_tolerance=LATENCY_TOLERANCE,
        offered=due.offered[rows],
        errors_allowed=record.service.least("error_ratio", 0.0),
        caution=caution,
    )


def own_delay_of(record: RunRecord, stages: Stages, q: float) -> Floats:
    """What this machine may have added to a quantile of each second's latency, s; (seconds,).

    The greater of the generator's lag and what the null server beside it took, at that quantile,
    less what was usual before the fault (that is in the band); infinite where other processes had
    the service's cores (`crowded`). A latency that this explains may be the service's, or not:
    nobody can know.
    """
    found = np.nan_to_num(record.quantile_series(q, "lag"))
    for event in record.events_of("probe"):
        second, nanoseconds = event.get("second"), event.get(f"p{q * 100:g}_ns")
        if isinstance(second, int) and isinstance(nanoseconds, (int, float)):
            delay = nanoseconds / NANOSECONDS
            # The second of an answer; those it was due in come before.
            due = slice(max(int(second - delay), 0), second + 1)
            found[due] = np.maximum(found[due], delay)
    until = int(stages.usual_until or stages.inject)
    usual = found[int(np.ceil(stages.before)) : until]
    own = np.maximum(found - np.quantile(usual, USUAL), 0.0)
    own[crowded(record)] = np.inf
    return own


def crowded(record: RunRecord) -> NDArray[np.bool_]:
    """Seconds in which processes not of the service kept it from its cores, shape (seconds,).

    Known where the service runs on this machine. Its own processes, and faults that burn processor
    time beside it, count as the service. A tick speaks of the second before it; a wait that ended
    there, of all the seconds that it took.
    """
    crowd, kept, busy = np.zeros((3, record.seconds), np.bool_)
    offered = record.series("due").offered
    for event in record.events_of("tick"):
        t, others = event.get("t"), event.get("others", 0.0)
        if t is None:
            continue
        near = slice(max(int(t) - 1, 0), int(t) + 1)
        requests = offered[near].max(initial=0)
        enough = event.get("waited", 0.0) >= max(WAITED_S, WAITED_EACH_S * requests)
        crowd[near] |= others >= OTHERS and enough
        busy[near] |= others >= OTHERS
        if (longest := event.get("longest_wait", 0.0)) >= WAITED_S:
            kept[max(int(t - longest), 0) : int(t) + 1] = True
    return crowd | (kept & busy)


def starved(record: RunRecord, begin: float, end: float) -> bool:
    """Whether most seconds from `begin` to `end` (s) were `crowded`."""
    seconds = crowded(record)[int(begin) : int(end)]
    return 2 * int(seconds.sum()) > len(seconds)


def unfelt_s(record: RunRecord) -> float:
    """The latency below which nothing is told apart, s; 0 where the service promises none."""
    return UNFELT * record.service.least("latency", 0.0)


def backlog_of(record: RunRecord, stages: Stages) -> Backlog:
    """How many requests were due and not ended, second by second, and when that was over."""
    due, done = record.series("due"), record.series("done")
    ended = np.cumsum(done.completed + done.failed)
    waiting = np.cumsum(due.offered) - ended
    begin, inject, end = int(np.ceil(stages.before)), int(stages.inject), int(stages.end)
    usual = int(waiting[begin:inject].max(initial=0))
    after = waiting[inject:end]
    most = int(after.max(initial=0))
    if most <= 2 * usual + 1:
        return Backlog(most, None)
    peak = inject + int(np.argmax(after))
    calm = np.flatnonzero(waiting[peak:end] <= 2 * usual + 1)
    return Backlog(most, float(peak + calm[0] + 1) if len(calm) else None)


def traffic_of(record: RunRecord) -> Traffic | None:
    """The share of each region over time, from the platform's own counters."""
    rows = [(t, e["regions"]) for e in record.of(Served) if (t := e.get("t")) is not None]
    if len(rows) < 2:  # noqa: PLR2004 - a rate needs two readings
        return None
    times = np.array([t for t, _ in rows])
    names = sorted({name for _, regions in rows for name in regions})
    rates = {}
    for name in names:
        counts = np.array([regions.get(name, np.nan) for _, regions in rows], dtype=np.float64)
        steps = np.diff(counts) / np.maximum(np.diff(times), 1e-3)
        rates[name] = np.where(steps < 0, np.nan, steps)  # a counter that began anew
    return Traffic((times[1:] + times[:-1]) / 2, rates)


def milestones_of(
    record: RunRecord,
    stages: Stages,
    found: Recovery | None,
    backlog: Backlog,
    targets: Sequence[str],
) -> Milestones:
    """Every instant that the record tells."""
    over, back = _switches(_front(record), stages)

    def at(offset: float | None) -> float | None:
        return None if offset is None else stages.inject + offset

    return Milestones(
        injected=stages.inject,
        impact=at(found.impact) if found else None,
        detected=_detected(record, stages),
        alerted=_alerted(record, stages),
        failed_over=over,
        recovered=at(found.recovery) if found else None,
        healed=stages.heal,
        failed_back=back,
        drained=backlog.drained,
    )


def _front(record: RunRecord) -> list[tuple[float, Canary]]:
    """What the global edge answered to the probes, and when, s."""
    return [
        (t, event)
        for event in record.of(Canary)
        if event["where"] == "global" and (t := event.get("t")) is not None
    ]


def rerouted(record: RunRecord, stages: Stages) -> bool:
    """Whether a region served users during the fault that had served none before it."""
    before, during = (
        {e["region"] for t, e in _front(record) if begin <= t < end and e.get("region")}
        for begin, end in ((stages.before, stages.inject), (stages.inject, stages.heal))
    )
    return bool(before and during - before)


def _switches(
    front: Sequence[tuple[float, Canary]], stages: Stages
) -> tuple[float | None, float | None]:
    """When the global edge first answered from another region, and when from the first again."""
    answers = [(t, e.get("region"), e["ok"]) for t, e in front]
    usual = [region for t, region, _ in answers if t < stages.inject and region is not None]
    if not usual:
        return None, None
    first = max(sorted(set(usual)), key=usual.count)
    away = next(
        (
            t
            for t, region, ok in answers
            if t >= stages.inject and ok and region not in {None, first}
        ),
        None,
    )
    if away is None:
        return None, None
    after = [each for each in answers if each[0] >= max(stages.heal, away)]
    for index in range(len(after) - STEADY + 1):
        if all(ok and region == first for _, region, ok in after[index : index + STEADY]):
            return away, after[index][0]
    return away, None


def _detected(record: RunRecord, stages: Stages) -> float | None:
    """The first time that a health check of the platform gave something up."""
    for event in record.of(Health):
        t = event.get("t")
        if t is not None and t >= stages.inject and event["now"] in UNHEALTHY:
            return t
    return None


def _alerted(record: RunRecord, stages: Stages) -> float | None:
    """The end of the first window in which a budget burnt as fast as a page needs.

    Failed requests burn the error budget; those that failed or took longer than the objective
    of their quantile burn its budget (5 % for a p95).
    """
    series = record.series("due")
    fired = []
    for objective in record.service.objectives:
        if objective.indicator == "error_ratio":
            bad, wanted, rate = series.lost, 1 - objective.threshold, BURN_RATE
        elif objective.indicator == "latency" and objective.quantile is not None:
            late = [
                0 if each is None else each.above(objective.threshold)
                for each in record.distributions("response")
            ]
            bad, wanted, rate = series.lost + np.array(late), objective.quantile, LATENCY_BURN_RATE
        else:
            continue
        fired.append(_first_alert(bad, series.offered, wanted, rate, stages))
    return min((t for t in fired if t is not None), default=None)


def _first_alert(
    bad: Counts, offered: Counts, objective: float, rate: float, stages: Stages
) -> float | None:
    """When the window and its last second both burn faster than `rate` (the workbook's rule)."""
    whole = int(BURN_WINDOW_S)
    for end in range(max(int(stages.inject) + 1, whole), min(int(stages.end), len(offered)) + 1):
        rates = [
            burn_rate(float(bad[begin:end].sum()), float(offered[begin:end].sum()), objective)
            for begin in (end - whole, end - 1)
        ]
        if all(each is not None and each > rate for each in rates):
            return float(end)
    return None
