"""The figures of a scaling test on series whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from harness.errors import DataError
from harness.stats import scaling


def test_pod_seconds_count_both_sides_and_skip_what_is_unknown() -> None:
    """Two seconds one short, three seconds two over, one unknown."""
    supply = np.array([1, 1, 2, 4, 4, 4, np.nan])
    demand = np.array([2, 2, 2, 2, 2, 2, 2])
    found = scaling.provisioning(supply, demand)
    assert found is not None
    assert (found.under, found.over, found.unknown_s) == (2, 6, 1)
    assert found.under_share == pytest.approx(2 / 6)
    assert found.over_share == pytest.approx(3 / 6)


def test_nothing_known_is_no_figure() -> None:
    """Never a nought for what was not seen."""
    assert scaling.provisioning([np.nan, np.nan], [1, 1]) is None
    assert scaling.first_rise([np.nan, 2], 0) is None


def test_replicas_needed_are_whole_and_within_bounds() -> None:
    """A rate of exactly two replicas needs two, not three."""
    found = scaling.needed([0, 50, 100, 100.1, 1000], 50, least=1, most=5)
    assert list(found) == [1, 1, 2, 3, 5]
    with pytest.raises(DataError, match="positive"):
        scaling.needed([1], 0)


def test_a_sample_holds_until_the_next_but_not_for_ever() -> None:
    """NaN before the first sample and after a gap."""
    grid = scaling.on_grid([1.2, 3.9], [1, 2], 12, longest_gap=5.0)
    assert np.isnan(grid[0])
    assert list(grid[1:8]) == [1, 1, 2, 2, 2, 2, 2]
    assert np.isnan(grid[9:]).all()


def test_the_first_new_pod_is_counted_from_the_rise() -> None:
    """Pods that were there before do not count."""
    ready = [1, 1, 1, 1, 1, 2, 3]
    assert scaling.first_rise(ready, 2) == 3
    assert scaling.first_rise([3, 3, 2, 2], 0) is None


def test_objectives_hold_again_when_nine_of_ten_seconds_are_good() -> None:
    """One bad second in ten is forgiven, two are not."""
    bad = np.zeros(60, bool)
    bad[5:20] = True
    bad[24] = True
    found = scaling.relief(bad, 0, 60)
    assert (found.broke, found.again) == (5, 20)
    bad[25] = True
    assert scaling.relief(bad, 0, 60).again == 25 - 24 + 25


def test_objectives_that_never_hold_again_are_censored() -> None:
    """No answer within the peak is not an answer of its length."""
    bad = np.zeros(40, bool)
    bad[10:] = True
    found = scaling.relief(bad, 5, 40)
    assert (found.broke, found.again, found.waited) == (5, None, 35)
    assert scaling.relief(np.zeros(40, bool), 5, 40).broke is None


def test_one_rise_and_fall_is_no_flap() -> None:
    """Only turns beyond the load's own count."""
    load = [1, 1, 5, 5, 5, 5, 5, 1, 1]
    assert scaling.flaps([1, 1, 2, 4, 4, 4, 4, 2, 1], load) == 0
    assert scaling.flaps([1, 1, 4, 2, 4, 2, 4, 4, 1], load) == 4
    assert scaling.flaps([1, np.nan, 4, 4, 4, 4, 4, 4, 1], load) == 0


def test_scaled_down_means_and_stayed_there() -> None:
    """A dip that rises again is not the end."""
    assert scaling.first_at_most([4, 4, 1, 4, 2, 1, 1], 1, 0) == 5
    assert scaling.first_at_most([4, 4, 2], 1, 0) is None
    assert scaling.first_at_most([4, 1, np.nan], 1, 0) is None
