"""The injectors of the lab, by name: each begins faults, shows what is in effect and undoes them.

`residual` looks: at the kernel, the edges, the replicas themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from harness.bounded import wait_until
from harness.errors import PlatformError
from harness.faults.arguments import ForSeconds, Grace, Held, Share
from harness.faults.kinds.abort_requests import AbortRequests
from harness.faults.kinds.bad_release import BadRelease
from harness.faults.kinds.cpu_pressure import CpuPressure
from harness.faults.kinds.delay_requests import DelayRequests
from harness.faults.kinds.fail_region import FailRegion
from harness.faults.kinds.memory_pressure import MemoryPressure
from harness.faults.kinds.slow_replicas import SlowReplicas
from harness.faults.model import Arguments, LabInjector, OnLab
from harness.platform import envoy
from harness.platform.lab import messages, namespace, packets
from harness.platform.lab.control import request
from harness.platform.lab.messages import A, Request, UnitState
from harness.platform.lab.mutants import INERT_FAULT
from harness.platform.lab.options import LabOptions
from harness.platform.lab.packets import Rule
from harness.platform.lab.runtime import Running
from harness.platform.lab.topology import Place, subnet
from harness.platform.model import Injector, Proof

NOWHERE = ("127.201.0.0/16", "127.202.0.0/16")
"""Subnets in which nobody lives: what an inert partition cuts apart."""
HANGS_S = 8.0
"""A release that is not rolled out by then may never be: that is how many bad ones are bad."""

PATIENCE_S = 10.0
STOP_S = 2.0
"""How long a stop is waited for."""
JUST_S = 2.0
"""How long a kill shows after the restart that follows it: a busy machine's look comes late."""
RESTART_S = 20.0
"""How long one replica may take to be drained, restarted and ready."""


@dataclass(frozen=True, slots=True)
class ActiveFault:
    """A fault carried out, or to be, in one lab."""

    lab: Running
    id: str
    kind: str
    given: Arguments
    targets: Sequence[str]
    on: OnLab

    def ask(self, asked: Request[A]) -> A:
        """Ask the lab's supervisor."""
        return request(self.lab.runtime, asked)

    @property
    def places(self) -> dict[str, Place]:
        """The lab's places by id."""
        return {each["id"]: Place(**each) for each in self.lab.plan["places"]}

    @property
    def grace_s(self) -> float:
        """How long a rollout waits before and after each restart."""
        return self.given.grace_s if isinstance(self.given, Grace) else 0.0

    @property
    def share(self) -> float:
        """The share of packets that is hit."""
        return self.given.share if isinstance(self.given, Share) else 1.0

    @property
    def patience_s(self) -> float:
        """How long to wait for an effect or its end."""
        rolls = self.on.injector == "rollout"
        return PATIENCE_S + ((RESTART_S + self.grace_s) * len(self.targets) if rolls else 0.0)


class Shown:
    """Verified by what is left of it."""

    def residual(self, fault: ActiveFault) -> list[str]:
        """What is in effect now, in words."""
        raise NotImplementedError

    def verify(self, fault: ActiveFault) -> Proof:
        """Whether any target shows it now, by looking."""
        left = self.residual(fault)
        return Proof(bool(left), "; ".join(left) or "none of its targets shows it")


class Processes(Shown):
    """Killing and stopping processes."""

    def apply(self, fault: ActiveFault) -> None:
        """Kill or stop; a region always stays down until the heal."""
        given = fault.given
        paused = isinstance(given, FailRegion) and given.mode == "pause"
        if paused or fault.on.pauses:
            fault.ask(messages.Pause(fault.targets))
            # On a busy machine a signal takes until the process runs next.
            wait_until(lambda: len(self.residual(fault)) == len(fault.targets), STOP_S)
        else:
            hold = isinstance(given, FailRegion) or (isinstance(given, Held) and given.hold)
            fault.ask(messages.Kill(fault.targets, hold))

    def undo(self, fault: ActiveFault) -> None:
        """Let them run; what waits for its restart is restarted now."""
        fault.ask(messages.Resume(fault.targets))

    def residual(self, fault: ActiveFault) -> list[str]:
        """Targets that do not run, are stopped, or were killed a moment ago and run again."""
        units = fault.ask(messages.Status())["units"]
        killed = {unit["id"]: unit["killed_ago_s"] for unit in units}
        states, left = states_of(fault.lab, units), []
        for each in fault.targets:
            ago_s = killed[each]
            if states[each] != "running":
                left.append(f"{each} is {states[each]}")
            elif ago_s is not None and ago_s < JUST_S:
                left.append(f"{each} was killed {ago_s:.1f} s ago and runs again")
        return left


