"""Which rates a search tries, and for how long."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.capacity import Search, find_capacity
from harness.capacity.evidence import Observation
from tests.capacity.test_capacity_search import Made, _below, _find


def test_a_rate_that_would_close_the_bracket_is_held_long_at_once() -> None:
    found, made = _find(_below(950), start=500.0)
    assert [rate for rate, _, _ in made.asked][:2] == [500.0, 1_000.0]
    assert found.steps[2].purpose == "confirm"
    assert found.steps[2].rate == pytest.approx(1_000 / 1.1, rel=0.015)


def test_what_is_served_in_an_overload_says_where_to_look() -> None:
    made = Made(_below(700))
    answered = made.observe

    def observe(rate: float, hold_s: float, lead_s: float, seed: int) -> Observation:
        return replace(answered(rate, hold_s, lead_s, seed), completed_rate=min(rate, 720.0))

    made.observe = observe  # type: ignore[method-assign]
    found = find_capacity(made, Search(start=400.0))
    assert [(step.rate, step.purpose) for step in found.steps] == [
        (400.0, "search"), (800.0, "search"), (661.0, "confirm"), (719.0, "search"),
        (400.0, "calm"),
    ]  # fmt: skip
    assert found.answered


@pytest.mark.parametrize(("served", "above"), [(396.0, True), (390.0, False)])
def test_a_rate_that_held_at_the_capacity_an_overload_shows_is_bracketed_from_above(
    served: float, above: float
) -> None:
    """An overload that serves 396/s shows a capacity of 366, 1.09 below what held."""
    made = Made(_below(420))
    answered = made.observe

    def observe(rate: float, hold_s: float, lead_s: float, seed: int) -> Observation:
        return replace(answered(rate, hold_s, lead_s, seed), completed_rate=min(rate, served))

    made.observe = observe  # type: ignore[method-assign]
    found = find_capacity(made, Search(start=398.0))
    assert (found.steps[2].rate == 433.0) is above


def test_a_second_overload_is_not_believed_where_the_first_showed_too_much() -> None:
    made = Made(_below(500))
    answered = made.observe

    def observe(rate: float, hold_s: float, lead_s: float, seed: int) -> Observation:
        return replace(answered(rate, hold_s, lead_s, seed), completed_rate=0.9 * rate)

    made.observe = observe  # type: ignore[method-assign]
    found = find_capacity(made, Search(start=400.0))
    assert [(step.rate, step.purpose) for step in found.steps][2:4] == [
        (661.0, "confirm"), (542.0, "search"),
    ]  # fmt: skip


@pytest.mark.parametrize(("later", "rates"), [(2_000.0, [600.0, 1_200.0]), (500.0, [600.0, 551.0])])
def test_a_rate_above_all_that_was_served_in_the_overload_has_it_tried_again_once(
    later: float, rates: list[float]
) -> None:
    made = Made(lambda rate, now: 0.0 if rate < (350 if now < 45 else later) else 0.5)
    answered = made.observe

    def observe(rate: float, hold_s: float, lead_s: float, seed: int) -> Observation:
        served = min(rate, 350.0 if made.clock < 45 else later)
        return replace(answered(rate, hold_s, lead_s, seed), completed_rate=min(served, 350.0))

    made.observe = observe  # type: ignore[method-assign]
    found = find_capacity(made, Search(start=300.0))
    steps = [(step.rate, step.purpose) for step in found.steps]
    assert [rate for rate, _ in steps[:5]] == [300.0, 600.0, 327.0, 356.0, 462.0]
    assert [rate for rate, _ in steps[5:7]] == rates
    assert steps.count((600.0, "recheck")) == 1


def test_a_rate_that_shows_to_be_at_the_capacity_is_bracketed_from_beside_it() -> None:
    def share(rate: float, now: float) -> float:
        return 0.0 if rate < 390 else 0.05 if rate < 410 else 0.5

    found, made = _find(share)
    assert (found.low, found.high) == (380.0, 417.0)
    assert {rate for rate, _, _ in made.asked} == {100.0, 200.0, 383.0, 400.0, 417.0}


def test_a_rate_left_open_far_below_the_limit_is_taken_as_held_until_it_is_confirmed() -> None:
    made = Made(_below(700), failing=2)
    found = find_capacity(made, Search(start=400.0))
    assert [(step.rate, step.outcome) for step in found.steps][:2] == [
        (400.0, "unknown"), (800.0, "missed"),
    ]  # fmt: skip
    assert found.answered
    assert found.low is not None
    assert found.low > 600


@pytest.mark.parametrize(("rate", "runs"), [(520.0, 1), (550.0, 2)])
def test_a_share_near_its_limit_shows_in_one_run_that_the_rate_is_at_the_capacity(
    rate: float, runs: int
) -> None:
    """Four failures of 5,200 are 0.77 of the limit, of 5,500 they are 0.73."""
    found = find_capacity(Made(_below(700), failing=4), Search(start=rate))
    assert sum(step.rate == rate and step.purpose == "search" for step in found.steps) == runs


@pytest.mark.parametrize(("start", "purpose"), [(250.0, "confirm"), (230.0, "search")])
def test_a_rate_too_near_to_what_was_served_is_tried_shortly_first(
    start: float, purpose: str
) -> None:
    """30/s below what is served 5 % wait for 100 ms: more of 460/s than of 500/s."""
    found, _ = _find(_below(1.95 * start), start=start)
    assert found.steps[2].rate == pytest.approx(2 * start / 1.1, rel=0.015)
    assert found.steps[2].purpose == purpose
