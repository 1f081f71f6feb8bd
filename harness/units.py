"""Durations, rates and shares as people write them, normalised once at the border.

Inside the harness: seconds as float, nanoseconds as int (names end in `_ns`),
rates in requests per second, ratios from 0 to 1.
"""

from __future__ import annotations

import math
import re

NANOSECONDS = 1_000_000_000

_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>ns|us|µs|ms|s|m|h|d)?")
_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_RATE = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<factor>[kKmM])?(?:/(?P<unit>s|m|min|h))?")
_FACTOR = {"": 1.0, "k": 1e3, "m": 1e6}
_PER = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """Seconds from `30`, `30s`, `1m30s`, `250ms`, `2h`.

    Raises ValueError with the accepted forms.
    """
    text = text.strip()
    parts = list(_DURATION.finditer(text))
    whole = "".join(part.group(0) for part in parts)
    bare = [part for part in parts if part["unit"] is None]
    if not parts or whole != text or (bare and len(parts) > 1):
        raise ValueError(f"{text!r} is not a duration; write 30s, 5m, 1m30s or 250ms")
    return sum(float(part["number"]) * _SECONDS[part["unit"] or "s"] for part in parts)


def parse_rate(text: str) -> float:
    """Requests per second from `10000`, `10k`, `2.5k/s`, `600/m`.

    Raises ValueError with the accepted forms.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a rate; write 10000, 10k or 600/m")
    factor = _FACTOR[(match["factor"] or "").lower()]
    return float(match["number"]) * factor / _PER[match["unit"] or "s"]


def parse_ratio(text: str) -> float:
    """A share from 0 to 1 out of `5%`, `0.05`.

    Raises ValueError when it is neither or outside 0..1.
    """
    text = text.strip()
    try:
        value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a share; write 5% or 0.05") from None
    if not 0 <= value <= 1:
        raise ValueError(f"{text!r} is not a share between 0 and 1; write 5% or 0.05")
    return value


def format_duration(seconds: float) -> str:
    """Three significant digits and the unit that suits: `350 us`, `12.3 ms`, `1.25 s`, `4m 05s`."""
    if not math.isfinite(seconds):
        return "never" if seconds > 0 else "?"
    size = abs(seconds)
    if size >= 60:  # noqa: PLR2004 - a minute
        minutes, rest = divmod(round(size), 60)
        hours, minutes = divmod(minutes, 60)
        sign = "-" if seconds < 0 else ""
        return f"{sign}{hours}h {minutes:02d}m" if hours else f"{sign}{minutes}m {rest:02d}s"
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if size * factor >= 1 or unit == "us":
            return f"{_digits(seconds * factor)} {unit}"
    raise AssertionError


def format_rate(rate: float) -> str:
    """Whole requests per second with thousands separators: `10,000/s`."""
    return f"{rate:,.0f}/s" if rate >= 10 else f"{_digits(rate)}/s"  # noqa: PLR2004 - digits


def format_ratio(ratio: float) -> str:
    """A percentage with the digits a reader needs: `0.013 %`."""
    percent = ratio * 100
    if percent == 0:
        return "0 %"
    return f"{percent:.2f} %" if abs(percent) >= 0.1 else f"{percent:.2g} %"  # noqa: PLR2004


def _digits(value: float) -> str:
    """Three significant digits without an exponent."""
    if value == 0:
        return "0"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(places, 6)}f}"
