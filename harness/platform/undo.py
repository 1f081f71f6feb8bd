"""What undoes a fault, as data: a closed set of actions on the objects that the fault named.

A record is written before the fault begins, to the ledger of its run and, on a cluster, beside the
fault's lease; any harness can read it and undo. Standard library only at import: agents read their
tasks with it on the nodes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import ClassVar, Final, Literal, get_args

from harness.typed import adapter

SCHEMA: Final = 2
LEASE_LENGTH = 50
CROSSING = "crossing"
"""The kind of a record that is no fault's: of a relay between two regions."""

API = "api"
"""In place of a node's name: the agent that undoes by the API, wherever it runs."""


WorkloadKind = Literal["deployment", "statefulset", "daemonset", "rollout"]
"""What makes a service's pods; a rollout is one of Argo Rollouts."""

Changed = Literal["node", "deployment", "statefulset", "daemonset", "rollout"]


class _Closed:
    """A field that is not named here is refused."""

    __slots__ = ()
    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}


# -- what an agent holds on a node, and undoes -------------------------------------------------


@dataclass(frozen=True, slots=True)
class PauseOnNode(_Closed):
    """Stop every process of the node's pods."""

    action: Literal["pause-node"] = "pause-node"


@dataclass(frozen=True, slots=True)
class KillOnNode(_Closed):
    """Kill them, again and again, and keep their kubelet stopped."""

    action: Literal["kill-node"] = "kill-node"


@dataclass(frozen=True, slots=True)
class CutNode(_Closed):
    """Drop every packet of the node."""

    action: Literal["cut-node"] = "cut-node"


@dataclass(frozen=True, slots=True)
class PausePods(_Closed):
    """Stop the processes of these pods."""

    uids: Sequence[str]
    action: Literal["pause-pods"] = "pause-pods"


@dataclass(frozen=True, slots=True)
class CutBetween(_Closed):
    """Drop a share of the packets between two sets of addresses and subnets."""

    near: Sequence[str]
    far: Sequence[str]
    share: float = 1.0
    action: Literal["cut-between"] = "cut-between"


@dataclass(frozen=True, slots=True)
class ResetPort(_Closed):
    """Reset a share of what is sent to a port of these addresses."""

    addresses: Sequence[str]
    port: int
    share: float = 1.0
    action: Literal["reset"] = "reset"


@dataclass(frozen=True, slots=True)
class CutNames(_Closed):
    """Drop the name resolution of these addresses."""

    addresses: Sequence[str]
    action: Literal["cut-names"] = "cut-names"


@dataclass(frozen=True, slots=True)
class Delay(_Closed):
    """Hold each packet between two sets of addresses and subnets back, in seconds."""

    near: Sequence[str]
    far: Sequence[str]
    delay_s: float
    action: Literal["delay"] = "delay"


@dataclass(frozen=True, slots=True)
class SetEnvoy(_Closed):
    """Set runtime keys of the Envoys in these pods."""

    uids: Sequence[str]
    values: Mapping[str, str]
    admin_port: int | None = None
    action: Literal["envoy"] = "envoy"


@dataclass(frozen=True, slots=True)
class Burn(_Closed):
    """Keep processor cores busy, or memory taken (MiB)."""

    workers: int = 0
    megabytes: int = 0
    action: Literal["burn"] = "burn"


@dataclass(frozen=True, slots=True)
class FillDisk(_Closed):
    """Take disk space (MiB) in a directory."""

    path: str
    megabytes: int
    action: Literal["fill-disk"] = "fill-disk"


@dataclass(frozen=True, slots=True)
class RelayTo(_Closed):
    """Pass connections on to an address; it breaks nothing."""

    host: str
    port: int
    action: Literal["relay"] = "relay"


@dataclass(frozen=True, slots=True)
class PutBack(_Closed):
    """Undo a change by the API where its mark is; made from a `Change`, never stored."""

    kind: Changed
    name: str
    mark: str
    made: Mapping[str, object]
    """What the fault set: where it is not there any more, only the mark is taken away."""
    patch: Mapping[str, object]
    action: Literal["put-back"] = "put-back"


NodeTask = (
    PauseOnNode | KillOnNode | CutNode | PausePods | CutBetween | ResetPort | CutNames | Delay
    | SetEnvoy | Burn | FillDisk | RelayTo
)  # fmt: skip
Task = NodeTask | PutBack

_TASKS: Mapping[object, type[Task]] = {
    each.default: kind for kind in get_args(Task) for each in fields(kind) if each.name == "action"
}


def task_of(document: Mapping[str, object]) -> Task:
    """The task of an agent's plan; raises ValueError for one that is not known.

    Names of fields only: the plan is the harness' own, which has validated it.
    """
    kind = _TASKS.get(document.get("action"))
    if kind is None:
        raise ValueError(f"unknown action {document.get('action')!r}")
    try:
        return kind(**document)  # type: ignore[arg-type]
    except TypeError as problem:
        raise ValueError(f"{document['action']}: {problem}") from None