def process_states(lab: Running) -> dict[str, str]:
    """Each process by its id: `running`, `stopped` (the kernel's word) or `down`."""
    return states_of(lab, request(lab.runtime, messages.Status())["units"])


def states_of(lab: Running, units: Sequence[UnitState]) -> dict[str, str]:
    """The same of units that the supervisor has just shown."""
    pids = namespace.host_pids(lab.network) if lab.network and lab.plan["isolated"] else None
    found = {}
    for unit in units:
        inner = unit["pid"]
        pid = inner if pids is None or inner is None else pids.get(inner)
        if pid is None or unit["held"]:
            found[unit["id"]] = "down"
        else:
            found[unit["id"]] = "stopped" if is_stopped(pid) else "running"
    return found


def is_stopped(pid: int) -> bool:
    """Whether the kernel holds a process of this machine stopped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] in {"T", "t"}


class Packets(Shown):
    """Dropping packets between two ends, or resetting what goes to a port."""

    def apply(self, fault: ActiveFault) -> None:
        """Put the rules into the kernel."""
        rules = self._rules(fault, inert=INERT_FAULT in mutants(fault.lab))
        fault.ask(messages.AddRules([astuple(each) for each in rules]))

    def undo(self, fault: ActiveFault) -> None:
        """Take them out."""
        inert = INERT_FAULT in mutants(fault.lab)
        rules = [*self._rules(fault), *(self._rules(fault, inert=True) if inert else ())]
        fault.ask(messages.RemoveRules([astuple(each) for each in rules]))

    def residual(self, fault: ActiveFault) -> list[str]:
        """The rules of this fault that hold in the kernel now, with what they have met."""
        wanted = set(self._rules(fault))
        held = fault.ask(messages.ReadRules())["rules"]
        found = [(Rule(*rule), count) for rule, count in held]
        return [words(rule, count) for rule, count in found if rule in wanted]

    def verify(self, fault: ActiveFault) -> Proof:
        """Rules that hold in the kernel, and through none of the targets a connection."""
        shown, passes = super().verify(fault), self._passes(fault)
        if not passes:
            return shown
        came = f"connections come about: {', '.join(passes)}"
        link = ", and yet " if shown.in_effect else "; "
        return Proof(in_effect=False, statement=f"{shown.statement}{link}{came}")

    def _passes(self, fault: ActiveFault) -> list[str]:
        """The targets through which a connection comes about now, tried once."""
        if fault.share < 1.0:
            return []
        ways = [self._way(fault, each) for each in fault.targets]
        reached = fault.ask(messages.Reach(ways))["reached"]
        return [each for each, came in zip(fault.targets, reached, strict=True) if came]

    def _rules(self, fault: ActiveFault, *, inert: bool = False) -> list[Rule]:
        places, share = fault.places, fault.share
        if inert:
            return list(packets.between(*NOWHERE, share))
        found: list[Rule] = []
        for target in fault.targets:
            a, _, b = target.partition("|")
            host, _, number = b.partition(":")
            if number:
                found.append(Rule(packets.ANYWHERE, f"{host}/32", packets.DROP, share, int(number)))
            elif b:
                found += packets.between(self._end(places, a), self._end(places, b), share)
            else:
                host, port = f"{places[a].host}/32", places[a].port
                found.append(Rule(packets.ANYWHERE, host, packets.RESET, share, port))
        return found

    def _end(self, places: Mapping[str, Place], name: str) -> str:
        return f"{places[name].host}/32" if name in places else subnet(name)

    def _way(self, fault: ActiveFault, target: str) -> messages.Way:
        """(source, host, port) of a connection that the fault stands in the way of."""
        a, _, b = target.partition("|")
        host, _, number = b.partition(":")
        if number:
            return None, host, int(number)
        if not b:
            return None, fault.places[a].host, fault.places[a].port
        source, there = self._somebody(fault, a), self._somebody(fault, b)
        return source.host, there.host, there.port

    def _somebody(self, fault: ActiveFault, name: str) -> Place:
        """A process at this end of a link."""
        places = fault.places
        there = (e for e in places.values() if e.region == name and e.kind != "replica")
        return places.get(name) or next(there)


def words(rule: Rule, count: int | None) -> str:
    """A packet rule for a person."""
    what = "reset" if rule.verdict == packets.RESET else "dropped"
    which = "packets" if rule.share >= 1.0 else f"{rule.share:.2%} of the packets"
    to = rule.target if rule.port is None else f"{rule.target} port {rule.port}"
    met = "" if count is None else f" ({count} so far)"
    return f"{which} from {rule.source} to {to} are {what}{met}"


class Edges(Shown):
    """Envoy's fault filter, by its runtime keys."""

    def apply(self, fault: ActiveFault) -> None:
        """Set the keys in each edge."""
        fault.ask(messages.SetRuntime(fault.targets, self._keys(fault)))

    def undo(self, fault: ActiveFault) -> None:
        """Take them away."""
        keys = dict.fromkeys(self._keys(fault), "")
        fault.ask(messages.SetRuntime(fault.targets, keys))

    def residual(self, fault: ActiveFault) -> list[str]:
        """The edges in which the fault is switched on, as they report it."""
        switch = next(iter(self._keys(fault)))
        shown = fault.ask(messages.Runtime(fault.targets))
        states = process_states(fault.lab)
        silent = [n for n, keys in shown.items() if keys is None and states[n] == "stopped"]
        return [f"{name} is stopped, and cannot be asked" for name in silent] + [
            f"{name} has {switch} = {keys[switch]}"
            for name, keys in shown.items()
            if keys and keys.get(switch, "0") != "0"
        ]

    def _keys(self, fault: ActiveFault) -> dict[str, str]:
        """The runtime keys, the one that switches it on first."""
        match fault.given:
            case DelayRequests(share=share, delay_s=delay_s):
                return envoy.delaying(share, delay_s)
            case AbortRequests(share=share, status=status):
                return envoy.aborting(share, status)
        raise PlatformError(f"{fault.id}: no edge does {fault.kind}", "see `harness lab faults`")


