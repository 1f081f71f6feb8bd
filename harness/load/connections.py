"""How many connections a load needs, so that the service and not the generator sets the pace."""

import math
import resource
import sys
from collections.abc import Sequence

import numpy as np

from harness.catalog.model import Objective
from harness.errors import UsageError
from harness.traffic.model import LoadProfile, TrafficModel
from harness.traffic.populations import populations
from harness.units import NANOSECONDS

LEAST_CONNECTIONS = 64
"""Below it a burst of a few milliseconds would already wait."""

MOST_CONNECTIONS = 20_000
"""Per address. Linux has 28,232 ephemeral ports for one destination by default, and the ports of
closed connections stay taken for a minute."""

SPARE_FILES = 1_000
"""Open files of a worker that are no connections."""

STREAMS = 100
"""Requests at once on one HTTP/2 connection, as the engine opens them."""

CHANCE_SIGMAS = 5.0
"""Room for what chance adds to the requests under way (Poisson: the root of their mean)."""

DEFAULT_TIMEOUT_S = 10.0


def longest_mean(objectives: Sequence[Objective], timeout_s: float) -> float:
    """The longest mean response time, in seconds, of a service that meets its latency objectives.

    With a quantile q below the objective t and a timeout T no mean exceeds q t + (1 - q) T. The
    timeout where no latency objective of all endpoints stands.
    """
    means = [
        o.quantile * o.threshold + (1 - o.quantile) * timeout_s
        for o in objectives
        if o.indicator == "latency" and o.quantile and not o.endpoints
    ]
    return min([timeout_s, *means])


def timeout_of(traffic: TrafficModel) -> float:
    """The longest timeout of the mix, seconds."""
    return max((request.timeout_s for request in traffic.templates), default=DEFAULT_TIMEOUT_S)


def needed_connections(rate: float, mean_s: float) -> int:
    """Requests under way at once at this rate and mean time (Little's law), with room for chance.

    A service with this mean or a shorter one leaves a connection free for every request; one that
    fills them all is slower than that.
    """
    under_way = rate * mean_s
    return math.ceil(under_way + CHANCE_SIGMAS * math.sqrt(under_way))


def most_connections(addresses: int = 1, workers: int = 1) -> int:
    """The ceiling per address: ports of one destination, and the files the kernel lets us open."""
    return max(LEAST_CONNECTIONS, min(MOST_CONNECTIONS, _files(addresses, workers)))


def _files(addresses: int, workers: int) -> int:
    """Connections per address that the kernel lets the workers open files for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        return sys.maxsize
    return max(hard - SPARE_FILES, hard // 2) * workers // max(addresses, 1)


def check_connections(asked: int, addresses: int = 1, workers: int = 1) -> None:
    """Raise UsageError where the kernel will not let this machine's workers open so many."""
    files = _files(addresses, workers)
    if asked > files:
        raise UsageError(
            f"--connections is {asked:,}, and this user may open files for {files:,}",
            "raise it (`ulimit -Hn`), or ask for fewer",
        )


def peak_rate(profile: LoadProfile) -> float:
    """The highest arrival rate of an open profile, requests/s; 0 for a closed one."""
    if profile.replay_ns:
        return float(np.bincount(np.asarray(profile.replay_ns, np.int64) // NANOSECONDS).max())
    rates = (max(segment.from_rate, segment.to_rate) for segment in profile.segments)
    return 0.0 if profile.model == "closed" else max(rates, default=0.0)


def wanted_connections(
    objectives: Sequence[Objective], traffic: TrafficModel, profile: LoadProfile
) -> int:
    """What the load needs, without the ceiling; a user of a closed loop needs one."""
    if profile.model == "closed":
        return max(LEAST_CONNECTIONS, profile.users)
    mean = longest_mean(objectives, timeout_of(traffic))
    return max(LEAST_CONNECTIONS, needed_connections(peak_rate(profile), mean))


def connections_for(
    objectives: Sequence[Objective],
    traffic: TrafficModel,
    profile: LoadProfile,
    *,
    addresses: int = 1,
    workers: int = 1,
) -> int:
    """Connections per address for a load: what it needs, up to the ceiling.

    They are opened only as they are needed, so room costs nothing.
    """
    wanted = max(wanted_connections(objectives, *each) for each in populations(traffic, profile))
    return min(wanted, most_connections(addresses, workers))
