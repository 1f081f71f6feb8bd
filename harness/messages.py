"""The lines that a load process writes, as docs/contracts.md names them, and their check.

Whoever reads lines of another process checks them here once; from there on they have types.
"""

import json
from collections.abc import Mapping
from typing import Literal, NotRequired, Required, TypedDict, cast, get_args

from harness.errors import HarnessError
from harness.typed import problem_of, tag_of


class SliceRow(TypedDict):
    """What one second of one endpoint holds; `hist` by kind, HdrHistogram V2 in base64.

    On the axis `chain` the endpoint is a chain, which counts as a unit.
    """

    schema: NotRequired[int]
    axis: Literal["due", "done", "chain"]
    second: int
    endpoint: str
    offered: int
    completed: int
    failed: int
    unfinished: int
    errors: dict[str, int]
    statuses: NotRequired[dict[str, int]]
    bytes_in: int
    bytes_out: int
    connects: int
    retried: NotRequired[int]
    tokens: NotRequired[int]
    events: NotRequired[int]
    coalesced: NotRequired[int]
    good: NotRequired[int]
    hist: dict[str, str]


class RecordedSlice(SliceRow):
    """A slice as a record keeps it: the `seq`th of a worker."""

    worker: int
    seq: int


class Totals(TypedDict, total=False):
    """Requests of a shard, or of the run."""

    offered: int
    completed: int
    failed: int
    unfinished: int
    clipped: int


class Hello(TypedDict):
    """The process runs."""

    type: Literal["hello"]
    pid: int
    workers: int


class Start(TypedDict):
    """The instant of the start, on both clocks."""

    type: Literal["start"]
    wall_ns: int
    monotonic_ns: int


class Refused(TypedDict):
    """The scenario's set-up failed, so no load was sent; `no_answer`: the service did not answer.

    It is the last message but for `child_died`.
    """

    type: Literal["refused"]
    problem: str
    remedy: str
    no_answer: bool


class SliceLine(TypedDict):
    """A slice of a worker, the `seq`th."""

    type: Literal["slice"]
    worker: int
    seq: int
    slice: SliceRow


class Tick(TypedDict):
    """Totals since the start, once a second; `cpu` is the busiest thread's share of a core."""

    type: Literal["tick"]
    worker: NotRequired[int]
    offered: int
    completed: int
    failed: int
    unfinished: int
    in_flight: int
    lag_p99_ns: int | None
    cpu: float
    cpu_process: float


class Probe(TypedDict):
    """A second of the control probe."""

    type: Literal["probe"]
    second: int
    p50_ns: int | None
    p95_ns: int | None
    p99_ns: int | None
    max_ns: int | None


class FailureExample(TypedDict, total=False):
    """One of the first failures of an endpoint, kind and status."""

    type: Required[Literal["failure_example"]]
    worker: int
    endpoint: Required[str]
    kind: Required[str]
    status: int | None
    head: str | None
    location: str | None
    retry_after_s: int | None
    exception: str | None
    message: str | None
    place: str | None


class AddressTotals(TypedDict):
    """What one address has answered in all; `response` of the completed, HdrHistogram V2."""

    type: Literal["address"]
    worker: NotRequired[int]
    address: str
    completed: int
    failed: int
    response: str


class FailingValue(TypedDict):
    """One of the most frequent values of a feed in failed requests, `of` so many with the feed."""

    type: Literal["failing_value"]
    worker: NotRequired[int]
    feed: str
    value: str
    failed: int
    of: int


class Write(TypedDict):
    """A logged request that has ended; seconds from the start."""

    type: Literal["write"]
    worker: NotRequired[int]
    id: str | None
    endpoint: str
    due_s: float
    sent_s: float | None
    done_s: float | None
    status: int | None
    error: str | None


class ClockJump(TypedDict):
    """The wall clock was moved."""

    type: Literal["clock_jump"]
    worker: NotRequired[int]
    seconds: float


class WorkerLost(TypedDict):
    """From `from_second` on a worker's part of the schedule is unknown."""

    type: Literal["worker_lost"]
    worker: int
    shards: int
    last_seq: int
    from_second: int
    reason: str
    unknown: str


class Done(TypedDict):
    """The last message of one worker, which the master keeps to itself."""

    type: Literal["done"]
    worker: int
    slices: int
    totals: Totals
    conserved: bool | None
    error: str | None


class Strangers(TypedDict):
    """So many messages came from no worker of this run; none of them counts."""

    type: Literal["strangers"]
    messages: int


class End(TypedDict):
    """The totals of the run."""

    type: Literal["end"]
    conserved: bool
    totals: Totals
    unknown: list[str]
    errors: list[str]


class LoadPod(TypedDict):
    """A load pod's state has changed."""

    type: Literal["load_pod"]
    pod: str
    node: str
    state: str


class LoadApi(TypedDict):
    """The API server stopped or began to answer."""

    type: Literal["load_api"]
    ok: bool
    reason: str


class LinesMissing(TypedDict):
    """So many lines of the log were never read."""

    type: Literal["lines_missing"]
    count: int


class Scaling(TypedDict):
    """What an autoscaler and its pods do; None is unknown."""

    type: Literal["scaling"]
    created: int
    ready: int
    desired: int | None
    pressure: float | None
    usage: float | None
    share: float | None
    active: bool | None
    limited: bool | None
    why: str


class ChildDied(TypedDict):
    """The process has ended without its totals; the driver says it."""

    type: Literal["child_died"]
    code: int | None
    stderr: str


class EarlyEnd(TypedDict):
    """The harness ends the load: `second` is the first that does not count any more."""

    type: Literal["early_end"]
    rule: Literal["no answer", "certain failure"]
    second: int
    reason: str


WorkerMessage = (
    SliceLine | Tick | Probe | FailureExample | AddressTotals | FailingValue | Write
    | ClockJump | Done
)  # fmt: skip
"""What a worker sends to its master."""

LoadMessage = (
    Hello | Start | Refused | SliceLine | Tick | Probe | FailureExample | AddressTotals
    | FailingValue | Write | ClockJump | WorkerLost | Strangers | End | LoadPod | LoadApi
    | LinesMissing | Scaling | ChildDied
)  # fmt: skip
"""What a load driver gives."""


_KINDS: Mapping[str, type] = {tag_of(kind): kind for kind in get_args(LoadMessage)}


def load_message(line: str | bytes) -> LoadMessage:
    """The message of a line. Raises HarnessError naming the type and the field that is wrong."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise HarnessError("the load process wrote a line that is no JSON", _REMEDY) from None
    name = found.get("type") if isinstance(found, dict) else None
    kind = _KINDS.get(str(name))
    if kind is None:
        raise HarnessError(f"the load process wrote a message of type {name!r}", _REMEDY)
    if problem := problem_of(found, kind):
        raise HarnessError(f"the load process wrote {name} {problem}", _REMEDY)
    return cast("LoadMessage", found)


_REMEDY = "use one version of the harness for all of its processes"
