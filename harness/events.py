"""The events that the processes of an experiment send, and that its record keeps.

docs/contracts.md shows them. A record's reader checks each kind where it asks for it
(`RunRecord.of`); the load's own lines are in `harness.messages`.
"""

import json
from collections.abc import Mapping
from typing import Literal, NotRequired, TypedDict, cast, get_args

from harness.typed import problem_of, tag_of


class _Event(TypedDict, total=False):
    """`t`: seconds from the start of the load, None before it; both clocks when it was sent."""

    t: float | None
    wall_ns: int
    monotonic_ns: int


class Chaos(_Event):
    """What became of a fault, or of the experiment as such."""

    type: Literal["chaos"]
    what: Literal[
        "plan", "inject", "injected", "inject_failed", "heal", "healed", "heal_failed", "abort",
        "halt", "overrun", "end",
    ]  # fmt: skip
    fault_id: NotRequired[str]
    kind: NotRequired[str]
    arguments: NotRequired[dict[str, object]]
    targets: NotRequired[list[str]]
    detail: NotRequired[object]


class Proof(_Event):
    """What the platform shows of a fault; None: it cannot know.

    `replaced`: a target was replaced meanwhile, and the fault does not meet what came after it.
    `taken_s`: the seconds of each of the service's cores, on average, that the fault's own
    processes have taken so far.
    """

    type: Literal["proof"]
    fault_id: str
    in_effect: bool | None
    statement: str
    replaced: NotRequired[bool]
    taken_s: NotRequired[float]


class Canary(_Event):
    """An answer to the canary; `region` is who answered."""

    type: Literal["canary"]
    where: str
    connection: Literal["kept", "new"]
    ok: bool
    error: str | None
    latency_s: float
    region: NotRequired[str | None]


class Health(_Event):
    """A change of what the platform checks; None: it is not there."""

    type: Literal["health"]
    id: str
    was: NotRequired[str | None]
    now: str | None


class HealthFirst(_Event):
    """The health of all that the platform checks, at the first look."""

    type: Literal["health_first"]
    health: dict[str, str]


class Served(_Event):
    """The requests that each region has answered so far."""

    type: Literal["served"]
    regions: dict[str, int]


ReadStage = Literal["during", "after"]


class Read(_Event):
    """A read-back of a write; times in ns on the sender's clock, in s in a record."""

    type: Literal["read"]
    where: str
    stage: ReadStage
    id: str
    begin_ns: NotRequired[int]
    end_ns: NotRequired[int]
    begin_s: NotRequired[float]
    end_s: NotRequired[float]
    seen: bool | None
    copies: NotRequired[int | None]
    value_ok: NotRequired[bool | None]
    error: NotRequired[str | None]


class Stage(_Event):
    """A phase of the experiment, written when it is known."""

    type: Literal["stage"]
    stage: Literal["before", "during", "after"]
    begin: float
    end: float


class Activity(_Event):
    """An activity of Chaos Toolkit begins or ends."""

    type: Literal["activity"]
    what: Literal["begin", "end"]
    name: str | None
    status: NotRequired[str]
    detail: NotRequired[str | None]


class ChaosChild(_Event):
    """What the chaos process does; `control` names one that failed."""

    type: Literal["chaos_child"]
    what: Literal["ready", "method", "method_end", "rollbacks", "interrupted", "control", "end"]
    pid: NotRequired[int]
    name: NotRequired[str]
    detail: NotRequired[str]
    status: NotRequired[str]
    deviated: NotRequired[bool]


class CanaryChild(_Event):
    """The probe process asks these entry points from now on."""

    type: Literal["canary_child"]
    what: Literal["ready"]
    entry_points: list[str]


class AuditChild(_Event):
    """The read-back of a stage has ended."""

    type: Literal["audit_child"]
    what: Literal["end"]
    stage: str


class ChildEnded(_Event):
    """A process of the experiment has ended."""

    type: Literal["child_ended"]
    module: str
    code: int


PodChange = Literal["added", "deleted", "deleting", "moved", "ready", "restarted", "unready"]


class ServicePod(_Event):
    """A pod of the service has changed."""

    type: Literal["service_pod"]
    what: PodChange
    pod: str
    node: str | None
    restarts: NotRequired[int]


class PlatformEvent(_Event):
    """An event of Kubernetes, about an object `KIND/NAME`."""

    type: Literal["platform_event"]
    level: str
    object: str
    reason: str
    message: str
    count: int
    first: str | None
    last: str | None


class PlatformView(_Event):
    """The platform is not seen, or seen again."""

    type: Literal["platform_view"]
    ok: bool
    reason: str


ChildEvent = Chaos | Proof | Canary | Read | Activity | ChaosChild | CanaryChild | AuditChild
"""What a process of an experiment sends on its standard output."""


class ProcessLog(_Event):
    """The last lines of a process's log."""

    type: Literal["log"]
    where: str
    lines: list[str]


PlatformNews = ServicePod | PlatformEvent | PlatformView
"""What a platform reports of a service while a run goes on."""

Reported = PlatformNews | ProcessLog
"""What the watcher of a platform gives."""

ExperimentEvent = ChildEvent | ChildEnded | Health | HealthFirst | Served | Stage | Reported
"""Every event of an experiment besides those of its load."""


_CHILD_EVENTS: Mapping[str, type] = {tag_of(kind): kind for kind in get_args(ChildEvent)}


def child_event(line: bytes) -> ChildEvent:
    """The event on a line. Raises ValueError naming the type and the field that is wrong."""
    found = json.loads(line)
    name = found.get("type") if isinstance(found, dict) else None
    kind = _CHILD_EVENTS.get(str(name))
    if kind is None:
        raise ValueError(f"an event of type {name!r}")
    if problem := problem_of(found, kind):
        raise ValueError(f"the event {name} {problem}")
    return cast("ChildEvent", found)
