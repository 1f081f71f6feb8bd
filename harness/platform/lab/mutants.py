"""The ways in which a lab can be told to be broken, so that the harness itself can be judged.

Each is a defect that a real platform has had; the harness must flag it with the right verdict.
"""

from collections.abc import Mapping
from dataclasses import dataclass

NO_FAILOVER = "no-failover"
NO_FAIL_BACK = "no-fail-back"
SLOW_HEALTH_CHECK = "slow-health-check"
REPLICATION_STOPPED = "replication-stopped"
INERT_FAULT = "inert-fault"
INERT_HEAL = "inert-heal"
RETRY_STORM = "retry-storm"
RELAPSE = "relapse"
RELAPSE_S = 2.0
"""How long after its undo a fault returns."""


@dataclass(frozen=True, slots=True)
class Scar:
    """How a replica behaves once it has come back from a fault, for `for_s` seconds or for ever."""

    behaviour: Mapping[str, object]
    for_s: float | None = None


SCARS: Mapping[str, Scar] = {
    "garbage": Scar({"garbage_ratio": 0.5}),
    "median-only": Scar({"latency_add_s": 0.5, "slowed": 0.03}),
    RETRY_STORM: Scar({"error_ratio": 0.8}, 60.0),
    "lossy": Scar({"error_ratio": 0.004}),
}

MUTANTS: Mapping[str, str] = {
    NO_FAILOVER: "the global edge knows the first region only",
    NO_FAIL_BACK: "the global edge never takes back a region that was unhealthy once",
    SLOW_HEALTH_CHECK: "edges probe every 10 s, give up after 6 failures and eject no outlier",
    "garbage": "a replica that comes back answers half of its requests 200 with garbage",
    REPLICATION_STOPPED: "writes are acknowledged and never sent to another region",
    INERT_FAULT: "a fault claims success and does nothing; packet rules match nothing",
    INERT_HEAL: "a heal claims success and undoes nothing",
    "median-only": "replicas that come back are 0.5 s slower for 3 % of their requests",
    RETRY_STORM: "edges retry five times without a budget; replicas that come back fail 80 % "
    "of their requests for a minute",
    "lossy": "a replica that comes back, one of the two that serve, loses 1 request in 250",
    RELAPSE: f"a heal undoes a fault, which returns {RELAPSE_S:g} s later",
}
