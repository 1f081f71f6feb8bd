"""The least loss after a recovery that can be seen: by one run, and by a game day together."""

from __future__ import annotations

import json

import pytest
from scipy import stats

from harness.catalog import load_catalog
from harness.judge.experiment.loss import (
    ERRORS_DOUBT,
    SEEN,
    AfterRecovery,
    together,
    what_it_shows,
)
from harness.report.gameday import reasons, summary
from harness.stats.errors import detectable_share, excess_p
from tests.gameday.scorecards import day, entry


@pytest.mark.parametrize("total", [50, 2_200, 28_000])
def test_the_least_share_that_shows_is_exact(total: int) -> None:
    """By the binomial itself: one failure fewer is no excess, and nine in ten show so many."""
    found = detectable_share(total, 0.001, ERRORS_DOUBT, SEEN)
    assert found is not None
    least = next(k for k in range(1, total) if excess_p(k, total, 0.001) < ERRORS_DOUBT)
    assert stats.binom.sf(least - 1, total, found) == pytest.approx(SEEN)


@pytest.mark.parametrize(("total", "allowed"), [(0, 0.001), (2, 0.5), (1, 1.0)])
def test_too_few_requests_show_no_loss_at_all(total: int, allowed: float) -> None:
    assert detectable_share(total, allowed, ERRORS_DOUBT, SEEN) is None


def test_a_plan_says_what_its_run_can_show_and_what_a_smaller_loss_would_take() -> None:
    service = load_catalog().service("memorai")
    short = what_it_shows(200, 14, service)
    assert "a loss of 0.42 % of the requests would be seen in 9 of 10 runs" in short
    assert "0.20 % takes" in short
    assert "--rate" in short
    assert "takes" not in what_it_shows(2000, 14, service)
    assert "no loss would be seen" in what_it_shows(200, 3, service)


FEW = AfterRecovery(2_200, 5, 0.001)


def test_what_one_run_cannot_see_a_game_day_can() -> None:
    assert FEW.outcome == "pass"
    found = day(*(entry(str(n), after=FEW) for n in range(15)))
    assert found.recoveries == AfterRecovery(33_000, 75, 0.001)
    assert (found.outcome, found.exit_code) == ("fail", 1)
    told = "After the recoveries 75 of 33,000 requests failed (0.23 %): 0.10 % is allowed."
    assert reasons(found)[0] == told
    assert summary(found).judged[-1].statement == told
    assert json.loads(json.dumps(found.as_dict()))["recoveries"]["lost"] == 75


def test_a_game_day_of_a_sound_service_says_what_it_could_have_shown() -> None:
    found = day(*(entry(str(n), after=AfterRecovery(2_200, 1, 0.001)) for n in range(15)))
    assert found.outcome == "pass"
    assert len(summary(found).judged) == 15
    assert summary(found).notes[1].startswith("After the recoveries 15 of 33,000 requests failed; ")


def test_recoveries_without_a_request_are_none() -> None:
    assert together([None, AfterRecovery(0, 0, 0.001)]) is None
    assert together([None, FEW]) == FEW
