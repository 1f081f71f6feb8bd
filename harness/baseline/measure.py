"""From a run record to what a baseline keeps of it."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np

from harness.baseline.model import (
    QUANTILES,
    TOTAL,
    AcceptedRun,
    Conditions,
    EndpointFigures,
)
from harness.errors import BaselineError
from harness.load.plan import LoadPlan
from harness.platform.connection import describe
from harness.record import RunRecord
from harness.record.distribution import stack
from harness.redact import redact
from harness.stats.quantiles import sectioned_quantile
from harness.traffic.model import Request
from harness.units import NANOSECONDS


def conditions_of(record: RunRecord) -> Conditions:
    """The conditions under which a run was made."""
    return conditions(record.plan, record.environment)


def conditions(plan: LoadPlan, environment: Mapping[str, object]) -> Conditions:
    """The conditions under which a run with this plan is made in this environment.

    Two runs of one machine kind, one deployment, one profile and one mix get equal ones. The
    seed is not part of them, because arrivals of different seeds are draws of one process, nor
    is the lab's behaviour: it stands for the release under test.
    """
    profile = plan.profile
    shape = [
        profile.model,
        profile.spacing,
        [[s.phase, s.duration_s, s.from_rate, s.to_rate] for s in profile.segments],
        profile.users,
        profile.think_s,
        len(profile.replay_ns),
    ]
    traffic = [_request(request) for request in plan.traffic.requests]
    traffic += [
        {**dataclasses.asdict(chain), "steps": [_request(step) for step in chain.steps]}
        for chain in plan.traffic.chains
    ]
    traffic += [dataclasses.asdict(journey) for journey in plan.traffic.journeys]
    traffic += [dataclasses.asdict(other) for other in plan.traffic.others]
    return Conditions(
        platform=str(environment.get("platform", "url")),
        through=plan.target.through,
        machine=_machine(environment),
        deployment=_deployment(plan.target.environment),
        profile=f"{profile.name} {_digest(shape)}",
        traffic=f"{plan.traffic.scenario} {_digest(redact([traffic, plan.traffic.feeds]))}",
        architecture=_text(environment.get("machine")),
        kernel=_text(environment.get("kernel")),
        cores=_text(environment.get("cores_usable")),
        harness=_text(environment.get("harness")),
        target=redact(str(plan.target.environment.get("url") or plan.target.description)),
        generator=_generator(plan),
        journeys=plan.traffic.journeys_digest if plan.traffic.journeys else "none",
        replay=_replayed(plan),
        connection=redact(describe(plan.target)),
    )


def _replayed(plan: LoadPlan) -> str:
    """What identifies a replay: its instants and, of a trace, what is sent at each of them."""
    profile = plan.profile
    if not profile.replay_ns:
        return "none"
    if not profile.replay_requests:
        return _digest(profile.replay_ns)
    names, values = profile.replay_endpoints, profile.replay_values
    return _digest([profile.replay_ns, profile.replay_requests, names, values])


_LATER = ("capture", "parts", "stream", "think_s")
"""Fields that requests did not always have: left out where they say nothing, as in old digests."""


def _request(request: Request) -> dict[str, object]:
    """What it sends, as baselines of old have it; limits are the objectives', not the traffic's."""
    found = dataclasses.asdict(request)
    if request.stream is not None:
        found["stream"] |= {"limits": None}
    return {name: value for name, value in found.items() if value or name not in _LATER}


def measure(record: RunRecord) -> AcceptedRun:
    """The hold phase of a run, per endpoint and in total.

    Raises BaselineError when there is no hold phase to keep.
    """
    seconds = record.seconds_of("hold")
    if len(seconds) == 0:
        raise BaselineError(
            f"{record.directory}: the run has no hold phase", "accept a run that reached it"
        )
    completed = record.series("done").completed[seconds].sum()
    return AcceptedRun(
        id=record.id,
        created=_created(record),
        commit=commit_of(record),
        label=record.labels.get("label"),
        service_commit=record.labels.get("service_commit"),
        seed=record.plan.profile.seed,
        hold_s=float(len(seconds)),
        throughput=float(completed) / len(seconds),
        endpoints={
            name: _figures(record, None if name == TOTAL else name)
            for name in (TOTAL, *record.endpoints)
        },
        host=_text(record.environment.get("host")),
    )


def _created(record: RunRecord) -> str:
    try:
        moment = datetime.fromtimestamp(record.meta["created_unix_ns"] / NANOSECONDS, UTC)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        raise BaselineError(
            f"{record.directory / 'run.json'}: created_unix_ns is no time", "the record is damaged"
        ) from None
    return moment.isoformat(timespec="seconds")


def _figures(record: RunRecord, endpoint: str | None) -> EndpointFigures:
    seconds = record.seconds_of("hold")
    counts = record.series("due", endpoint)
    parts = record.distributions("response", endpoint=endpoint)
    values, matrix = stack([parts[second] for second in seconds])
    quantiles = {}
    if matrix.sum() > 0:
        for name, q in QUANTILES.items():
            interval = sectioned_quantile(values, matrix, q)
            quantiles[name] = (interval.estimate, _known(interval.low), _known(interval.high))
    histogram = record.histogram("response", "hold", endpoint)
    return EndpointFigures(
        offered=int(counts.offered[seconds].sum()),
        completed=int(counts.completed[seconds].sum()),
        failed=int(counts.failed[seconds].sum()),
        quantiles=quantiles,
        histogram=histogram.encode() if histogram.count else None,
    )


def _known(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def _machine(host: Mapping[str, object]) -> str:
    """A kind of machine, not one machine: model, cores and memory to the nearest power of two."""
    memory = host.get("memory_bytes")
    size = "?"
    if isinstance(memory, int | float) and memory > 0:
        size = f"{2 ** round(np.log2(memory / 2**30)):.0f}"
    return f"{host.get('cores') or '?'} x {host.get('cpu_model') or '?'}, {size} GiB"


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _generator(plan: LoadPlan) -> str:
    """The generator's own bounds: they shape what a server sees as much as the rate does."""
    return (
        f"workers {plan.workers}, threads {plan.threads}, connections "
        f"{plan.connections_per_target}, in flight {plan.max_in_flight}"
    )


def _deployment(target: Mapping[str, object]) -> str:
    """How the service was deployed, as the platform describes it."""
    keys = ("replicas", "regions", "replication", "isolated", "cores_service", "edge")
    return (
        ", ".join(f"{key} {_words(target[key])}" for key in keys if target.get(key)) or "as found"
    )


def _words(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def commit_of(record: RunRecord) -> str | None:
    """The project's commit that a run was made with, `-dirty` behind it where files differed."""
    found = record.labels.get("commit") or record.environment.get("commit")
    return str(found) if found else None


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
