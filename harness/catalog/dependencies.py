"""Which service calls which, and so: who feels it when one of them fails."""

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter

from harness.catalog.model import Service
from harness.errors import CatalogError


def check_dependencies(services: Sequence[Service]) -> None:
    """Raise CatalogError for a dependency that is no service, and for a cycle."""
    known = {service.name for service in services}
    for service in services:
        for name in service.depends_on:
            if name not in known:
                raise CatalogError(
                    f"{service.name}: dependsOn {name!r} is no service of the catalogue",
                    "mend the name, or describe that service too",
                )
    try:
        TopologicalSorter({each.name: each.depends_on for each in services}).prepare()
    except CycleError as error:
        way = " -> ".join(reversed(error.args[1]))
        raise CatalogError(
            f"dependsOn goes in a circle: {way}", "leave out one of these dependencies"
        ) from None


def felt_by(services: Sequence[Service], name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The services that call this one, and those that feel it through them; raises CatalogError."""
    check_dependencies(services)
    callers = {each.name for each in services if name in each.depends_on}
    found, new = set(callers), set(callers)
    while new:
        new = {each.name for each in services if new & set(each.depends_on)} - found
        found |= new
    return tuple(sorted(callers)), tuple(sorted(found - callers))


def suffers(services: Sequence[Service], name: str) -> tuple[str, ...]:
    """The services that cannot answer without this one, directly or through others, by name."""
    found, new = set[str](), {name}
    while new:
        new = {
            each.name
            for each in services
            if new & (set(each.depends_on) - set(each.degrades_without))
        } - found
        found |= new
    return tuple(sorted(found))


def felt_sentence(services: Sequence[Service], name: str) -> str | None:
    """Who feels a fault of this service, for a plan; None where nobody calls it."""
    direct, further = felt_by(services, name)
    if not direct:
        return None
    more = f", and through them by {', '.join(further)}" if further else ""
    well = sorted({*direct, *further} - {*suffers(services, name)})
    declared = f"; declared to answer without it: {', '.join(well)}" if well else ""
    return f"felt by {', '.join(direct)}, which call {name}{more}{declared}"
