"""Where a service is asked during an experiment: its entry points, and what faults would hit."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from harness.catalog.model import Service
from harness.chaos.model import ExperimentPlan
from harness.chaos.probe_client import Endpoint
from harness.errors import PlatformError
from harness.platform.model import Platform, Target

MOST_VICTIMS = 12
"""Entry points of victims that are asked: the canary is to see, not to load."""


def endpoints_of(platform: Platform, service: Service, target: Target) -> tuple[Endpoint, ...]:
    """The global edge and the edge of each region that has one; else the load's own.

    These last: whatever replica dies behind them, they can be asked before and after.
    """
    regions = [region.name for region in platform.regions(service) if region.edge_url]
    found = _reachable(platform, service, [("global", None), *((name, name) for name in regions)])
    return found or (endpoint_of("service", target),)


def readers_of(platform: Platform, service: Service, target: Target) -> tuple[Endpoint, ...]:
    """Where writes are read back: the entry point and each region, by a replica if need be.

    The load's own target where the platform cannot be asked: the observer tells that it cannot.
    """
    try:
        regions = [region.name for region in platform.regions(service)]
    except PlatformError:
        regions = []
    found = _reachable(platform, service, [("global", None), *((name, name) for name in regions)])
    return found or (endpoint_of("service", target),)


def _reachable(
    platform: Platform, service: Service, asked: Iterable[tuple[str, str | None]]
) -> tuple[Endpoint, ...]:
    found = []
    for where, region in asked:
        try:
            entry_point = platform.target(service, "global" if region is None else "edge", region)
        except PlatformError:
            continue
        found.append(endpoint_of(where, entry_point))
    return tuple(found)


def victims(plan: ExperimentPlan, platform: Platform, service: Service) -> tuple[Endpoint, ...]:
    """Whom the faults would hit, by name or place: redundancy hides their loss elsewhere."""
    names = {part for hit in plan.hits for t in hit.targets for part in t.split("|")}
    places = {hit.fault.arguments.get("region") for hit in plan.hits}
    found = []
    for each in platform.replicas(service):
        if each.url and (each.id in names or each.region in places):
            found.append(Endpoint(each.id, each.url))
            found.append(Endpoint(f"{each.id} ready", each.url, path=each.ready_path))
    return tuple(found[:MOST_VICTIMS])


@contextmanager
def crossings(
    plan: ExperimentPlan, platform: Platform, service: Service
) -> Iterator[tuple[Endpoint, ...]]:
    """An entry point across each link that the faults would cut, asked from the one side.

    Users may not need the link at all: then nothing else sees the cut.
    """
    links = {target for hit in plan.hits for target in hit.targets if "|" in target}
    with ExitStack() as stack:
        found = []
        for link in sorted(links):
            near, _, far = link.partition("|")
            crossing = stack.enter_context(platform.cross_region_probe(service, near, far))
            if crossing is not None:
                entry_point = endpoint_of(f"{near}>{far}", crossing.target)
                found.append(replace(entry_point, source=crossing.source))
        yield tuple(found)


def endpoint_of(where: str, target: Target) -> Endpoint:
    """The first of the target's addresses, as the canary asks it."""
    return Endpoint(
        where,
        target.urls[0],
        target.host,
        target.ca_file,
        target.verify,
        server_name=target.server_name,
    )
