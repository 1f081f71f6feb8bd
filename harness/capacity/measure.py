"""The steps of a search as runs of a deployed service."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import psutil
from numpy.typing import NDArray

from harness.capacity.evidence import (
    LOST_SHARE,
    Counts,
    Limit,
    Observation,
    least_patience,
    limits_of,
    look_after,
    missed_at_look,
)
from harness.capacity.steps import LEAD_PART
from harness.catalog.model import Objective, in_scope
from harness.errors import UsageError
from harness.judge import Verdict
from harness.judge.early_end import EarlyDecision, EarlyEnd
from harness.judge.evidence import Evidence, gather
from harness.judge.objectives import KINDS
from harness.load.plan import LoadPlan
from harness.messages import LoadMessage
from harness.record import RunRecord
from harness.session.drive import Message
from harness.session.run import Session
from harness.traffic.model import LoadProfile, Segment, TrafficModel

RAMP_S = 2.0
"""From a quarter of the rate to all of it, before what is judged."""

RAMP_FROM = 0.25

LATE_S = 2.0
"""After which nearly every request of a second is answered, where a step is near the capacity."""

REFUSALS = ("check", "reset", "eof")
"""Errors besides those of a status that a service at work causes: nobody is late, nobody away."""

WAIT_S = 0.001
"""A wait for a connection from which the concurrency is not the service's alone."""


class StepEnd(EarlyEnd):
    """Ends a step that is lost for certain, by the requests that are under way.

    At most rate x limit of them are younger than the latency limit, so the others have broken it
    already; seconds of an overload are complete only when it is over. A step is lost when these
    alone are twice what its whole hold allows. It is not ended before most of the hold: the
    service may be warming up. A long hold is looked at once (`missed_at_look`).
    """

    def __init__(self, plan: LoadPlan, objectives: Sequence[Objective]) -> None:
        super().__init__(plan, objectives)
        hold = plan.profile.segments[-1]
        begin = plan.profile.duration_s - hold.duration_s
        self._begin, self._hold_s = math.ceil(begin), hold.duration_s
        self._looked = False
        self._patient_until = begin + least_patience(hold.duration_s)
        self._lost_from = min(
            (
                hold.to_rate * limit.latency_s
                + LOST_SHARE * limit.allowed * hold.to_rate * hold.duration_s
                for limit in limits_of(objectives)
                if limit.latency_s is not None and not limit.endpoints
            ),
            default=math.inf,
        )
        self._under_way = 0

    def add(self, message: LoadMessage) -> None:
        """Take one message."""
        super().add(message)
        if message["type"] == "tick":
            self._under_way = message["in_flight"]

    def decide(self, now_s: float) -> EarlyDecision | None:
        """The decision `now_s` seconds after the start of the load; None: go on."""
        if now_s >= self._patient_until and self._under_way > self._lost_from:
            reason = f"{self._under_way:,} requests are under way: the step is missed for certain."
            return EarlyDecision("certain failure", math.floor(now_s), reason)
        return super().decide(now_s) or self._at_look(now_s)

    def _at_look(self, now_s: float) -> EarlyDecision | None:
        look = look_after(self._hold_s)
        if self._looked or now_s < self._begin + look + LATE_S:
            return None
        self._looked = True
        offered, bad = self.counts(look)
        bad = np.minimum(bad, offered)
        if not missed_at_look(self.allowed, bad, offered, self._hold_s):
            return None
        reason = f"The first {look} s of the hold miss an objective as a step of their own would."
        return EarlyDecision("certain failure", math.floor(now_s), reason)


