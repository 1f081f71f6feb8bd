"""Several populations of one scenario, each with its own arrivals."""

from __future__ import annotations

import pytest

from harness.errors import ProfileError, ScenarioError
from harness.traffic import get, journey
from harness.traffic.model import LoadProfile, Segment
from harness.traffic.populations import models_of, population_of, populations

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
