"""Several populations in one run, each with its own traffic and its own arrivals.

Each is a TrafficUser class of the scenario. One follows the load profile of the run; the others say
their `load` themselves: a rate, stages, or users of a closed model, counted from the start of the
run. Their endpoints are rows of one record, called population/endpoint.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.errors import ProfileError, ScenarioError, UsageError
from harness.traffic.build import model_of
from harness.traffic.model import LoadProfile, Segment, TrafficModel
from harness.traffic.profiles import MAX_RATE, MAX_SEED, MAX_USERS, STAGES, staged
from harness.units import parse_duration, parse_rate

MOST = 8
"""Each has an engine of its own in every load process."""

LOAD_REMEDY = 'write "20/s", stages as "5m:0,10s:200,2m:200", or "20 users think 2s"'

_USERS = re.compile(r"(\d{1,9})\s*users?(?:\s+think\s+(\S+))?")


def models_of(
    users: Sequence[type[object]], source: str | None = None, scenario: str | None = None
) -> TrafficModel:
    """The model of a scenario's user classes: that of the first, with the others in `others`.

    The first is the one without a `load`. Raises ScenarioError for what `model_of` refuses, and
    for populations that do not fit together.
    """
    models = [model_of(user, source, scenario) for user in users]
    loads = [str(getattr(user, "load", "") or "") for user in users]
    names = [population_of(user) for user in users]
    where = models[0].source
    if len(models) == 1:
        if loads[0]:
            raise ScenarioError(
                f"{where}: {users[0].__name__}.load, and no other population",
                "remove it: the options of the run say its load",
            )
        return models[0]
    if len(models) > MOST:
        raise ScenarioError(f"{where}: {len(models)} populations", f"take {MOST} at most")
    if loads.count("") != 1:
        without = ", ".join(u.__name__ for u, load in zip(users, loads, strict=True) if not load)
        raise ScenarioError(
            f"{where}: populations without a load: {without or 'none'}",
            f"one follows the profile of the run; for the others {LOAD_REMEDY}",
        )
    if len({model.service for model in models}) > 1:
        services = ", ".join(model.service for model in models)
        raise ScenarioError(f"{where}: populations of {services}", "drive one service in a run")
    named = [_named(*each) for each in zip(models, names, loads, strict=True)]
    first = loads.index("")
    for model in named:
        if model.load:
            _arrivals(model, 1.0)
    return replace(named[first], others=tuple(named[:first] + named[first + 1 :]))


def population_of(user: type[object]) -> str:
    """The name of a class's population: NightlyBatch is nightly-batch."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", user.__name__).lower()


def populations(
    traffic: TrafficModel, profile: LoadProfile
) -> tuple[tuple[TrafficModel, LoadProfile], ...]:
    """Each population with its arrivals; the first with the profile of the run.

    Each has a seed of its own. Raises ProfileError for one that goes on beyond the run.
    """
    alone = replace(traffic, others=())
    others = ((each, _profile(each, profile, n)) for n, each in enumerate(traffic.others, 1))
    return ((alone, profile), *others)


def _profile(model: TrafficModel, run: LoadProfile, number: int) -> LoadProfile:
    found = _arrivals(model, run.duration_s)
    if found.duration_s > run.duration_s + 1e-6:
        raise ProfileError(
            f"{model.source}: the stages of {model.population} take {found.duration_s:g} s, and"
            f" the run {run.duration_s:g} s",
            "shorten them, or raise --duration",
        )
    return replace(found, spacing=run.spacing, seed=(run.seed + number) % MAX_SEED)


def _arrivals(model: TrafficModel, seconds: float) -> LoadProfile:
    """The load of a population; a rate and users last for so many seconds."""
    where = f"{model.source}: the load of {model.population}"
    name = f"{model.population} {model.load}"
    try:
        if found := _USERS.fullmatch(model.load.strip()):
            users, think_s = int(found[1]), parse_duration(found[2]) if found[2] else 0.0
            if not 0 < users <= MAX_USERS:
                raise ScenarioError(f"{where}: {users} users", f"take 1 to {MAX_USERS:,}")
            hold = (Segment("hold", seconds, 0.0, 0.0),)
            return LoadProfile(name, hold, users=users, think_s=think_s)
        if ":" in model.load:
            return replace(staged(model.load.removeprefix(STAGES)), name=name)
        rate = parse_rate(model.load)
    except ProfileError as error:
        raise ScenarioError(f"{where}: {error.problem}", error.remedy or LOAD_REMEDY) from None
    except ValueError as error:
        raise ScenarioError(f"{where}: {error}", LOAD_REMEDY) from None
    if not 0 < rate <= MAX_RATE:
        raise ScenarioError(f"{where} is {model.load!r}", LOAD_REMEDY)
    return LoadProfile(name, (Segment("hold", seconds, rate, rate),))


def with_loads(traffic: TrafficModel, loads: Mapping[str, str]) -> TrafficModel:
    """The model whose populations have these loads in place of their own.

    Raises UsageError for a population that is not there, or that follows the run's profile.
    """
    names = [each.population for each in traffic.others]
    for name in loads:
        if name not in names:
            known = ", ".join(names) or "none"
            first = f"; {name} follows the profile of the run" if name == traffic.population else ""
            raise UsageError(
                f"no population {name!r} with a load of its own{first}",
                f"{traffic.source} has {known}",
            )
    found = (replace(each, load=loads.get(each.population, each.load)) for each in traffic.others)
    changed = replace(traffic, others=tuple(found))
    for each in changed.others:
        _arrivals(each, 1.0)
    return changed


def closed_models(traffic: TrafficModel, profile: LoadProfile) -> tuple[str, ...]:
    """The populations in the closed model; of a run with one, its scenario."""
    parts = populations(traffic, profile)
    return tuple(t.population or t.scenario for t, p in parts if p.model == "closed")


def _named(model: TrafficModel, name: str, load: str) -> TrafficModel:
    """The model with its population's name before its endpoints."""
    named = model.mapped(lambda request: replace(request, name=f"{name}/{request.name}"))
    return replace(
        named,
        population=name,
        load=load,
        chains=tuple(replace(c, name=f"{name}/{c.name}") for c in named.chains),
        journeys=tuple(replace(j, name=f"{name}/{j.name}") for j in model.journeys),
        audit=model.audit and replace(model.audit, write=f"{name}/{model.audit.write}"),
    )
