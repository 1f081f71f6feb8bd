"""Feeds and bodies from files beside a scenario, bounded, with file and line of what is wrong."""

import csv
import io
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from harness.bounded import read_file
from harness.errors import ScenarioError
from harness.redact import is_secret_name

Feed = dict[str, object]
Order = Literal["random", "sequence"]
Row = tuple[int, list[object]]
"""The number of its line, and a value for each field."""

MOST_BYTES = 64 << 20
MOST_ROWS = 1_000_000
"""Of a file of feeds; its values are part of the plan that each worker reads."""

MOST_BODY_BYTES = 16 << 20
"""Of a file that is sent; as much as the engine reads of an answer."""


class Column(dict[str, object]):
    """A feed of one column, which knows its file."""

    path: Path | None = None


def paired(feeds: Mapping[str, Feed]) -> dict[str, Feed]:
    """The feeds with the random columns of one file drawn together: one row in one request."""
    random_ones = {
        name: feed.path
        for name, feed in feeds.items()
        if isinstance(feed, Column) and feed["kind"] == "choice"
    }
    shared = {path for path, count in Counter(random_ones.values()).items() if count > 1}
    return {
        name: _shuffled(feed) if random_ones.get(name) in shared else feed
        for name, feed in feeds.items()
    }


def _shuffled(feed: Feed) -> Feed:
    values = feed["values"]
    if not isinstance(values, list):
        raise TypeError(values)
    order = list(range(len(values)))
    random.Random(0).shuffle(order)  # noqa: S311 - an order, no secret
    return {**feed, "kind": "cycle", "values": [values[k] for k in order]}


def csv_column(
    path: str | Path, column: str, order: Order = "random", *, secret: bool | None = None
) -> Feed:
    """The values of one column of a CSV file with a header line, at random or in turn.

    Two columns of one file are of one row in one request, as with `csv_rows`. A relative `path` is
    looked for beside the calling scenario. Values of a `secret` column (by default one whose name
    speaks of a secret) stand in no record. Raises ScenarioError when the file, the column or the
    values are missing, and for a row of another length than the header's.
    """
    found = _beside(path)
    header, rows = _csv(found, (column,))
    values = [row[0] for _, row in rows]
    if not values:
        raise ScenarioError(f"{found}: column {column!r} is empty", "add a row")
    kind = "cycle" if _checked(found, order) == "sequence" else "choice"
    feed = Column(_marked({"kind": kind, "values": values}, header[0], secret=secret))
    feed.path = found.resolve()
    return feed


def csv_rows(
    path: str | Path, *columns: str, order: Order = "random", secret: bool | None = None
) -> dict[str, Feed]:
    """A feed for each column of a CSV file (or those named), all of one row in one request.

    `feeds = {**csv_rows("users.csv"), …}`. With `order="random"` the rows are shuffled, the same
    way in every run; each is used as often as the others. Raises as `csv_column`.
    """
    found = _beside(path)
    header, rows = _csv(found, columns)
    return _feeds(found, header, list(rows), order, secret=secret)


def json_rows(
    path: str | Path, *fields: str, order: Order = "random", secret: bool | None = None
) -> dict[str, Feed]:
    """A feed for each field of a JSON Lines file (or those named), all of one line in one request.

    Each line is an object of texts, numbers, booleans and nulls. `order` as in `csv_rows`. Raises
    ScenarioError with the line that is none, that lacks a field or nests one.
    """
    found = _beside(path)
    rows: list[Row] = []
    header = list(fields)
    for number, line in enumerate(read_text(found).split("\n"), 1):
        if not line.strip():
            continue
        value = _object(found, number, line)
        header = header or list(value)
        rows.append((number, [_field(found, number, value, name) for name in header]))
    return _feeds(found, header, rows, order, secret=secret)


