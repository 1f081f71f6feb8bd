"""The ways by which the lab breaks things: each does, undoes and shows what is left of it.

`Done` names what was asked. `left` looks (at the kernel, the edges, the replicas themselves) and
says in words what of it is in effect now: nothing means undone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.errors import PlatformError
from harness.platform import envoy
from harness.platform.lab import namespace, packets
from harness.platform.lab.control import request
from harness.platform.lab.mutants import INERT_FAULT
from harness.platform.lab.packets import Rule
from harness.platform.lab.runtime import Running
from harness.platform.lab.topology import Place, subnet

NOWHERE = ("127.201.0.0/16", "127.202.0.0/16")
"""Subnets in which nobody lives: what an inert partition cuts apart."""
POLL_S = 0.02
PATIENCE_S = 10.0
STOP_S = 2.0
"""How long a stop is waited for."""
JUST_S = 2.0
"""How long a kill shows after the restart that follows it: a busy machine's look comes late."""
RESTART_S = 20.0
"""How long one replica may take to be drained, restarted and ready."""


@dataclass(frozen=True, slots=True)
class Done:
    """A fault carried out, or to be, in one lab."""

    lab: Running
    id: str
    kind: str
    values: Mapping[str, Any]
    targets: Sequence[str]

    def ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Ask the lab's supervisor."""
        return request(self.lab.runtime, operation, **arguments)

    @property
    def places(self) -> dict[str, Place]:
        """The lab's places by id."""
        return {each["id"]: Place(**each) for each in self.lab.plan["places"]}

    @property
    def patience_s(self) -> float:
        """How long to wait for an effect or its end."""
        rolls = self.kind in {"bad-release", "rolling-restart"}
        grace_s = self.values.get("grace_s") or 0.0
        return PATIENCE_S + ((RESTART_S + grace_s) * len(self.targets) if rolls else 0.0)


class Means(Protocol):
    """One way of breaking things."""

    def do(self, done: Done) -> None:
        """Carry the fault out."""
        ...

    def undo(self, done: Done) -> None:
        """Undo; idempotent."""
        ...

    def left(self, done: Done) -> list[str]:
        """What is in effect now, in words."""
        ...


