"""Access logs: nginx and Apache combined, JSON lines of Envoy or an ingress, AWS load balancers.

Read line by line, also from gzip; of each request only what a trace says of it is kept.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from harness.errors import ScenarioError
from harness.traffic.imports.seen import Endpoint, Seen, checked, is_static, is_url

MOST_LINES = 5_000_000
LONGEST_LINE = 64 << 10
"""Characters; a longer one is skipped."""

SKIPPED = "lines of another form"

_COMBINED = re.compile(
    r'\S+ \S+ .*?\[(?P<when>[^\]]+)\] "(?P<method>[A-Z]+) (?P<target>\S+)(?: HTTP/[\d.]+)?"'
    r" (?P<status>\d{3}) "
)
_BALANCER = re.compile(
    r"(?:[a-z]\w* )?(?P<when>\d{4}-\d\d-\d\dT[\d:.]+Z) (?:\S+ ){3}(?:-?[\d.]+ ){3}"
    r'(?P<status>\d{3}|-) \S+ \d+ \d+ "(?P<method>[A-Z]+) (?P<target>\S+) [^"]*"'
    r'(?:.* (?P<made>\d{4}-\d\d-\d\dT[\d:.]+Z) "|)'
)
"""Of AWS: `made` is when an application load balancer got the request, `when` its answer's end."""

_NUMBER = re.compile(r"[0-9]{1,13}(?:\.[0-9]{1,9})?")

_NAMES = {
    "method": ("method", "request_method", ":method"),
    "path": ("path", "request_uri", "uri", "x-envoy-original-path", ":path", "url"),
    "status": ("response_code", "status", "status_code"),
    "when": ("start_time", "time_iso8601", "time", "timestamp", "@timestamp", "time_local", "msec"),
}


@dataclass(slots=True)
class LogTraffic:
    """What was seen and, of each request with one, the instant (Unix seconds, as logged).

    `numbers` are their endpoints; `ends` is where the values of each end in `values`.
    """

    seen: Seen
    instants: array[float] = field(default_factory=lambda: array("d"))
    numbers: array[int] = field(default_factory=lambda: array("I"))
    values: bytearray = field(default_factory=bytearray)
    ends: array[int] = field(default_factory=lambda: array("Q"))

    def keep(self, instant_s: float, number: int, values: tuple[str, ...]) -> None:
        """Keep what a trace says of a request."""
        self.instants.append(instant_s)
        self.numbers.append(number)
        if values:
            self.values += "\0".join(values).encode()
        self.ends.append(len(self.values))

    def write_trace(self, stream: IO[str]) -> None:
        """A CSV for a replay: time (s from the first), endpoint, values of its feeds.

        Once the scenario was written, which may have renamed the feeds.
        """
        lines = csv.writer(stream, lineterminator="\n")
        endpoints = list(self.seen.endpoints.values())
        columns = list(dict.fromkeys(slot for each in endpoints for slot in each.slots))
        lines.writerow(["time", "endpoint", *columns])
        lines.writerows(self._rows(endpoints, columns))

    def _rows(self, endpoints: Sequence[Endpoint], columns: Sequence[str]) -> Iterator[list[str]]:
        names = [f"{each.method} {each.template}" for each in endpoints]
        places = [[2 + columns.index(slot) for slot in each.slots] for each in endpoints]
        blank = [""] * len(columns)
        order = cast("list[int]", np.argsort(np.asarray(self.instants), kind="stable").tolist())
        for k, second in zip(order, self.spread(), strict=True):
            number = self.numbers[k]
            row = [f"{second:.6f}", names[number], *blank]
            if places[number]:
                text = self.values[self.ends[k - 1] if k else 0 : self.ends[k]].decode()
                for place, value in zip(places[number], text.split("\0"), strict=False):
                    row[place] = value
            yield row

    def spread(self) -> list[float]:
        """The instants in order, seconds from the first; those of one logged second spread evenly.

        A log whose clock has whole seconds would else be replayed in bursts.
        """
        times = np.sort(np.asarray(self.instants, np.float64))
        if not len(times):
            return []
        found = times - times[0]
        if np.array_equal(times, np.floor(times)):
            _, first, count = np.unique(times, return_index=True, return_counts=True)
            place = np.arange(len(times)) - np.repeat(first, count)
            found = found + place / np.repeat(count, count)
        spread: list[float] = found.tolist()
        return spread


def read_log(path: Path, *, everything: bool = False) -> LogTraffic:
    """The requests of a log. Raises ScenarioError where it cannot be read or holds none.

    `everything` keeps static files.
    """
    traffic = LogTraffic(Seen(str(path)))
    try:
        if path.exists() and not path.is_file():
            raise ScenarioError(f"{path}: no regular file", "name one")
        with _opened(path) as stream:
            for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE), ""), 1):
                if number > MOST_LINES:
                    raise ScenarioError(f"{path}: more than {MOST_LINES:,} lines", "cut it")
                _add(traffic, line, everything=everything)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ScenarioError(f"{path}: {error}", "fetch the compressed log again") from None
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror}", "name a readable log") from None
    checked(traffic.seen)
    return traffic


def _opened(path: Path) -> IO[str]:
    """The text of a log, packed with gzip or not."""
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    if packed:
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="replace")
    return path.open(encoding="utf-8-sig", errors="replace")


def _add(traffic: LogTraffic, line: str, *, everything: bool) -> None:
    found = _from_json(line) if line.startswith("{") else _from_combined(line)
    if found is None:
        if line.strip():
            traffic.seen.left_out[SKIPPED] += 1
        return
    method, url, status, instant_s = found
    if not url.startswith("/") and not is_url(url):
        traffic.seen.left_out[SKIPPED] += 1
    elif not everything and is_static(url.partition("?")[0]):
        traffic.seen.left_out["static files"] += 1
    else:
        number, values = traffic.seen.add_line(method, url, status, instant_s)
        if instant_s is not None:
            traffic.keep(instant_s, number, values)


_Line = tuple[str, str, int | None, float | None]
"""Method, URL, status (None: not known) and instant (Unix seconds)."""


def _from_combined(line: str) -> _Line | None:
    match = _COMBINED.match(line)
    if match is not None:
        when, method, target, status = match.groups()
    elif (match := _BALANCER.match(line)) is not None:
        when, status, method, target, made = match.groups()
        when = made or when
    else:
        return None
    if not target.startswith(("/", "http")):
        return None
    return method, target, int(status) if status != "-" else None, _when(when)


def _from_json(line: str) -> _Line | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    request = _first(found, "path")
    method = _first(found, "method")
    if request is None and isinstance(line := found.get("request"), str):
        method, _, request = line.partition(" ")
        request = request.partition(" ")[0]
    if not isinstance(request, str) or not request.startswith(("/", "http")):
        return None
    status = str(_first(found, "status"))
    known = len(status) == 3 and status.isascii() and status.isdecimal() and status[0] != "0"  # noqa: PLR2004
    return (
        str(method or "GET").upper(),
        request,
        int(status) if known else None,
        _when(str(_first(found, "when"))),
    )


def _first(found: dict[str, Any], what: str) -> Any:
    return next((found[name] for name in _NAMES[what] if found.get(name) is not None), None)


@lru_cache(1 << 12)
def _when(text: str) -> float | None:
    """Unix seconds of an instant as logs write it; None where it is none."""
    if _NUMBER.fullmatch(text):
        return float(text) / (1000 if len(text) == len("1767225600000") else 1)
    try:
        if "/" in text:
            return datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z").timestamp()
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None
