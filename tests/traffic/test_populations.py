"""Several populations of one scenario, each with its own arrivals."""

from __future__ import annotations

import pytest

from harness.errors import HarnessError, ProfileError, ScenarioError
from harness.traffic import get, journey
from harness.traffic.model import LoadProfile, Segment
from harness.traffic.populations import (
    closed_models,
    models_of,
    population_of,
    populations,
    with_loads,
)

RUN = LoadProfile("run", (Segment("hold", 60.0, 100.0, 100.0),), seed=5)


class Shopper:
    """Follows the profile of the run."""

    service = "shop"
    mix = [get("/", name="home")]  # noqa: RUF012 - as scenarios are written


class Crawler(Shopper):
    """A rate."""

    load = "5/s"

    @journey()
    def look(self) -> None:
        """Look around."""


class NightlyBatch(Shopper):
    """Stages."""

    load = "30s:0,10s:200,10s:200"


def test_each_population_has_its_arrivals_and_its_endpoints() -> None:
    """The first is the one without a load; seeds differ, so values do."""
    model = models_of([Crawler, NightlyBatch, Shopper])
    assert (model.population, model.load) == ("shopper", "")
    assert [each.population for each in model.others] == ["crawler", "nightly-batch"]
    assert [r.name for r in model.requests] == ["shopper/home"]
    assert model.others[0].journeys[0].name == "crawler/look"
    (_, first), (_, crawler), (_, batch) = populations(model, RUN)
    assert first is RUN
    assert crawler.segments == (Segment("hold", 60.0, 5.0, 5.0),)
    assert [s.to_rate for s in batch.segments] == [0.0, 200.0, 200.0]
    assert [first.seed, crawler.seed, batch.seed] == [5, 6, 7]


def test_one_class_is_a_model_as_before() -> None:
    """Without a population's name before its endpoints."""
    model = models_of([Shopper])
    assert (model.population, model.others) == ("", ())
    assert [r.name for r in model.requests] == ["home"]
    assert population_of(NightlyBatch) == "nightly-batch"


class _Other(Shopper):
    service = "other"
    load = "1/s"


class _Wrong(Shopper):
    load = "often"


class _Never(Shopper):
    load = "0/s"


class _Rough(Shopper):
    load = "1m:x"


@pytest.mark.parametrize(
    ("users", "problem"),
    [
        ([Crawler], "Crawler.load, and no other population"),
        ([Shopper, Shopper], "populations without a load: Shopper, Shopper"),
        ([Crawler, NightlyBatch], "populations without a load: none"),
        ([Shopper, _Other], "populations of shop, other"),
        ([Shopper, _Wrong], "the load of _wrong"),
        ([Shopper, _Never], "is '0/s'"),
        ([Shopper, _Rough], "stage 1"),
        ([Shopper, *[Crawler] * 8], "9 populations"),
    ],
)
def test_populations_that_do_not_fit_together_are_refused(
    users: list[type[object]], problem: str
) -> None:
    """In one line."""
    with pytest.raises(ScenarioError, match=problem):
        models_of(users)


def test_stages_that_go_on_beyond_the_run_are_refused() -> None:
    """They would not be judged."""
    model = models_of([Shopper, NightlyBatch])
    short = LoadProfile("run", (Segment("hold", 20.0, 1.0, 1.0),))
    with pytest.raises(ProfileError, match="nightly-batch take 50 s, and the run 20 s"):
        populations(model, short)


class _Browsing(Shopper):
    load = "20 users think 2s"


class _Busy(Shopper):
    load = "1 user"


def test_a_population_may_be_users_of_a_closed_model() -> None:
    """From the start to the end of the run, with or without think time."""
    model = models_of([Shopper, _Browsing, _Busy])
    _, (_, browsing), (_, busy) = populations(model, RUN)
    assert (browsing.users, browsing.think_s, browsing.duration_s) == (20, 2.0, 60.0)
    assert (busy.users, busy.think_s, busy.model) == (1, 0.0, "closed")
    assert closed_models(model, RUN) == ("_browsing", "_busy")
    assert closed_models(models_of([Shopper, Crawler]), RUN) == ()


def test_a_run_says_other_loads_than_the_scenario() -> None:
    """By the names of populations; the first follows the profile of the run."""
    model = models_of([Shopper, Crawler, NightlyBatch])
    changed = with_loads(model, {"crawler": "3 users"})
    assert [each.load for each in changed.others] == ["3 users", NightlyBatch.load]
    for loads, says in (
        ({"shopper": "1/s"}, "shopper follows the profile of the run"),
        ({"nobody": "1/s"}, "no population 'nobody'"),
        ({"crawler": "0 users"}, "0 users"),
        ({"crawler": "2 users think soon"}, "the load of crawler"),
    ):
        with pytest.raises(HarnessError, match=says):
            with_loads(model, loads)
