"""The highest rate that meets the objectives: a search made of honest runs.

Rates double until a step misses an objective, then the bracket is halved (geometrically) until
it is narrow; the deciding steps are repeated, because one noisy run decides nothing. The answer
is the bracket: the highest rate that held each time and the lowest that did not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import psutil

from harness.catalog.model import Objective
from harness.drive import Message
from harness.errors import DataError
from harness.judge import Verdict
from harness.run import Outcome, Session
from harness.stats.capacity import ScalabilityLaw, fit_scalability
from harness.traffic.model import LoadProfile, Segment

MOST_STEPS = 24
"""More steps than any bracket needs; a search beyond them is going in circles."""

GROWTH = 2.0
"""How fast the first, coarse part climbs."""

BUSY = 0.9
"""A share of a core (generator) or of all cores (machine) at which it is called the limit."""

Held = Literal["held", "missed", "unknown", "generator"]


@dataclass(frozen=True, slots=True)
class Step:
    """One run of the search; latencies in seconds, None is unknown.

    `outcome` is `held`, `missed`, `unknown` (inconclusive) or `generator` (the run was invalid:
    the load generator was the limit). `cpu` is the share of the machine that was busy.
    """

    run: str
    rate: float
    outcome: Held
    completed_rate: float
    p95: float | None
    error_ratio: float | None
    concurrency: float | None
    cpu: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class CapacityResult:
    """The answer: the capacity lies in [low, high) requests/s.

    `low` None: not even the lowest rate tried held. `high` None: nothing tried was seen to miss
    (what could not be measured is not), the search ended for the reason in `limit`. `law` is
    None where the steps do not support a fit, and `law_reason` says why.
    """

    service: str
    low: float | None
    high: float | None
    limit: str
    steps: tuple[Step, ...]
    law: ScalabilityLaw | None
    law_reason: str | None

    def as_dict(self) -> dict[str, Any]:
        """Every field by its name."""
        from dataclasses import asdict  # noqa: PLC0415 - only for output

        return asdict(self)


@dataclass(frozen=True, slots=True)
class Search:
    """How to search: rates in requests/s, holds in seconds, `tolerance` as a ratio."""

    start: float = 500.0
    most: float = 100_000.0
    hold_s: float = 10.0
    tolerance: float = 0.1
    repeats: int = 2


def find_capacity(
    session: Session, search: Search, tell: Callable[[Step], None] = lambda step: None
) -> CapacityResult:
    """Search for the capacity of a deployed service.

    `tell` hears each step as it ends. Raises Interrupted after Ctrl-C.
    """
    steps: list[Step] = []

    def attempt(rate: float) -> Step:
        step = _step(session, rate, search.hold_s)
        steps.append(step)
        tell(step)
        return step

    low, high = _bracket(attempt, search)
    while low and high and high / low > 1 + search.tolerance and len(steps) < MOST_STEPS:
        rate = math.sqrt(low * high)
        if _holds(attempt, rate, search.repeats):
            low = rate
        else:
            high = rate
    law, reason = _law(steps)
    limit = _limit(steps, high)
    if not _missed(steps, high):  # what could not be measured is no fault of the service
        high = None
    return CapacityResult(session.service.name, low, high, limit, tuple(steps), law, reason)


def _bracket(attempt: Callable[[float], Step], search: Search) -> tuple[float | None, float | None]:
    """The last rate that held and the first that did not, by doubling."""
    low: float | None = None
    rate = search.start
    while rate <= search.most:
        if not _holds(attempt, rate, search.repeats):
            return low, rate
        low = rate
        rate *= GROWTH
    return low, None


def _holds(attempt: Callable[[float], Step], rate: float, repeats: int) -> bool:
    """Whether the rate held: one clear answer decides a hold, a miss wants a second opinion."""
    outcomes = [attempt(rate).outcome]
    while outcomes[-1] != "held" and len(outcomes) < repeats:
        outcomes.append(attempt(rate).outcome)
    return outcomes[-1] == "held"


def step_profile(rate: float, hold_s: float, seed: int = 1) -> LoadProfile:
    """A short warm-up and a hold at one rate."""
    segments = (Segment("warmup", 2.0, rate / 4, rate), Segment("hold", hold_s, rate, rate))
    return LoadProfile("capacity step", segments, seed=seed)


def _step(session: Session, rate: float, hold_s: float) -> Step:
    psutil.cpu_percent()
    busy: list[float] = []

    def listen(message: Message) -> None:
        if message["type"] == "tick":
            busy.append(psutil.cpu_percent() / 100)

    outcome = session.run(step_profile(rate, hold_s), listen)
    return _read(outcome, rate, busy)


def _read(outcome: Outcome, rate: float, busy: list[float]) -> Step:
    record, verdict = outcome.record, outcome.verdict
    seconds = record.seconds_of("hold")
    done = record.series("done")
    due = record.series("due")
    completed = float(done.completed[seconds].sum()) / max(len(seconds), 1)
    offered = int(due.offered[seconds].sum())
    response = record.distribution("response", "hold")
    p95 = response.quantile(0.95)
    mean = response.mean if response.count else None
    return Step(
        run=record.id,
        rate=rate,
        outcome=_outcome(verdict, completed, offered / max(len(seconds), 1)),
        completed_rate=completed,
        p95=p95,
        error_ratio=float(due.lost[seconds].sum()) / offered if offered else None,
        # Little's law: requests in the system = rate x time in it.
        concurrency=completed * mean if mean is not None else None,
        cpu=sum(busy[1:]) / len(busy[1:]) if len(busy) > 1 else None,
        reason=verdict.reasons[0] if verdict.reasons else verdict.outcome,
    )


def _outcome(verdict: Verdict, completed: float, offered: float) -> Held:
    """A step holds when latency and errors do and the service kept up with what was offered."""
    if not verdict.valid:
        return "generator"
    judged = [r.outcome for r in verdict.objectives if _asked(r.objective)]
    if "fail" in judged or completed < KEEPS_UP * offered:
        return "missed"
    return "unknown" if "inconclusive" in judged else "held"


KEEPS_UP = 0.99
"""Completions over arrivals in the hold below which a queue is growing."""


def _asked(objective: Objective) -> bool:
    return objective.indicator in {"latency", "error_ratio"}


def _missed(steps: list[Step], rate: float | None) -> bool:
    """Whether the last word on a rate is that the service missed an objective at it."""
    words = [step.outcome for step in steps if step.rate == rate]
    return words[-1:] == ["missed"]


def _limit(steps: list[Step], high: float | None) -> str:
    """What stood in the way at the lowest rate that did not hold."""
    if high is None:
        return "nothing: every rate tried held; raise --most"
    stopped = [step for step in steps if step.rate == high]
    if any(step.outcome == "generator" for step in stopped):
        return f"the load generator: {stopped[-1].reason}"
    busy = max((step.cpu for step in stopped if step.cpu is not None), default=None)
    if busy is not None and busy >= BUSY:
        return f"the machine's cores ({busy:.0%} busy)"
    return f"the service: {stopped[-1].reason}" if stopped else "the number of steps"


def _law(steps: list[Step]) -> tuple[ScalabilityLaw | None, str | None]:
    usable = [s for s in steps if s.outcome != "generator" and (s.concurrency or 0) > 0]
    try:
        law = fit_scalability(
            [s.concurrency or 0.0 for s in usable], [s.completed_rate for s in usable]
        )
    except DataError as problem:
        return None, str(problem)
    return law, None
