"""What people write is understood once, or refused with the accepted forms."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.units import (
    format_duration,
    format_rate,
    format_ratio,
    parse_duration,
    parse_rate,
    parse_ratio,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30), ("30s", 30), ("1m30s", 90), ("250ms", 0.25), ("2h", 7200), (" 5m ", 300)],
)
def test_durations_are_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-3s", "nan", "1m30", "3 s x", "1e3", "inf"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "rate"), [("10000", 10_000), ("10k", 10_000), ("2.5k/s", 2500), ("600/m", 10)]
)
def test_rates_are_requests_per_second(text: str, rate: float) -> None:
    assert parse_rate(text) == pytest.approx(rate)


@pytest.mark.parametrize("text", ["", "k", "-1", "nan", "1e9", "10k/d"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a rate"):
        parse_rate(text)


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("0.05", 0.05), ("100%", 1.0)])
def test_shares_are_ratios(text: str, share: float) -> None:
    assert parse_ratio(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "%", "nan", "101%", "-1%", "5 percent"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a share"):
        parse_ratio(text)


@given(st.floats(min_value=1e-7, max_value=59.9))
def test_a_formatted_duration_reads_back_to_three_digits(seconds: float) -> None:
    """What is shown is what was measured, to the digits shown."""
    shown = format_duration(seconds).replace(" ", "")
    assert parse_duration(shown) == pytest.approx(seconds, rel=0.006)


def test_formats_have_the_digits_a_reader_needs() -> None:
    assert format_duration(0.0123) == "12.3 ms"
    assert format_duration(245) == "4m 05s"
    assert format_duration(math.inf) == "never"
    assert format_rate(10_000) == "10,000/s"
    assert format_rate(2.5) == "2.50/s"
    assert format_ratio(0.00013) == "0.013 %"
    assert format_ratio(0) == "0 %"
