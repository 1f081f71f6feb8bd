"""What a load profile scheduled, second by second, and what the generator itself refused of it."""

import numpy as np

from harness.record.distribution import Counts
from harness.record.run import RunRecord
from harness.traffic.model import LoadProfile
from harness.traffic.populations import populations
from harness.units import NANOSECONDS


def scheduled_requests(record: RunRecord, seconds: Counts) -> float | None:
    """How many requests the profile schedules in these seconds.

    None where it does not say: N users in a closed loop, and journeys and chains, each of which
    makes several requests.
    """
    parts = populations(record.plan.traffic, record.plan.profile)
    if any(profile.model == "closed" or not traffic.one_each for traffic, profile in parts):
        return None
    return sum(_scheduled(profile, seconds) for _, profile in parts)


def _scheduled(profile: LoadProfile, seconds: Counts) -> float:
    if profile.replay_ns:
        due = np.asarray(profile.replay_ns, np.int64) // NANOSECONDS
        return float(np.isin(due, seconds).sum())
    edges = np.cumsum([0.0, *(segment.duration_s for segment in profile.segments)])
    total = 0.0
    for begin, segment in zip(edges, profile.segments, strict=False):
        low = np.clip(seconds - begin, 0, segment.duration_s)
        high = np.clip(seconds + 1 - begin, 0, segment.duration_s)
        slope = (segment.to_rate - segment.from_rate) / segment.duration_s
        total += float((segment.from_rate * (high - low) + slope * (high**2 - low**2) / 2).sum())
    return total


def bound_is_too_low(record: RunRecord, rate: float) -> bool:
    """Whether a service that meets its latency objective could fill the in-flight bound.

    Little's law: N in flight at R a second is a mean time of N/R. With a quantile q below the
    objective t and a timeout T the mean cannot exceed q·t + (1 - q)·T, so a bound above
    R·(q·t + (1 - q)·T) is filled by a service that misses its objective, and by no other.
    """
    limits = [
        (o.quantile, o.threshold)
        for o in record.service.objectives
        if o.indicator == "latency" and o.quantile
    ]
    if not limits or rate <= 0:
        return True
    timeout = max((request.timeout_s for request in record.plan.traffic.templates), default=10.0)
    mean = max(q * limit + (1 - q) * timeout for q, limit in limits)
    return record.plan.max_in_flight < rate * mean
