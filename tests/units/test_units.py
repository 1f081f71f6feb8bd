"""What people write is understood once, or refused with the accepted forms."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.units import (
    counted,
    format_duration,
    format_interval,
    format_rate,
    format_ratio,
    one_line,
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


def test_long_durations_are_days_and_never_longer_than_anything_measured() -> None:
    assert format_duration(26 * 3600) == "1d 02h"
    assert format_duration(2_346_811_289 * 3600) == "over 999 days"
    assert format_duration(-90) == "-1m 30s"


def test_a_duration_is_rounded_before_its_unit_is_chosen() -> None:
    assert format_duration(0.99996) == "1.00 s"
    assert format_duration(59.96) == "1m 00s"
    assert format_duration(0.00099999) == "1.00 ms"


def test_what_is_shorter_than_a_clock_can_tell_is_zero() -> None:
    assert format_duration(0) == "0 s"
    assert format_duration(2.6e-14) == "0 s"
    assert format_duration(2.6e-8) == "26.0 ns"


@given(st.floats(0, 1e5), st.floats(0, 1e5), st.floats(0, 1e5))
def test_a_shown_interval_holds_its_estimate(low: float, high: float, estimate: float) -> None:
    shown = format_interval(min(low, high), max(low, high), estimate)
    first, last = (float(part.replace(",", "")) for part in shown.removesuffix(" s").split(" to "))
    assert first <= estimate + 1e-8
    assert estimate <= last + 1e-8


def test_numbers_and_nouns_agree() -> None:
    assert counted(1, "slice") == "1 slice"
    assert counted(0, "slice") == "0 slices"
    assert counted(2_000, "reply", "replies") == "2,000 replies"
    assert counted(1.5, "hour") == "1.5 hours"


@given(st.text(), st.integers(20, 200))
def test_foreign_text_becomes_one_short_printable_line(text: str, most: int) -> None:
    shown = one_line(text * 3, most)
    assert len(shown) <= most
    assert shown.isprintable()


def test_a_line_that_is_too_long_keeps_its_subject_and_its_remedy() -> None:
    shown = one_line(f"file.yaml: {'x' * 10_000}; write less", 60)
    assert shown.startswith("file.yaml: ")
    assert shown.endswith("; write less")