def wait_until(holds: Callable[[], bool], within_s: float) -> bool:
    """Whether it came to hold in time."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


class Processes:
    """Killing and stopping processes."""

    def do(self, done: Done) -> None:
        """Kill or stop; a region always stays down until the heal."""
        whole = done.kind == "fail-region"
        if done.values.get("mode") == "pause" or done.kind.startswith("pause-"):
            done.ask("pause", ids=list(done.targets))
            # On a busy machine a signal takes until the process runs next.
            wait_until(lambda: len(self.left(done)) == len(done.targets), STOP_S)
        else:
            hold = whole or bool(done.values.get("hold"))
            done.ask("kill", ids=list(done.targets), hold=hold)

    def undo(self, done: Done) -> None:
        """Let them run; what waits for its restart is restarted now."""
        done.ask("resume", ids=list(done.targets))

    def left(self, done: Done) -> list[str]:
        """Targets that do not run, are stopped, or were killed a moment ago and run again."""
        units = request(done.lab.runtime, "status")["units"]
        killed = {unit["id"]: unit["killed_ago_s"] for unit in units}
        states, left = states_of(done.lab, units), []
        for each in done.targets:
            ago_s = killed[each]
            if states[each] != "running":
                left.append(f"{each} is {states[each]}")
            elif ago_s is not None and ago_s < JUST_S:
                left.append(f"{each} was killed {ago_s:.1f} s ago and runs again")
        return left


def process_states(lab: Running) -> dict[str, str]:
    """Each process by its id: `running`, `stopped` (the kernel's word) or `down`."""
    return states_of(lab, request(lab.runtime, "status")["units"])


def states_of(lab: Running, units: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The same of units that the supervisor has just told of."""
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


class Packets:
    """Dropping packets between two ends, or resetting what goes to a port."""

    def do(self, done: Done) -> None:
        """Put the rules into the kernel."""
        rules = self._rules(done, inert=INERT_FAULT in mutants(done.lab))
        done.ask("add rules", rules=[astuple(each) for each in rules])

    def undo(self, done: Done) -> None:
        """Take them out."""
        inert = INERT_FAULT in mutants(done.lab)
        rules = [*self._rules(done), *(self._rules(done, inert=True) if inert else ())]
        done.ask("remove rules", rules=[astuple(each) for each in rules])

    def left(self, done: Done) -> list[str]:
        """The rules of this fault that hold in the kernel now, with what they have met."""
        wanted = set(self._rules(done))
        found = [(Rule(*rule), count) for rule, count in done.ask("rules")["rules"]]
        return [words(rule, count) for rule, count in found if rule in wanted]

    def passes(self, done: Done) -> list[str]:
        """The targets through which a connection comes about now, tried once."""
        if float(done.values.get("share") or 1.0) < 1.0:
            return []
        ways = [self._way(done, each) for each in done.targets]
        reached = done.ask("reach", ways=ways)["reached"]
        return [each for each, came in zip(done.targets, reached, strict=True) if came]

    def _rules(self, done: Done, *, inert: bool = False) -> list[Rule]:
        places, share = done.places, float(done.values.get("share") or 1.0)
        if inert:
            return list(packets.between(*NOWHERE, share))
        found: list[Rule] = []
        for target in done.targets:
            a, _, b = target.partition("|")
            if b:
                found += packets.between(self._end(places, a), self._end(places, b), share)
            else:
                host, port = f"{places[a].host}/32", places[a].port
                found.append(Rule(packets.ANYWHERE, host, packets.RESET, share, port))
        return found

    def _end(self, places: Mapping[str, Place], name: str) -> str:
        return f"{places[name].host}/32" if name in places else subnet(name)

    def _way(self, done: Done, target: str) -> tuple[str | None, str, int]:
        """(source, host, port) of a connection that the fault stands in the way of."""
        a, _, b = target.partition("|")
        if not b:
            return None, done.places[a].host, done.places[a].port
        source, there = self._somebody(done, a), self._somebody(done, b)
        return source.host, there.host, there.port

    def _somebody(self, done: Done, name: str) -> Place:
        """A process at this end of a link."""
        places = done.places
        return places.get(name) or next(e for e in places.values() if e.region == name)


def words(rule: Rule, count: int | None) -> str:
    """A packet rule for a person."""
    what = "reset" if rule.verdict == packets.RESET else "dropped"
    which = "packets" if rule.share >= 1.0 else f"{rule.share:.2%} of the packets"
    to = rule.target if rule.port is None else f"{rule.target} port {rule.port}"
    met = "" if count is None else f" ({count} so far)"
    return f"{which} from {rule.source} to {to} are {what}{met}"


class Edges:
    """Envoy's fault filter, by its runtime keys."""

    def do(self, done: Done) -> None:
        """Set the keys in each edge."""
        done.ask("set runtime", ids=list(done.targets), keys=self._keys(done))

    def undo(self, done: Done) -> None:
        """Take them away."""
        keys = dict.fromkeys(self._keys(done), "")
        done.ask("set runtime", ids=list(done.targets), keys=keys)

    def left(self, done: Done) -> list[str]:
        """The edges in which the fault is switched on, by their own word."""
        switch = next(iter(self._keys(done)))
        told = done.ask("runtime", ids=list(done.targets))
        states = process_states(done.lab)
        silent = [n for n, keys in told.items() if keys is None and states[n] == "stopped"]
        return [f"{name} is stopped, and cannot be asked" for name in silent] + [
            f"{name} has {switch} = {keys[switch]}"
            for name, keys in told.items()
            if keys and keys.get(switch, "0") != "0"
        ]

    def _keys(self, done: Done) -> dict[str, str]:
        """The runtime keys, the one that switches it on first."""
        share = float(done.values["share"])
        if done.kind == "delay-requests":
            return envoy.delaying(share, float(done.values["delay_s"]))
        return envoy.aborting(share, done.values["status"])


class Behaviours:
    """Replicas that go on with a worse behaviour."""

    def do(self, done: Done) -> None:
        """Lay the behaviour over the replicas' own."""
        ids = list(done.targets)
        done.ask("overlay", fault=done.id, ids=ids, behaviour=overlay(done))

    def undo(self, done: Done) -> None:
        """Take it off."""
        done.ask("bare", fault=done.id, ids=list(done.targets))

    def left(self, done: Done) -> list[str]:
        """The replicas that tell the worse behaviour themselves, or not yet their own again."""
        laid = done.ask("faults")["overlays"].get(done.id, ())
        found = []
        for name, each in done.ask("shown", ids=list(done.targets))["ids"].items():
            shown, wanted = each["shown"], each["wanted"]
            if shown is None:
                continue
            if name in laid and all(shown.get(k) == v for k, v in overlay(done).items()):
                found.append(f"{name} behaves worse: {overlay(done)}")
            elif name not in laid and shown != wanted:
                found.append(f"{name} does not behave as before yet")
        return found


def overlay(done: Done) -> dict[str, Any]:
    """The fields of a replica's behaviour that a fault changes."""
    values = done.values
    if done.kind == "slow-replicas":
        return {
            "slowed": values["share"],
            "latency_add_s": values["add_s"],
            "latency_factor": values["factor"],
        }
    fields = {
        "latency_add_s": values.get("latency_s", 0.0),
        "error_ratio": values.get("error_ratio", 0.0),
        "garbage_ratio": values.get("garbage_ratio", 0.0),
    }
    return {name: value for name, value in fields.items() if value}


class Rollout:
    """Replicas restarted one after the other, with a worse release or with the same."""

    def do(self, done: Done) -> None:
        """Begin; a bad release returns once it is rolled out."""
        release = overlay(done) or None
        done.ask(
            "roll",
            fault=done.id,
            ids=list(done.targets),
            behaviour=release,
            grace_s=done.values["grace_s"],
        )
        if release is not None and not wait_until(lambda: not self._rolls(done), done.patience_s):
            raise PlatformError(f"{done.id}: the release hangs", "see `harness lab logs`")

    def undo(self, done: Done) -> None:
        """Stop what is not begun; roll the worse release back."""
        done.ask("unroll", fault=done.id, ids=list(done.targets), grace_s=done.values["grace_s"])

    def left(self, done: Done) -> list[str]:
        """Replicas with the release, and a rollout or roll-back that goes on."""
        known = done.ask("faults")
        found = [f"{name} runs the bad release" for name in known["overlays"].get(done.id, ())]
        if self._rolls(done):
            found.append("replicas are restarted one after the other")
        elif known["rollouts"].get(done.id, {}).get("back"):
            units = {each["id"]: each for each in done.ask("status")["units"]}
            waits = ("starting", "dead")
            found += [
                f"{t} is {units[t]['health']}" for t in done.targets if units[t]["health"] in waits
            ]
        return found

    def _rolls(self, done: Done) -> bool:
        return bool(done.ask("faults")["rollouts"].get(done.id, {}).get("under_way"))


class Neighbours:
    """Processes that take the replicas' processor time or memory."""

    def do(self, done: Done) -> None:
        """Start them on the cores of the replicas."""
        done.ask(
            "press",
            fault=done.id,
            ids=list(done.targets),
            workers=done.values.get("workers", 1),
            megabytes=done.values.get("megabytes", 0),
            for_s=done.values["for_s"],
        )

    def undo(self, done: Done) -> None:
        """End them."""
        done.ask("release", fault=done.id)

    def left(self, done: Done) -> list[str]:
        """Those that run."""
        pids = done.ask("faults")["burners"].get(done.id, ())
        beside = f"beside {', '.join(done.targets)} and all that share their cores"
        return [f"process {pid} burns {beside}" for pid in pids]


MEANS: Mapping[str, Means] = {
    "processes": Processes(),
    "packets": Packets(),
    "edges": Edges(),
    "behaviour": Behaviours(),
    "rollout": Rollout(),
    "pressure": Neighbours(),
}


def mutants(lab: Running) -> Sequence[str]:
    """The ways in which the lab was told to be broken."""
    found: Sequence[str] = lab.plan["options"].get("mutants", ())
    return found
