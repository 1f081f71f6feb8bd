"""Patterns over the steps of a search that one rate does not say, and their names."""

import math
from collections.abc import Sequence

import numpy as np

from harness.capacity.evidence import OVERLOADED, Observation, refused_blocks, stalls
from harness.capacity.model import Finding, Step
from harness.capacity.speed import (
    CALM,
    JUDGED,
    WANDERS_AND_OVERTURNED,
    Seen,
    calm_steps,
    drift,
    wander,
)
from harness.stats.shares import LEAST_STALLS
from harness.units import format_duration, format_rate, format_ratio

BUSY = 0.9
"""A share of all cores at which the machine is called the limit."""

NEARLY_CALM = 0.92
"""Of the capacity: below it a queue moves the level of a whole run by no more than about 2 %."""

NOT_FAR_ABOVE = 1.25
"""Of the capacity: up to it a queue grows by no more than a quarter of a second in each second."""

JUMP_S = 0.5
JUMP_FACTOR = 5.0
"""From one second to the next the median latency rises by so much, and to so many times what it
was, only where nothing is served meanwhile (then it grows by a second in each second)."""

FELL = 1.15
"""Times a missed rate of one that had held before: more than chance moves a short hold."""

ANOTHER = 0.04
ANOTHER_SIGMAS = 3.0
"""Change of the logarithm of the median latency, and its standard errors, at the same rate."""

UNSTEADY = 2
"""Overturned outcomes from which the service, not chance, is unsteady."""

FLIPPED = "missed, held, missed"
"""A short hold between two that missed is no such outcome: near the capacity chance makes it. But
it is a reason to look longer at how the speed moves."""

FLAT_FACTOR = 2.0
"""Rates so far apart with the same share of bad requests: the rate does not decide."""

WANDERS = 0.03
"""Standard deviation of a service's own speed from which a bracket of 10 % cannot be meant."""

SERVED_LESS = 0.05
SERVED_SIGMAS = 4.0
"""Change of the logarithm of the share that is answered, and its standard errors by the chance of
single requests, between two times."""

WANDERS_S = 0.0001
"""Seconds of latency below which it is the timer's and the scheduler's."""

CLEAN_BEGIN_S = 3
"""Seconds without a refusal before refusals that last: something was used up."""

USED_UP_CHANCE = 1e-4
"""Probability, were refusals spread evenly, of such a begin: below it it is no chance."""

LONG_LOOK_S = 300.0
"""Of a hold that is proposed to look for what is rarer: restarts and burst credits show in it."""

LONGER = 3.0
"""The same beside a hold that was as long already."""

LOOK_COSTS = 1.5
"""Times what a hold is longer by, of the search: the last, calm step is longer, too."""

Findings = dict[str, Finding]


def name_patterns(
    findings: Findings,
    seen: Seen,
    low: float | None,
    overturned: Sequence[tuple[float, str]],
    settled: int = 0,
    *,
    confirmed: bool = True,
) -> None:
    """Add what the steps show together; those from `settled` on show how it is now.

    Where nothing was confirmed no capacity says which steps were far below it: then all count.
    """
    _drop_chance_warmings(findings, seen, low)
    _name_fall(findings, seen)
    _name_drift(findings, seen)
    _name_served(findings, seen[settled:])
    _name_backlog(findings, seen)
    _name_stalls(findings, seen[settled:], low, confirmed=confirmed)
    _name_refusals(findings, seen, overturned)
    _name_unsteady(findings, low, overturned)
    _name_wander(findings, seen[settled:], low, overturned)


def _drop_chance_warmings(findings: Findings, seen: Seen, low: float | None) -> None:
    """Near the capacity a queue may be long at first by chance: that is no cold start."""
    warmings = [s.rate for s, _ in seen if s.outcome == "warming"]
    if warmings and low is not None and min(warmings) > CALM * low:
        findings.pop("cold start", None)


def _name_fall(findings: Findings, seen: Seen) -> None:
    """A rate far below one that had held is missed later: the service has become slower."""
    held = 0.0
    for step, _ in seen:
        if step.outcome == "held":
            held = max(held, step.rate)
        elif step.outcome == "missed" and FELL * step.rate < held and "no recovery" not in findings:
            findings["unsteady"] = Finding(
                "unsteady",
                f"{format_rate(held)} held, and {format_rate(step.rate)} was missed later: the"
                " capacity falls with time or with what was served.",
                decisive=True,
            )
            return


