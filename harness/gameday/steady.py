"""The steady state between two experiments: everything ready, everything healthy, for a while."""

import time

from harness.catalog.model import Service
from harness.platform.model import Platform, Target

TIMEOUT_S = 60.0
HELD_S = 2.0
"""How long it must hold: longer than two rounds of the platform's own health checks."""

PERIOD_S = 0.2
SOUND = frozenset({"ready", "healthy", "Ready", "True"})


def wait_steady(
    platform: Platform, service: Service, target: Target, timeout_s: float = TIMEOUT_S
) -> str | None:
    """Wait until every replica is ready and every health check sound; the problem if they never.

    `target` is what the next experiment will load; its replicas are the service's.
    """
    deadline = time.monotonic() + timeout_s
    since: float | None = None
    while True:
        problem = unsound(platform, service)
        now = time.monotonic()
        since = None if problem is not None else (now if since is None else since)
        if since is not None and now - since >= HELD_S:
            return None
        if now > deadline:
            return problem or f"{target.description} did not stay steady for {HELD_S:g} s"
        time.sleep(PERIOD_S)


def unsound(platform: Platform, service: Service) -> str | None:
    """The first thing that is not well, in words; None when everything is."""
    for replica in platform.replicas(service):
        if replica.health != "ready":
            return f"{replica.id} is {replica.health}"
    for name, word in sorted(platform.observe(service).health.items()):
        if word not in SOUND:
            return f"{name} is {word}"
    return None
