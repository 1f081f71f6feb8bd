"""Exactly what a fault of the lab would hit now: ids of processes, or links `a|b`."""

from collections.abc import Mapping, Sequence

from harness.errors import CapabilityMissing, PlatformError, did_you_mean
from harness.faults.arguments import InRegion, Link, Replicas
from harness.faults.draw import ANY, Among
from harness.faults.kinds.abort_requests import AbortRequests
from harness.faults.kinds.delay_requests import DelayRequests
from harness.faults.kinds.partition_dependency import PartitionDependency
from harness.faults.kinds.reset_connections import ResetConnections
from harness.faults.registry import arguments_of, kind_of
from harness.platform.lab.messages import UnitState
from harness.platform.lab.topology import GLOBAL, Place, regions_of
from harness.platform.model import Fault

States = Mapping[str, UnitState]


def resolve(
    fault: Fault,
    service: str,
    places: Sequence[Place],
    states: States,
    among: Among = ANY,
    dependencies: Sequence[str] = (),
) -> tuple[str, ...]:
    """The processes or links hit, in a fixed order; raises PlatformError where nothing matches.

    Replicas: those that are ready, in `region` or everywhere, `count` or `percent` (rounded up)
    of them drawn by `seed`, or all. Regions, edges and databases must be named. `dependencies` are
    addresses that a program of the user's depends on.
    """
    given = arguments_of(fault.kind, fault.arguments, "lab")
    mine = [place for place in places if place.service in {None, service}]
    regions = regions_of(places)
    if isinstance(given, InRegion) and given.region is not None:
        _check_region(fault, given.region, [*regions, GLOBAL])
    match given:
        case PartitionDependency() if dependencies:
            found = _addresses(fault, given, mine, states, dependencies)
        case PartitionDependency():
            chosen = _replicas(fault, given, mine, states, among)
            found = [f"{each.id}|database-{each.region}" for each in chosen]
        case Link():
            found = _link(fault, given, _ends(regions, mine))
        case ResetConnections(edge=str(edge)) | DelayRequests(edge=edge) | AbortRequests(edge=edge):
            _check_region(fault, edge, [*regions, GLOBAL, "all"])
            found = [e.id for e in mine if e.kind == "edge" and edge in {"all", e.region}]
        case Replicas():
            found = [each.id for each in _replicas(fault, given, mine, states, among)]
        case InRegion(region=str(region)):
            found = _of_region(fault, region, regions, mine)
        case _:
            raise PlatformError(
                f"{fault.kind}: no region named", f"give one of {', '.join(regions)}"
            )
    if not found:
        raise PlatformError(
            f"{fault.kind}: nothing matches", "see `harness lab status`; edges need --edges"
        )
    return tuple(found)


def _replicas(
    fault: Fault, given: Replicas, mine: Sequence[Place], states: States, among: Among
) -> list[Place]:
    ready = {
        each.id: each
        for each in mine
        if each.kind == "replica"
        and given.region in {None, each.region}
        and states[each.id]["health"] == "ready"
    }
    return [ready[name] for name in given.draw(fault.kind, list(ready), among)]


def _addresses(
    fault: Fault,
    given: Replicas,
    mine: Sequence[Place],
    states: States,
    dependencies: Sequence[str],
) -> list[str]:
    """Links from every replica: they share an address, so that all are cut off or none."""
    chosen = _replicas(fault, given, mine, states, ANY)
    if len(chosen) < sum(each.kind == "replica" for each in mine):
        raise CapabilityMissing(
            f"{fault.kind}: your program's replicas share an address, all are cut off or none",
            "leave out region, count and percent",
        )
    return [f"{each.id}|{address}" for each in chosen for address in dependencies]


def _of_region(
    fault: Fault, region: str, regions: Sequence[str], mine: Sequence[Place]
) -> list[str]:
    hits = kind_of(fault.kind).hits
    if hits == "link":
        _check_region(fault, region, regions)
        links = [f"{region}|{other}" for other in _ends(regions, mine) if other != region]
        if not links:
            raise PlatformError(f"{fault.kind}: {region} is alone", "start the lab with regions")
        return links
    return [e.id for e in mine if e.region == region and hits in {"region", e.kind}]


def _ends(regions: Sequence[str], mine: Sequence[Place]) -> list[str]:
    """What a link may end in."""
    return [*regions, *({GLOBAL} & {place.region for place in mine})]


def _link(fault: Fault, given: Link, ends: Sequence[str]) -> list[str]:
    for each in given.regions:
        _check_region(fault, each, ends)
    return ["|".join(given.regions)]


def _check_region(fault: Fault, region: str, regions: Sequence[str]) -> None:
    if region not in regions:
        raise PlatformError(
            f"{fault.kind}: no region {region!r}",
            f"{did_you_mean(region, regions)}there are {', '.join(regions)}",
        )