def _name_drift(findings: Findings, seen: Seen) -> None:
    """The last, calm step is slower or faster than one at the same rate at the beginning.

    A service that has scaled or warmed up since, which has its own name, is faster.
    """
    found = drift(seen)
    if found is None:
        return
    rate = next(s.rate for s, _ in reversed(seen) if s.purpose == "calm")
    usual, now, error = found
    change = abs(float(np.log(now / usual)))
    if now < usual and "scaling" in findings:
        return
    if change > max(ANOTHER, ANOTHER_SIGMAS * error) and abs(now - usual) > WANDERS_S:
        findings["unsteady"] = Finding(
            "unsteady",
            f"At {format_rate(rate)} the median latency was {format_duration(usual)} at first"
            f" and {format_duration(now)} at the end: the service's own speed changes with time or"
            " with what it serves.",
            decisive=True,
        )


def _name_served(findings: Findings, seen: Seen) -> None:
    """As much as was an overload, or more, was answered at another time."""
    if findings.keys() & {"unsteady", "no recovery"}:
        return
    judged = [s for s, _ in seen if s.outcome in JUDGED and s.completed_rate]
    carried = [s for s in judged if s.completed_rate >= OVERLOADED * s.rate]
    for less in (s for s in judged if s.completed_rate < OVERLOADED * s.rate):
        for more in (s for s in carried if s.rate >= less.rate):
            shares = [s.completed_rate / s.rate for s in (less, more)]
            error = math.sqrt(sum(1 / (s.completed_rate * s.hold_s) for s in (less, more)))
            if math.log(shares[1] / shares[0]) > max(SERVED_LESS, SERVED_SIGMAS * error):
                findings["unsteady"] = Finding(
                    "unsteady",
                    f"Of {format_rate(less.rate)} {shares[0]:.0%} were answered well, and of"
                    f" {format_rate(more.rate)} {shares[1]:.0%} at another time: the capacity"
                    " itself moves.",
                    decisive=True,
                )
                return


def _name_backlog(findings: Findings, seen: Seen) -> None:
    """Requests piled up in a step whose shares were within their limits."""
    rates = [step.rate for step, _ in seen if only_falls_behind(step)]
    if rates:
        findings["backlog"] = Finding(
            "backlog",
            f"From {format_rate(min(rates))} on requests pile up although the shares are within"
            " their limits: a small part of the service (a shard, a tenant) falls behind, which a"
            " short hold shows late. The capacity may be lower.",
            decisive=True,
        )


def only_falls_behind(step: Step) -> bool:
    """Whether a step was missed for requests that pile up, each share being within its limit."""
    return step.outcome == "missed" and bool(step.shares) and all(
        share.share <= share.limit for share in step.shares
    )  # fmt: skip


def refuses(seen: Seen) -> bool:
    """Whether requests were refused in blocks, or from some second on to the end."""
    return any(refused_blocks(o) or _used_up(o) for s, o in seen if s.outcome != "generator")


def _used_up(observation: Observation) -> bool:
    """A clean begin, then refusals in every second to the end."""
    refused = observation.refused > 0
    first = int(np.argmax(refused)) if refused.any() else 0
    rest = refused[first:]
    chance = (len(rest) / len(refused)) ** int(observation.refused.sum())
    lasts = len(rest) >= CLEAN_BEGIN_S and bool(rest.all())
    return first >= CLEAN_BEGIN_S and lasts and chance < USED_UP_CHANCE


def stall_period(seen: Seen, low: float | None) -> float | None:
    """Seconds between stalls, about, far below the capacity; None without one."""
    calm = calm_steps(seen, low)
    count = sum(stalls(o) for o in calm)
    return sum(o.seconds for o in calm) / count if count else None


def jumps(observation: Observation) -> int:
    """Seconds whose median latency is far beyond the one's before: a stall, no queue."""
    before, after = observation.medians[:-1], observation.medians[1:]
    return int(((after - before > JUMP_S) & (after > JUMP_FACTOR * before)).sum())


