"""A made-up run with known latencies, in the form in which the load child reports one."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from harness._engine import Histogram
from harness.catalog.model import Environment, Objective, Route, Service
from harness.load.plan import LoadPlan
from harness.platform.model import Target
from harness.record import RunRecord, RunWriter
from harness.traffic.model import LoadProfile, Request, Segment, TrafficModel

START_NS = 1_795_485_600_000_000_000

OBJECTIVES = (
    Objective("p95", "latency", 0.100, 0.95),
    Objective("throughput", "throughput", 200.0),
    Objective("errors", "error_ratio", 0.001),
    Objective("availability", "availability", 0.9999),
)


def service(objectives: tuple[Objective, ...] = OBJECTIVES) -> Service:
    return Service(
        name="memorai",
        tier="foundation",
        core_app=True,
        port=3001,
        purpose="Remembers <things> & finds them",
        replicas=3,
        cpu=0.5,
        memory="512Mi",
        health_path="/health",
        routes=(Route("/api/v1/memorai", ("GET", "POST")),),
        regions=("us-east-1", "eu-west-1"),
        environments=(Environment("lab", "http://user:hunter2@127.1.0.10:3001", "lab"),),
        objectives=objectives,
        primary="p95",
    )


def plan(*, hold_s: float = 20.0, rate: float = 200.0, **profile: Any) -> LoadPlan:
    segments = (
        Segment("warmup", 3.0, rate / 4, rate / 4),
        Segment("ramp", 4.0, rate / 4, rate),
        Segment("hold", hold_s, rate, rate),
        Segment("cooldown", 2.0, rate, 0.0),
    )
    fields: dict[str, Any] = {"name": "perf", "segments": segments, "spacing": "constant"}
    return LoadPlan(
        target=Target(
            service="memorai",
            urls=("http://user:hunter2@127.1.0.10:3001",),
            through="service",
            description="3 replicas in us-east-1",
        ),
        traffic=TrafficModel(
            service="memorai",
            scenario="memorai",
            source="scenarios/memorai.py",
            requests=(
                Request("GET recall", "GET", "/api/recall?id={id}&api_key=hunter2", 3.0,
                        (("Authorization", "Bearer hunter2hunter2"), ("accept", "text/plain"))),
                Request("POST <store>", "POST", "/api/store", 1.0,
                        body='{"password": "hunter2", "id": "{id}"}'),
            ),
            feeds={"id": {"kind": "zipf", "n": 1000, "s": 1.1},
                   "token": {"kind": "choice", "values": ["hunter2"]}},
        ),
        profile=LoadProfile(**(fields | profile)),
    )  # fmt: skip


@dataclass(frozen=True)
class Made:
    """What the synthetic service does; each field is a way to break it."""

    plan: LoadPlan = field(default_factory=plan)
    median_s: float = 0.010
    sigma: float = 0.6
    lag_s: float = 0.00005
    slow: Callable[[int], float] = lambda second: 1.0
    failures: Callable[[int, str, int], dict[str, int]] = lambda second, endpoint, offered: {}
    unfinished: int = 0
    cpu: float = 0.35
    probe_ns: float = 200_000.0
    clock_jump_ns: int = 0
    end: dict[str, Any] | None = field(default_factory=lambda: {"conserved": True})
    clipped: int = 0
    messages: tuple[dict[str, Any], ...] = ()
    stop_at: int | None = None
    seed: int = 7


def messages(made: Made) -> Iterator[Any]:
    """Every message of a load child that made this run."""
    random = np.random.default_rng(made.seed)
    yield {"type": "hello"}
    yield {"type": "start", "wall_ns": START_NS, "monotonic_ns": 5_000_000_000}
    seconds = round(made.plan.profile.duration_s)
    totals = dict.fromkeys(("offered", "completed", "failed", "unfinished"), 0)
    weights = {request.name: request.weight for request in made.plan.traffic.requests}
    for second in range(seconds if made.stop_at is None else made.stop_at):
        rate = _rate(made.plan.profile, second)
        for seq, (endpoint, weight) in enumerate(weights.items()):
            offered = round(rate * weight / sum(weights.values()))
            for row in _second(made, random, second, endpoint, offered):
                if row["axis"] == "due":
                    for name in totals:
                        totals[name] += row[name]
                yield {"type": "slice", "worker": 0, "seq": second * len(weights) + seq,
                       "slice": row}  # fmt: skip
        yield {"type": "tick", "t": second + 0.5, "cpu": made.cpu, "steal": 0.0, "in_flight": 4,
               "lag_p99_ns": int(made.lag_s * 1e9), **totals}  # fmt: skip
        yield {"type": "probe", "t": second + 0.6, "p50_ns": 90_000, "p99_ns": made.probe_ns}
    yield from made.messages
    if made.end is not None:
        yield {"type": "end", "totals": totals | {"clipped": made.clipped}, "unknown": [],
               "errors": [], **made.end}  # fmt: skip


def record(root: Path, made: Made | None = None, *, of: Service | None = None) -> RunRecord:
    """Write the run as the command line would and read it back."""
    made = made or Made()
    environment = {"host": "bench-1", "kernel": "Linux 6.1", "cpu_model": "Some CPU <fast>",
                   "cores": 4, "memory_bytes": 16 * 2**30, "python": "3.11.7",
                   "harness": "0.1.0", "commit": None}  # fmt: skip
    writer = RunWriter.create(root, of or service(), made.plan, environment)
    jump = 0
    for message in messages(made):
        if message["type"] == "tick" and message["t"] > 15:
            jump = made.clock_jump_ns
        writer.message(message)
        if jump and message["type"] == "tick":
            writer.event("tick", t=message["t"], clock_ns=START_NS + jump)
    return writer.finish("complete" if made.end is not None else "failed")


def histogram(values_s: Any) -> str:
    times = np.multiply(values_s, 1e9, dtype=np.float64)
    return _encoded(np.maximum(times, 100).astype(np.int64).tobytes())


@lru_cache(maxsize=1 << 13)
def _encoded(times_ns: bytes) -> str:
    """Most records are made from the same seed, so that most of their seconds are alike."""
    result = Histogram()
    for value in array("q", times_ns):
        result.record(value)
    return result.encode()


def _rate(profile: LoadProfile, second: int) -> float:
    begin = 0.0
    for segment in profile.segments:
        if second < begin + segment.duration_s:
            share = (second + 0.5 - begin) / segment.duration_s
            return segment.from_rate + share * (segment.to_rate - segment.from_rate)
        begin += segment.duration_s
    return 0.0


def _second(
    made: Made, random: np.random.Generator, second: int, endpoint: str, offered: int
) -> list[dict[str, Any]]:
    errors = made.failures(second, endpoint, offered)
    failed = sum(errors.values())
    unfinished = made.unfinished if endpoint == "GET recall" and second == 20 else 0
    completed = offered - failed - unfinished
    service_s = random.lognormal(np.log(made.median_s), made.sigma, completed) * made.slow(second)
    lag_s = random.exponential(made.lag_s, completed)
    hist = {
        "response": histogram(service_s + lag_s),
        "service": histogram(service_s),
        "lag": histogram(lag_s),
    }
    if failed:
        hist["failed"] = histogram([1.0] * failed)
    row = {
        "schema": 1, "axis": "due", "second": second, "endpoint": endpoint, "offered": offered,
        "completed": completed, "failed": failed, "unfinished": unfinished, "errors": errors,
        "bytes_in": 120 * completed, "bytes_out": 80 * offered, "connects": 0, "hist": hist,
    }  # fmt: skip
    return [row, row | {"axis": "done"}]


__all__ = ["Made", "histogram", "messages", "plan", "record", "replace", "service"]
