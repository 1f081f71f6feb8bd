"""Exactly what a fault of the lab would hit now: ids of processes, or links `a|b`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import PlatformError
from harness.faults.draw import ANY, Among, draw
from harness.platform.lab.kinds import KINDS, checked
from harness.platform.lab.topology import GLOBAL, Place
from harness.platform.model import Fault

States = Mapping[str, Mapping[str, Any]]
Values = Mapping[str, Any]


def resolve(
    fault: Fault, service: str, places: Sequence[Place], states: States, among: Among = ANY
) -> tuple[str, ...]:
    """The processes or links hit, in a fixed order; raises PlatformError where nothing matches.

    Replicas: those that are ready, in `region` or everywhere, `count` or `percent` (rounded up)
    of them drawn by `seed`, or all. Regions, edges and databases must be named.
    """
    values = checked(fault)
    regions = [place.region for place in places if place.kind == "database"]
    region = values.get("region")
    if region is not None and region not in [*regions, GLOBAL]:  # it may be of any type
        raise _no_region(fault, region, regions)
    mine = [place for place in places if place.service in {None, service}]
    hits = KINDS[fault.kind].hits
    if fault.kind == "partition-dependency":
        found = _dependency_links(fault, values, mine, states, among)
    elif hits == "link":
        found = _links(fault, values, regions, mine)
    elif hits == "replica" and values.get("edge") is None:
        found = _replicas(fault, values, mine, states, among)
    elif hits in {"replica", "edge"} and "edge" in values:
        found = _edges(fault, values["edge"], regions, mine)
    elif region is None:
        raise PlatformError(f"{fault.kind}: no region named", f"give one of {', '.join(regions)}")
    elif hits == "region":
        found = [each.id for each in mine if each.region == region]
    else:
        found = [each.id for each in mine if (each.kind, each.region) == (hits, region)]
    if not found:
        raise PlatformError(
            f"{fault.kind}: nothing matches", "see `harness lab status`; edges need --edges"
        )
    return tuple(found)


def _replicas(
    fault: Fault, values: Values, mine: Sequence[Place], states: States, among: Among
) -> list[str]:
    """`count` or `percent` of the replicas that are ready, by the fault's seed; else all."""
    region = values["region"]
    ready = [
        each.id
        for each in mine
        if each.kind == "replica"
        and region in {None, each.region}
        and states[each.id]["health"] == "ready"
    ]
    return draw(
        fault.kind,
        ready,
        among,
        count=values["count"],
        percent=values["percent"],
        seed=values["seed"],
    )


def _edges(fault: Fault, edge: str, regions: Sequence[str], mine: Sequence[Place]) -> list[str]:
    """The edge of a region, the global one, or all."""
    if edge not in {*regions, GLOBAL, "all"}:
        raise _no_region(fault, edge, [*regions, GLOBAL, "all"])
    return [each.id for each in mine if each.kind == "edge" and edge in {"all", each.region}]


def _dependency_links(
    fault: Fault, values: Values, mine: Sequence[Place], states: States, among: Among
) -> list[str]:
    region_of = {each.id: each.region for each in mine}
    chosen = _replicas(fault, values, mine, states, among)
    return [f"{each}|database-{region_of[each]}" for each in chosen]


def _links(
    fault: Fault, values: Values, regions: Sequence[str], mine: Sequence[Place]
) -> list[str]:
    ends = [*regions, *({GLOBAL} & {place.region for place in mine})]
    if fault.kind == "isolate-region":
        region = values["region"]
        if region not in regions:
            raise _no_region(fault, region, regions)
        links = [f"{region}|{other}" for other in ends if other != region]
        if not links:
            raise PlatformError(f"{fault.kind}: {region} is alone", "start the lab with regions")
        return links
    pair = values["regions"]
    if not isinstance(pair, list | tuple) or len(set(map(str, pair))) != 2:  # noqa: PLR2004
        raise PlatformError(f"{fault.kind}: regions {pair!r}", "give two of them")
    for each in pair:
        if each not in ends:
            raise _no_region(fault, each, ends)
    return [f"{pair[0]}|{pair[1]}"]


def _no_region(fault: Fault, region: object, regions: Sequence[str]) -> PlatformError:
    return PlatformError(f"{fault.kind}: no region {region!r}", f"there are {', '.join(regions)}")
