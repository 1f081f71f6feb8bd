"""From a User class to a checked TrafficModel, and from there to the engine's plan."""

import ast
import dataclasses
import hashlib
import inspect
import json
import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from harness.errors import ProfileError, ScenarioError
from harness.traffic.bodies import check_json_values
from harness.traffic.declare import JOURNEY, SETUP
from harness.traffic.files import paired
from harness.traffic.model import Audit, Chain, Journey, LoadProfile, Request, Setup, TrafficModel
from harness.traffic.replay import fitted

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_ANY_ARRIVALS = {
    "kind": "profile",
    "spacing": "constant",
    "segments": [{"duration_s": 1.0, "from_rate": 1.0, "to_rate": 1.0}],
}


def model_of(
    user: type[object], source: str | None = None, scenario: str | None = None
) -> TrafficModel:
    """The traffic model that a User class declares.

    `user` has `service` (str), `mix` (list of Request), `feeds` (dict) and journeys (methods
    marked with `@journey`). `source` is the scenario's file and `scenario` its name; by default
    the file of the class and that file's stem. Raises ScenarioError naming file, class and field.
    """
    source = source or inspect.getfile(user)
    where = f"{source}: {user.__name__}"
    service = getattr(user, "service", None)
    if not isinstance(service, str) or not service:
        raise ScenarioError(f"{where}.service is {service!r}", "set it to the service's name")
    mix = getattr(user, "mix", ())
    if not isinstance(mix, (list, tuple)) or not all(
        isinstance(item, (Request, Chain)) for item in mix
    ):
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
    _refuse_unused(where, user, journeys=bool(journeys))
    setups = _setups(where, user, feeds)
    given = {name: {"kind": "given", "secret": True} for hook in setups for name in hook.feeds}
    feeds = {**paired(feeds), **given}
    for number, item in enumerate(mix):
        _check_item(f"{where}.mix[{number}]", item, feeds)
    for item in journeys:
        _check_number(f"{where}.{item.method}", "weight", item.weight)
    requests = tuple(item for item in mix if isinstance(item, Request))
    model = TrafficModel(
        service,
        scenario or Path(source).stem,
        source,
        requests,
        journeys,
        feeds,
        _audit(where, getattr(user, "audit", None), requests, feeds),
        code_digest(Path(inspect.getfile(user))) if journeys or setups else None,
        setups=setups,
        chains=tuple(item for item in mix if isinstance(item, Chain)),
        across=_across(where, user, journeys),
    )
    _check_with_engine(where, model, mix)
    return model


def _setups(where: str, user: type[object], feeds: Mapping[str, object]) -> tuple[Setup, ...]:
    """The hooks in the order of their definition; two cannot give one feed."""
    marked = {
        attribute: mark
        for kind in reversed(user.__mro__)
        for attribute in vars(kind)
        if (mark := getattr(getattr(user, attribute, None), SETUP, None)) is not None
    }
    known = set(feeds)
    for method, (names, _) in marked.items():
        for name in names:
            if name in known:
                raise ScenarioError(
                    f"{where}.{method}: the feed {name} is given twice", "rename one of them"
                )
            known.add(name)
    return tuple(Setup(method, names, seconds) for method, (names, seconds) in marked.items())


def _across(where: str, user: type[object], journeys: Sequence[Journey]) -> tuple[str, ...]:
    names = getattr(user, "across", ())
    if not isinstance(names, list | tuple) or not all(isinstance(each, str) for each in names):
        raise ScenarioError(f"{where}.across is {names!r}", 'name services: ("memorai", "wallet")')
    if names and not journeys:
        raise ScenarioError(
            f"{where}.across without a @journey", "only journeys ask other services"
        )
    return tuple(names)


