"""The steps of a search as runs of a deployed service."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import psutil

from harness.capacity.evidence import Limit, Observation, limits_of
from harness.drive import Message
from harness.judge import Verdict
from harness.judge.evidence import gather
from harness.record import RunRecord
from harness.run import Session
from harness.traffic.model import LoadProfile, Segment

RAMP_S = 2.0
"""From a quarter of the rate to all of it, before what is judged."""

RAMP_FROM = 0.25

WAIT_S = 0.001
"""A wait for a connection from which the concurrency is not the service's alone."""


@dataclass(frozen=True, slots=True)
class SessionMeasure:
    """A `Measure` over the runs of a session.

    Raises UsageError when the service has no objective to search for.
    """

    session: Session
    limits: tuple[Limit, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "limits", limits_of(self.session.service.objectives))

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
    """A short ramp, `lead_s` seconds at the full rate, and a hold at it."""
    warmup = [Segment("warmup", RAMP_S, RAMP_FROM * rate, rate)]
    if lead_s:
        warmup.append(Segment("warmup", lead_s, rate, rate))
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
    bad, allowed = [], []
    for limit in limits:
        scope = gather(record, seconds, limit.endpoints) if limit.endpoints else whole
        bad.append(scope.lost if limit.latency_s is None else scope.beyond(limit.latency_s))
        allowed.append(limit.allowed)
    completed = float(whole.done.sum()) / max(len(seconds), 1)
    response = record.distribution("response", "hold")
    return Observation(
        run=record.id,
        rate=rate,
        allowed=tuple(allowed),
        offered=whole.offered,
        bad=np.array(bad, np.int64),
        lost=whole.lost,
        medians=record.quantile_series(0.5, "service")[seconds],
        completed_rate=completed,
        p95=whole.quantile(0.95),
        # Little's law: requests in the system = rate x time in it.
        concurrency=None if response.mean is None else completed * response.mean,
        waited=(record.distribution("wait").quantile(0.95) or 0.0) > WAIT_S,
        cpu=cpu,
        trouble=_trouble(verdict),
        ended_early=len(seconds) < hold_s - 1,
    )


def _trouble(verdict: Verdict) -> str | None:
    """What the generator or its machine spoilt, None when the figures are the service's."""
    asked = [r for r in verdict.objectives if r.objective.indicator in {"latency", "error_ratio"}]
    spoilt = [r.statement for r in asked if r.outcome == "invalid"]
    if verdict.outcome != "invalid" and not spoilt:
        return None
    broken = [check.reason for check in verdict.validity if check.ok is False]
    return (broken or spoilt or list(verdict.reasons))[0]
