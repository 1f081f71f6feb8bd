"""The words of a scenario file: request templates, checks, feeds, journeys.

Nothing here imports Locust, so a scenario's declarations can be tested on their own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from harness.errors import ScenarioError
from harness.traffic.bodies import (
    FORM,
    Body,
    FilePart,
    body_of,
    form_body,
    json_template,
    multipart_body,
    with_params,
)
from harness.traffic.files import json_text
from harness.traffic.model import Chain, Request, Streaming
from harness.units import parse_duration

Check = dict[str, object]
Feed = dict[str, object]
F = TypeVar("F", bound=Callable[..., Any])

JOURNEY = "_harness_journey"
"""The attribute by which a decorated method is known as a journey: (name, weight)."""

SETUP = "_harness_setup"
"""The same for a set-up hook: (feeds, refresh in seconds)."""

LEAST_REFRESH_S = 1.0


def request(
    method: str,
    path: str,
    *,
    name: str | None = None,
    weight: float = 1.0,
    params: Mapping[str, object] | None = None,
    json_body: object = None,
    form: Mapping[str, object] | None = None,
    multipart: Mapping[str, object] | None = None,
    body: str | bytes | FilePart | None = None,
    headers: Mapping[str, str] | None = None,
    checks: Sequence[Check] = (),
    expect: int | Sequence[int] | None = None,
    timeout_s: float = 10.0,
    log: bool = False,
    capture: Mapping[str, Mapping[str, object]] | None = None,
    think_s: float = 0.0,
) -> Request:
    """A request template; `{feed}` in path, headers, body and checks draws from that feed.

    `params` are put behind the path. Of a body there is one: `json_body` is any JSON value whose
    strings may hold `{feed}` (`json_value("feed")` stands for a number, true, false or null); in
    it, braces of JSON itself need no escaping. `form` are the fields of a form, `multipart` fields
    and `file(…)`. `body` is a `file(…)`, bytes or text, in which `{{` and `}}` are literal braces.
    `name` is the endpoint in every report (default: method and path). `expect` is the status, or
    the statuses, that are wanted (default: 200 to 299; redirects are not followed). `timeout_s`
    counts from the instant at which the generator is ready to send. `log` keeps each request's
    outcome one by one. `capture` and `think_s` are for the steps of a `chain`.
    """
    found = dict(headers or {})
    if expect is not None:
        if any(check.get("kind") == "status" for check in checks):
            raise ScenarioError(
                f"{method} {path}: expect and a status check", "say in one of them what is wanted"
            )
        checks = (status(*((expect,) if isinstance(expect, int) else expect)), *checks)
    text, content_type = _body(
        f"{method} {path}", json_body=json_body, form=form, multipart=multipart, body=body
    )
    if content_type is not None and not any(key.lower() == "content-type" for key in found):
        found["content-type"] = content_type
    return Request(
        name=f"{method} {path}" if name is None else name,
        method=method,
        path=with_params(path, params or {}),
        weight=weight,
        headers=tuple(found.items()),
        body=text if isinstance(text, str) else None,
        parts=text if isinstance(text, tuple) else (),
        timeout_s=timeout_s,
        checks=tuple(checks),
        log=log,
        capture=tuple({"as": name, **source} for name, source in (capture or {}).items()),
        think_s=think_s,
    )


def _body(where: str, **given: Any) -> tuple[Body | None, str | None]:
    """The one body that was given, and its content type where it says one."""
    found = [(name, value) for name, value in given.items() if value is not None]
    if len(found) > 1:
        names = " and ".join(name for name, _ in found)
        raise ScenarioError(f"{where}: {names}", "a request has one body")
    match found:
        case [("json_body", value)]:
            return json_template(value), "application/json"
        case [("form", value)]:
            return form_body(value), FORM
        case [("multipart", value)]:
            content_type, text = multipart_body(value)
            return text, content_type
        case [(_, FilePart() as part)]:
            return body_of(part), part.content_type
        case [(_, (str() | bytes()) as value)]:
            return (value if isinstance(value, str) else body_of(value)), None
        case [(_, value)]:
            raise ScenarioError(f"{where}: body is {value!r}", "give a text, bytes or a file(…)")
    return None, None


get = partial(request, "GET")
post = partial(request, "POST")
put = partial(request, "PUT")
delete = partial(request, "DELETE")
patch = partial(request, "PATCH")
head = partial(request, "HEAD")
options = partial(request, "OPTIONS")
"""`request` with the method of their name."""


def stream(
    path: str,
    *,
    method: str = "POST",
    until: str | None = "[DONE]",
    silence_s: float = 30.0,
    timeout_s: float = 120.0,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Request:
    """A request whose answer comes event by event, e.g. a chat completion with `"stream": True`.

    Its events are timed one by one (`text/event-stream`, lines of JSON, or the pieces of any other
    body); of chat completions only those that carry content. `until` is the data of the last
    event; a stream that ends without it, or stops half way, is broken. None: the body's end will
    do. Nothing may be silent for longer than `silence_s`; all of it may take `timeout_s`. Further
    words are those of `request`.
    """
    found = dict(headers or {})
    if not any(name.lower() == "accept" for name in found):
        found["accept"] = "text/event-stream"
    made = request(method, path, headers=found, timeout_s=timeout_s, **more)
    return replace(made, stream=Streaming(until, silence_s))


def status(*allowed: int) -> Check:
    """The response must have one of these status codes."""
    return {"kind": "status", "in": list(allowed)}


def body_contains(text: str) -> Check:
    """The response body must contain this text; `{feed}` in it is replaced."""
    return {"kind": "body_contains", "text": text}


_ANY = object()


def json_pointer(pointer: str, equals: object = _ANY) -> Check:
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


def choice(values: Sequence[object], weights: Sequence[float] | None = None) -> Feed:
    """One of some values, equally likely or by weight; True is `true` and None `null`."""
    feed: Feed = {"kind": "choice", "values": [json_text(value) for value in values]}
    if weights is not None:
        feed["weights"] = list(weights)
    return feed


def setup(*feeds: str, refresh: str | None = None) -> Callable[[F], F]:
    """Mark a method of a TrafficUser that runs before the load and gives the values of `feeds`.

    It uses `self.client`, outside of all figures, and returns a dictionary with a value for each of
    the feeds, or a list of values that are taken in turn. With `refresh` (as "10m") it runs again
    that often; requests that begin afterwards take the new values. They stand in no record.
    Raises ScenarioError for a duration that cannot be.
    """
    if not feeds or not all(isinstance(name, str) for name in feeds):
        raise ScenarioError("@setup names no feed", 'write @setup("token"), with what it returns')
    try:
        seconds = None if refresh is None else parse_duration(refresh)
    except ValueError as error:
        raise ScenarioError(f"@setup: refresh: {error}", 'write refresh="10m"') from None
    if seconds is not None and not seconds >= LEAST_REFRESH_S:
        raise ScenarioError(f"@setup: refresh is {refresh}", "give 1s or more")

    def mark(function: F) -> F:
        setattr(function, SETUP, (feeds, seconds))
        return function

    return mark


def journey(*, weight: float = 1.0, name: str | None = None) -> Callable[[F], F]:
    """Mark a method of a TrafficUser as a journey: Python steps, started by the same schedule."""

    def mark(function: F) -> F:
        setattr(function, JOURNEY, (name or function.__name__.replace("_", " "), weight))
        return function

    return mark


Capture = dict[str, object]


def json(pointer: str) -> Capture:
    """The value at a JSON pointer (RFC 6901): a text without quotes, else as JSON writes it."""
    return {"kind": "json", "pointer": pointer}


def header(name: str) -> Capture:
    """The value of the first header of this name."""
    return {"kind": "header", "name": name}


def cookie(name: str) -> Capture:
    """The value of the cookie that the answer sets."""
    return {"kind": "cookie", "name": name}


def regex(pattern: str) -> Capture:
    """What the first group of the pattern matches in the body; without groups, all of it.

    In Rust's syntax: as Python's, without look-around and back-references.
    """
    return {"kind": "regex", "pattern": pattern}


def chain(name: str, *steps: Request, weight: float = 1.0) -> Chain:
    """Requests that the engine sends one after another for one arrival.

    `capture={"token": json("/token")}` of a step takes values from its answer; `{token}` stands in
    the paths, headers, bodies and checks of the steps after it, as feeds do. A feed has one value
    in a chain. A step is due when the one before it was answered, plus its own `think_s`. After a
    failure, that of a capture included, the rest of the chain is not offered. The endpoint of a
    step without a `name` is `CHAIN: METHOD PATH`. Raises ScenarioError for what is no step.
    """
    for number, step in enumerate(steps):
        if not isinstance(step, Request):
            raise ScenarioError(f"chain {name!r}: step {number + 1} is {step!r}", "use get(…), …")
    return Chain(name, tuple(_named(name, step) for step in steps), weight)


def _named(chain: str, step: Request) -> Request:
    unnamed = f"{step.method} {step.path}".startswith(step.name)
    return replace(step, name=f"{chain}: {step.name}") if unnamed else step