class Behaviours(Shown):
    """Replicas that go on with a worse behaviour."""

    def apply(self, fault: ActiveFault) -> None:
        """Lay the behaviour over the replicas' own."""
        fault.ask(messages.Overlay(fault.id, fault.targets, overlay(fault)))

    def undo(self, fault: ActiveFault) -> None:
        """Take it off."""
        fault.ask(messages.Bare(fault.id, fault.targets))

    def residual(self, fault: ActiveFault) -> list[str]:
        """The replicas that tell the worse behaviour themselves, or not yet their own again."""
        laid = fault.ask(messages.Faults())["overlays"].get(fault.id, ())
        found = []
        for name, each in fault.ask(messages.Shown(fault.targets))["ids"].items():
            shown, wanted = each["shown"], each["wanted"]
            if shown is None:
                continue
            if name in laid and all(shown.get(k) == v for k, v in overlay(fault).items()):
                found.append(f"{name} behaves worse: {overlay(fault)}")
            elif name not in laid and shown != wanted:
                found.append(f"{name} does not behave as before yet")
        return found


def overlay(fault: ActiveFault) -> dict[str, float]:
    """The fields of a replica's behaviour that a fault changes."""
    match fault.given:
        case SlowReplicas(share=share, add_s=add_s, factor=factor):
            return {"slowed": share, "latency_add_s": add_s, "latency_factor": factor}
        case BadRelease(latency_s=latency_s, error_ratio=errors, garbage_ratio=garbage):
            fields = {"latency_add_s": latency_s, "error_ratio": errors, "garbage_ratio": garbage}
            return {name: value for name, value in fields.items() if value}
    return {}


