"""What a step shows: patterns over its seconds, and when it is lost for certain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.capacity.evidence import (
    Limit,
    Observation,
    expected_capacity,
    falls_behind,
    judge_observations,
    lost_for_certain,
    refused_blocks,
    served_rate,
    stalls,
    warm_after,
)
from harness.capacity.model import Finding, Share, Step
from harness.capacity.naming import FLIPPED, name_patterns, refuses
from harness.capacity.search import fit_law
from harness.capacity.speed import may_drift, may_wander, wander

LIMITS = (Limit("p95", 0.05, 0.1), Limit("errors", 0.001, None))
OFFERED = 500


def _seen(
    shares: Sequence[float],
    refused: Sequence[float] = (),
    rate: float = 500.0,
    medians: Sequence[float] = (),
    pending: Sequence[int] = (),
    completed_rate: float | None = None,
) -> Observation:
    slow = np.round(np.array(shares) * OFFERED).astype(np.int64)
    lost = np.round(np.array(refused or [0.0] * len(slow)) * OFFERED).astype(np.int64)
    return Observation(
        run="run", rate=rate, allowed=(0.05, 0.001), offered=np.full(len(slow), OFFERED),
        asked=np.full((2, len(slow)), OFFERED),
        bad=np.array([np.maximum(slow, lost), lost]), lost=lost, refused=lost,
        medians=np.array(medians or [0.01] * len(slow)),
        pending=np.array(pending or [10] * len(slow)),
        completed_rate=rate if completed_rate is None else completed_rate, p95=0.05,
        concurrency=5.0, waited=False, cpu=None,
    )  # fmt: skip


def _step(**fields: Any) -> Step:
    usual: dict[str, Any] = {
        "run": "run", "rate": 500.0, "hold_s": 10.0, "purpose": "search", "outcome": "held",
        "reason": "", "shares": (), "completed_rate": 500.0, "p95": 0.05, "error_ratio": 0.0,
        "concurrency": 5.0, "waited": False, "cpu": None, "ended_early": False,
    }  # fmt: skip
    return Step(**(usual | fields))


@pytest.mark.parametrize(
    ("shares", "seconds"),
    [
        ([1, 1, 1, 0, 0, 0, 0, 0, 0, 0], 3),
        ([1] * 7 + [0] * 3, 7),
        ([1] * 8 + [0] * 2, None),
        ([0, 1, 1, 0, 0, 0, 0, 0, 0, 0], None),
        ([1, 1, 0, 0, 0, 1, 0, 0, 0, 0], None),
        ([0] * 10, None),
    ],
)
def test_only_a_bad_begin_before_a_clean_rest_is_a_warm_up(
    shares: list[float], seconds: int | None
) -> None:
    assert warm_after(_seen(shares)) == seconds


def test_a_warm_up_is_neither_held_nor_missed() -> None:
    assert judge_observations(LIMITS, [_seen([1] * 4 + [0] * 6)]).outcome == "warming"
    assert judge_observations(LIMITS, [_seen([0] * 6 + [1] * 4)]).outcome == "missed"


def test_short_runs_of_bad_seconds_are_stalls_and_a_state_is_none() -> None:
    assert stalls(_seen([0, 1, 0, 0, 0, 1, 1, 0, 0, 0])) == 2
    assert stalls(_seen([0, 0, 0, 1, 1, 1, 1, 1, 1, 1])) == 0


@pytest.mark.parametrize(("worst", "stopped"), [(0.52, 1), (0.48, 0)])
def test_a_stall_has_a_second_that_is_half_bad(worst: float, stopped: int) -> None:
    assert stalls(_seen([0, 0, 0.3, worst, 0, 0, 0, 0, 0, 0])) == stopped


def test_refusals_of_everything_after_an_answer_are_a_block() -> None:
    assert refused_blocks(_seen([0] * 6, [0, 0, 0, 1, 1, 0])) == 1
    assert refused_blocks(_seen([0] * 6, [0.5] * 6)) == 0


def test_refusals_that_begin_late_and_last_are_something_used_up() -> None:
    step = _step(outcome="missed")
    assert refuses([(step, _seen([0] * 8, [0] * 4 + [0.1] * 4))])
    assert not refuses([(step, _seen([0] * 8, [0.1] * 8))])


def test_a_few_failures_late_in_a_step_are_chance_and_nothing_used_up() -> None:
    step = _step(outcome="held")
    assert not refuses([(step, _seen([0] * 10, [0] * 7 + [0.002] * 3))])


@pytest.mark.parametrize(("bad", "lost"), [(7, True), (6, False), (3, False)])
def test_a_step_is_ended_early_only_after_most_of_its_hold(bad: int, *, lost: bool) -> None:
    seen = _seen([1.0] * bad)
    assert lost_for_certain(LIMITS, seen.bad, seen.offered, 10.0) is lost


def test_a_step_whose_last_seconds_are_good_goes_on() -> None:
    seen = _seen([1.0] * 5 + [0.0] * 2)
    assert not lost_for_certain(LIMITS, seen.bad, seen.offered, 10.0)


@pytest.mark.parametrize(("completed", "served"), [(600.0, 600.0), (860.0, 860.0), (880.0, None)])
def test_what_is_answered_in_an_overload_is_how_fast_the_service_is(
    completed: float, served: float | None
) -> None:
    assert served_rate(_seen([1.0] * 8, rate=900.0, completed_rate=completed)) == served


@pytest.mark.parametrize(("workers", "truth"), [(4, 367.0), (10, 966.0), (60, 5_966.0)])
def test_an_overload_shows_the_capacity_of_a_queue(workers: int, truth: float) -> None:
    """Workers of 10 ms each; the truths are simulated."""
    assert expected_capacity(LIMITS, 100.0 * workers) == pytest.approx(truth, rel=0.012)


def test_where_no_queue_could_wait_for_long_enough_most_of_what_is_served_is_expected() -> None:
    assert expected_capacity(LIMITS, 100.0) == pytest.approx(80.0)
    assert expected_capacity([replace(LIMITS[0], endpoints=("GET x",))], 100.0) == 100.0


def test_bad_requests_of_a_rarely_asked_endpoint_make_no_stall_by_chance() -> None:
    seen = replace(
        _seen([0] * 10), asked=np.full((2, 10), 3), bad=np.array([[0, 2, 0, 0, 0] * 2, [0] * 10])
    )
    assert stalls(seen) == 0
    assert stalls(replace(seen, asked=10 * seen.asked, bad=10 * seen.bad)) == 2


@pytest.mark.parametrize(
    ("pending", "behind"),
    [
        ([20 + 8 * second for second in range(10)], (20, 92)),
        ([20 + 5 * second for second in range(10)], None),
        ([20, 90] * 5, None),
        ([50] * 10, None),
    ],
)
def test_requests_that_pile_up_by_as_many_as_the_objective_allows_fall_behind(
    pending: list[int], behind: tuple[int, int] | None
) -> None:
    seen = _seen([0.03] * 10, pending=pending)
    assert falls_behind(LIMITS, seen) == behind
    found = judge_observations(LIMITS, [seen])
    assert (found.outcome == "missed") is (behind is not None)
    some = [replace(limit, endpoints=("GET x",)) for limit in LIMITS]
    assert falls_behind(some, seen) is None


def test_a_backlog_behind_shares_within_their_limits_is_named() -> None:
    share = Share("p95", 0.03, 0.02, 0.04, 0.05)
    for shares, kinds in (((share,), {"backlog"}), ((replace(share, share=0.06),), set())):
        findings: dict[str, Finding] = {}
        step = _step(outcome="missed", shares=shares)
        name_patterns(findings, [(step, _seen([0.03] * 10))], 400.0, [])
        assert set(findings) == kinds


@pytest.mark.parametrize(
    ("rate", "served", "named"),
    [(900.0, 893.0, True), (900.0, 885.0, False), (1_000.0, 993.0, True), (899.0, 899.0, False)],
)
def test_a_larger_share_of_as_much_or_more_answered_at_another_time_is_named(
    rate: float, served: float, *, named: bool
) -> None:
    """840 of 900 were; by chance a share of 9,000 moves by 6 %, of four standard errors."""
    worse = _step(rate=900.0, outcome="missed", completed_rate=840.0)
    better = _step(rate=rate, completed_rate=served)
    for seen in ([worse, better], [better, worse]):
        findings: dict[str, Finding] = {}
        name_patterns(findings, [(step, _seen([0] * 10)) for step in seen], 890.0, [])
        assert ("unsteady" in findings) is named


def test_a_share_that_moves_by_less_than_a_twentieth_is_no_other_service() -> None:
    steps = [_step(rate=90_000.0, completed_rate=served) for served in (85_000.0, 88_500.0)]
    findings: dict[str, Finding] = {}
    name_patterns(findings, [(step, _seen([0] * 10)) for step in steps], 80_000.0, [])
    assert not findings


@pytest.mark.parametrize(
    ("times", "named"), [(1.045, True), (1.035, False), (0.955, True), (0.965, False)]
)
def test_a_calm_rate_that_is_slower_or_faster_at_the_end_than_at_the_beginning_is_named(
    times: float, *, named: bool
) -> None:
    begin = [0.0100, 0.0101] * 5
    first = (_step(), _seen([0] * 10, medians=begin))
    last = (_step(purpose="calm"), _seen([0] * 10, medians=[times * x for x in begin]))
    findings: dict[str, Finding] = {}
    name_patterns(findings, [first, last], 1_000.0, [])
    assert ("unsteady" in findings) is named


@pytest.mark.parametrize(("times", "named"), [(1.1, True), (0.9, False)])
def test_a_service_that_has_scaled_may_be_faster_at_the_end(times: float, *, named: bool) -> None:
    begin = [0.0100, 0.0101] * 5
    first = (_step(), _seen([0] * 10, medians=begin))
    last = (_step(purpose="calm"), _seen([0] * 10, medians=[times * x for x in begin]))
    findings = {"scaling": Finding("scaling", "", decisive=False)}
    name_patterns(findings, [first, last], 1_000.0, [], settled=1)
    assert ("unsteady" in findings) is named


@pytest.mark.parametrize(("times", "longer"), [(1.04, True), (0.96, True), (1.02, False)])
def test_a_calm_level_that_is_another_than_at_the_beginning_is_looked_at_longer(
    times: float, *, longer: bool
) -> None:
    begin = [0.0100, 0.0101] * 5
    first = (_step(), _seen([0] * 10, medians=begin))
    last = (_step(purpose="calm"), _seen([0] * 10, medians=[times * x for x in begin]))
    assert may_drift([first, last]) is longer
    assert not may_drift([first])


@pytest.mark.parametrize(("errors", "longer"), [(1.9, False), (2.1, True)])
def test_a_level_two_standard_errors_off_is_looked_at_longer(
    errors: float, *, longer: bool
) -> None:
    begin = np.exp([0.05, -0.05] * 5) / 100
    error = 0.05 * math.sqrt(2 / 9)  # of the difference of two means of ten seconds
    first = (_step(), _seen([0] * 10, medians=list(begin)))
    end = list(begin * math.exp(errors * error))
    last = (_step(purpose="calm"), _seen([0] * 10, medians=end))
    assert may_drift([first, last]) is longer


@pytest.mark.parametrize(("part", "moves"), [(0.79, True), (0.81, False)])
def test_runs_are_compared_with_each_other_only_where_no_queue_moves_them(
    part: float, *, moves: bool
) -> None:
    calm = [(_step(rate=100.0), _seen([0] * 10, rate=100.0, medians=[0.0050, 0.0051] * 5))] * 2
    near = [
        (_step(), _seen([0] * 10, medians=[level * x for x in [0.0100, 0.0101] * 5]))
        for level in (1.0, 1.1, 1.0, 1.1)
    ]
    assert (wander([*calm, *near], 500.0 / part) > 0) is moves


@pytest.mark.parametrize(("missed", "named"), [(850.0, True), (900.0, False)])
def test_a_rate_missed_far_below_one_that_had_held_is_a_capacity_that_falls(
    missed: float, *, named: bool
) -> None:
    findings: dict[str, Finding] = {}
    seen = [
        (_step(rate=1_000.0), _seen([0] * 10)),
        (_step(rate=missed, outcome="missed"), _seen([1.0] * 10)),
    ]
    name_patterns(findings, seen, 800.0, [])
    assert ("unsteady" in findings) is named


@pytest.mark.parametrize(("seconds", "lost"), [(10, True), (9, False)])
def test_a_long_hold_ends_early_only_after_ten_seconds(seconds: int, *, lost: bool) -> None:
    seen = _seen([1.0] * seconds)
    assert lost_for_certain(LIMITS, seen.bad, seen.offered, 40.0) is lost


@pytest.mark.parametrize(
    ("shares", "lost"),
    [
        ([0.08] * 10, True),
        ([0.08] * 9, False),
        ([0.055] * 10, False),
        ([0.0] * 7 + [0.3] * 3, False),
        ([0.0] * 10 + [0.08] * 2, False),
    ],
    ids=["ten seconds", "nine", "open", "stalls", "later"],
)
def test_a_long_hold_that_its_first_quarter_misses_is_lost(
    shares: list[float], *, lost: bool
) -> None:
    seen = _seen(shares)
    assert lost_for_certain(LIMITS, seen.bad, seen.offered, 40.0) is lost


def test_a_short_hold_is_judged_at_its_end_only() -> None:
    seen = _seen([0.08] * 9)
    assert not lost_for_certain(LIMITS, seen.bad, seen.offered, 10.0)


def test_repeats_are_judged_together() -> None:
    seen = _seen([0.044] * 10)
    alone = judge_observations(LIMITS, [seen])
    together = judge_observations(LIMITS, [seen] * 4)
    assert (alone.outcome, together.outcome) == ("unknown", "held")


def test_a_speed_that_moves_is_seen_far_below_the_capacity_only() -> None:
    moving = [0.010 * (1.2 if second // 5 % 2 else 0.8) for second in range(40)]
    calm = [(_step(), _seen([0] * 40, medians=moving))]
    assert wander(calm, 1_000.0) > 0.08
    assert wander(calm, 550.0) == 0.0
    steady = [(_step(), _seen([0] * 20, medians=[0.010, 0.0101] * 10))]
    assert wander(steady, 1_000.0) == 0.0
    assert may_wander(calm, 1_000.0)
    assert not may_wander(steady, 1_000.0)


@pytest.mark.parametrize(
    ("medians", "rate", "named"),
    [
        ([0.01] * 5 + [1.5, 0.6, 0.2, 0.01, 0.01], 900.0, True),
        ([0.01] * 5 + [0.2, 0.4, 0.6, 0.4, 0.2], 900.0, False),
        ([0.01] * 5 + [1.5, 2.5, 3.5, 4.5, 5.5], 2_000.0, False),
    ],
)
def test_a_latency_that_rises_faster_than_a_queue_near_the_capacity_is_a_stall(
    medians: list[float], rate: float, *, named: bool
) -> None:
    findings: dict[str, Finding] = {}
    seen = _seen([0] * 10, rate=rate, medians=medians)
    name_patterns(findings, [(_step(rate=rate), seen)], 1_000.0, [])
    assert ("stalls" in findings) is named


@pytest.mark.parametrize(
    ("runs", "longer"), [([3] * 7 + [2] * 10, True), ([3] * 5 + [2] * 13, False)]
)
def test_neighbouring_seconds_alike_by_a_standard_error_make_the_search_look_longer(
    runs: list[int], *, longer: bool
) -> None:
    """Of 40 pairs 8 more are alike than not, 1.2 standard errors, or 6."""
    signs = [1 + 0.05 * (-1) ** k for k, length in enumerate(runs) for _ in range(length)]
    seen = [(_step(), _seen([0] * len(signs), medians=[0.01 * sign for sign in signs]))]
    assert may_wander(seen, 1_000.0) is longer


def test_one_overturned_outcome_is_chance_and_two_are_unsteady() -> None:
    one, flipped = (900.0, "x"), (990.0, FLIPPED)
    for overturned, kinds in (([one, flipped], set()), ([one] * 2, {"unsteady"})):
        findings: dict[str, Finding] = {}
        name_patterns(findings, [(_step(), _seen([0] * 10))], 1_000.0, overturned)
        assert set(findings) == kinds


def test_the_law_takes_no_step_in_overload_or_behind_a_pool() -> None:
    missed = [_step(outcome="missed", concurrency=float(n)) for n in range(1, 9)]
    waited = [_step(waited=True, concurrency=float(n)) for n in range(1, 9)]
    law, reason = fit_law([*missed, *waited])
    assert law is None
    assert reason is not None
    assert "no step held" in reason


def test_a_law_that_is_not_fitted_says_why() -> None:
    law, reason = fit_law([_step(concurrency=5.0), _step(concurrency=6.0)])
    assert law is None
    assert reason is not None
    assert "different loads" in reason
