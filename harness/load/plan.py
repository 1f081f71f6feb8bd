"""Everything a load child needs to know, as one document."""

import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from harness.errors import PlatformError, RecordError
from harness.load.connections import MOST_CONNECTIONS
from harness.platform.connection import OPTIONS
from harness.platform.model import Target
from harness.traffic.model import LoadProfile, TrafficModel
from harness.traffic.populations import populations
from harness.typed import adapter, first_problem

LATE_SHARE = 0.1
"""Of a limit of time (a latency objective, a timeout, the drain): a generator that was later than
that may itself be why a request exceeded it, which then says nothing of the service."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """A target, a traffic model and a load profile, with the generator's own bounds.

    Connections are opened as they are needed, so their bound costs nothing until it is reached.
    """

    target: Target
    traffic: TrafficModel
    profile: LoadProfile
    workers: int = 1
    threads: int = 1
    connections_per_target: int = MOST_CONNECTIONS
    max_in_flight: int = 20_000
    connect_timeout_s: float = 5.0
    drain_s: float = 10.0
    probe: bool = True
    salt: int = 0
    """What makes `uuid()` and `sequence()` of this run differ from another's of the same seed."""

    token: str = ""
    """What master and workers know each other by; it is in no record."""


_SALT_EPOCH_S = 1_767_225_600
"""2026-01-01; counted from there, salts stay below 2^53, which JSON numbers hold exactly."""

_SALTS_A_SECOND = 100_000
"""Arrivals that a second may have before the sequences of two runs can meet."""


_SALT_BITS = 50
"""How far apart the salts of two populations are: beyond any number of arrivals."""


def plans_of(plan: LoadPlan) -> tuple[LoadPlan, ...]:
    """A plan for each population; they share the target and have the same bounds each."""
    return tuple(
        replace(plan, traffic=traffic, profile=profile, salt=plan.salt + (number << _SALT_BITS))
        for number, (traffic, profile) in enumerate(populations(plan.traffic, plan.profile))
    )


def new_salt() -> int:
    """A salt that no earlier run had, in the unit of arrivals: sequences go on where they were."""
    return round((time.time() - _SALT_EPOCH_S) * _SALTS_A_SECOND)


_OF_THE_ENGINE = (
    "http2", "cert_file", "resolve", "unix_socket", "proxy", "max_age_s", "max_requests",
)  # fmt: skip
"""Options of connections that only the engine carries out."""


def check_target(target: Target, traffic: TrafficModel) -> None:
    """Raise PlatformError where Python's clients, which journeys use, cannot reach the target."""
    if not any(each.journeys or each.setups for each in (traffic, *traffic.others)):
        return
    server_name = target.server_name if traffic.locustfile else None
    options = [(getattr(target, name), OPTIONS[name]) for name in _OF_THE_ENGINE]
    for wanted, what in (
        *options,
        (target.bind, "an address to bind to"),
        (server_name, "TLS with another name than the URL's"),
    ):
        if wanted:
            raise PlatformError(
                f"{target.description} asks for {what}, which Python's clients cannot do",
                "name a scenario of a mix only",
            )


def plan_json(plan: LoadPlan) -> bytes:
    """The plan as the processes of one run read it, with a token that no other run has."""
    return adapter(LoadPlan).dump_json(replace(plan, token=secrets.token_hex(16)))


def read_plan(path: Path) -> LoadPlan:
    """A plan from a file; raises RecordError naming the file and the field."""
    try:
        return adapter(LoadPlan).validate_json(path.read_bytes())
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}", "name a readable plan") from None
    except ValidationError as error:
        what = first_problem(error, "plan")
        raise RecordError(f"{path}: {what}", "write it with plan_json") from None
