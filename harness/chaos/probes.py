"""What an experiment's steady state may ask, as Chaos Toolkit probes."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from harness.chaos.context import current
from harness.chaos.probe_client import is_right
from harness.chaos.probe_targets import endpoint_of
from harness.errors import ExperimentError
from harness.platform.model import Through
from harness.prometheus import Prometheus

__all__ = ["answers", "prometheus", "replicas_ready"]

TIMEOUT_S = 2.0
_ASK = Path(__file__).with_name("probe_once.py")


def answers(through: Through = "global", region: str | None = None) -> bool:
    """Whether the service gives a right answer through an entry point within two seconds.

    Asked by a fresh connection from where the load comes from: it may be reachable from there only.
    Raises ExperimentError where this machine is too busy to ask in time.
    """
    context = current()
    target = context.platform.target(context.service, through, region)
    entry_point, expected = endpoint_of(through, target), context.expected or ""
    if not target.exec_prefix:
        return is_right(entry_point, context.path, TIMEOUT_S, expected)
    where = json.dumps(asdict(entry_point))
    command = [*target.exec_prefix, sys.executable, "-I", str(_ASK), where, context.path]
    try:
        done = subprocess.run(
            [*command, str(TIMEOUT_S), expected],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=2 * TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ExperimentError(
            f"it could not be asked within {2 * TIMEOUT_S:g} s", "free this machine"
        ) from None
    return done.returncode == 0


def replicas_ready(least: int = 1, region: str | None = None) -> bool:
    """Whether at least so many replicas are ready by the platform's own health checks."""
    context = current()
    ready = [
        replica
        for replica in context.platform.replicas(context.service)
        if replica.health == "ready" and region in {None, replica.region}
    ]
    return len(ready) >= least


def prometheus(query: str) -> float:
    """What an instant query of the run's Prometheus gives now, for a `range` of tolerance."""
    server = Prometheus.of_environment()
    if server is None:
        raise ExperimentError(f"no Prometheus to ask {query!r}", "name one: --prometheus URL")
    return server.value(query)
