"""Replay: the arrivals of a trace, to the nanosecond, and what each of them sends."""

import csv
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

from harness.errors import ProfileError
from harness.traffic.model import LoadProfile, Segment, TrafficModel
from harness.units import NANOSECONDS, counted

MAX_SPAN_S = 7 * 86_400
"""Seconds; the longest run."""

MOST_ARRIVALS = 2_000_000
"""They are part of the plan that each worker reads."""

MOST_DROPPED = 0.10
"""Share of the lines that may hold no instant: beyond it the file is none of instants."""

ENDPOINT, TIME = "endpoint", "time"
"""Columns of a trace; the others are feeds."""

REMEDY = "write seconds, epochs or ISO 8601 instants, one a line"

_SCALES = ((10**17, 9), (10**14, 6), (10**11, 3))
"""From these numbers on an epoch is in ns, us and ms: each is 1973 in its unit; in s, year 5138."""

_ISO = re.compile(
    r"(?P<date>\d{4}-?\d{2}-?\d{2}|\d{4}-?W\d{2}-?\d|(?P<year>\d{4})-?(?P<day>\d{3}))"
    r"(?:[T ](?P<hour>\d{2})(?::?(?P<minute>\d{2})(?::?(?P<second>\d{2}))?)?"
    r"(?:[.,](?P<part>\d{1,18}))?"
    r" ?(?P<zone>Z|(?P<sign>[+-])(?P<zone_h>\d{2})(?::?(?P<zone_m>\d{2}))?)?)?",
    re.ASCII,
)
_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3_600, 60
_USUAL, _NANO = 11, 9
"""Digits of seconds, before they are taken for another unit, and of their nanoseconds."""


@dataclass(slots=True)
class _Trace:
    """What a file says, column by column, and the lines without an instant.

    `instants` are nanoseconds; `numbers` are the endpoints' places in `names`, `values` those of
    each feed.
    """

    path: Path
    columns: list[str] = field(default_factory=list)
    instants: list[int] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    numbers: list[int] = field(default_factory=list)
    values: list[list[str]] = field(default_factory=list)
    lines: int = 0
    dropped: int = 0
    first: tuple[int, str] | None = None

    def keep(self, instant: int, cells: list[str], places: Sequence[int]) -> None:
        """An arrival; `places` of its endpoint and its values, empty without an endpoint."""
        self.instants.append(instant)
        if places:
            names = self.names
            self.numbers.append(names.setdefault(cells[places[0]], len(names)))
            for values, place in zip(self.values, places[1:], strict=True):
                values.append(cells[place])

    def drop(self, number: int, why: str) -> None:
        self.dropped += 1
        self.first = self.first or (number, why)

    def told(self) -> tuple[str, ...]:
        if self.first is None:
            return ()
        number, why = self.first
        return (f"{self.dropped:,} of {counted(self.lines, 'line')} (line {number}: {why})",)


