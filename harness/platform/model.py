"""Where a service runs, in words that hold for the lab, a cluster and a plain URL.

A platform gives targets to load and replicas to break; experiments name faults in these
words only, so that one experiment file serves every platform.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from harness.catalog.model import Service
from harness.events import PlatformNews
from harness.faults.draw import ANY, Among
from harness.platform.undo import UndoRecord

Through = Literal["service", "edge", "global"]
Health = Literal["ready", "starting", "unready", "paused", "dead"]


@dataclass(frozen=True, slots=True)
class Region:
    """A failure domain with its own replicas and its own edge."""

    name: str
    role: Literal["active", "standby", "cold"]
    edge_url: str | None = None


@dataclass(frozen=True, slots=True)
class Replica:
    """One running copy of a service."""

    id: str
    service: str
    region: str
    url: str
    health: Health
    restarts: int = 0
    pid: int | None = None
    ready_path: str = "/ready"


@dataclass(frozen=True, slots=True)
class Target:
    """What the load generator is pointed at.

    `urls` are the addresses it balances over. `exec_prefix` is put before a command so that the
    process starts where the target can be reached (the lab's network namespace). `description`
    stands in the report. `environment` describes the place (kernel, replicas, versions). `host` is
    the Host header, `server_name` whom a TLS server must be, where it is not the URL's host.
    `cert_file` and `key_file` say who we are. `resolve` (HOST:PORT:ADDRESS), `unix_socket` or
    `proxy` say where to connect instead of at the URL's address. A connection carries
    `max_requests` at most, and takes no new ones `max_age_s` after it was made.
    """

    service: str
    urls: tuple[str, ...]
    through: Through
    description: str
    host: str | None = None
    exec_prefix: tuple[str, ...] = ()
    http2: bool = False
    ca_file: str | None = None
    verify: bool = True
    server_name: str | None = None
    bind: str | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    cert_file: str | None = None
    key_file: str | None = None
    resolve: tuple[str, ...] = ()
    unix_socket: str | None = None
    proxy: str | None = None
    max_requests: int | None = None
    max_age_s: float | None = None


@dataclass(frozen=True, slots=True)
class Crossing:
    """A target whose connections cross from one region to another.

    `source` is the address that they must come from; None: any will do.
    """

    target: Target
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault in the platform's words, not yet resolved: `kill-replicas`, `fail-region`."""

    kind: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Proof:
    """What the platform itself shows of a fault at this instant, found by looking.

    `in_effect` None: it cannot tell. The canary's word, not this one, decides a verdict.
    `taken_s`: the seconds of each of the service's cores, on average, that the fault's own
    processes have taken so far; None where it is not about processor time, or nobody knows.
    """

    in_effect: bool | None
    statement: str
    taken_s: float | None = None


Active_contra = TypeVar("Active_contra", contravariant=True)


class Injector(Protocol[Active_contra]):
    """One way in which a platform carries faults out; each method raises PlatformError."""

    def apply(self, fault: Active_contra) -> None:
        """Carry it out."""
        ...

    def verify(self, fault: Active_contra) -> Proof:
        """Whether it is in effect now, by looking."""
        ...

    def undo(self, fault: Active_contra) -> None:
        """Undo; idempotent."""
        ...

    def residual(self, fault: Active_contra) -> list[str]:
        """What of it is in effect now, in words; nothing means undone."""
        ...


@dataclass(frozen=True, slots=True)
class Observation:
    """The platform's own view at one instant.

    `health` maps whatever it checks to its word: a replica's id to its `Health`, an edge's view of
    an upstream (`edge-memorai-global>eu-west-1`) to `healthy` or `failed`, a node to its
    condition. `served` counts the requests that each region has answered so far; None where the
    platform does not count.
    """

    health: Mapping[str, str]
    served: Mapping[str, int] | None = None


EventFeed = Callable[[], Sequence[PlatformNews]]
"""Gives, each time it is called, what is new since the last: events of a record."""


@dataclass(frozen=True, slots=True)
class LocalProcesses:
    """Processes of this machine: the roots of their trees, and the cores that they run on."""

    roots: tuple[int, ...]
    cores: tuple[int, ...]


class Deployment(Protocol):
    """Where a service runs and what is loaded."""

    name: str

    def provision(self, service: Service) -> AbstractContextManager[None]:
        """Make the service ready to be driven; undo what was made on leaving."""
        ...

    def target(self, service: Service, through: Through, region: str | None) -> Target:
        """The addresses to load."""
        ...

    def regions(self, service: Service) -> tuple[Region, ...]:
        """Every region the service runs in."""
        return ()

    def replicas(self, service: Service) -> tuple[Replica, ...]:
        """Every replica, in all regions, with its health now."""
        return ()

    def lacks(self, replication: str) -> str | None:
        """Why the service cannot be had with this replication; None where it can, or may be."""
        return None


class Attachable(Protocol):
    """How other processes act on the same deployment."""

    def handle(self) -> Mapping[str, object]:
        """What another process needs to `attach` to the same deployment, as JSON."""
        ...

    def tool_environment(self) -> Mapping[str, str]:
        """The variables by which extensions of Chaos Toolkit act on this place and no other."""
        return {}


class Exclusive(Protocol):
    """One run at a time may break a deployment, and anyone may ask it to end."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Keep other runs off the deployment; raises PlatformError naming the run that holds it."""
        return nullcontext()

    def halted(self) -> str | None:
        """Who has asked, on whatever machine, that the run which holds this (`exclusive`) end."""
        return None

    def halt(self, who: str) -> AbstractContextManager[str | None]:
        """As `exclusive`, but a run that holds it is asked to end and waited for; gives its name.

        None: there was none, or the platform knows of none.
        """
        return nullcontext()


class FaultInjection(Protocol):
    """Faults, from the plan to the proof that they are undone."""

    def capabilities(self) -> Mapping[str, str | None]:
        """Fault kind -> None where it can be carried out, else the reason why not."""
        ...

    def plan_heal(
        self, service: Service, fault: Fault, fault_id: str, among: Among = ANY
    ) -> UndoRecord:
        """What will undo the fault; written to the ledger before `inject`.

        Its `targets` are exactly what is hit; replicas are drawn from `among`.
        """
        ...

    def inject(self, service: Service, fault: Fault, heal: UndoRecord) -> None:
        """Carry the fault out."""
        ...

    def heal(self, heal: UndoRecord) -> None:
        """Undo; idempotent; returns only when undone."""
        ...

    def verify(self, heal: UndoRecord) -> Proof:
        """Whether the fault of this heal is in effect now, as the platform itself sees it."""
        ...


class Preflight(Protocol):
    """What a plan shows before anything is touched."""

    def preflight_failures(self, service: Service, fault: Fault) -> tuple[str, ...]:
        """What the service lacks to survive the fault, seen without trying: it fails as it is."""
        return ()

    def notes(self, service: Service) -> tuple[str, ...]:
        """What a plan should show besides: disruption budgets, how the replicas are spread."""
        return ()


class Observability(Protocol):
    """What the platform sees and reports while a run goes on."""

    def observe(self, service: Service) -> Observation:
        """The platform's own health checks and counters; cheap enough for five times a second."""
        return Observation({})

    def events(self, service: Service) -> EventFeed | None:
        """What it tells of the service besides, once a second; None: nothing."""
        return None

    def replaced(self, service: Service, heal: UndoRecord) -> str | None:
        """What of its targets a fault that holds does not meet, for it came after the injection.

        None: it meets them all, or is about what it hit and not about what comes after it.
        """
        return None

    def log_ends(self, service: Service) -> Mapping[str, tuple[str, ...]]:
        """The last lines of each replica's log, by its id, where the platform keeps them."""
        return {}

    def cross_region_probe(
        self, service: Service, near: str, far: str
    ) -> AbstractContextManager[Crossing | None]:
        """A way to ask the service in the region `far` from `near`; None: there is none.

        It shows what a cut between the two does, which users may never feel.
        """
        return nullcontext()

    def local_processes(self) -> LocalProcesses | None:
        """The service's processes where they run on this machine and can be told from others."""
        return None


class Recovery(Protocol):
    """What is left of faults, and the way back from it."""

    def residual_faults(self) -> tuple[str, ...]:
        """What is still there of any fault, found by looking, in words for the user."""
        return ()

    def orphaned_heals(self, named: Collection[str] = ()) -> tuple[UndoRecord, ...]:
        """Faults of runs that are gone which the deployment itself remembers, on any machine.

        Only for who holds it (`exclusive`): a living run's faults are among them. Records that no
        harness signed are left out, but for those that are `named`.
        """
        return ()

    def unsigned(self) -> Mapping[str, UndoRecord]:
        """Records that no harness signed, by the names that `orphaned_heals` takes."""
        return {}

    def rebalance(self, service: Service) -> str | None:
        """Put the service back into the shape that the next experiment needs, as an operator would.

        What was done, in words; None where nothing had to be.
        """
        return None


@runtime_checkable
class Platform(
    Deployment, Attachable, Exclusive, FaultInjection, Preflight, Observability, Recovery, Protocol
):
    """A place where services run. Each method raises PlatformError with a remedy.

    What a platform lacks it leaves out: most methods say "nothing" by default. Who needs one part
    only takes that protocol.
    """
