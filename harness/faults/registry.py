"""The kinds of faults by name, and the check of what is given to one."""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from harness.errors import CapabilityMissing, PlatformError, did_you_mean
from harness.faults import kinds as package
from harness.faults.model import Arguments, FaultKind, OnKubernetes, OnLab, expected


@cache
def kinds() -> Mapping[str, FaultKind]:
    """Every kind by its name: the `FAULT` of each module of `harness.faults.kinds`."""
    found: dict[str, FaultKind] = {}
    for each in pkgutil.iter_modules(package.__path__):
        name = each.name.replace("_", "-")
        module = importlib.import_module(f"{package.__name__}.{each.name}")
        found[name] = replace(module.FAULT, name=name, summary=module.__doc__)
    return found


def kind_of(name: str) -> FaultKind:
    """The kind of this name; raises PlatformError with the nearest ones."""
    found = kinds().get(name)
    if found is None:
        raise PlatformError(
            f"no fault {name!r}",
            f"{did_you_mean(name, kinds())}`harness fault list` names them all",
        )
    return found


def arguments_of(name: str, given: Mapping[str, object], platform: str | None = None) -> Arguments:
    """The typed arguments of a fault, with their defaults.

    With `platform` also what is refused there. Raises PlatformError naming fault, argument, value
    and what it must be; CapabilityMissing where the platform cannot carry the kind out.
    """
    kind = kind_of(name)
    place = kind.on(platform) if platform else None
    if isinstance(place, str):
        raise CapabilityMissing(f"{platform}: {name}", place)
    known = _known(kind, place)
    for each, value in given.items():
        if each not in known:
            listed = ", ".join(known) or "none"
            raise PlatformError(
                f"{name}: no argument {each!r}", f"{did_you_mean(each, known)}it takes {listed}"
            )
        if value is None:
            wanted = expected(kind.arguments.model_fields[each])
            raise PlatformError(f"{name}: {each} is empty", f"give {wanted}, or leave it out")
    try:
        found = kind.arguments.model_validate(dict(given))
    except ValidationError as error:
        raise _refusal(kind, error.errors(include_url=False)[0], given, place) from None
    for each, limit in (place.limits if isinstance(place, OnLab) else {}).items():
        value = getattr(found, each)
        if value not in limit if isinstance(limit, tuple) else value > limit:
            wanted = expected(kind.arguments.model_fields[each], limit)
            raise PlatformError(f"{name}: {each} {value!r}", f"give {wanted}")
    return found


def ignored(name: str, given: Mapping[str, object], platform: str) -> tuple[str, ...]:
    """What of the given arguments a platform does not keep, in words for a plan."""
    place = kind_of(name).on(platform)
    if not isinstance(place, OnKubernetes):
        return ()
    return tuple(
        f"{name}: {each}={given[each]} is not kept: {instead}"
        for each, instead in place.ignores.items()
        if given.get(each) not in (None, False)
    )


def _known(kind: FaultKind, place: OnLab | OnKubernetes | None) -> tuple[str, ...]:
    lacks = place.lacks if place else ()
    return tuple(each for each in kind.arguments.model_fields if each not in lacks)


def _refusal(
    kind: FaultKind,
    error: ErrorDetails,
    given: Mapping[str, object],
    place: OnLab | OnKubernetes | None,
) -> PlatformError:
    """The first thing that is wrong, in one line."""
    if not error["loc"]:
        problem, _, remedy = str(error["ctx"]["error"]).partition("; ")
        return PlatformError(f"{kind.name}: {problem}", remedy)
    name = str(error["loc"][0])
    limit = place.limits.get(name) if isinstance(place, OnLab) else None
    wanted = expected(kind.arguments.model_fields[name], limit)
    if name not in given:
        return PlatformError(f"{kind.name}: no {name} named", f"give {wanted}")
    return PlatformError(f"{kind.name}: {name} {given[name]!r}", f"give {wanted}")
