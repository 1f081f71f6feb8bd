"""Shares of bad requests: what is clear is decided, a stall is an event, doubt has its price."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.errors import DataError
from harness.stats import shares
from harness.stats.shares import (
    Counts,
    ShareFinding,
    clean_requests,
    design_effect,
    judge_share,
    share_bounds,
)


def _judge(bad: list[int] | Counts, total: int | list[int], limit: float = 0.05) -> ShareFinding:
    counts = np.asarray(bad, np.int64)
    offered = np.full(len(counts), total) if isinstance(total, int) else np.asarray(total, np.int64)
    found = judge_share(counts, offered, limit)
    assert found is not None
    return found


def test_a_share_clearly_below_the_limit_passes_and_one_clearly_above_fails() -> None:
    assert _judge([20] * 30, 1000).outcome == "pass"
    assert _judge([80] * 30, 1000).outcome == "fail"
    assert _judge([50] * 30, 1000).outcome == "inconclusive"


def test_nothing_gives_no_finding_and_impossible_counts_are_refused() -> None:
    none = np.zeros(0, np.int64)
    assert judge_share(none, none, 0.05) is None
    with pytest.raises(DataError, match="do not fit"):
        judge_share(np.array([2]), np.array([1]), 0.05)
    with pytest.raises(DataError, match="limit"):
        judge_share(np.array([0]), np.array([1]), 0.0)


@pytest.mark.parametrize(("limit", "needed"), [(0.05, 72), (0.001, 3688), (0.5, 6)])
def test_a_limit_takes_so_many_clean_requests(limit: float, needed: int) -> None:
    """The upper Clopper-Pearson bound of 0 of n is 1 - 0.025^(1/n)."""
    assert clean_requests(limit) == needed
    assert 1 - 0.025 ** (1 / needed) < limit <= 1 - 0.025 ** (1 / (needed - 1))
    assert _judge([0, 0], [needed - needed // 2, needed // 2], limit).outcome == "pass"
    assert _judge([0, 0], [needed - needed // 2, needed // 2 - 1], limit).outcome is None


def test_too_few_requests_still_fail_what_is_certain() -> None:
    assert _judge([5] * 10, 10).outcome == "fail"


def test_the_interval_is_the_exact_one_where_the_seconds_scatter_as_chance_does() -> None:
    # Clopper & Pearson 1934, 5 of 100
    assert share_bounds(5, 100, 1.0) == pytest.approx((0.01643, 0.11284), abs=1e-5)
    low, high = share_bounds(0, 20, 1.0)
    assert (low, high) == pytest.approx((0.0, 1 - 0.025 ** (1 / 20)))


def test_clusters_widen_the_interval_by_their_design_effect() -> None:
    even, uneven = np.full(40, 10), np.tile([0, 20], 20)
    total = np.full(40, 1000)
    assert design_effect(even, total) == 1.0
    # residuals of ±10: the variance of the share is 40 * 100, a binomial one 400 * 0.99
    t = 2.0227 / 1.95996  # Student's t of 39 degrees of freedom over the normal quantile
    expected = 4000 * 40 / 39 / (400 * 0.99) * t**2
    assert design_effect(uneven, total) == pytest.approx(expected, rel=1e-3)


def test_a_level_that_wanders_for_longer_than_a_second_is_seen_by_longer_batches() -> None:
    total = np.full(40, 1000)
    slow = np.repeat([0, 20, 0, 20, 0, 20, 0, 20], 5)
    assert design_effect(slow, total) > 4 * design_effect(np.tile([0, 20], 20), total)


def test_fewer_than_five_batches_say_nothing() -> None:
    """Nine seconds make nine batches of one second, and four of two that are not looked at."""
    bad, total = np.array([0] * 4 + [20] * 5), np.full(9, 1000)
    p = 100 / 9000
    variance = float(((bad - p * total) ** 2).sum()) * 9 / 8
    t = 2.3060 / 1.95996  # Student's t of 8 degrees of freedom over the normal quantile
    assert design_effect(bad, total) == pytest.approx(variance / (9000 * p * (1 - p)) * t**2, 1e-3)


def test_a_sustained_miss_fails_whatever_the_variance_says() -> None:
    found = _judge([0] * 20 + [1000] * 10, 1000)
    assert (found.outcome, found.why) == ("fail", "sustained")
    assert [(s.begin, s.end, s.bad) for s in found.stalls] == [(20, 30, 10_000)]


@pytest.mark.parametrize(
    ("length", "seconds", "why"),
    [(3, 20, "sustained"), (2, 10, "stalls"), (14, 100, "stalls"), (15, 100, "sustained")],
)
def test_a_stretch_of_three_seconds_and_15_percent_of_the_run_is_sustained(
    length: int, seconds: int, why: str
) -> None:
    assert _judge([0] * (seconds - length) + [1000] * length, 1000).why == why


def test_one_stall_passes_only_where_one_more_like_it_would_be_allowed() -> None:
    long = _judge([0] * 30 + [1000] + [0] * 29, 1000)
    short = _judge([0] * 15 + [1000] + [0] * 14, 1000)
    assert (long.outcome, long.why) == ("pass", "stalls")
    assert (short.outcome, short.why) == ("inconclusive", "stalls")


def test_three_stalls_that_miss_the_limit_are_a_pattern_and_two_are_doubt() -> None:
    every_tenth = np.zeros(30, np.int64)
    every_tenth[4::10] = 1000
    assert _judge(every_tenth, 1000).outcome == "fail"
    assert _judge(every_tenth[:20], 1000).outcome == "inconclusive"


def test_a_stall_so_large_that_even_its_least_likely_rate_misses_the_limit_fails() -> None:
    """One event is at least 0.0253 events (Garwood 1936): 2 of 30 s are 0.17 % of errors."""
    two, one = [0] * 14 + [1000, 1000] + [0] * 14, [0] * 14 + [1000] + [0] * 15
    assert _judge(two, 1000, 0.001).outcome == "fail"
    assert _judge(one, 1000, 0.001).outcome == "inconclusive"


def test_a_second_with_few_requests_is_no_stall_by_chance() -> None:
    random = np.random.default_rng(5)
    bad = random.binomial(4, 0.02, 300)
    found = _judge(bad, 4)
    assert found.stalls == ()
    assert found.outcome == "pass"


def test_a_dead_third_fails_at_one_request_a_second() -> None:
    assert _judge([0] * 40 + [1] * 20, 1).outcome == "fail"


@pytest.mark.parametrize(("share", "limit"), [(0.03, 0.05), (0.0007, 0.001), (0.07, 0.05)])
def test_the_time_that_would_settle_a_doubt_does_in_eight_of_ten_runs(
    share: float, limit: float
) -> None:
    random = np.random.default_rng(1)
    rate, seconds = 20 if limit > 0.01 else 1000, 20
    runs, settled = 300, 0
    even = np.diff(np.floor(np.arange(seconds + 1) * share * rate)).astype(np.int64)
    doubt = _judge(even, rate, limit)
    assert doubt.outcome in {"inconclusive", None}
    assert doubt.more_s is not None
    longer = math.ceil(seconds + doubt.more_s)
    for _ in range(runs):
        found = _judge(random.binomial(rate, share, longer), rate, limit)
        settled += found.outcome in {"pass", "fail"}
    assert 0.72 <= settled / runs <= 0.95


def test_the_time_that_would_settle_a_stall_does_without_another() -> None:
    doubt = _judge([0] * 15 + [1000] + [0] * 14, 1000)
    assert doubt.more_s is not None
    longer = [0] * 15 + [1000] + [0] * (14 + math.ceil(doubt.more_s))
    assert _judge(longer, 1000).outcome == "pass"
    assert _judge(longer[: -math.ceil(doubt.more_s * 0.2)], 1000).outcome == "inconclusive"


def test_a_time_of_days_is_not_suggested() -> None:
    assert _judge([50] * 30, 1000).more_s is None
    assert _judge([49] * 2 + [50] * 28, 1000).more_s is None


def test_a_median_may_have_half_its_requests_beyond_without_a_stall() -> None:
    assert _judge([450] * 30, 1000, 0.5).outcome == "pass"
    assert _judge([450] * 30, 1000, 0.5).stalls == ()


@pytest.mark.parametrize(
    ("truth", "outcome"), [(0.02, "pass"), (0.05, "inconclusive"), (0.09, "fail")]
)
def test_services_of_known_truth_get_their_word(truth: float, outcome: str) -> None:
    """A small table; the whole one is `python -m benchmarks.verdicts`."""
    random = np.random.default_rng(3)
    words = [_judge(random.binomial(1000, truth, 30), 1000).outcome for _ in range(200)]
    assert words.count(outcome) >= (190 if truth == 0.05 else 199)  # type: ignore[arg-type]


def test_the_thresholds_are_those_of_the_table() -> None:
    assert (shares.STALLED_SHARE, shares.SUSTAINED_S, shares.LEAST_STALLS) == (0.25, 3.0, 3)


@pytest.mark.parametrize(("limit", "stalls"), [(0.05, 0), (0.045, 1)])
def test_four_of_ten_are_a_stall_where_chance_makes_them_in_less_than_one_of_a_thousand(
    limit: float, stalls: int
) -> None:
    """P(4 or more of 10) is 1.03e-3 at 5 % and 6.9e-4 at 4.5 %."""
    assert len(_judge([0] * 30 + [4] + [0] * 30, 10, limit).stalls) == stalls


def test_seconds_are_joined_until_a_slot_holds_ten_requests() -> None:
    assert shares._slot_s(120, 60) == 5
    assert shares._slot_s(600, 60) == 1
    late = _judge([0] * 45 + [2] * 15, 2)
    assert [(stall.begin, stall.end) for stall in late.stalls] == [(45, 60)]


def test_a_long_stall_that_barely_misses_the_limit_is_no_sustained_miss() -> None:
    found = _judge([0] * 17 + [400] * 3, 1000)
    assert (found.outcome, found.why) == ("inconclusive", "stalls")


@pytest.mark.parametrize(("bad", "is_stalled"), [(25, False), (26, True)])
def test_a_second_is_stalled_beyond_a_quarter_of_its_requests(
    bad: int, *, is_stalled: bool
) -> None:
    counts = np.array([bad] + [0] * 29)
    assert bool(_judge(counts, 100).stalls) is is_stalled


def test_a_doubt_that_takes_more_than_twelve_hours_to_settle_has_no_price() -> None:
    assert shares._worth(12 * 3600.0) == 12 * 3600
    assert shares._worth(12 * 3600.0 + 1) is None


@pytest.mark.parametrize(("bad", "outcome"), [(20, "pass"), (80, "fail"), (50, "inconclusive")])
def test_the_share_that_is_shown_is_that_of_all_requests(bad: int, outcome: str) -> None:
    found = _judge([bad] * 30, 1000)
    assert (found.outcome, found.share) == (outcome, bad / 1000)
    few = _judge([1, *[0] * 99], 10, 0.0012)
    assert (few.outcome, few.share) == (None, 0.001)