@dataclass(frozen=True, slots=True)
class SessionMeasure:
    """A `Measure` over the runs of a session.

    Raises UsageError when the service has no objective to search for, and where the objectives and
    the traffic do not make one question.
    """

    session: Session
    limits: tuple[Limit, ...] = field(init=False)

    def __post_init__(self) -> None:
        traffic = self.session.traffic
        limits = tuple(
            replace(limit, part=_part(traffic, limit))
            for limit in limits_of(self.session.service.objectives)
        )
        _refuse(traffic, limits)
        object.__setattr__(self, "limits", limits)
        object.__setattr__(self, "session", replace(self.session, early=StepEnd))

    @property
    def service(self) -> str:
        """Its name."""
        return self.session.service.name

    def now(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def observe(self, rate: float, hold_s: float, lead_s: float, seed: int) -> Observation:
        """One run. Raises Interrupted after Ctrl-C."""
        psutil.cpu_percent()
        busy: list[float] = []

        def listen(message: Message) -> None:
            if message["type"] == "tick":
                busy.append(psutil.cpu_percent() / 100)

        outcome = self.session.run(step_profile(rate, hold_s, lead_s, seed), listen)
        cpu = sum(busy[1:]) / len(busy[1:]) if len(busy) > 1 else None
        return observation_of(outcome.record, outcome.verdict, self.limits, rate, hold_s, cpu)


def step_profile(rate: float, hold_s: float, lead_s: float = 0.0, seed: int = 1) -> LoadProfile:
    """A short ramp and a hold, after `lead_s` seconds at a rate that lets no queue build up."""
    warmup = [Segment("warmup", lead_s, LEAD_PART * rate, LEAD_PART * rate)] if lead_s else []
    warmup.append(Segment("warmup", RAMP_S, RAMP_FROM * rate, rate))
    return LoadProfile("capacity step", (*warmup, Segment("hold", hold_s, rate, rate)), seed=seed)


def observation_of(
    record: RunRecord,
    verdict: Verdict,
    limits: tuple[Limit, ...],
    rate: float,
    hold_s: float,
    cpu: float | None,
) -> Observation:
    """What a run shows against the limits."""
    seconds = record.seconds_of("hold")
    whole = gather(record, seconds)
    scopes = [gather(record, seconds, x.endpoints) if x.endpoints else whole for x in limits]
    bad = [_bad(record, scope, limit) for scope, limit in zip(scopes, limits, strict=True)]
    completed = float(whole.done.sum()) / max(len(seconds), 1)
    response = record.distribution("response", "hold")
    return Observation(
        run=record.id,
        rate=rate,
        allowed=tuple(limit.allowed for limit in limits),
        offered=whole.offered,
        asked=np.array([scope.offered for scope in scopes], np.int64),
        bad=np.array(bad, np.int64),
        lost=whole.lost,
        refused=_refused(record)[seconds],
        medians=record.quantile_series(0.5, "service")[seconds],
        pending=_pending(record)[seconds],
        completed_rate=completed,
        p95=whole.quantile(0.95),
        # Little's law: requests in the system = rate x time in it.
        concurrency=None if response.mean is None else completed * response.mean,
        waited=(record.distribution("wait").quantile(0.95) or 0.0) > WAIT_S,
        cpu=cpu,
        trouble=_trouble(verdict),
        ended_early=len(seconds) < hold_s - 1,
    )


def _refuse(traffic: TrafficModel, limits: Sequence[Limit]) -> None:
    """Raise UsageError where the rate that is searched for would not be that of the objectives."""
    if traffic.others:
        names = ", ".join(each.population for each in (traffic, *traffic.others))
        raise UsageError(
            f"{traffic.source}: a capacity is of one population, and it has {names}",
            "search with a scenario of one of them",
        )
    plain = [each.name for each in traffic.templates if each.stream is None]
    streamed = [limit.name for limit in limits if limit.streams]
    if streamed and (plain or traffic.journeys):
        raise UsageError(
            f"{', '.join(streamed)}: an objective for streams, and not all that {traffic.source}"
            f" sends is one{f' ({plain[0]})' if plain else ''}",
            "search with a scenario of streams only",
        )


def _part(traffic: TrafficModel, limit: Limit) -> float:
    """The share of the arrivals that a limit is about; 1 where the weights do not say it."""
    asked = sum(r.weight for r in traffic.requests if in_scope(r.name, limit.endpoints))
    known = limit.endpoints and traffic.one_each and asked
    return asked / sum(r.weight for r in traffic.requests) if known else 1.0


def _bad(record: RunRecord, scope: Evidence, limit: Limit) -> Counts:
    """The requests of each second that broke a limit, i64[seconds]."""
    asked = limit.streams
    if asked is None:
        return scope.lost if limit.latency_s is None else scope.beyond(limit.latency_s)
    if asked.indicator == "goodput":
        named = (name for name in record.endpoints if in_scope(name, limit.endpoints))
        good = [record.series("due", name).good[scope.seconds] for name in named]
        missed: Counts = scope.offered - np.sum(good, axis=0, dtype=np.int64)
        return missed
    kind = KINDS[asked.indicator]
    return gather(record, scope.seconds, limit.endpoints, kind).beyond(asked.threshold)


def _pending(record: RunRecord) -> NDArray[np.int64]:
    """Requests under way at the end of each second, i64[seconds]."""
    due, done = record.series("due"), record.series("done")
    pending: NDArray[np.int64] = np.cumsum(due.offered - done.completed - done.failed)
    return pending


def _refused(record: RunRecord) -> NDArray[np.int64]:
    """Requests per second that the service itself turned away, i64[seconds]."""
    due = record.series("due")
    away = [n for kind, n in due.errors.items() if kind.startswith("status_") or kind in REFUSALS]
    result: NDArray[np.int64] = np.sum([np.zeros_like(due.failed), *away], axis=0, dtype=np.int64)
    return result


def _trouble(verdict: Verdict) -> str | None:
    """What the generator or its machine spoilt, None when the figures are the service's."""
    judged = {"latency", "error_ratio", "goodput", *KINDS}
    asked = [r for r in verdict.objectives if r.objective.indicator in judged]
    spoilt = [r.statement for r in asked if r.outcome == "invalid"]
    if verdict.outcome != "invalid" and not spoilt:
        return None
    broken = [check.reason for check in verdict.validity if check.ok is False]
    return (broken or spoilt or list(verdict.reasons))[0]
