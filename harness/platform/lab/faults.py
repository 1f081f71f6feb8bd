"""What each fault of the lab hits, does and undoes."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import PlatformError
from harness.platform.lab import cut, namespace
from harness.platform.lab.control import Gone, request
from harness.platform.lab.namespace import Isolation
from harness.platform.lab.runtime import Running, find
from harness.platform.lab.topology import GLOBAL, Place, subnet
from harness.platform.model import Fault, Heal, Proof

PROCESS_KINDS = (
    "kill-replicas",
    "pause-replicas",
    "kill-edge",
    "pause-edge",
    "kill-database",
    "pause-database",
    "fail-region",
)
NETWORK_KINDS = ("partition-regions", "isolate-region")
KINDS = (*PROCESS_KINDS, *NETWORK_KINDS)
HEAL_TIMEOUT_S = 10.0

States = Mapping[str, Mapping[str, Any]]


def capabilities(isolation: Isolation) -> dict[str, str | None]:
    """Fault kind -> None, or why the lab cannot carry it out here."""
    network = None
    if isolation.missing is not None:
        network = f"it needs a network namespace of its own: {isolation.missing}"
    return dict.fromkeys(PROCESS_KINDS) | dict.fromkeys(NETWORK_KINDS, network)


def resolve(fault: Fault, service: str, places: Sequence[Place], states: States) -> tuple[str, ...]:
    """The ids of the processes, or the links `a|b`, that the fault hits now.

    Arguments: `region` (replicas: all by default; others: must be given, but for the global
    edge), `count`, `percent` or all replicas, `seed` of the choice, `regions` (two) of a
    partition. Raises PlatformError where nothing matches.
    """
    regions = [place.region for place in places if place.kind == "database"]
    if fault.kind in NETWORK_KINDS:
        return _links(fault, regions, places)
    region = fault.arguments.get("region")
    if region is not None and region not in {*regions, GLOBAL}:
        raise _no_region(fault, region, regions)
    kind = fault.kind.rpartition("-")[2]
    if kind in {"edge", "database", "region"} and region is None:
        raise PlatformError(f"{fault.kind}: no region named", f"give one of {', '.join(regions)}")
    if kind == "region":
        found = [e.id for e in places if e.region == region and e.service in {None, service}]
    else:
        found = [
            place.id
            for place in places
            if place.kind == kind.removesuffix("s")
            and place.service in {None, service}
            and region in {None, place.region}
        ]
    if kind == "replicas":
        found = _choose(fault, [each for each in found if states[each]["health"] == "ready"])
    if not found:
        raise PlatformError(f"{fault.kind}: nothing matches", "see `harness lab status`")
    return tuple(found)


def _choose(fault: Fault, ready: Sequence[str]) -> list[str]:
    """`count` or `percent` (rounded up) of the replicas that are ready, by the fault's seed."""
    count, percent = fault.arguments.get("count"), fault.arguments.get("percent")
    if count is None and percent is None:
        return list(ready)
    if count is None:
        count = -(-len(ready) * float(percent or 0) // 100)
    if not 0 < int(count) <= len(ready):
        raise PlatformError(
            f"{fault.kind}: {int(count)} of {len(ready)} ready replicas", "ask for 1 to all of them"
        )
    chosen = random.Random(fault.arguments.get("seed", 1))  # noqa: S311 - no secret
    return sorted(chosen.sample(sorted(ready), int(count)))


def _links(fault: Fault, regions: Sequence[str], places: Sequence[Place]) -> tuple[str, ...]:
    ends = [*regions, *({GLOBAL} & {place.region for place in places})]
    if fault.kind == "isolate-region":
        region = fault.arguments.get("region")
        if region not in regions:
            raise _no_region(fault, region, regions)
        links = tuple(f"{region}|{other}" for other in ends if other != region)
        if not links:
            raise PlatformError(f"{fault.kind}: {region} is alone", "start the lab with regions")
        return links
    pair = fault.arguments.get("regions")
    if not isinstance(pair, list | tuple) or len(set(pair)) != 2:  # noqa: PLR2004 - two ends
        raise PlatformError(f"{fault.kind}: regions {pair!r}", "give two of them")
    for each in pair:
        if each not in ends:
            raise _no_region(fault, each, ends)
    return (f"{pair[0]}|{pair[1]}",)


def _no_region(fault: Fault, region: object, regions: Sequence[str]) -> PlatformError:
    return PlatformError(f"{fault.kind}: no region {region!r}", f"there are {', '.join(regions)}")


def inject(runtime: Path, fault: Fault, targets: Sequence[str]) -> None:
    """Carry the fault out on exactly these targets."""
    if fault.kind in NETWORK_KINDS:
        request(runtime, "cut", pairs=_pairs(targets))
        return
    if fault.kind == "fail-region":
        pause = fault.arguments.get("mode", "pause") == "pause"
        hold = True
    else:
        pause = fault.kind.startswith("pause-")
        hold = bool(fault.arguments.get("hold", False))
    if pause:
        request(runtime, "pause", ids=list(targets))
    else:
        request(runtime, "kill", ids=list(targets), hold=hold)


def heal(heal: Heal) -> None:
    """Undo, and return when it is undone; a lab that is gone has nothing to undo."""
    runtime, targets = Path(heal.arguments["runtime"]), list(heal.arguments["targets"])
    try:
        if heal.kind in NETWORK_KINDS:
            pairs = _pairs(targets)
            request(runtime, "mend", pairs=pairs)
            still = {tuple(sorted(pair)) for pair in request(runtime, "cuts")["pairs"]}
            left = [str(pair) for pair in pairs if tuple(sorted(pair)) in still]
        else:
            request(runtime, "resume", ids=targets)
            left = _wait_resumed(runtime, targets)
    except Gone:
        return
    if left:
        raise PlatformError(f"{heal.fault_id}: not undone: {left}", "run `harness lab down`")


def proof(heal: Heal) -> Proof:
    """Whether any target of the fault shows it now."""
    runtime, targets = Path(heal.arguments["runtime"]), list(heal.arguments["targets"])
    try:
        if heal.kind in NETWORK_KINDS:
            still = {tuple(sorted(pair)) for pair in request(runtime, "cuts")["pairs"]}
            pairs = [tuple(sorted(pair)) for pair in _pairs(targets)]
            left = [f"{a} and {b} are cut apart" for a, b in pairs if (a, b) in still]
        else:
            states = looked(find(runtime))
            left = [f"{each} is {states[each]}" for each in targets if states[each] != "running"]
    except Gone:
        return Proof(in_effect=False, statement="the lab has ended")
    return Proof(bool(left), "; ".join(left) or "none of its targets shows it")


def looked(lab: Running) -> dict[str, str]:
    """Each process by its id: `running`, `stopped` (the kernel's word) or `down`."""
    pids = namespace.host_pids(lab.network) if lab.network and lab.plan["isolated"] else None
    found = {}
    for unit in request(lab.runtime, "status")["units"]:
        inner = unit["pid"]
        pid = inner if pids is None or inner is None else pids.get(inner)
        if pid is None or unit["held"]:
            found[unit["id"]] = "down"
        else:
            found[unit["id"]] = "stopped" if _stopped(pid) else "running"
    return found


def _wait_resumed(runtime: Path, targets: Sequence[str]) -> list[str]:
    """Wait until none of the targets is paused or held down; returns those that are."""
    deadline = time.monotonic() + HEAL_TIMEOUT_S
    while True:
        units = {each["id"]: each for each in request(runtime, "status")["units"]}
        left = [t for t in targets if units[t]["held"] or units[t]["health"] == "paused"]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)


def _pairs(links: Sequence[str]) -> list[cut.Pair]:
    return [(subnet(a), subnet(b)) for a, _, b in (link.partition("|") for link in links)]


def leftovers(lab: Running) -> tuple[str, ...]:
    """What is still cut, stopped or held down in a lab: the kernel's word where it has one."""
    try:
        cuts = request(lab.runtime, "cuts")["pairs"] if lab.plan["isolated"] else []
        units = request(lab.runtime, "status")["units"]
    except Gone:
        return ()
    name = lab.runtime.name
    found = [f"{name}: {a} and {b} are cut apart" for a, b in cuts]
    found += [f"{name}: {unit['id']} is held down" for unit in units if unit["held"]]
    if lab.network is not None and lab.plan["isolated"]:
        pids = namespace.members(lab.network)
        found += [f"{name}: process {pid} is stopped" for pid in pids if _stopped(pid)]
    else:
        found += [f"{name}: {u['id']} is paused" for u in units if u["health"] == "paused"]
    return tuple(found)


def _stopped(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] in {"T", "t"}
