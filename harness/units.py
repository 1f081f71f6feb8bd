"""Durations, rates and shares as people write them, normalised once at the border.

Inside the harness: seconds as float, nanoseconds as int (names end in `_ns`),
rates in requests per second, ratios from 0 to 1.
"""

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
_UNITS = (("s", 1.0), ("ms", 1e3), ("us", 1e6), ("ns", 1e9))
LONGEST_DAYS = 999
"""Longer than any run, and than anything that was measured: a number beyond it says nothing."""

_FACTOR = {"": 1.0, "k": 1e3, "m": 1e6}
_PER = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """Seconds from `30`, `30s`, `1m30s`, `250ms`, `2h`; ValueError with the accepted forms."""
    text = text.strip()
    parts = list(_DURATION.finditer(text))
    whole = "".join(part.group(0) for part in parts)
    bare = [part for part in parts if part["unit"] is None]
    if not parts or whole != text or (bare and len(parts) > 1):
        raise ValueError(f"{text!r} is not a duration; write 30s, 5m, 1m30s or 250ms")
    return sum(float(part["number"]) * _SECONDS[part["unit"] or "s"] for part in parts)


def parse_rate(text: str) -> float:
    """Requests per second from `10000`, `10k`, `2.5k/s`, `600/m`; ValueError with the forms."""
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a rate; write 10000, 10k or 600/m")
    factor = _FACTOR[(match["factor"] or "").lower()]
    return float(match["number"]) * factor / _PER[match["unit"] or "s"]


def parse_ratio(text: str) -> float:
    """A share from 0 to 1 out of `5%`, `0.05`; raises ValueError for anything else."""
    text = text.strip()
    try:
        value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a share; write 5% or 0.05") from None
    if not 0 <= value <= 1:
        raise ValueError(f"{text!r} is not a share between 0 and 1; write 5% or 0.05")
    return value


def format_duration(seconds: float) -> str:
    """Three significant digits and the unit that suits: `350 us`, `1.25 s`, `4m 05s`, `2d 03h`.

    Beyond LONGEST_DAYS it says only that; what is no number is `?`, infinity `never`.
    """
    if not math.isfinite(seconds):
        return "never" if seconds > 0 else "?"
    size = float(f"{abs(seconds):.3g}")
    sign = "-" if seconds < 0 else ""
    if size < 1e-9:  # noqa: PLR2004 - below a nanosecond, which is below every clock
        return "0 s"
    if size >= 60:  # noqa: PLR2004 - a minute
        return sign + _long_duration(round(abs(seconds)))
    unit, factor = next((unit, factor) for unit, factor in _UNITS if size * factor >= 1 - 1e-9)
    return f"{sign}{_digits(size * factor)} {unit}"


def _long_duration(seconds: int) -> str:
    """Two units from a minute on."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, odd_hours = divmod(hours, 24)
    if days > LONGEST_DAYS:
        return f"over {LONGEST_DAYS} days"
    if days:
        return f"{days}d {odd_hours:02d}h"
    return f"{hours}h {minutes:02d}m" if hours else f"{minutes}m {rest:02d}s"


def format_interval(low: float, high: float, estimate: float | None = None) -> str:
    """`4 to 5 s`, in whole seconds, widened where rounding would leave the estimate outside."""
    low, high = max(low, 0.0), max(high, 0.0)
    if estimate is not None:
        low, high = min(low, estimate), max(high, estimate)
    return f"{math.floor(low + 1e-9):,} to {math.ceil(high - 1e-9):,} s"


def counted(number: float, noun: str, plural: str | None = None) -> str:
    """`1 slice`, `2,000 slices`: the number and its noun, which agree."""
    text = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{text} {noun if number == 1 else plural or noun + 's'}"


def one_line(text: str, most: int = 1_000) -> str:
    """Text from elsewhere for one line of a terminal: no control characters, at most so long.

    What is too long loses its middle: a message begins with its subject and ends with the remedy.
    """
    text = " ".join((text if len(text) <= 4 * most else _cut(text, 4 * most)).split())
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    return text if len(text) <= most else _cut(text, most)


def _cut(text: str, most: int) -> str:
    half = (most - 3) // 2
    return f"{text[:half]} … {text[-half:]}"


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
