"""Replay: the arrivals of a trace, to the nanosecond."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

from harness.errors import ProfileError
from harness.traffic.model import LoadProfile, Segment
from harness.units import NANOSECONDS

MAX_SPAN_S = 7 * 86_400
"""Seconds; the longest run."""

REMEDY = "write seconds or ISO 8601 instants, one a line"


def replay(source: str | Path, *, seed: int | None = None) -> LoadProfile:
    """The arrivals of a file: seconds or ISO 8601 instants, one a line, or a column of a CSV.

    `source` is FILE, or FILE:COLUMN with the name of a column in the header line; without one the
    first column is taken. `#` begins a comment. The instants are sorted and moved so that the
    first is due at the start. Raises ProfileError naming file and line.
    """
    path, column = _split(str(source))
    times = sorted(_instants(path, column))
    if not times:
        raise ProfileError(f"{path}: no timestamps", REMEDY)
    due = tuple(int((time - times[0]) * NANOSECONDS) for time in times)
    span = float(max(math.floor(due[-1] / NANOSECONDS) + 1, 1))
    if span > MAX_SPAN_S:
        raise ProfileError(
            f"{path}: its instants span {span:g} s", "a replay takes 7 days at most, in seconds"
        )
    return LoadProfile(
        name=f"replay {path.name}",
        segments=(Segment("hold", span, len(due) / span, len(due) / span),),
        seed=1 if seed is None else seed,
        replay_ns=due,
    )


def _split(source: str) -> tuple[Path, str | None]:
    if Path(source).is_file() or ":" not in source:
        return Path(source), None
    path, _, column = source.rpartition(":")
    return Path(path), column


def _instants(path: Path, column: str | None) -> Iterator[Decimal]:
    index: int | None = None if column else 0
    for number, cells in _rows(path):
        if index is None:
            if column not in cells:
                raise ProfileError(
                    f"{path}:{number}: no column {column!r}", f"it has {', '.join(cells)}"
                )
            index = cells.index(column)
            continue
        text = cells[index] if index < len(cells) else ""
        instant = _instant(text)
        if instant is None:
            raise ProfileError(f"{path}:{number}: {text!r} is no instant", REMEDY)
        yield instant


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of every line that holds something."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            for number, line in enumerate(stream, 1):
                text = line.partition("#")[0].strip().rstrip(",")
                if text:
                    yield number, [cell.strip() for cell in next(csv.reader([text]))]
    except OSError as error:
        raise ProfileError(f"{path}: {error.strerror}", "name a file of timestamps") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ProfileError(f"{path}: {error}", "name a text file of timestamps") from None


def _instant(text: str) -> Decimal | None:
    """Seconds, exact; None if it is neither a finite number nor an ISO 8601 instant."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
        micros = (since.days * 86_400 + since.seconds) * 10**6 + since.microseconds
        return Decimal(micros) / 10**6
    return value if value.is_finite() and abs(value) < 10**12 else None
