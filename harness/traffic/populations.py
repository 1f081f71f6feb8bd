"""Several populations in one run, each with its own traffic and its own arrivals.

Each is a TrafficUser class of the scenario. One follows the load profile of the run; the others say
their `load` themselves: a rate, or stages, counted from the start of the run. Their endpoints are
rows of one record, called population/endpoint.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from harness.errors import ProfileError, ScenarioError
from harness.traffic.build import model_of
from harness.traffic.model import LoadProfile, Segment, TrafficModel
from harness.traffic.profiles import MAX_RATE, MAX_SEED, STAGES, staged
from harness.units import parse_rate

MOST = 8
"""Each has an engine of its own in every load process."""

LOAD_REMEDY = 'write load = "20/s", or stages as "5m:0,10s:200,2m:200"'


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
            _segments(model, 1.0)
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
    segments = _segments(model, run.duration_s)
    seconds = sum(segment.duration_s for segment in segments)
    if seconds > run.duration_s + 1e-6:
        raise ProfileError(
            f"{model.source}: the stages of {model.population} take {seconds:g} s, and the run"
            f" {run.duration_s:g} s",
            "shorten them, or raise --duration",
        )
    return LoadProfile(
        f"{model.population} {model.load}",
        segments,
        spacing=run.spacing,
        seed=(run.seed + number) % MAX_SEED,
    )


def _segments(model: TrafficModel, seconds: float) -> tuple[Segment, ...]:
    where = f"{model.source}: the load of {model.population}"
    if ":" in model.load:
        try:
            return staged(model.load.removeprefix(STAGES)).segments
        except ProfileError as error:
            raise ScenarioError(f"{where}: {error.problem}", error.remedy or LOAD_REMEDY) from None
    try:
        rate = parse_rate(model.load)
    except ValueError as error:
        raise ScenarioError(f"{where}: {error}", LOAD_REMEDY) from None
    if not 0 < rate <= MAX_RATE:
        raise ScenarioError(f"{where} is {model.load!r}", LOAD_REMEDY)
    return (Segment("hold", seconds, rate, rate),)


def _named(model: TrafficModel, name: str, load: str) -> TrafficModel:
    """The model with its population's name before its endpoints."""
    return replace(
        model.mapped(lambda request: replace(request, name=f"{name}/{request.name}")),
        population=name,
        load=load,
        journeys=tuple(replace(j, name=f"{name}/{j.name}") for j in model.journeys),
        audit=model.audit and replace(model.audit, write=f"{name}/{model.audit.write}"),
    )
