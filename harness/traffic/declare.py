"""The words of a scenario file: request templates, checks, feeds, journeys.

Nothing here imports Locust, so a scenario's declarations can be tested on their own.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from harness.errors import ScenarioError
from harness.redact import is_secret_name
from harness.traffic.model import Request

Check = dict[str, Any]
Feed = dict[str, Any]
F = TypeVar("F", bound=Callable[..., Any])

JOURNEY = "_harness_journey"
"""The attribute by which a decorated method is known as a journey: (name, weight)."""


def request(
    method: str,
    path: str,
    *,
    name: str | None = None,
    weight: float = 1.0,
    json_body: Any = None,
    body: str | None = None,
    headers: Mapping[str, str] | None = None,
    checks: Sequence[Check] = (),
    expect: int | Sequence[int] | None = None,
    timeout_s: float = 10.0,
    log: bool = False,
) -> Request:
    """A request template; `{feed}` in path, headers, body and checks draws from that feed.

    `json_body` is any JSON value whose strings may hold `{feed}`; in it, braces of JSON itself
    need no escaping. `body` is raw text, in which `{{` and `}}` are literal braces. `name` is the
    endpoint in every report (default: method and path). `expect` is the status, or the statuses,
    that are wanted (default: 200 to 299; redirects are not followed). `timeout_s` counts from the
    instant at which the generator is ready to send. `log` keeps each request's outcome one by one.
    """
    found = dict(headers or {})
    if expect is not None:
        if any(check.get("kind") == "status" for check in checks):
            raise ScenarioError(
                f"{method} {path}: expect and a status check", "say in one of them what is wanted"
            )
        checks = (status(*((expect,) if isinstance(expect, int) else expect)), *checks)
    if json_body is not None:
        body = _json_template(json_body)
        found.setdefault("content-type", "application/json")
    return Request(
        name=f"{method} {path}" if name is None else name,
        method=method,
        path=path,
        weight=weight,
        headers=tuple(found.items()),
        body=body,
        timeout_s=timeout_s,
        checks=tuple(checks),
        log=log,
    )


def get(path: str, **options: Any) -> Request:
    """`request("GET", …)`."""
    return request("GET", path, **options)


def post(path: str, **options: Any) -> Request:
    """`request("POST", …)`."""
    return request("POST", path, **options)


def put(path: str, **options: Any) -> Request:
    """`request("PUT", …)`."""
    return request("PUT", path, **options)


def delete(path: str, **options: Any) -> Request:
    """`request("DELETE", …)`."""
    return request("DELETE", path, **options)


def status(*allowed: int) -> Check:
    """The response must have one of these status codes."""
    return {"kind": "status", "in": list(allowed)}


def body_contains(text: str) -> Check:
    """The response body must contain this text; `{feed}` in it is replaced."""
    return {"kind": "body_contains", "text": text}


_ANY = object()


def json_pointer(pointer: str, equals: Any = _ANY) -> Check:
    """The JSON pointer (RFC 6901) must exist in the response, and equal a value if one is given."""
    check: Check = {"kind": "json", "pointer": pointer}
    if equals is not _ANY:
        check["equals"] = equals
    return check


def sequence(start: int = 0, step: int = 1, *, fixed: bool = False) -> Feed:
    """Numbers start + n step, n counted by arrival: unique across workers and runs.

    With `fixed`, n begins at 0 in every run, else beyond that of every earlier run.
    """
    feed = {"kind": "sequence", "start": start, "step": step}
    return {**feed, "fixed": True} if fixed else feed


def uniform(low: int, high: int) -> Feed:
    """Whole numbers from low to high, both included, all equally likely."""
    return {"kind": "uniform", "low": low, "high": high}


def zipf(n: int, s: float = 1.1) -> Feed:
    """Ranks 1..n with probability proportional to rank^-s: few are asked for often."""
    return {"kind": "zipf", "n": n, "s": s}


def uuid(*, fixed: bool = False) -> Feed:
    """Version 4 UUIDs, from the seed and the run; with `fixed`, the same in every run."""
    return {"kind": "uuid", "fixed": True} if fixed else {"kind": "uuid"}


def choice(values: Sequence[Any], weights: Sequence[float] | None = None) -> Feed:
    """One of some values, equally likely or by weight."""
    feed: Feed = {"kind": "choice", "values": [str(value) for value in values]}
    if weights is not None:
        feed["weights"] = list(weights)
    return feed


def csv_column(
    path: str | Path,
    column: str,
    order: Literal["random", "sequence"] = "random",
    *,
    secret: bool | None = None,
) -> Feed:
    """The values of one column of a CSV file with a header line, at random or in turn.

    A relative `path` is looked for beside the calling scenario. Values of a `secret` column (by
    default one whose name speaks of a secret) stand in no record. Raises ScenarioError when the
    file, the column or the values are missing.
    """
    caller = sys._getframe(1).f_globals.get("__file__", "")  # noqa: SLF001 - as warnings do
    path = Path(caller).parent / path
    if order not in {"random", "sequence"}:
        raise ScenarioError(f"{path}: order is {order!r}", 'it must be "random" or "sequence"')
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            if column not in (reader.fieldnames or ()):
                raise ScenarioError(
                    f"{path}: no column {column!r}", f"it has {', '.join(reader.fieldnames or ())}"
                )
            values = [row[column] for row in reader if row[column] is not None]
    except OSError as error:
        raise ScenarioError(
            f"{path}: {error.strerror}", "the feed needs a readable CSV file"
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ScenarioError(f"{path}: {error}", "the feed needs a CSV file in UTF-8") from None
    if not values:
        raise ScenarioError(f"{path}: column {column!r} is empty", "add a row")
    feed = choice(values) if order == "random" else {"kind": "cycle", "values": values}
    hidden = is_secret_name(column) if secret is None else secret
    return feed | {"secret": True} if hidden else feed


def journey(*, weight: float = 1.0, name: str | None = None) -> Callable[[F], F]:
    """Mark a method of a TrafficUser as a journey: Python steps, started by the same schedule."""

    def mark(function: F) -> F:
        setattr(function, JOURNEY, (name or function.__name__.replace("_", " "), weight))
        return function

    return mark


def _json_template(value: Any) -> str:
    """JSON text whose own braces are escaped and whose strings' `{feed}` are not."""
    if isinstance(value, dict):
        items = (f"{_json_template(str(k))}:{_json_template(v)}" for k, v in value.items())
        return "{{" + ",".join(items) + "}}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_json_template(item) for item in value) + "]"
    return json.dumps(value)