def file_content(path: str | Path, *, depth: int = 2) -> tuple[Path, bytes]:
    """A file to send as (path, content). Raises ScenarioError where it cannot be read."""
    found = _beside(path, depth + 1)
    try:
        return found, read_file(found, MOST_BODY_BYTES)
    except OSError as error:
        raise ScenarioError(f"{found}: {error.strerror}", "name a readable file") from None


def json_text(value: object) -> str:
    """A value of a feed as text: as JSON writes it, but a text without its quotes."""
    return value if isinstance(value, str) else json.dumps(value)


def _beside(path: str | Path, depth: int = 2) -> Path:
    caller = sys._getframe(depth).f_globals.get("__file__", "")  # noqa: SLF001 - as warnings do
    return Path(caller).parent / path


def _checked(path: Path, order: str) -> str:
    if order not in {"random", "sequence"}:
        raise ScenarioError(f"{path}: order is {order!r}", 'it must be "random" or "sequence"')
    return order


def read_text(
    path: Path, most: int = MOST_BYTES, remedy: str = "the feed needs a file in UTF-8"
) -> str:
    """A regular file of `most` bytes at most, in UTF-8. Raises ScenarioError for any other."""
    try:
        return read_file(path, most).decode("utf-8-sig")
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror}", "name a readable file") from None
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path}: {error}", remedy) from None


def _csv(path: Path, columns: Sequence[str]) -> tuple[list[str], Iterator[Row]]:
    """The header (or the columns named) and the rows' values in its order."""
    lines = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    header = next(lines, [])
    for column in columns or header:
        if header.count(column) != 1:
            what = "no column" if column not in header else "several columns"
            raise ScenarioError(f"{path}: {what} {column!r}", f"it has {', '.join(header)}")
    places = [header.index(column) for column in columns or header]

    def rows() -> Iterator[Row]:
        try:
            for row in lines:
                if row and len(row) != len(header):
                    raise ScenarioError(
                        f"{path}:{lines.line_num}: {len(row)} values, the header has {len(header)}",
                        "correct the line",
                    )
                if row:
                    yield lines.line_num, [row[place] for place in places]
        except csv.Error as error:
            raise ScenarioError(
                f"{path}:{lines.line_num}: {error}", "correct the line, or its quotes"
            ) from None

    return list(columns or header), rows()


def parsed(where: object, text: str, remedy: str) -> object:
    """A JSON document. Raises ScenarioError where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ScenarioError(f"{where}: no JSON ({error})", remedy) from None


def _object(path: Path, number: int, line: str) -> dict[str, object]:
    value = parsed(f"{path}:{number}", line, "an object a line")
    if not isinstance(value, dict):
        raise ScenarioError(f"{path}:{number}: no JSON object", "write one object a line")
    return value


def _field(path: Path, number: int, value: Mapping[str, object], name: str) -> object:
    if name not in value:
        raise ScenarioError(f"{path}:{number}: no field {name!r}", f"it has {', '.join(value)}")
    found = value[name]
    if isinstance(found, (dict, list)):
        raise ScenarioError(
            f"{path}:{number}: {name} is nested", "take texts, numbers, booleans and nulls"
        )
    return json_text(found)


def _feeds(
    path: Path, header: Sequence[str], rows: list[Row], order: str, *, secret: bool | None
) -> dict[str, Feed]:
    if not rows or not header:
        raise ScenarioError(f"{path}: no rows", "add one")
    if len(rows) > MOST_ROWS:
        raise ScenarioError(f"{path}: {len(rows):,} rows", f"take {MOST_ROWS:,} at most")
    if _checked(path, order) == "random":
        random.Random(0).shuffle(rows)  # noqa: S311 - an order, no secret
    return {
        name: _marked(
            {"kind": "cycle", "values": [row[place] for _, row in rows]}, name, secret=secret
        )
        for place, name in enumerate(header)
    }


def _marked(feed: Feed, name: str, *, secret: bool | None) -> Feed:
    hidden = is_secret_name(name) if secret is None else secret
    return feed | {"secret": True} if hidden else feed