def _name_stalls(findings: Findings, seen: Seen, low: float | None, *, confirmed: bool) -> None:
    judged = [o for s, o in seen if s.outcome in JUDGED]
    looked = calm_steps(seen, low) if confirmed else judged
    count = sum(stalls(o) for o in looked)
    where = "far below the capacity" if confirmed else "of which none was confirmed"
    if confirmed and not count and low is not None:
        looked = [o for o in judged if o.rate <= NOT_FAR_ABOVE * low]
        count = sum(jumps(o) for o in looked)
        where = "at which no queue grows so fast"
    if count < (1 if confirmed else LEAST_STALLS) or "no recovery" in findings:
        return
    seconds = format_duration(float(sum(o.seconds for o in looked)))
    findings["stalls"] = Finding(
        "stalls",
        f"{count} stalls in {seconds} at rates {where}: the objective may be missed by how often"
        " they come, not by the rate.",
        decisive=True,
    )


def _name_refusals(findings: Findings, seen: Seen, overturned: Sequence[tuple[float, str]]) -> None:
    if not refuses(seen):
        return
    blocks = any(refused_blocks(o) for s, o in seen if s.outcome != "generator")
    held_later = blocks or bool(overturned) or "slow recovery" in findings
    findings["refusals"] = Finding(
        "refusals",
        "Requests were refused in blocks: a quota or a rate limit over a window, or a circuit"
        " breaker. A hold that fits into the window shows more than lasts.",
        decisive=held_later or "no recovery" in findings,
    )


def _name_unsteady(
    findings: Findings, low: float | None, overturned: Sequence[tuple[float, str]]
) -> None:
    lasting = [(rate, what) for rate, what in overturned if what != FLIPPED]
    if findings.keys() & {"scaling", "unsteady"} or len(lasting) < UNSTEADY:
        return
    rates = ", ".join(f"{format_rate(rate)} ({what})" for rate, what in lasting)
    findings["unsteady"] = Finding(
        "unsteady",
        f"The same rates both held and were missed: {rates}. The capacity itself moves; one"
        " number does not describe it.",
        decisive=True,
    )


def _name_wander(
    findings: Findings, seen: Seen, low: float | None, overturned: Sequence[tuple[float, str]]
) -> None:
    moved = wander(seen, low)
    least = WANDERS_AND_OVERTURNED if overturned else WANDERS
    calm = [o.medians for o in calm_steps(seen, low)]
    if moved < least or not calm:
        return
    usual = float(np.nanmedian(np.concatenate(calm)))
    if moved * usual < WANDERS_S or "unsteady" in findings:
        return
    findings["unsteady"] = Finding(
        "unsteady",
        f"Far below the capacity the median latency of {format_duration(usual)} moves by"
        f" {moved:.0%} (standard deviation): the capacity moves as much.",
        decisive=True,
    )


def name_horizon(findings: Findings, held_s: float, search_s: float) -> None:
    """What no answer says: a search sees what shows within its longest hold, or its own length."""
    longer = LONG_LOOK_S if held_s < LONG_LOOK_S else LONGER * held_s
    more = math.ceil((longer - held_s) / 60 * LOOK_COSTS)
    findings["horizon"] = Finding(
        "horizon",
        f"Nothing that comes less often than every {format_duration(held_s)} (restarts, jobs) and"
        f" nothing that shows after more than {format_duration(float(round(search_s)))} of load"
        f" (burst credits, leaks) was looked for: --confirm {_option(longer)}, about"
        f" {more} min longer.",
        decisive=False,
    )


def _option(seconds: float) -> str:
    """As it is typed."""
    return f"{seconds / 60:g}m" if seconds % 60 == 0 else f"{seconds:g}s"


def name_rate_free(findings: Findings, seen: Seen) -> None:
    """Whether rates far apart break the objectives alike: then the rate does not decide."""
    known = [s for s, _ in seen if s.shares and s.outcome in {"missed", "unknown"}]
    if not known:
        return
    last = known[-1]
    for step in known:
        if step.rate < FLAT_FACTOR * last.rate:
            continue
        for a, b in zip(step.shares, last.shares, strict=True):
            if b.high >= b.limit and a.low <= b.high and b.low <= a.high and a.share < 2 * b.limit:
                findings["not about rate"] = Finding(
                    "not about rate",
                    f"{b.objective}: {format_ratio(a.share)} at {format_rate(step.rate)} and"
                    f" {format_ratio(b.share)} at {format_rate(last.rate)}, on either side of"
                    f" {format_ratio(b.limit)}: the rate does not decide.",
                    decisive=True,
                )
                return


def limit_of(step: Step) -> str:
    """What stood in the way at a missed step."""
    if step.cpu is not None and step.cpu >= BUSY:
        return f"the machine's cores ({step.cpu:.0%} busy)"
    return f"the service: {step.reason}"
