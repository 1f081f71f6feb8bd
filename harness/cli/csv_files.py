"""CSV files of anybody's measurements: read, or refused in one line that names file and line.

Separated by commas, or by semicolons or tabs as spreadsheets do (with decimal commas, too).
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from harness.errors import DataError, HarnessError
from harness.units import counted

if TYPE_CHECKING:
    from _csv import Reader

MOST_BYTES = 256 << 20
WRITER_S = 2.0
"""How long a pipe that nobody writes to is waited for."""

"""Of a CSV file: some millions of rows."""

Runs = dict[str, dict[str, list[float]]]
"""Values by metric and run, in order of appearance."""

DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+(?:[eE][+-]?\d+)?\s*")
"""A number as spreadsheets write it where cells are separated by semicolons or tabs."""

MARKERS = ("<<<<<<< ", "=======", "||||||| ", ">>>>>>> ")

LARGEST = 1e150
"""A larger number has no square, and no variance."""


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the file's name before the problem of whatever is raised inside."""
    try:
        yield
    except HarnessError as error:
        raise DataError(f"{path}: {error.problem}", error.remedy) from None


def read_runs(path: Path) -> Runs:
    """The values of a `run,value` or `metric,run,value` file.

    Raises DataError, naming file and line, for whatever cannot be read as that.
    """
    header, rows = _table(path, ("run", "value"))
    run, value, metric = header["run"], header["value"], header.get("metric")
    runs: Runs = {}
    for line, row in rows:
        if not row[run].strip():
            _refuse(path, line, "run is empty", "name the run")
        name = "value" if metric is None else row[metric].strip()
        if not name:
            _refuse(path, line, "metric is empty", "name the metric")
        number = _number(path, line, "value", row[value])
        runs.setdefault(name, {}).setdefault(row[run].strip(), []).append(number)
    if not runs:
        raise DataError(f"{path} has a header but no rows", "give one row per value")
    return runs


def summarise(runs: Mapping[str, Sequence[float]], summary: str) -> list[float]:
    """One number per run: its only value, or the summary of its several."""
    import numpy as np

    from harness.stats.quantiles import sample_quantile

    def one(values: Sequence[float]) -> float:
        if len(values) == 1:
            return values[0]
        if summary.startswith("p"):
            return sample_quantile(values, float(summary[1:]) / 100) or 0.0
        if summary == "median":
            return float(np.median(values))
        if summary == "mean":
            return math.fsum(values) / len(values)
        return min(values) if summary == "min" else max(values)

    return [one(values) for values in runs.values()]


def read_series(path: Path) -> tuple[list[object], list[float], list[str] | None]:
    """Index, value and label of an `index,value[,label]` file, in order of its numbers or dates.

    An index that is neither throughout (commits) keeps the order of the file.
    """
    header, rows = _table(path, ("index", "value"))
    label = header.get("label")
    table = [
        (
            row[header["index"]].strip(),
            _number(path, line, "value", row[header["value"]]),
            "" if label is None else row[label].strip(),
        )
        for line, row in rows
    ]
    if not table:
        raise DataError(f"{path} has a header but no rows", "give one row per point")
    index, order = _ordered(path, [text for text, _, _ in table])
    seen: set[object] = set()
    for name in index:
        if name in seen:
            raise DataError(f"{path}: index {name} comes twice", "give one value per index")
        seen.add(name)
    labels = None if label is None else [table[i][2] for i in order]
    return [index[i] for i in order], [table[i][1] for i in order], labels


def _ordered(path: Path, texts: list[str]) -> tuple[list[Any], list[int]]:
    """The index as numbers where all are, else as written; and its order in time.

    Raises DataError where most are dates and one is not: its place in time is unknown.
    """
    numbers = [_plain_number(text) for text in texts]
    keys: list[Any] = numbers if None not in numbers else [_instant(text) for text in texts]
    index: list[Any] = numbers if None not in numbers else texts
    order = list(range(len(texts)))
    if None not in keys:
        return index, sorted(order, key=keys.__getitem__)
    if 2 * sum(key is not None for key in keys) > len(keys):
        other = texts[keys.index(None)]
        raise DataError(
            f"{path}: index {other[:40]!r} is no ISO date, and most are",
            "write all of them like 2026-01-31, or none",
        )
    return index, order


