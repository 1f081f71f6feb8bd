"""From a User class to a checked TrafficModel, and from there to the engine's plan."""

from __future__ import annotations

import math
import re
from typing import Any

from harness.errors import ScenarioError
from harness.traffic.declare import JOURNEY
from harness.traffic.model import Journey, LoadProfile, Request, TrafficModel

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_VARIABLE = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}|[{}]")


def model_of(user: type[Any], source: str, scenario: str) -> TrafficModel:
    """The traffic model that a User class declares.

    `user` has `service` (str), `mix` (list of Request), `feeds` (dict) and journeys (methods
    marked with `@journey`). Raises ScenarioError naming file, class and field.
    """
    where = f"{source}: {user.__name__}"
    service = getattr(user, "service", None)
    if not isinstance(service, str) or not service:
        raise ScenarioError(f"{where}.service is {service!r}", "set it to the service's name")
    mix = getattr(user, "mix", ())
    if not isinstance(mix, (list, tuple)) or not all(isinstance(item, Request) for item in mix):
        raise ScenarioError(f"{where}.mix is not a list of requests", "use get(…), post(…), …")
    feeds = getattr(user, "feeds", None) or {}
    if not isinstance(feeds, dict) or not all(isinstance(feed, dict) for feed in feeds.values()):
        raise ScenarioError(f"{where}.feeds is not a dict of feeds", "use sequence(…), zipf(…), …")
    journeys = tuple(
        Journey(name=mark[0], method=attribute, weight=mark[1])
        for attribute in dir(user)
        if (mark := getattr(getattr(user, attribute, None), JOURNEY, None)) is not None
    )
    if not mix and not journeys:
        raise ScenarioError(f"{where} has no mix", "declare mix = [get(…), …] or a @journey")
    _check_names(where, [item.name for item in (*mix, *journeys)])
    for number, item in enumerate(mix):
        _check_request(f"{where}.mix[{number}]", item, feeds)
    for item in journeys:
        _check_weight(f"{where}.{item.method}", item.weight)
    return TrafficModel(service, scenario, source, tuple(mix), journeys, feeds)


def _check_names(where: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ScenarioError(f"{where}: two entries are called {name!r}", "give each its name=")


def _check_weight(where: str, weight: Any) -> None:
    if not isinstance(weight, (int, float)) or not (math.isfinite(weight) and weight > 0):
        raise ScenarioError(f"{where}: weight is {weight!r}", "it must be a number above 0")


def _check_request(where: str, item: Request, feeds: dict[str, Any]) -> None:
    _check_weight(where, item.weight)
    if item.method not in METHODS:
        raise ScenarioError(
            f"{where}: method is {item.method!r}", f"it must be one of {', '.join(METHODS)}"
        )
    if not item.path.startswith("/") or any(c.isspace() for c in item.path):
        raise ScenarioError(
            f"{where}: path is {item.path!r}", "it must begin with / and hold no space"
        )
    if not (math.isfinite(item.timeout_s) and item.timeout_s > 0):
        raise ScenarioError(
            f"{where}: timeout_s is {item.timeout_s!r}", "it must be a number above 0"
        )
    texts = [item.path, item.body or "", *(value for _, value in item.headers)]
    for check in item.checks:
        pointer = check.get("pointer")
        if pointer is not None and pointer != "" and not str(pointer).startswith("/"):
            raise ScenarioError(
                f"{where}: JSON pointer {pointer!r}", "it must be empty or begin with /"
            )
        texts += [str(check[key]) for key in ("text", "equals") if isinstance(check.get(key), str)]
    for text in texts:
        for match in _VARIABLE.finditer(text):
            _check_variable(where, text, match, feeds)


def _check_variable(where: str, text: str, match: re.Match[str], feeds: dict[str, Any]) -> None:
    if match[0] in {"{{", "}}"}:
        return
    if match[1] is None:
        raise ScenarioError(
            f"{where}: a lone {match[0]!r} in {text[:60]!r}", "double it, or use json_body="
        )
    if match[1] not in feeds:
        known = ", ".join(sorted(feeds)) or "none"
        raise ScenarioError(
            f"{where}: no feed {match[1]!r}", f"declare it in feeds; declared are: {known}"
        )


def to_engine(traffic: TrafficModel, profile: LoadProfile) -> dict[str, Any]:
    """The parts of the engine's plan that traffic and profile decide (docs/contracts.md)."""
    return {
        "seed": profile.seed,
        "arrivals": _arrivals(profile),
        "requests": [
            {
                "name": item.name,
                "weight": float(item.weight),
                "method": item.method,
                "path": item.path,
                "headers": [list(header) for header in item.headers],
                "body": item.body,
                "timeout_s": float(item.timeout_s),
                "log": item.log,
                "checks": [dict(check) for check in item.checks],
            }
            for item in traffic.requests
        ],
        "journeys": [
            {"name": item.name, "weight": float(item.weight)} for item in traffic.journeys
        ],
        "feeds": traffic.feeds,
    }


def _arrivals(profile: LoadProfile) -> dict[str, Any]:
    if profile.users:
        return {
            "kind": "closed",
            "users": profile.users,
            "duration_s": profile.duration_s,
            "think_s": profile.think_s,
        }
    if profile.replay_ns:
        return {"kind": "replay", "due_ns": list(profile.replay_ns)}
    return {
        "kind": "profile",
        "spacing": profile.spacing,
        "segments": [
            {
                "duration_s": segment.duration_s,
                "from_rate": segment.from_rate,
                "to_rate": segment.to_rate,
            }
            for segment in profile.segments
        ],
    }
