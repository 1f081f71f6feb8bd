"""Whether requests waited for a connection because the generator had too few of them."""

from harness.judge.model import ValidityCheck
from harness.load.connections import (
    STREAMS,
    longest_mean,
    most_connections,
    needed_connections,
    peak_rate,
    timeout_of,
)
from harness.record.run import RunRecord
from harness.traffic.populations import populations
from harness.units import format_duration

WAIT_SHARE = 0.10
"""Of a latency quantile that may be a wait for a connection: as for the generator's lag."""

WAIT_FLOOR_S = 0.001
"""Waits below this never count, as for the generator's lag."""

QUANTILES = (0.50, 0.95, 0.99)


def check_connections(record: RunRecord) -> ValidityCheck:
    """Requests found a free connection, or it was the service that kept all of them busy.

    A wait is the service's when the connections were as many as a service that meets its latency
    objectives can fill, or when the time from the first byte sent to the last received misses
    them by itself. Any other wait is the generator's, and hides what the service would have done
    with the requests that waited. In a closed loop the users' number is the load: a wait there is
    the generator's whenever the connections are fewer than the users.
    """
    profile = record.plan.profile
    allowed = _allowed(record)
    limit = f"{allowed:,} connections"
    seconds = record.seconds_of("hold")
    offered = int(record.series("due").offered[seconds].sum())
    if not offered:
        return ValidityCheck(
            "connections", ok=None, measured="nothing was due", limit=limit,
            reason="No request was due in the hold.",
        )  # fmt: skip
    worst = _worst_wait(record)
    if worst is None or not _filled(record, allowed):
        closed = (
            f" Closed loop: {profile.users} users wait for their answers, so a slow service is"
            " asked for less; these figures do not hold for an arrival rate."
        )
        return ValidityCheck(
            "connections", ok=True, measured="always one free", limit=limit,
            reason="No request waited for a free connection."
            + (closed if profile.model == "closed" else ""),
        )  # fmt: skip
    q, wait, whole = worst
    measured = f"p{q * 100:g} wait {format_duration(wait)} of {format_duration(whole)}"
    needed = _needed(record)
    if allowed >= needed or _slow_by_itself(record):
        return ValidityCheck(
            "connections", ok=True, measured=measured, limit=limit,
            reason=f"The service kept all {allowed:,} connections busy; the wait for one is its.",
        )  # fmt: skip
    return ValidityCheck(
        "connections", ok=False, figures="load", measured=measured, limit=limit,
        reason=(
            f"Requests waited {format_duration(wait)} (p{q * 100:g}) for one of the generator's"
            f" {allowed:,} connections; this load needs up to {needed:,}."
        ),
        remedy=_remedy(record, needed),
    )  # fmt: skip


def _remedy(record: RunRecord, needed: int) -> str:
    ceiling = most_connections(len(record.plan.target.urls), record.plan.workers)
    if needed <= ceiling * len(record.plan.target.urls):
        return "leave --connections out, or lower the rate"
    return f"lower the rate: from here an address takes at most {ceiling:,} connections"


def _allowed(record: RunRecord) -> int:
    """Requests that could be under way at once."""
    plan = record.plan
    streams = STREAMS if plan.target.http2 else 1
    return plan.connections_per_target * len(plan.target.urls) * streams


def _needed(record: RunRecord) -> int:
    """What the load was planned to need: chance may offer a little more."""
    objectives = record.service.objectives
    return max(
        profile.users
        if profile.model == "closed"
        else needed_connections(peak_rate(profile), longest_mean(objectives, timeout_of(traffic)))
        for traffic, profile in populations(record.plan.traffic, record.plan.profile)
    )


def _worst_wait(record: RunRecord) -> tuple[float, float, float] | None:
    """(quantile, wait, response) where the wait is more than a small part, the highest first."""
    wait, response = record.distribution("wait"), record.distribution("response")
    for q in reversed(QUANTILES):
        own, whole = wait.quantile(q) or 0.0, response.quantile(q) or 0.0
        if own > WAIT_FLOOR_S and own > WAIT_SHARE * whole:
            return q, own, whole
    return None


def _filled(record: RunRecord, allowed: int) -> bool:
    """Whether every connection was taken at some time: more requests under way than connections.

    Without it a wait is the making of a connection, which is the service's.
    """
    return any(count >= allowed for count in record.in_hold("tick", "in_flight"))


def _slow_by_itself(record: RunRecord) -> bool:
    """Whether the requests that had a connection miss a latency objective already."""
    service = record.distribution("service")
    return any(
        (service.quantile(o.quantile) or 0.0) >= o.threshold
        for o in record.service.objectives
        if o.indicator == "latency" and o.quantile
    )
