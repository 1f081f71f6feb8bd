"""What a lab's supervisor is asked and what it answers: one JSON object in a line each.

A request is a dataclass, an answer a TypedDict; each is checked where it is read.
docs/contracts.md lists them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, NotRequired, TypedDict, TypeVar, cast, get_args

from harness.platform.lab.own import Restart
from harness.typed import fields_of, problem_of, tag_of

SCHEMA = 1
A = TypeVar("A")

Settings = Mapping[str, object]
"""Of a replica's behaviour or of a database: who takes them checks them."""

RuleRow = tuple[str, str, str, float, int | None]
"""A packet rule: the fields of `packets.Rule` in order."""

Way = tuple[str | None, str, int]
"""A connection to be tried: (source or None, host, port)."""

Health = Literal["ready", "starting", "unready", "paused", "dead"]

Probe = tuple[str, int, str | None]
"""A probe: (host, port, path); without a path a connection is enough."""


# -- what a lab is started with: RUNTIME/plan.json ---------------------------------------------


class PlaceRow(TypedDict):
    """The fields of `topology.Place`."""

    id: str
    kind: Literal["database", "replica", "edge"]
    region: str
    host: str
    port: int
    service: str | None
    admin: int | None


class StartRow(TypedDict):
    """The fields of `own.Start`."""

    command: str
    bad_release: str | None
    directory: str
    variables: dict[str, str]
    restart: Restart
    stop_within_s: float
    mark: str
    container: NotRequired[bool]


class UnitPlan(TypedDict):
    """A process to keep running; `plan` is its last argument, `start` a program of the user's."""

    id: str
    kind: str
    argv: list[str]
    plan: dict[str, object] | None
    start: StartRow | None
    startup: Probe
    probe: Probe
    cpus: list[int]
    stage: int


class LabPlan(TypedDict):
    """Everything that the supervisor keeps running; without `ttl_s` it ends with its owner."""

    isolated: bool
    user: bool
    ttl_s: float | None
    options: dict[str, object]
    services: list[str]
    places: list[PlaceRow]
    units: list[UnitPlan]


# -- answers -----------------------------------------------------------------------------------


class Done(TypedDict):
    """It is done."""

    ok: bool


class UnitState(TypedDict):
    """A process: `pid` as the supervisor sees it, `answered` the last status of its probe."""

    id: str
    health: Health
    pid: int | None
    answered: NotRequired[int | None]
    restarts: int
    last_exit: int | None
    held: bool
    killed_ago_s: float | None


class Units(TypedDict):
    """Every process."""

    units: list[UnitState]


class Observed(TypedDict):
    """The health of processes and of the edges' upstreams, and the requests each region served."""

    health: dict[str, str]
    served: dict[str, int]


class RolloutState(TypedDict):
    """How far a rollout is; `back`: it takes a release back."""

    ids: list[str]
    done: list[str]
    under_way: bool
    back: bool


class Burners(TypedDict):
    """Busy processes, and the seconds of each of their cores that they have taken, on average."""

    pids: list[int]
    taken_s: float


class FaultStates(TypedDict):
    """What faults have made, by their ids: replicas behaving otherwise, rollouts, processes."""

    overlays: dict[str, list[str]]
    rollouts: dict[str, RolloutState]
    burners: dict[str, Burners]


class BehaviourState(TypedDict):
    """The behaviour that a replica should show, and the one it says it has."""

    wanted: dict[str, object] | None
    shown: dict[str, object] | None


class BehaviourStates(TypedDict):
    """By the replica's id."""

    ids: dict[str, BehaviourState]


class Rules(TypedDict):
    """The packet rules in the kernel, with the number of packets that each has met."""

    rules: list[tuple[RuleRow, int | None]]


class Reached(TypedDict):
    """Whether each connection came about."""

    reached: list[bool]


RuntimeKeys = dict[str, dict[str, str] | None]
"""The runtime keys of each edge by its id; None where it does not answer."""


# -- requests ----------------------------------------------------------------------------------


