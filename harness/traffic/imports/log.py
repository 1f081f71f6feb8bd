"""Access logs: nginx and Apache combined, and JSON lines of Envoy or an ingress.

Read line by line, in memory that the length of the log does not change, but for an instant each.
"""

from __future__ import annotations

import json
import re
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.errors import ScenarioError
from harness.traffic.imports.seen import Exchange, Seen, checked, is_static

MOST_LINES = 5_000_000
LONGEST_LINE = 64 << 10
"""Characters; a longer one is skipped."""

SKIPPED = "lines of another form"

_COMBINED = re.compile(
    r'\S+ \S+ .*?\[(?P<when>[^\]]+)\] "(?P<method>[A-Z]+) (?P<target>\S+)(?: HTTP/[\d.]+)?"'
    r" (?P<status>\d{3}) "
)
_NUMBER = re.compile(r"[0-9]{1,13}(?:\.[0-9]{1,9})?")

_NAMES = {
    "method": ("method", "request_method", ":method"),
    "path": ("path", "request_uri", "uri", "x-envoy-original-path", ":path", "url"),
    "status": ("response_code", "status", "status_code"),
    "when": ("start_time", "time_iso8601", "time", "timestamp", "@timestamp", "time_local", "msec"),
}


@dataclass(slots=True)
class LogTraffic:
    """What was seen, and the instant of each request (f64[n], Unix seconds, as logged)."""

    seen: Seen
    instants: array[float]

    def spread(self) -> Iterator[float]:
        """The instants in order, seconds from the first; those of one logged second spread evenly.

        A log whose clock has whole seconds would else be replayed in bursts.
        """
        times = sorted(self.instants)
        first = times[0] if times else 0.0
        whole = all(time.is_integer() for time in times)
        same = Counter(times) if whole else Counter()
        place: Counter[float] = Counter()
        for time in times:
            yield time - first + (place[time] / same[time] if whole else 0.0)
            place[time] += 1


def read_log(path: Path, *, everything: bool = False) -> LogTraffic:
    """The requests of a log. Raises ScenarioError where it cannot be read or holds none.

    `everything` keeps static files.
    """
    traffic = LogTraffic(Seen(str(path)), array("d"))
    try:
        if path.exists() and not path.is_file():
            raise ScenarioError(f"{path}: no regular file", "name one")
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE), ""), 1):
                if number > MOST_LINES:
                    raise ScenarioError(f"{path}: more than {MOST_LINES:,} lines", "cut it")
                _add(traffic, line, everything=everything)
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror}", "name a readable log") from None
    checked(traffic.seen)
    return traffic


def _add(traffic: LogTraffic, line: str, *, everything: bool) -> None:
    if not line.strip():
        return
    exchange = _from_json(line) if line.startswith("{") else _from_combined(line)
    if exchange is None:
        traffic.seen.left_out[SKIPPED] += 1
    elif not everything and is_static(exchange.url.partition("?")[0]):
        traffic.seen.left_out["static files"] += 1
    else:
        traffic.seen.add(exchange)
        if exchange.instant_s is not None:
            traffic.instants.append(exchange.instant_s)


def _from_combined(line: str) -> Exchange | None:
    match = _COMBINED.match(line)
    if match is None or not match["target"].startswith(("/", "http")):
        return None
    return Exchange(
        match["method"],
        match["target"],
        status=int(match["status"]),
        instant_s=_when(match["when"]),
    )


def _from_json(line: str) -> Exchange | None:
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
    status = _first(found, "status")
    return Exchange(
        str(method or "GET").upper(),
        request,
        status=int(status) if re.fullmatch(r"[1-9][0-9]{2}", str(status)) else None,
        instant_s=_when(str(_first(found, "when"))),
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
