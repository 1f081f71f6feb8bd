"""What can be chosen about a lab, validated once, and its form on the wire."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import NoneType
from typing import Any, Literal

from harness.errors import PlatformError
from harness.platform.lab.mutants import MUTANTS
from harness.platform.lab.own import OwnProgram

Replication = Literal["async", "sync"]

Closes = Literal["never", "unready", "always"]
"""When a replica ends the connection with its answer. One that is not ready is taken out of new
connections only: unless it ends the established ones, a pool goes on with it. `always` lets a load
feel at once what becomes of new connections."""

REGIONS = ("us-east-1", "eu-west-1", "ap-southeast-1")


@dataclass(frozen=True, slots=True)
class Slowdown:
    """One route made slower: modelled latency times `factor`, plus `add_s` seconds."""

    factor: float = 1.0
    add_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Stream:
    """How a replica streams chat completions (`POST /v1/chat/completions`).

    `tokens` events, unless the request's `max_tokens` are fewer, the first after the time to first
    token and the others a gap apart: seconds, lognormal as the latencies of a `Behaviour`.
    `break_ratio` of the streams are cut at a token that chance chooses.
    """

    tokens: int = 100
    ttft_median_s: float = 0.0
    ttft_p99_s: float | None = None
    gap_median_s: float = 0.0
    gap_p99_s: float | None = None
    break_ratio: float = 0.0

    def __post_init__(self) -> None:
        _whole("stream.tokens", self.tokens, low=1, high=10**6)
        _number("stream.break_ratio", self.break_ratio, low=0.0, high=1.0)
        for name in ("ttft", "gap"):
            median, p99 = getattr(self, f"{name}_median_s"), getattr(self, f"{name}_p99_s")
            _number(f"stream.{name}_median_s", median, low=0.0, high=3600.0)
            if p99 is not None:
                _number(f"stream.{name}_p99_s", p99, low=median or 3600.0, high=3600.0)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a replica of the reference service answers; the default is as fast as it can.

    Latencies are seconds and lognormal, given by their median and 99th percentile (without
    `latency_p99_s` each request takes exactly the median). `slow` maps a route's path to its
    slow-down. `concurrency` is the number in progress beyond which it answers 503.
    `slowed` of the requests then take `latency_factor` times as long and `latency_add_s` more.
    `cpu_s` is the CPU time of each answer, one answer at a time: a replica carries 1 / cpu_s.
    `error_ratio` of the requests get 500 and `garbage_ratio` a 200 with a body that is no JSON;
    every request for the item `failing_id` gets 500. `rate_limit` is requests per `rate_window_s`
    and `x-api-key` (429 beyond, with the rest of the window as Retry-After if `retry_after`), or
    of all keys together (`rate_shared`); `exempt_key` has no limit.
    `calls` are URLs (http://HOST:PORT/PATH) that are asked for each answer, which is a 503 where
    one of them fails or takes longer than 1 s.
    `stream` says how chat completions are streamed, after the latency.
    `ready` and `health_delay_s` falsify `/ready` and slow the health answers.
    """

    latency_median_s: float = 0.0
    latency_p99_s: float | None = None
    slow: Mapping[str, Slowdown] = field(default_factory=dict)
    slowed: float = 1.0
    latency_factor: float = 1.0
    latency_add_s: float = 0.0
    error_ratio: float = 0.0
    failing_id: str | None = None
    garbage_ratio: float = 0.0
    concurrency: int | None = None
    rate_limit: int | None = None
    rate_window_s: float = 60.0
    rate_shared: bool = False
    retry_after: bool = True
    exempt_key: str = "load-test"
    ready: bool = True
    health_delay_s: float = 0.0
    cpu_s: float = 0.0
    calls: tuple[str, ...] = ()
    stream: Stream = field(default_factory=Stream)
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("latency_median_s", "latency_add_s", "health_delay_s", "cpu_s"):
            _number(name, getattr(self, name), low=0.0, high=3600.0)
        _number("latency_factor", self.latency_factor, low=0.0, high=1e6)
        _number("rate_window_s", self.rate_window_s, low=0.1, high=3600.0)
        for name in ("error_ratio", "garbage_ratio", "slowed"):
            _number(name, getattr(self, name), low=0.0, high=1.0)
        if self.latency_p99_s is not None:
            _number("latency_p99_s", self.latency_p99_s, low=self.latency_median_s, high=3600.0)
            if self.latency_median_s == 0.0:
                raise PlatformError(
                    "behaviour: latency_p99_s without latency_median_s", "give both"
                )
        for name in ("concurrency", "rate_limit"):
            if getattr(self, name) is not None:
                _whole(name, getattr(self, name), low=1, high=10**9)
        _whole("seed", self.seed, low=0, high=2**63 - 1)
        _of_type(self, bool, ("ready", "rate_shared", "retry_after"), "give true or false")
        _of_type(self, str, ("exempt_key",), "give a string")
        _of_type(self, (str, NoneType), ("failing_id",), "give a string, or null")
        for path, slow in self.slow.items():
            _number(f"slow[{path}].factor", slow.factor, low=0.0, high=1e6)
            _number(f"slow[{path}].add_s", slow.add_s, low=0.0, high=3600.0)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Behaviour:
        """The behaviour a JSON object describes; PlatformError names what is wrong."""
        if not isinstance(document, Mapping):
            raise PlatformError(f"behaviour: {document!r}", "give a JSON object")
        values = dict(document)
        if unknown := values.keys() - set(cls.__slots__):
            raise PlatformError(
                f"behaviour: no field {min(unknown)!r}", f"known are {', '.join(cls.__slots__)}"
            )
        try:
            values["slow"] = {
                path: Slowdown(**each) for path, each in values.get("slow", {}).items()
            }
            values["stream"] = Stream(**values.get("stream", {}))
            values["calls"] = tuple(values.get("calls", ()))
            return cls(**values)
        except (TypeError, AttributeError) as problem:
            raise PlatformError(
                f"behaviour: {problem}", f"known fields: {', '.join(cls.__slots__)}"
            ) from None

    def document(self) -> dict[str, Any]:
        """The JSON object that `parse` reads."""
        return {**asdict(self), "calls": list(self.calls)}


