"""The smaller parts: pairs, multiplicity, errors, burn rates, monitoring, capacity, shift."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.errors import DataError
from harness.stats.burn import budget, burn_rate
from harness.stats.capacity import fit_scalability, isotonic
from harness.stats.errors import binomial_bounds, compare_ratios
from harness.stats.multiplicity import alarm_level, holm
from harness.stats.pairs import abba_order, compare_pairs
from harness.stats.sequential import error_ratio_monitor
from harness.stats.shift import QUANTILES, shift_function


def test_pairs_alternate_so_that_drift_cancels() -> None:
    assert abba_order(3) == "ABBAAB"


def test_pairs_ignore_what_both_sides_share() -> None:
    random = np.random.default_rng(1)
    drift = np.linspace(1, 3, 8)
    a = drift * np.exp(0.01 * random.standard_normal(8))
    b = drift * np.exp(0.01 * random.standard_normal(8))
    same = compare_pairs(a, b)
    assert same.verdict in {"no-change", "trivial"}
    worse = compare_pairs(a, b * 1.1)
    assert worse.verdict == "regression"
    assert worse.shift == pytest.approx(0.1, abs=0.02)
    for pairs in ([1.0], [0.0, 1.0]):
        with pytest.raises(DataError, match="pair"):
            compare_pairs(pairs, [1.0] * len(pairs))


def test_holm_agrees_with_the_textbook() -> None:
    p = [0.01, 0.04, 0.03, 0.005]
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert len(holm([])) == 0
    assert holm([1.0]) == [1.0]
    with pytest.raises(DataError):
        holm([1.5])


def test_a_budget_of_false_alarms_gives_the_level() -> None:
    assert alarm_level(1, 400) == pytest.approx(0.0025)


def test_exact_bounds_agree_with_published_ones() -> None:
    found = binomial_bounds(0, 100)
    assert (found.low, found.high) == pytest.approx((0, 0.03622), abs=1e-5)
    found = binomial_bounds(10, 100)
    assert (found.low, found.high) == pytest.approx((0.0490, 0.1762), abs=1e-4)
    assert binomial_bounds(100, 100).high == 1
    with pytest.raises(DataError):
        binomial_bounds(5, 0)


def test_two_error_ratios_are_compared_exactly() -> None:
    found = compare_ratios(1, 1000, 15, 1000)
    assert found.p_worse < 0.001
    assert found.low > 0
    assert found.difference == pytest.approx(0.014)
    assert compare_ratios(1, 10, 9, 10).p_worse == pytest.approx(0.000547, abs=1e-5)


def test_burn_rates_follow_the_workbook() -> None:
    assert burn_rate(144, 10_000, 0.999) == pytest.approx(14.4)
    assert burn_rate(0, 0, 0.999) is None
    spent = budget(144, 10_000, 0.999, 3600)
    assert spent is not None
    assert spent.spent == pytest.approx(0.02)


def test_looking_every_second_does_not_raise_false_aborts() -> None:
    random = np.random.default_rng(3)
    failed = random.binomial(100, 0.01, (500, 300))
    alarms = [error_ratio_monitor(row, np.full(300, 100), 0.01, 0.05).raised for row in failed]
    assert np.mean(alarms) <= 0.05
    broken = error_ratio_monitor(random.binomial(100, 0.1, 60), np.full(60, 100), 0.01)
    assert broken.at is not None
    assert broken.at <= 2


def test_isotonic_regression_pools_violators() -> None:
    x = np.array([1.0, 2, 3, 4])
    assert isotonic(x, np.array([1.0, 3, 2, 4])) == pytest.approx([1, 2.5, 2.5, 4])


def test_the_scalability_law_is_found_again_and_refused_when_the_steps_do_not_allow() -> None:
    n = np.array([1, 2, 4, 8, 16, 32, 64], dtype=float)
    x = 1000 * n / (1 + 0.05 * (n - 1) + 0.0005 * n * (n - 1))
    law = fit_scalability(n, x * np.exp(0.005 * np.random.default_rng(5).standard_normal(7)))
    assert law.contention == pytest.approx(0.05, rel=0.15)
    assert law.peak == pytest.approx(math.sqrt(0.95 / 0.0005), rel=0.1)
    assert law.peak is not None
    at_peak = 1 + law.contention * (law.peak - 1) + law.coherency * law.peak * (law.peak - 1)
    assert law.peak_throughput == pytest.approx(law.rate * law.peak / at_peak)
    for loads, rates in (
        (n[:5], x[:5]),
        (np.arange(10.0, 20.0), np.linspace(1, 2, 10)),
        (n, np.ones(7)),
        (n, np.array([5.0, 1, 5, 1, 5, 1, 5])),
    ):
        with pytest.raises(DataError):
            fit_scalability(loads, rates)


def test_the_shift_function_tells_a_slower_tail_from_a_slower_service() -> None:
    random = np.random.default_rng(6)
    typical = np.linspace(10, 100, len(QUANTILES))
    runs = typical * np.exp(0.01 * random.standard_normal((10, len(QUANTILES))))
    runs[5:, -2:] *= 1.3
    found = shift_function(runs[:5], runs[5:])
    assert (found[-1].change.low or 0) > 0.2
    assert abs(found[0].change.estimate) < 0.03
    alone = shift_function(runs[:1], runs[5:6])
    assert alone[0].change.low is None
    with pytest.raises(DataError):
        shift_function(runs[:, :3], runs)