class Rollout(Shown):
    """Replicas restarted one after the other, with a worse release or with the same."""

    def apply(self, fault: ActiveFault) -> None:
        """Begin; a bad release returns once it is rolled out, or hangs at a replica."""
        release = overlay(fault) or None
        fault.ask(messages.Roll(fault.id, fault.targets, release, fault.grace_s))
        if release is None or wait_until(lambda: not self._rolls(fault), HANGS_S):
            return
        if not fault.ask(messages.Faults())["overlays"].get(fault.id):
            raise PlatformError(f"{fault.id}: the release hangs", "see `harness lab logs`")

    def undo(self, fault: ActiveFault) -> None:
        """Stop what is not begun; roll the worse release back."""
        fault.ask(messages.Unroll(fault.id, fault.targets, fault.grace_s))

    def residual(self, fault: ActiveFault) -> list[str]:
        """Replicas with the release, and a rollout or roll-back that goes on."""
        known = fault.ask(messages.Faults())
        found = [f"{name} runs the bad release" for name in known["overlays"].get(fault.id, ())]
        if self._rolls(fault):
            found.append("replicas are restarted one after the other")
        elif fault.id in known["rollouts"] and known["rollouts"][fault.id]["back"]:
            units = {each["id"]: each for each in fault.ask(messages.Status())["units"]}
            waits = ("starting", "dead")
            found += [
                f"{t} is {units[t]['health']}" for t in fault.targets if units[t]["health"] in waits
            ]
        return found

    def _rolls(self, fault: ActiveFault) -> bool:
        rollout = fault.ask(messages.Faults())["rollouts"].get(fault.id)
        return rollout is not None and rollout["under_way"]


class Neighbours(Shown):
    """Processes that take the replicas' processor time or memory."""

    def apply(self, fault: ActiveFault) -> None:
        """Start them on the cores of the replicas."""
        given = fault.given
        workers = given.workers if isinstance(given, CpuPressure) else 1
        megabytes = given.megabytes if isinstance(given, MemoryPressure) else 0
        for_s = given.for_s if isinstance(given, ForSeconds) else PATIENCE_S
        fault.ask(messages.Press(fault.id, fault.targets, workers, megabytes, for_s))

    def undo(self, fault: ActiveFault) -> None:
        """End them."""
        fault.ask(messages.Release(fault.id))

    def residual(self, fault: ActiveFault) -> list[str]:
        """Those that run."""
        burners = self._burners(fault)
        beside = f"beside {', '.join(fault.targets)} and all that share their cores"
        return [f"process {pid} burns {beside}" for pid in burners["pids"]] if burners else []

    def verify(self, fault: ActiveFault) -> Proof:
        """Those that run, and the processor time that they took."""
        shown, burners = super().verify(fault), self._burners(fault)
        if burners is None or not isinstance(fault.given, CpuPressure):
            return shown
        return replace(shown, taken_s=burners["taken_s"])

    def _burners(self, fault: ActiveFault) -> messages.Burners | None:
        return fault.ask(messages.Faults())["burners"].get(fault.id)


INJECTORS: Mapping[LabInjector, Injector[ActiveFault]] = {
    "processes": Processes(),
    "packets": Packets(),
    "edges": Edges(),
    "behaviour": Behaviours(),
    "rollout": Rollout(),
    "pressure": Neighbours(),
}


def mutants(lab: Running) -> Sequence[str]:
    """The ways in which the lab was told to be broken."""
    return LabOptions.parse(lab.plan["options"]).mutants