@dataclass(frozen=True, slots=True)
class LabOptions:
    """What a lab consists of.

    `regions`: how many of REGIONS, in order of priority. `replicas`: per service and region;
    None takes the service's own number, capped to what the cores carry. `edges`: an Envoy per
    region and a global one. `replication`: what a write's acknowledgement means across regions
    (`async`: applied in its own region; `sync`: also in every peer that is in sync).
    `isolated`: None uses a network namespace where there is one; True insists; False does without.
    `mutants`: ways in which it shall be broken (MUTANTS), to judge the harness by.
    `pin`: keep `load_cores` cores free of the lab for the load generator (None: wherever there
    are more cores than that); measured on two cores it makes the generator's lag 30 times smaller.
    `program`: what runs as the replicas instead of the reference service; without databases.
    """

    regions: int = 1
    replicas: int | None = None
    edges: bool = False
    behaviour: Behaviour = field(default_factory=Behaviour)
    replication: Replication = "async"
    replication_delay_s: float = 0.05
    isolated: bool | None = None
    pin: bool | None = None
    mutants: tuple[str, ...] = ()
    load_cores: int = 1
    ready_timeout_s: float = 30.0
    program: OwnProgram | None = None

    def __post_init__(self) -> None:
        if isinstance(self.regions, bool) or self.regions not in range(1, len(REGIONS) + 1):
            raise PlatformError(
                f"lab: {self.regions!r} regions", f"give 1 to {len(REGIONS)} ({', '.join(REGIONS)})"
            )
        if self.replicas is not None:
            _number("replicas", self.replicas, low=1, high=100)
        if self.replication not in {"async", "sync"}:
            raise PlatformError(f"lab: replication {self.replication!r}", "give async or sync")
        for mutant in self.mutants:
            if mutant not in MUTANTS:
                raise PlatformError(
                    f"lab: no mutant {mutant!r}", f"give some of {', '.join(MUTANTS)}"
                )
        _number("replication_delay_s", self.replication_delay_s, low=0.0, high=3600.0)
        _number("load_cores", self.load_cores, low=1, high=1024)
        _number("ready_timeout_s", self.ready_timeout_s, low=0.1, high=3600.0)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> LabOptions:
        """The options that `document` wrote."""
        behaviour = Behaviour.parse(document["behaviour"])
        mutants = tuple(document.get("mutants", ()))
        program = document.get("program")
        read = {
            "behaviour": behaviour,
            "mutants": mutants,
            "program": None if program is None else OwnProgram.parse(program),
        }
        return cls(**{**document, **read})

    def document(self) -> dict[str, Any]:
        """The options as JSON."""
        return asdict(self)

    @property
    def ready_path(self) -> str:
        """What every replica answers on: whether it may be sent requests."""
        return "/ready" if self.program is None else self.program.ready

    @property
    def region_names(self) -> tuple[str, ...]:
        """The regions of this lab in order of priority."""
        return REGIONS[: self.regions]


def _of_type(
    behaviour: Behaviour, kind: type | tuple[type, ...], names: tuple[str, ...], remedy: str
) -> None:
    for name in names:
        if not isinstance(value := getattr(behaviour, name), kind):
            raise PlatformError(f"behaviour: {name} is {value!r}", remedy)


def _number(name: str, value: object, *, low: float, high: float) -> None:
    """Refuse what is not a finite number in [low, high]."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or not low <= value <= high
    ):
        raise PlatformError(f"lab: {name} is {value!r}", f"give a number from {low:g} to {high:g}")


def _whole(name: str, value: object, *, low: int, high: int) -> None:
    """Refuse what is not an integer in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise PlatformError(
            f"lab: {name} is {value!r}", f"give a whole number from {low} to {high}"
        )