def _refuse_unused(where: str, user: type[object], *, journeys: bool) -> None:
    """What Locust would call and nothing here does is named, never ignored."""
    names: set[str] = set()
    for kind in user.__mro__:
        if kind.__name__ in {"TrafficUser", "Declared"}:
            break
        names |= vars(kind).keys()
    tasks = [name for name in names if hasattr(getattr(user, name, None), "locust_task_weight")]
    listed = getattr(user, "tasks", None) or ()
    if tasks or any(getattr(each, "__name__", "") != "stand_by" for each in listed):
        raise ScenarioError(
            f"{where}: @task {', '.join(sorted(tasks)) or 'of tasks'} would never run",
            "mark it with @journey, which the schedule starts",
        )
    if "wait_time" in names:
        raise ScenarioError(
            f"{where}.wait_time would never be used: the schedule says when a visitor comes",
            "remove it; pause inside a journey with gevent.sleep(seconds)",
        )
    unused = sorted({"on_start", "on_stop"} & names)
    if unused and not journeys:
        raise ScenarioError(
            f"{where}.{unused[0]} would never run: the engine sends a mix without Python",
            "do it in a listener of locust.events.test_start, or in a @journey",
        )


@cache
def _resolved(file: str) -> str:
    """Each population asks for every module that there is."""
    return str(Path(file).resolve())


@lru_cache(maxsize=64)
def _code(text: str) -> str:
    """The syntax tree in words; all populations of a file ask for the same."""
    return ast.dump(ast.parse(text))


def code_digest(source: Path) -> str:
    """A digest of a scenario's code, of what it has imported from its own directory included.

    The syntax tree is digested, so comments and layout do not count.
    """
    directory = source.resolve().parent
    begin = f"{directory}".removesuffix(os.sep) + os.sep
    files = {source.resolve()}
    for module in tuple(sys.modules.values()):
        file = getattr(module, "__file__", None) or ""
        if file.endswith(".py") and (path := _resolved(file)).startswith(begin):
            files.add(Path(path))
    digest = hashlib.sha256()
    for each in sorted(files):
        code = _code(each.read_text(encoding="utf-8"))
        digest.update(f"{each.relative_to(directory)} {code}\n".encode())
    return digest.hexdigest()[:12]


def _audit(
    where: str, audit: object, mix: Sequence[Request], feeds: Mapping[str, object]
) -> Audit | None:
    """The audit, which may name only what the model has."""
    if audit is None:
        return None
    if not isinstance(audit, Audit):
        raise ScenarioError(f"{where}.audit is {audit!r}", "use Audit(write=…, id=…, read=…)")
    if audit.write not in {request.name for request in mix}:
        raise ScenarioError(f"{where}.audit.write: no request {audit.write!r}", "name one of mix")
    if audit.id not in feeds:
        raise ScenarioError(f"{where}.audit.id: no feed {audit.id!r}", "name one of feeds")
    if "{id}" not in audit.read:
        raise ScenarioError(f"{where}.audit.read is {audit.read!r}", "put {id} where the id stands")
    return audit


def _check_item(
    where: str, item: Request | Chain, feeds: Mapping[str, Mapping[str, object]]
) -> None:
    if isinstance(item, Request):
        _check_request(where, item)
        check_json_values(where, item, feeds)
        return
    _check_number(where, "weight", item.weight)
    captured: set[str] = set()
    for number, step in enumerate(item.steps):
        _check_request(f"{where}.steps[{number}]", step)
        check_json_values(f"{where}.steps[{number}]", step, feeds, captured)
        captured |= {str(each["as"]) for each in step.capture}


def _check_request(where: str, item: Request) -> None:
    """What the engine would let pass or could not name as well."""
    _check_number(where, "weight", item.weight)
    _check_number(where, "timeout_s", item.timeout_s)
    if item.stream is not None:
        _check_number(where, "silence_s", item.stream.silence_s)
    if item.method not in METHODS:
        raise ScenarioError(
            f"{where}: method is {item.method!r}", f"it must be one of {', '.join(METHODS)}"
        )
    if not isinstance(item.path, str) or any(c.isspace() for c in item.path):
        raise ScenarioError(
            f"{where}: path is {item.path!r}", "it must be text without spaces; %20 is a space"
        )


def _check_number(where: str, field: str, value: Any) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and value > 0):
        raise ScenarioError(f"{where}: {field} is {value!r}", "it must be a number above 0")


