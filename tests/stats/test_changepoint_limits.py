"""The limits of change points, from both sides of each."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy import signal

from harness.errors import DataError
from harness.stats import changepoints
from harness.stats.changepoints import (
    EVIDENCE,
    FURTHER,
    _evident_steps,
    _gaussian_penalty,
    _own_penalty,
    _refined,
    change_points,
    find_changes,
)
from harness.stats.evidence import evidence
from harness.stats.interval import Floats, t_quantile
from harness.stats.noise import Noise, noise_between, tamed
from harness.stats.segmentation import _splits, candidates, strongest_step
from harness.stats.steps import Fit, describe
from tests.sequential import exceeds

UNIT = Noise(0.0, 1.0, 1.0)


def test_the_penalty_is_what_the_strongest_step_of_noise_explains_in_one_series_of_twenty() -> None:
    random = np.random.default_rng(1)
    stronger = [
        strongest_step(random.standard_normal((500, 1000)), 3) > _gaussian_penalty(1000, UNIT, 0.05)
        for _ in range(8)
    ]
    assert 0.035 < np.mean(stronger) < 0.07


def test_above_some_thirty_thousand_points_the_largest_bump_decides_the_penalty() -> None:
    def growth(n: int) -> float:
        return _gaussian_penalty(2 * n, UNIT, 0.05) - _gaussian_penalty(n, UNIT, 0.05)

    assert growth(7000) < 0.4
    assert growth(40_000) == pytest.approx(np.log(2), abs=0.001)


@pytest.mark.parametrize(("points", "times"), [(100, 99), (2000, 50), (10_000, 19)])
def test_a_hundred_thousand_points_are_shuffled_99_to_19_times(
    points: int, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = []

    def strongest(series: Floats, least: int) -> Floats:
        shapes.append(series.shape)
        return np.ones(len(series))

    monkeypatch.setattr(changepoints, "strongest_step", strongest)
    _own_penalty(np.random.default_rng(2).standard_normal(points), UNIT, 3, 0.05)
    assert shapes == [(times, points)]


def test_the_interval_of_a_place_is_as_wide_as_chance_moves_it() -> None:
    random = np.random.default_rng(3)
    widths = []
    for _ in range(40):
        x = 100 + random.standard_normal(40)
        x[20:] += 2.5
        widths += [point.latest - point.earliest for point in change_points(x)]
    assert 2 < np.mean(widths) < 4.5


def steps(x: ArrayLike) -> list[int]:
    return [point.index for point in change_points(x)]


def test_a_level_is_three_points_or_more() -> None:
    assert steps(np.repeat([5.0, 6.0], 3)) == [3]
    assert change_points([5.0, 5.0, 5.0, 6.0, 6.0]) == ()
    with pytest.raises(DataError, match="give 3 and 0 or more"):
        change_points(np.repeat([5.0, 6.0], 3), min_segment=2)


@pytest.mark.parametrize(("n", "found"), [(60, [30, 33]), (61, [])])
def test_three_points_far_off_are_levels_in_sixty_points_and_outliers_in_more(
    n: int, found: list[int]
) -> None:
    random = np.random.default_rng(5)
    for _ in range(3):
        x = 100 + random.standard_normal(n)
        x[n // 2 : n // 2 + 3] += 8
        assert steps(x) == found


@pytest.mark.parametrize(
    ("n", "alarms", "asked"), [(40, 0.05, 0.4), (40, 0.005, 2.24), (8, 0.05, 0.4)]
)
def test_a_step_has_so_much_evidence_and_more_as_alarms_become_rarer(
    n: int, alarms: float, asked: float
) -> None:
    y: Floats = np.tile([1.0, 1.0, -1.0, -1.0], n // 4)
    at = n // 2

    def found(size: float) -> tuple[bool, float]:
        z = y + size * (np.arange(n) >= at)
        known = evidence(tamed(z, [at]), [], (0, n), 3)
        return _evident_steps(z, 3, alarms) == [at], known

    sizes = [found(float(size)) for size in np.arange(0.6, 6, 0.1)]
    assert [seen for seen, _ in sizes] == [known > asked for _, known in sizes]
    assert {seen for seen, _ in sizes} == {True, False}


@pytest.mark.parametrize(("kind", "most"), [(0.0, 0.05), (0.3, 0.08), (0.6, 0.2)])
def test_unchanged_series_of_a_dozen_points_seldom_show_so_much_evidence(
    kind: float, most: float
) -> None:
    random = np.random.default_rng(40)
    shocks = random.standard_normal((120, 40)) * math.sqrt(1 - kind**2)
    series = signal.lfilter([1.0], [1.0, -kind], shocks, axis=1)[:, 28:]
    alarms = (evidence(y, [], (0, 12), 3) > EVIDENCE for y in series)
    assert not exceeds(alarms, most, 2.5 * most, miss=0.2)


def test_evidence_is_the_bayes_factor_of_levels_with_any_memory() -> None:
    """One memory and one place, by the formula of Liang et al. 2008 on the share explained."""
    y: Floats = np.add(np.repeat([0.0, 1.0], 3), np.array([0.1, -0.2, 0.1, 0.0, 0.3, -0.3]))
    whole, between = ((y - y.mean()) ** 2).sum(), 1.5 * (y[3:].mean() - y[:3].mean()) ** 2
    left = 1 - between / whole
    factor = (4 * math.log(7) - 5 * math.log1p(6 * left)) / 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.stats.evidence.RHOS", (0.0,))
        assert evidence(y, [], (0, 6), 3) == pytest.approx(factor)


def test_a_wave_is_explained_by_its_memory_and_no_evidence_of_a_step() -> None:
    wave: Floats = np.sin(np.linspace(0, 2 * np.pi, 24), dtype=np.float64)
    wave += np.tile([0.1, -0.1], 12)
    assert evidence(wave, [], (0, 24), 3) < EVIDENCE
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.stats.evidence.RHOS", (0.0,))
        assert evidence(wave, [], (0, 24), 3) > 5


def test_what_other_steps_explain_is_no_evidence() -> None:
    y: Floats = np.add(np.repeat([0.0, 5.0, 0.0], 10), np.tile([0.5, -0.5], 15))
    assert evidence(y, [10], (10, 30), 3) > 5
    assert evidence(y, [10, 20], (20, 30), 3) < 0


@pytest.mark.parametrize(("more", "found"), [(-0.05, [6]), (0.05, [6, 14])])
def test_a_further_step_needs_more_evidence_than_the_first(
    more: float, found: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = EVIDENCE
    sets = [([6], asked + 1), ([6, 14], asked + FURTHER + more)]
    monkeypatch.setattr(changepoints, "_nested_sets", lambda *_: sets)
    assert _evident_steps(np.zeros(20), 3, 0.05) == found


def test_steps_that_only_explain_a_wandering_level_together_are_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sets = [([6], -4.0), ([6, 14], 5.0)]
    monkeypatch.setattr(changepoints, "_nested_sets", lambda *_: sets)
    assert _evident_steps(np.zeros(20), 3, 0.05) == []


def test_a_series_that_a_step_and_a_line_explain_alike_is_suspected_and_not_claimed() -> None:
    random = np.random.default_rng(31)
    both = [0, 0]
    for _ in range(40):
        found = find_changes(100 + random.standard_normal(20) + np.linspace(0, 4, 20))
        assert len(found.suspected) <= 1
        both[0] += bool(found.claimed)
        both[1] += bool(found.suspected)
    assert both[0] <= 14
    assert both[1] >= 16


def test_a_step_that_memory_alone_makes_uncertain_is_suspected_with_the_interval_without_it() -> (
    None
):
    x = np.tile([1.0, 1.0, 1.0, -1.0, -1.0, -1.0], 4)
    fit = Fit(x + 3 * (np.arange(24) >= 12), [12], noise_between(x, [12]), 1.0)
    sized = [describe(fit.y, fit.y, replace(fit, calm=calm), 0.05, logs=False, ratio=False)
             for calm in (False, True)]  # fmt: skip
    (wide,), (narrow,) = sized
    assert wide.high - wide.low == pytest.approx(np.sqrt(2.5) * (narrow.high - narrow.low))
    random = np.random.default_rng(9)
    alike = [signal.lfilter([1.0], [1.0, -0.8], random.standard_normal(40))[28:] for _ in range(40)]
    found = [find_changes(100 + each + np.repeat([0, 5], 6)) for each in alike]
    assert sum(bool(f.suspected) for f in found) >= 4
    assert all(not {p.index for p in f.suspected} & {p.index for p in f.claimed} for f in found)


def test_the_stairs_of_a_drift_are_not_suspected() -> None:
    random = np.random.default_rng(7)
    x = 10 * 1.02 ** np.arange(30) * np.exp(0.01 * random.standard_normal(30))
    assert find_changes(x).suspected == ()


@pytest.mark.parametrize(("n", "less"), [(12, 0.0), (60, 0.595)])
def test_a_suspected_step_of_more_points_needs_less_evidence(
    n: int, less: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = 100 + np.random.default_rng(1).standard_normal(n) + 4 * (np.arange(n) >= n // 2)
    for more, seen in ((0.01, True), (-0.01, False)):
        sets = [([n // 2], EVIDENCE - less + more)]
        monkeypatch.setattr(changepoints, "_nested_sets", lambda *_, sets=sets: sets)
        monkeypatch.setattr(changepoints, "_step_fit", lambda y, *_: Fit(y, [], UNIT, 1.0))
        found = find_changes(x)
        assert bool(found.claimed or found.suspected) is seen


def test_three_points_of_twenty_are_a_step() -> None:
    """In ranks they explain less than the penalty of a step."""
    random = np.random.default_rng(8)
    for _ in range(6):
        x = np.exp(0.01 * random.standard_normal(20))
        x[17:] *= 1.5
        assert steps(x) == [17]


def test_a_long_series_is_searched_from_so_many_places_of_each_size() -> None:
    """Windows of 3, 4, 6, 9, … 94 points, of which two fit into 200."""
    y = np.random.default_rng(2).standard_normal(200)
    assert 10 < len(candidates(y, 3, 2)) <= 20
    assert 197 in candidates(np.repeat([0.0, 5.0], [197, 3]), 3, 2)


def test_the_best_step_and_the_ends_of_the_strongest_bump_are_places_of_a_stretch() -> None:
    y = np.where((np.arange(40) >= 15) & (np.arange(40) < 21), 3.0, 0.0)
    sums: Floats = np.concatenate([[0.0], np.cumsum(y - y.mean())])
    assert _splits(sums, 0, 40, 3) == [21, 15, 21]
    assert _splits(sums, 4, 32, 3)[1:] == [15, 21]
    assert _splits(sums, 12, 20, 3) == [15]
    least: Floats = np.concatenate([[0.0], np.cumsum(np.repeat([0.0, 5.0, 0.0], 3))])
    assert _splits(least, 0, 9, 3)[1:] == [3, 6]


def test_what_estimating_the_noise_costs_grows_with_its_memory_and_falls_with_the_points() -> None:
    def unit(n: int, noise: Noise) -> float:
        return _gaussian_penalty(n, noise, 0.05) / noise.long_run

    slow = Noise(0.5, 1.0, 3.0)
    assert unit(30, slow) == pytest.approx(unit(30, UNIT) + 20 * 2 / 30)
    assert unit(300, slow) == pytest.approx(unit(300, UNIT) + 20 * 2 / 300)


def test_the_bound_of_an_outlier_is_told_by_what_is_left_about_the_levels() -> None:
    y = np.repeat([0.0, 10.0], 10) + np.tile([-0.1, 0.1], 10)
    y[9] = 12
    assert _refined(y, [10], 3) == [10]


def test_a_step_is_where_the_points_fit_the_levels_beside_it_best() -> None:
    x = 100 + np.random.default_rng(16).standard_normal(100) + np.repeat([0.0, 3.0], 50)
    x[49] += 12
    assert steps(x) == [49]
    assert change_points(x - 3 * (np.arange(100) >= 50)) == ()


def test_a_short_series_is_believed_a_long_run_variance_of_two_and_a_half_at_most() -> None:
    """It would say six: neighbours are alike, and 24 points tell little of how long they are."""
    x: Floats = np.tile([1.0, 1.0, 1.0, -1.0, -1.0, -1.0], 4)
    x[12:] += 12
    noise = noise_between(tamed(x, [12]), [12])
    assert noise.long_run > 5 * noise.variance
    for sloped, memory in ((False, 2.5 * noise.variance), (True, noise.long_run)):
        fit = Fit(x, [12], noise, 1.0, sloped=sloped)
        (point,) = describe(x, x, fit, 0.05, logs=False, ratio=False)
        half = t_quantile(0.975, 22) * np.sqrt(memory / 6) * np.abs(x).max()
        assert (point.high - point.low) / 2 == pytest.approx(half, rel=0.01)
