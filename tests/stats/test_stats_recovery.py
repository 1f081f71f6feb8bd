"""Recovery from per-second series."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.errors import DataError
from harness.stats.interval import Floats
from harness.stats.recovery import log_rank, recovery

INJECT, BEGIN = 60, 62


def outage(
    random: np.random.Generator, length: int, dip: int | None = None, total: int = 180
) -> tuple[Floats, dict[str, Floats]]:
    """Latency, errors and throughput with an outage of `length` s and a false dip of 3 s in it."""
    t = np.arange(total, dtype=float)
    down = (t >= BEGIN) & (t < BEGIN + length)
    if dip is not None:
        down &= ~((t >= BEGIN + dip) & (t < BEGIN + dip + 3))
    latency = np.where(down, 0.5, 0.1) * np.exp(0.05 * random.standard_normal(total))
    errors = np.where(down, random.poisson(30, total), 0).astype(float)
    throughput = np.where(down, 60, 100) + 3 * random.standard_normal(total)
    return t, {"latency": latency, "errors": errors, "throughput": throughput}


def test_a_false_dip_is_not_called_a_recovery() -> None:
    random = np.random.default_rng(1)
    gaps = []
    for _ in range(400):
        length = int(random.integers(12, 60))
        dip = int(random.integers(1, length - 3))
        t, series = outage(random, length, dip)
        found = recovery(t, series, INJECT)
        assert found.recovery is not None
        gaps.append(found.recovery - (BEGIN - INJECT + length))
    late = np.array(gaps)
    assert (late < -1).mean() <= 0.005
    assert np.median(np.abs(late)) <= 1


def test_impact_detection_and_recovery_are_told_from_the_injection() -> None:
    t, series = outage(np.random.default_rng(2), 20)
    found = recovery(t, series, INJECT, heal=75)
    assert found.impact == 2
    assert found.detection == 5
    assert found.recovery == 22
    assert (found.low, found.high, found.censored) == (21, 22, False)
    assert found.after_heal == 7
    assert found.reason == "9 of 10 seconds in band"
    assert recovery(t, series, INJECT, heal=INJECT).after_heal == 22


def test_a_recovery_that_never_came_is_censored() -> None:
    t, series = outage(np.random.default_rng(3), 1000)
    found = recovery(t, series, INJECT)
    assert (found.recovery, found.high, found.censored) == (None, None, True)
    assert found.low == 120


def test_every_metric_must_be_back() -> None:
    t, series = outage(np.random.default_rng(4), 20)
    series["latency"][BEGIN + 20 : BEGIN + 50] = 0.4
    found = recovery(t, series, INJECT)
    assert found.recovery == pytest.approx(52, abs=1)


def test_unknown_and_missing_seconds_are_not_recovered() -> None:
    t, series = outage(np.random.default_rng(5), 20)
    series["latency"][BEGIN + 20 : BEGIN + 30] = math.nan
    keep = (t < BEGIN + 30) | (t >= BEGIN + 35)
    found = recovery(t[keep], {k: v[keep] for k, v in series.items()}, INJECT)
    assert found.recovery == pytest.approx(37, abs=1)


def test_a_fault_without_effect_has_no_recovery() -> None:
    t, series = outage(np.random.default_rng(6), 0)
    found = recovery(t, series, INJECT)
    assert (found.impact, found.recovery, found.censored) == (None, None, False)


def test_a_second_outage_is_a_relapse() -> None:
    t, series = outage(np.random.default_rng(7), 20)
    series["latency"][130:140] = 1.0
    assert recovery(t, series, INJECT).relapse == pytest.approx(70, abs=3)


def test_series_that_cannot_be_judged_are_one_clear_line() -> None:
    t, series = outage(np.random.default_rng(8), 20)
    for times, columns, inject in (
        (t, series, 5.0),
        (t, series, 500.0),
        (t, {"speed": t}, 60.0),
        (t, {}, 60.0),
        (np.zeros(180), series, 60.0),
        (t * 1e9, series, 60.0),
    ):
        with pytest.raises(DataError):
            recovery(times, columns, inject)
    with pytest.raises(DataError):
        recovery(t, series, 60.0, heal=50.0)


def test_log_rank_tells_slow_recoveries_from_fast_ones() -> None:
    random = np.random.default_rng(9)
    fast, slow = random.exponential(10, 30), random.exponential(40, 30)
    cut = slow > 60
    none = [False] * 30
    found = log_rank(fast, none, np.minimum(slow, 60), [bool(c) for c in cut])
    assert found.p_value < 0.01
    assert found.ratio is not None
    assert found.ratio < 1
    # Freireich's leukaemia trial (Cox 1972): chi-square 16.8.
    six_mp = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
    out = [0, 0, 0, 1, 0, 1, 0, 1, 1, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1]
    placebo = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
    trial = log_rank(placebo, [False] * 21, six_mp, [bool(c) for c in out])
    assert trial.statistic == pytest.approx(16.79, abs=0.01)


def sound(random: np.random.Generator, seconds: int, failing: float) -> dict[str, Floats]:
    """Two hundred Poisson requests a second, each failing with the chance `failing`."""
    offered = random.poisson(200, seconds).astype(float)
    errors = random.binomial(offered.astype(int), failing).astype(float)
    latency = 0.01 * np.exp(0.07 * random.standard_normal(seconds))
    return {
        "latency": latency, "errors": errors, "throughput": offered - errors, "offered": offered,
    }  # fmt: skip


def test_where_nothing_was_broken_at_most_one_stretch_in_a_hundred_shows_an_impact() -> None:
    random = np.random.default_rng(10)
    impacts = 0
    for _ in range(400):
        made = sound(random, 240, 0.001)
        due = made.pop("offered")
        found = recovery(np.arange(240.0), made, 60, offered=due, errors_allowed=0.001)
        impacts += found.impact is not None
    assert impacts <= 8


def test_poisson_throughput_without_its_offered_requests_is_no_impact_either() -> None:
    random = np.random.default_rng(11)
    series = [{"throughput": random.poisson(200, 240).astype(float)} for _ in range(300)]
    impacts = sum(recovery(np.arange(240.0), one, 60).impact is not None for one in series)
    assert impacts <= 6


def test_errors_that_the_objective_allows_are_no_impact_and_more_are() -> None:
    made = sound(np.random.default_rng(12), 120, 0.0)
    due = made.pop("offered")
    made["errors"][80] = 1
    t = np.arange(120.0)
    assert recovery(t, made, 60, offered=due, errors_allowed=0.001).impact is None
    made["errors"][80:83] = 20
    assert recovery(t, made, 60, offered=due, errors_allowed=0.001).impact == 20


def test_a_censored_recovery_came_no_sooner_than_the_last_bad_second_ended() -> None:
    t = np.arange(88.0)
    latency = 0.1 + 0.001 * (t % 5)
    latency[60:80] = 1.0
    found = recovery(t, {"latency": latency}, 60)
    assert (found.censored, found.low) == (True, 20)
    assert found.reason == "the series ended before 9 of 10 seconds were in band"


def steady(seconds: int = 90) -> tuple[Floats, Floats]:
    """Seconds, and latencies that vary by 4 %."""
    t = np.asarray(np.arange(seconds), dtype=np.float64)
    return t, np.asarray(0.1 + 0.001 * (t % 5), dtype=np.float64)


def test_one_bad_second_alone_is_an_impact_only_where_it_is_clear() -> None:
    for value, impact in ((0.115, None), (0.13, 2)):
        t, latency = steady()
        latency[62] = value
        assert recovery(t, {"latency": latency}, 60).impact == impact
    latency[62:64] = 0.115
    assert recovery(t, {"latency": latency}, 60).impact == 2


@pytest.mark.parametrize(("at", "impact"), [(62, 2), (63, None), (80, None)])
def test_one_slow_second_alone_is_the_faults_only_within_three_of_the_injection(
    at: int, impact: float | None
) -> None:
    t, latency = steady()
    latency[at] = 5.0
    assert recovery(t, {"latency": latency}, 60, 75).impact == impact
    latency[at] = np.nan
    assert recovery(t, {"latency": latency}, 60, 75).impact == at - 60, "nothing was answered"


def test_one_second_of_errors_is_an_impact_whenever_it_comes() -> None:
    t, latency = steady()
    errors = np.where(t == 75, 50, 0)
    series = {"latency": latency, "errors": errors}
    found = recovery(t, series, 60, offered=np.full(90, 200))
    assert (found.impact, found.recovery) == (15, 16)


@pytest.mark.parametrize(("at", "back"), [(67, 8), (68, 5)])
def test_a_slow_second_is_the_outage_again_only_within_three_of_its_end(at: int, back: int) -> None:
    t, latency = steady()
    latency[60:65] = 0.5
    latency[at] = 0.5
    assert recovery(t, {"latency": latency}, 60).recovery == back


def test_the_band_of_a_short_noisy_before_is_what_it_predicts() -> None:
    random = np.random.default_rng(13)
    impacts = 0
    for _ in range(300):
        latency = np.exp(0.2 * random.standard_normal(60))
        impacts += recovery(np.arange(60.0), {"latency": latency}, 11).impact is not None
    assert impacts <= 6


def test_an_allowed_ratio_needs_the_requests_it_is_a_ratio_of() -> None:
    made = sound(np.random.default_rng(14), 90, 0.0)
    due = made.pop("offered")
    with pytest.raises(DataError, match="errors_allowed"):
        recovery(np.arange(90.0), made, 60, errors_allowed=0.001)
    with pytest.raises(DataError, match="errors_allowed"):
        recovery(np.arange(90.0), made, 60, offered=due, errors_allowed=1.5)


def test_lone_failed_requests_are_no_impact_and_seconds_of_nothing_but_errors_are() -> None:
    t = np.arange(120.0)
    errors = np.zeros(120)
    errors[[80, 82, 100]] = 1
    assert recovery(t, {"errors": errors}, 60).impact is None
    errors[90:95] = 1
    assert recovery(t, {"errors": errors}, 60).impact is not None


def test_two_bad_seconds_of_ten_are_no_recovery_yet() -> None:
    t = np.arange(120.0)
    latency = 0.1 + 0.001 * (t % 5)
    latency[60:80] = 1.0
    latency[[84, 88]] = 0.3
    assert recovery(t, {"latency": latency}, 60).recovery == 25
    latency[[82, 84]] = 0.3, 0.1
    latency[88] = 0.1
    found = recovery(t, {"latency": latency}, 60)
    assert (found.recovery, found.low, found.high) == (20, 19, 23)