def _check_with_engine(where: str, model: TrafficModel, mix: Sequence[Request | Chain]) -> None:
    """Let the engine compile the model: what it accepts is defined there and nowhere else."""
    from harness._engine import Engine  # noqa: PLC0415 - declaring needs no engine

    plan = {**_engine_model(model), "arrivals": _ANY_ARRIVALS, "targets": ["http://localhost"]}
    try:
        Engine(json.dumps(plan, allow_nan=False))
    except TypeError as error:
        raise ScenarioError(f"{where}: {error}", "use text, numbers, lists and dicts") from None
    except ValueError as error:
        raise ScenarioError(f"{where}.{_in_scenario_words(str(error), mix)}") from None


def _in_scenario_words(problem: str, mix: Sequence[Request | Chain]) -> str:
    """The engine's `plan field requests[0].path: …` as the author of a scenario knows it."""
    if problem.startswith("Out of range float"):
        return "feeds or checks: a number is NaN or infinite; use a finite one"
    problem = re.sub(r" at line \d+ column \d+", "", problem.removeprefix("plan field "))
    places = {
        word: [number for number, item in enumerate(mix) if isinstance(item, kind)]
        for word, kind in (("requests", Request), ("chains", Chain))
    }
    return re.sub(
        r"^(requests|chains)(?:\[(\d+)\])?",
        lambda found: f"mix[{places[found[1]][int(found[2])]}]" if found[2] else "mix",
        problem,
    )


def to_engine(traffic: TrafficModel, profile: LoadProfile) -> dict[str, Any]:
    """The parts of the engine's plan that traffic and profile decide (docs/contracts.md).

    Raises ProfileError for a closed model of a scenario with journeys, which are visitors that
    come and go, and for any other model of a locustfile.
    """
    if traffic.locustfile and not profile.users:
        raise ProfileError(
            f"{traffic.source}: a locustfile's users loop, so no arrival rate can be offered",
            "drive it with `harness perf … --users N`",
        )
    if profile.users and traffic.journeys and not traffic.locustfile:
        raise ProfileError(
            f"{traffic.source}: a closed model sends requests only, and this scenario has journeys",
            "leave out --users, or name a scenario without @journey",
        )
    profile = fitted(profile, traffic)
    return {
        "seed": profile.seed,
        "arrivals": _arrivals(profile),
        **_engine_model(traffic, profile.replay_values),
    }


def _engine_model(
    traffic: TrafficModel, replayed: Mapping[str, Sequence[str]] | None = None
) -> dict[str, object]:
    return {
        "requests": [_engine_request(item) for item in traffic.requests],
        "chains": [
            {
                "name": item.name,
                "weight": float(item.weight),
                "steps": [_engine_request(step) for step in item.steps],
            }
            for item in traffic.chains
        ],
        "journeys": [
            {"name": item.name, "weight": float(item.weight)} for item in traffic.journeys
        ],
        "feeds": {
            name: {key: value for key, value in feed.items() if key != "secret"}
            for name, feed in traffic.feeds.items()
        }
        | {
            name: {"kind": "cycle", "values": list(values)}
            for name, values in (replayed or {}).items()
            if name in traffic.feeds
        },
    }


def _engine_request(item: Request) -> dict[str, object]:
    return {
        "name": item.name,
        "weight": float(item.weight),
        "method": item.method,
        "path": item.path,
        "headers": [list(header) for header in item.headers],
        "body": list(item.parts) or item.body,
        "timeout_s": float(item.timeout_s),
        "log": item.log,
        "checks": [dict(check) for check in item.checks],
        "capture": {
            each["as"]: {key: value for key, value in each.items() if key != "as"}
            for each in item.capture
        },
        "think_s": float(item.think_s),
        "stream": dataclasses.asdict(item.stream) if item.stream else None,
    }


def _arrivals(profile: LoadProfile) -> dict[str, object]:
    if profile.users:
        return {
            "kind": "closed",
            "users": profile.users,
            "duration_s": profile.duration_s,
            "think_s": profile.think_s,
        }
    if profile.replay_ns:
        return {
            "kind": "replay",
            "due_ns": list(profile.replay_ns),
            "requests": list(profile.replay_requests),
        }
    return {
        "kind": "profile",
        "spacing": profile.spacing,
        "segments": [
            {name: value for name, value in dataclasses.asdict(each).items() if name != "phase"}
            for each in profile.segments
        ],
    }