PLAN_SCHEMA = 2
"""Of what an agent gets in AGENT_PLAN; its image may be of another version."""

State = Literal["ready", "in-effect", "no-effect", "healed", "failed", "remains"]


@dataclass(frozen=True, slots=True)
class Shown(_Closed):
    """What the agent of a node writes into its lease; `at` is Unix seconds."""

    state: State
    statement: str
    at: float


# -- what the API is asked to change, with what was before --------------------------------------


@dataclass(frozen=True, slots=True)
class Deletion(_Closed):
    """Pods by name with their UIDs; felt while fewer than `ready` with these labels are ready."""

    delete: Mapping[str, str]
    labels: Mapping[str, str]
    ready: int
    kind: WorkloadKind | None = None


@dataclass(frozen=True, slots=True)
class Cordon(_Closed):
    """A node to cordon, which pods to evict, and whether it was cordoned before."""

    cordon: str
    was: bool
    evict: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Scaling(_Closed):
    """Replicas wanted, and before."""

    scale: int
    was: int
    kind: WorkloadKind = "deployment"


@dataclass(frozen=True, slots=True)
class Restart(_Closed):
    """A rolling restart of what makes the service's pods."""

    kind: WorkloadKind = "deployment"
    restart: Literal[True] = True


@dataclass(frozen=True, slots=True)
class ContainerFields(_Closed):
    """What a release may change of a container."""

    image: str | None = None
    env: Sequence[Mapping[str, object]] | None = None


@dataclass(frozen=True, slots=True)
class Release(_Closed):
    """Another image or other variables of a container, and those of before."""

    release: ContainerFields
    was: ContainerFields
    container: str
    kind: WorkloadKind = "deployment"


Change = Deletion | Cordon | Scaling | Restart | Release


# -- records -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LabUndo(_Closed):
    """In the lab with this directory; what is done there follows from the kind and the targets."""

    runtime: str
    platform: Literal["lab"] = "lab"


@dataclass(frozen=True, slots=True)
class ClusterUndo(_Closed):
    """By the agents of a lease, a task each, and by the inverse of a change of the service."""

    service: str
    lease: str
    agents: Mapping[str, NodeTask]
    change: Change | None = None
    platform: Literal["kubernetes"] = "kubernetes"


@dataclass(frozen=True, slots=True)
class UndoRecord(_Closed):
    """Everything needed to undo a fault, from any process, any number of times.

    `targets` is exactly what is hit (ids of replicas, links `a|b`); `notes` says what of the
    arguments is not kept.
    """

    fault_id: str
    kind: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    targets: tuple[str, ...] = ()
    undo: LabUndo | ClusterUndo | None = None
    notes: tuple[str, ...] = ()
    schema: Literal[2] = SCHEMA


def lease_name(fault_id: str) -> str:
    """The name of a fault's lease: a record acts on no other."""
    return f"harness-{fault_id}"[:LEASE_LENGTH].lower()


def undo_record(document: object) -> UndoRecord:
    """The record that a ledger or a cluster keeps, of this schema or of the first.

    Raises ValueError where a field is missing, unknown or of another type, and where it names
    another fault's lease.
    """
    if isinstance(document, Mapping) and "schema" not in document:
        document = _upgraded(document)
    found = adapter(UndoRecord).validate_python(document)
    if isinstance(found.undo, ClusterUndo) and found.undo.lease != lease_name(found.fault_id):
        raise ValueError(f"{found.undo.lease} is not the lease of {found.fault_id}")
    return found


def _upgraded(document: Mapping[str, object]) -> Mapping[str, object]:
    """A record of the first schema, which kept everything among the fault's arguments."""
    held = document.get("arguments")
    if not isinstance(held, Mapping):
        raise ValueError("no arguments")  # noqa: TRY004 - what is read is data, not code
    own = {name: value for name, value in held.items() if name not in _OF_UNDO}
    new: dict[str, object] = {**document, "arguments": own, "schema": SCHEMA}
    new |= {name: held[name] for name in ("targets", "notes") if name in held}
    if "runtime" in held:
        new["undo"] = {"platform": "lab", "runtime": held["runtime"]}
    elif "lease" in held:
        if document.get("kind") == CROSSING:
            new["fault_id"] = str(document.get("fault_id")).removeprefix("harness-")
        new["undo"] = {
            "platform": "kubernetes",
            "service": held.get("service", ""),
            "lease": held["lease"],
            "agents": _agents(held.get("works")),
            "change": held.get("change") or None,
        }
    return new


_OF_UNDO = frozenset({"runtime", "targets", "notes", "service", "works", "change", "undo", "lease"})


def _agents(works: object) -> dict[object, object]:
    """The tasks of nodes; that of the API follows from the change."""
    found: dict[object, object] = {}
    for each in works if isinstance(works, Sequence) else ():
        words = each.get("arguments") if isinstance(each, Mapping) else None
        if not isinstance(words, Mapping):
            raise ValueError("works: no tasks")  # noqa: TRY004 - what is read is data, not code
        if each.get("node") != API:
            found[each.get("node")] = {**words, "action": each.get("action")}
    return found