def replay(source: str | Path, *, seed: int | None = None) -> LoadProfile:
    """The arrivals of a file: instants, one a line, or a column of a CSV.

    An instant is a number (seconds; as an epoch in s, ms, us or ns by its size) or ISO 8601.
    `source` is FILE, or FILE:COLUMN with the name of a column in the header line; without one the
    first column is taken, and of a CSV with the columns `time` and `endpoint` also the endpoints
    and the values of feeds. `#` begins a comment. The instants are sorted and moved so that the
    first is due at the start. Lines without an instant are dropped, and counted in `dropped`.
    Raises ProfileError naming file and line, also where more than a tenth is dropped.
    """
    path, column = _split(str(source))
    trace = _read(path, column)
    if trace.first and (not trace.instants or trace.dropped > MOST_DROPPED * trace.lines):
        number, why = trace.first
        raise ProfileError(f"{path}:{number}: {why}", REMEDY)
    if not trace.instants:
        raise ProfileError(f"{path}: no timestamps", REMEDY)
    order = sorted(range(len(trace.instants)), key=trace.instants.__getitem__)
    start = trace.instants[order[0]]
    due = tuple(trace.instants[k] - start for k in order)
    span = float(max(due[-1] // NANOSECONDS + 1, 1))
    if span > MAX_SPAN_S:
        raise ProfileError(
            f"{path}: its instants span {span:g} s", "a replay takes 7 days at most, in seconds"
        )
    profile = LoadProfile(
        name=f"replay {path.name}",
        segments=(Segment("hold", span, len(due) / span, len(due) / span),),
        seed=1 if seed is None else seed,
        replay_ns=due,
        dropped=trace.told(),
    )
    if ENDPOINT not in trace.columns:
        return profile
    feeds = [name for name in trace.columns if name not in {TIME, ENDPOINT}]
    return replace(
        profile,
        replay_endpoints=tuple(trace.names),
        replay_requests=tuple(trace.numbers[k] for k in order),
        replay_values={
            name: tuple(map(values.__getitem__, order))
            for name, values in zip(feeds, trace.values, strict=True)
        },
    )


def fitted(profile: LoadProfile, traffic: TrafficModel) -> LoadProfile:
    """The replay of a trace with endpoints as a scenario can send it.

    Its endpoints become places in the mix; arrivals at others are dropped, and counted. Raises
    ProfileError where none is left.
    """
    names = [request.name for request in traffic.requests]
    if not profile.replay_endpoints or list(profile.replay_endpoints) == names:
        return profile
    found = [names.index(n) if n in names else None for n in profile.replay_endpoints]
    kept = [k for k, place in enumerate(profile.replay_requests) if found[place] is not None]
    unknown = [name for name in profile.replay_endpoints if name not in names]
    if not kept:
        raise ProfileError(
            f"{profile.name}: no endpoint of it is in the scenario (first: {unknown[0]!r})",
            f"name the scenario that it was imported with, or add :{TIME} to replay instants only",
        )
    lost = len(profile.replay_requests) - len(kept)
    told: tuple[str, ...] = ()
    if lost:
        told = (f"{counted(lost, 'arrival')} at endpoints of no request (first: {unknown[0]!r})",)
    return replace(
        profile,
        replay_ns=tuple(profile.replay_ns[k] for k in kept),
        replay_endpoints=tuple(names),
        replay_requests=tuple(found[profile.replay_requests[k]] or 0 for k in kept),
        replay_values={
            name: tuple(values[k] for k in kept) for name, values in profile.replay_values.items()
        },
        dropped=(*profile.dropped, *told),
    )


def _split(source: str) -> tuple[Path, str | None]:
    if Path(source).is_file() or ":" not in source:
        return Path(source), None
    path, _, column = source.rpartition(":")
    return Path(path), column


def _read(path: Path, column: str | None) -> _Trace:
    trace, index = _Trace(path), 0
    places: list[int] = []
    header = True
    for number, cells in _rows(path):
        if header:
            header = False
            if column is not None and column not in cells:
                raise ProfileError(
                    f"{path}:{number}: no column {column!r}", f"it has {', '.join(cells)}"
                )
            if column is not None:
                index = cells.index(column)
                continue
            if {TIME, ENDPOINT} <= {*cells}:
                trace.columns, index, endpoint = cells, cells.index(TIME), cells.index(ENDPOINT)
                feeds = [place for place in range(len(cells)) if place not in {index, endpoint}]
                places, trace.values = [endpoint, *feeds], [[] for _ in feeds]
                continue
        trace.lines += 1
        text = cells[index] if index < len(cells) else ""
        if "#" in text:
            text = text.partition("#")[0].strip()
        instant = _instant(text)
        if instant is None:
            trace.drop(number, f"{text!r} is no instant")
        elif places and len(cells) != len(trace.columns):
            trace.drop(number, f"{len(cells)} values, the header has {len(trace.columns)}")
        else:
            trace.keep(instant, cells, places)
        if len(trace.instants) > MOST_ARRIVALS:
            raise ProfileError(f"{path}: more than {MOST_ARRIVALS:,} arrivals", "cut the file")
    return trace


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of every line that holds something; each is read for itself."""
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise ProfileError(f"{path}: no regular file", "name a file of timestamps")
        with path.open(encoding="utf-8-sig", newline="") as stream:
            for number, line in enumerate(stream, 1):
                text = line.strip()
                if not text or text[0] == "#" or not text.strip(","):
                    continue
                cells = next(csv.reader([text])) if '"' in text else text.split(",")
                yield number, [cell.strip() for cell in cells]
    except OSError as error:
        raise ProfileError(f"{path}: {error.strerror}", "name a file of timestamps") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ProfileError(f"{path}: {error}", "name a text file of timestamps") from None


def _instant(text: str) -> int | None:
    """Nanoseconds; None if it is neither a finite number nor an ISO 8601 instant."""
    whole, point, part = text.partition(".")
    if point and len(whole) <= _USUAL and len(part) <= _NANO and whole.isdigit() and part.isdigit():
        return int(whole) * NANOSECONDS + int(part.ljust(_NANO, "0"))
    try:
        value = Decimal(text)
    except InvalidOperation:
        moment = _moment(text)
        return None if moment is None else math.floor(moment * NANOSECONDS)
    if not value.is_finite() or abs(value) >= 10**20:
        return None
    digits = next((digits for least, digits in _SCALES if abs(value) >= least), 0)
    return math.floor(value.scaleb(-digits) * NANOSECONDS)


def _moment(text: str) -> Decimal | None:
    """An ISO 8601 instant as an epoch, seconds; without a zone it is UTC. Leap seconds are read."""
    match = _ISO.fullmatch(text.strip().upper())
    if match is None:
        return None
    try:
        day = _day(match)
    except (ValueError, OverflowError):
        return None
    hour, minute, second = (int(match[name] or 0) for name in ("hour", "minute", "second"))
    zone_h, zone_m = int(match["zone_h"] or 0), int(match["zone_m"] or 0)
    late = hour == 24 and not (minute or second)  # noqa: PLR2004 - the end of a day
    if not ((hour < 24 or late) and minute < 60 and second <= 60 and zone_h < 24 and zone_m < 60):  # noqa: PLR2004
        return None
    zone = (zone_h * _HOUR_S + zone_m * _MINUTE_S) * (-1 if match["sign"] == "-" else 1)
    unit = 1 if match["second"] else _MINUTE_S if match["minute"] else _HOUR_S
    days = (day - date(1970, 1, 1)).days
    whole = days * _DAY_S + hour * _HOUR_S + minute * _MINUTE_S + second - zone
    return whole + Decimal(f"0.{match['part'] or 0}") * unit


def _day(match: re.Match[str]) -> date:
    """The calendar's, the week's or the year's day. Raises ValueError for one that is not there."""
    if match["day"] is None:
        return date.fromisoformat(match["date"])
    first = date(int(match["year"]), 1, 1)
    found = first + timedelta(int(match["day"]) - 1)
    if found.year != first.year:
        raise ValueError(match["date"])
    return found