def _instant(text: str) -> datetime | None:
    """An ISO 8601 date or time; without a zone it is UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def read_columns(
    path: Path, needed: tuple[str, ...], optional: tuple[str, ...]
) -> dict[str, list[float]]:
    """Numeric columns by name; an empty cell or `nan` of an optional column is NaN: unknown."""
    header, rows = _table(path, needed)
    names = [name for name in (*needed, *optional) if name in header]
    columns: dict[str, list[float]] = {name: [] for name in names}
    for line, row in rows:
        for name in names:
            text = row[header[name]].strip()
            unknown = name in optional and text.lower() in {"", "nan", "null", "na"}
            columns[name].append(math.nan if unknown else _number(path, line, name, text))
    return columns


def _table(
    path: Path, needed: tuple[str, ...]
) -> tuple[dict[str, int], Iterator[tuple[int, list[str]]]]:
    """The columns' places by lower-case name, and (line, cells) of each row that is not blank."""
    text = _text(path)
    if text.lstrip().startswith(("{", "[")):
        header = ",".join(needed)
        raise DataError(f"{path} is JSON, not CSV", f"write its values as rows under {header}")
    mark = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
    except csv.Error as error:
        raise DataError(f"{path} is not CSV: {error}", "save it as comma-separated text") from None
    if not any(names):
        raise DataError(f"{path} is empty", f"give a header {','.join(needed)} and rows")
    for name in needed:
        if name not in names:
            raise DataError(
                f"{path} has no column {name!r} but {few(names)}",
                f"give a header with {','.join(needed)}",
            )
    for name in names:
        if name and names.count(name) > 1:
            raise DataError(f"{path} has the column {name!r} twice", "leave one of them out")
    rows = _rows(path, reader, len(names), decimal_comma=mark != ",")
    return {name: i for i, name in enumerate(names)}, rows


def _delimiter(text: str) -> str:
    """A comma, or the semicolon or tab that spreadsheets write where the header has no comma."""
    header = text.lstrip("\r\n").partition("\n")[0]
    return next((mark for mark in (",", ";", "\t") if mark in header), ",")


def _rows(
    path: Path, reader: Reader, width: int, *, decimal_comma: bool
) -> Iterator[tuple[int, list[str]]]:
    try:
        for row in reader:
            if not row or not any(cell.strip() for cell in row):
                continue
            if row[0].startswith(MARKERS):
                _refuse(path, reader.line_num, "git left a conflict marker", "resolve the conflict")
            if len(row) != width:
                found = counted(len(row), "cell")
                _refuse(path, reader.line_num, f"{found} under {width} columns", "mend it")
            if decimal_comma:
                row = [c.replace(",", ".") if DECIMAL_COMMA.fullmatch(c) else c for c in row]  # noqa: PLW2901 - as read
            yield reader.line_num, row
    except csv.Error as error:
        _refuse(path, reader.line_num, str(error), "save it as comma-separated text")


def _opened(path: Path) -> BinaryIO:
    """The file; of a pipe, as `<(…)` of a shell is one, once somebody writes to it."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
        until = time.monotonic() + WRITER_S
        while not file.peek(1) and time.monotonic() < until:
            time.sleep(0.02)
    os.set_blocking(file.fileno(), True)
    return file


def _text(path: Path) -> str:
    try:
        with _opened(path) as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise DataError(f"{path} is larger than {MOST_BYTES >> 20} MiB", "give fewer rows")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start})", "save it as UTF-8") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a directory", "give a CSV file") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", "give a CSV file that can be read") from None


def _number(path: Path, line: int, column: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        _refuse(path, line, f"{column} {text.strip()[:40]!r} is not a number", _plainer(text))
    if not abs(number) <= LARGEST:  # false for NaN, too
        _refuse(path, line, f"{column} is {text.strip()[:40]}", "leave the row out or mend it")
    return number


def _plainer(text: str) -> str:
    """How to write what somebody meant as a number."""
    if re.fullmatch(r"\s*[+-]?[\d.]+\s*[^\W\d_%]+\s*|.*%\s*", text):
        return "write numbers without units, all in the same one"
    if re.fullmatch(r"[\s\d.,']+", text) and re.search(r"\d", text):
        return "write 1234.5: no separator of thousands, a point before decimals"
    return "mend the row"


def _plain_number(text: str) -> int | float | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _refuse(path: Path, line: int, problem: str, remedy: str) -> NoReturn:
    raise DataError(f"{path}, line {line}: {problem}", remedy)


def few(names: Any) -> str:
    """The first names, for a message."""
    shown = [name or "(unnamed)" for name in list(names)[:5]]
    return ", ".join(shown)[:200] + (", ..." if len(names) > len(shown) else "")