class Request(Generic[A]):
    """A request whose answer is an `A`."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Status(Request[Units]):
    """The state of every process."""

    op: Literal["status"] = "status"


@dataclass(frozen=True, slots=True)
class Observe(Request[Observed]):
    """A service as its platform sees it."""

    service: str
    op: Literal["observe"] = "observe"


@dataclass(frozen=True, slots=True)
class Faults(Request[FaultStates]):
    """All that faults have made but packet rules and the states of processes."""

    op: Literal["faults"] = "faults"


@dataclass(frozen=True, slots=True)
class Shown(Request[BehaviourStates]):
    """The behaviour of replicas."""

    ids: Sequence[str]
    op: Literal["shown"] = "shown"


@dataclass(frozen=True, slots=True)
class Kill(Request[Done]):
    """Kill processes, and with `hold` do not restart them."""

    ids: Sequence[str]
    hold: bool
    op: Literal["kill"] = "kill"


@dataclass(frozen=True, slots=True)
class Pause(Request[Done]):
    """Stop processes (SIGSTOP)."""

    ids: Sequence[str]
    op: Literal["pause"] = "pause"


@dataclass(frozen=True, slots=True)
class Resume(Request[Done]):
    """Let everything run again that is held down, stopped or waits for its restart."""

    ids: Sequence[str]
    op: Literal["resume"] = "resume"


@dataclass(frozen=True, slots=True)
class Behave(Request[Done]):
    """Change settings for good."""

    ids: Sequence[str]
    behaviour: Settings
    op: Literal["behave"] = "behave"


@dataclass(frozen=True, slots=True)
class Overlay(Request[Done]):
    """Change behaviours until the overlay of this fault is removed."""

    fault: str
    ids: Sequence[str]
    behaviour: Settings
    op: Literal["overlay"] = "overlay"


@dataclass(frozen=True, slots=True)
class Bare(Request[Done]):
    """Remove the overlay of a fault."""

    fault: str
    ids: Sequence[str]
    op: Literal["bare"] = "bare"


@dataclass(frozen=True, slots=True)
class Roll(Request[Done]):
    """Restart replicas one after the other, with an overlay or as they are."""

    fault: str
    ids: Sequence[str]
    behaviour: Settings | None
    grace_s: float
    op: Literal["roll"] = "roll"


@dataclass(frozen=True, slots=True)
class Unroll(Request[Done]):
    """Stop the rollout of a fault, and roll its overlay back."""

    fault: str
    ids: Sequence[str]
    grace_s: float
    op: Literal["unroll"] = "unroll"


@dataclass(frozen=True, slots=True)
class Press(Request[Done]):
    """Start processes that take the cores of these, or memory."""

    fault: str
    ids: Sequence[str]
    workers: int
    megabytes: int
    for_s: float
    op: Literal["press"] = "press"


@dataclass(frozen=True, slots=True)
class Release(Request[Done]):
    """End the processes of a fault that take cores or memory."""

    fault: str
    op: Literal["release"] = "release"


@dataclass(frozen=True, slots=True)
class AddRules(Request[Done]):
    """Put packet rules into the kernel."""

    rules: Sequence[RuleRow]
    op: Literal["add rules"] = "add rules"


@dataclass(frozen=True, slots=True)
class RemoveRules(Request[Done]):
    """Take packet rules out of the kernel."""

    rules: Sequence[RuleRow]
    op: Literal["remove rules"] = "remove rules"


@dataclass(frozen=True, slots=True)
class ReadRules(Request[Rules]):
    """The packet rules in the kernel."""

    op: Literal["rules"] = "rules"


@dataclass(frozen=True, slots=True)
class Reach(Request[Reached]):
    """Try connections."""

    ways: Sequence[Way]
    op: Literal["reach"] = "reach"


@dataclass(frozen=True, slots=True)
class SetRuntime(Request[Done]):
    """Set runtime keys of edges; an empty value takes one away."""

    ids: Sequence[str]
    keys: Mapping[str, str]
    op: Literal["set runtime"] = "set runtime"


@dataclass(frozen=True, slots=True)
class Runtime(Request[RuntimeKeys]):
    """The runtime keys of edges."""

    ids: Sequence[str]
    op: Literal["runtime"] = "runtime"


@dataclass(frozen=True, slots=True)
class Stop(Request[Done]):
    """End the lab."""

    op: Literal["stop"] = "stop"


AnyRequest = (
    Status | Observe | Faults | Shown | Kill | Pause | Resume | Behave | Overlay | Bare | Roll
    | Unroll | Press | Release | AddRules | RemoveRules | ReadRules | Reach | SetRuntime
    | Runtime | Stop
)  # fmt: skip

REQUESTS: Mapping[str, type[AnyRequest]] = {
    tag_of(kind, "op"): kind for kind in get_args(AnyRequest)
}


def request_line(asked: Request[A]) -> bytes:
    """A request as it stands on the line."""
    named = {name: getattr(asked, name) for name in fields_of(type(asked))}
    return json.dumps({"schema": SCHEMA, **named}).encode() + b"\n"


def request_of(line: bytes) -> AnyRequest:
    """The request on a line; raises ValueError for one that this supervisor does not know."""
    found = json.loads(line)
    if not isinstance(found, dict) or found.pop("schema", None) != SCHEMA:
        raise ValueError(f"a request without schema {SCHEMA}: its harness is of another version")
    kind = REQUESTS.get(str(found.get("op")))
    if kind is None:
        raise ValueError(f"unknown request {found.get('op')!r}")
    if problem := problem_of(found, kind):
        raise ValueError(f"request {found['op']!r} {problem}")
    if unknown := found.keys() - fields_of(kind).keys():
        raise ValueError(f"request {found['op']!r} with {min(unknown)}")
    return kind(**found)


def answer_of(line: bytes, asked: Request[A]) -> A:
    """The answer on a line; raises ValueError where it is none to what was asked."""
    found = json.loads(line)
    if isinstance(found, dict) and "error" in found:
        raise ValueError(str(found["error"]))
    (base,) = type(asked).__orig_bases__  # type: ignore[attr-defined]
    if problem := problem_of(found, get_args(base)[0]):
        raise ValueError(f"an answer {problem}")
    return cast("A", found)
