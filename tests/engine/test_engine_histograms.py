"""Histograms are the standard's: other decoders read them, and adding loses nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram

from harness import _engine
from tests.engine.conftest import make_plan, run_plan

HOUR = 3_600_000_000_000


def filled(*values: int) -> _engine.Histogram:
    histogram = _engine.Histogram()
    for value in values:
        histogram.record(value)
    return histogram


def test_another_decoder_reads_them() -> None:
    rng = np.random.default_rng(1)
    values = (rng.lognormal(15, 1.5, 20_000)).astype(int).tolist()
    ours = filled(*values)
    theirs = HdrHistogram.decode(ours.encode())
    assert theirs.get_total_count() == ours.count == 20_000
    assert theirs.highest_trackable_value == HOUR
    for q in (0.5, 0.9, 0.99, 0.999, 1.0):
        assert theirs.get_value_at_percentile(100 * q) == ours.quantile(q)


def test_the_slices_of_a_run_are_read_and_added_by_another_decoder(null_server: str) -> None:
    outcome = run_plan(make_plan(null_server, rate=1000, duration=1.2))
    theirs = HdrHistogram(100, HOUR, 3)
    for line in outcome.slices:
        if line["axis"] == "due":
            theirs.decode_and_add(line["hist"]["response"])
    assert theirs.get_total_count() == 1200
    ours = outcome.histogram("response")
    assert theirs.get_value_at_percentile(99) == ours.quantile(0.99)


def test_a_histogram_of_another_encoder_is_read() -> None:
    theirs = HdrHistogram(100, HOUR, 3)
    for value in (1000, 20_000_000, 3_000_000_000):
        theirs.record_value(value)
    ours = _engine.Histogram.decode(theirs.encode().decode())
    assert ours.count == 3
    assert ours.quantile(1.0) == theirs.get_max_value()


def test_adding_equals_recording_all() -> None:
    left, right = filled(1000, 2_000_000), filled(500, 10**11)
    left.add(right)
    both = filled(1000, 2_000_000, 500, 10**11)
    assert left.encode() == both.encode()
    assert len(left) == left.count == 4


def test_values_are_kept_to_three_digits_and_clipped_at_an_hour() -> None:
    histogram = filled(123_456_789, 10**15)
    low = histogram.min
    assert low is not None
    assert abs(low - 123_456_789) < 123_456_789 / 1000
    top = histogram.max
    assert top is not None
    assert HOUR <= top < HOUR * 1.001


def test_buckets_hold_every_count() -> None:
    histogram = filled(*range(0, 1_000_000, 1000))
    values, counts = histogram.buckets()
    assert values.dtype == np.float64
    assert counts.dtype == np.int64
    assert counts.sum() == 1000
    assert np.all(np.diff(values) > 0)
    mean = histogram.mean
    assert mean is not None
    assert abs(np.average(values, weights=counts) - mean) < 1000


def test_an_empty_histogram_knows_nothing() -> None:
    empty = _engine.Histogram()
    assert (empty.count, empty.min, empty.max, empty.mean) == (0, None, None, None)
    assert empty.quantile(0.5) is None
    assert _engine.Histogram.decode(empty.encode()).count == 0
    values, counts = empty.buckets()
    assert values.size == counts.size == 0


@pytest.mark.parametrize("text", ["", "HIST", "HISTFAAA", "AAAAAAAAAAAA", "é", json.dumps({})])
def test_what_is_not_a_histogram_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a histogram"):
        _engine.Histogram.decode(text)


@pytest.mark.parametrize("q", [-0.1, 1.1, float("nan")])
def test_a_quantile_lies_between_0_and_1(q: float) -> None:
    with pytest.raises(ValueError, match="not a quantile"):
        filled(1).quantile(q)
