"""A small project: one URL or program, objectives and usual options, in `harness.yaml`."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from urllib.parse import urlsplit

from harness.catalog.model import Objective, Service
from harness.catalog.short_form import parse_objective
from harness.errors import UsageError
from harness.traffic.declare import get
from harness.traffic.model import TrafficModel

FILE = "harness.yaml"
USUAL_PROFILE, USUAL_RATE, USUAL_DURATION_S = "constant", 10.0, 10.0
"""Of a URL, where nothing else is said: enough for a first number, too little to hurt."""

OPTIONS = (
    "profile", "stages", "rate", "duration", "seed", "spacing", "users", "think_time",
    "spawn_rate", "populations", "scenario",
    "workers", "connections", "max_in_flight", "results", "prometheus", "http2", "insecure",
    "cacert", "cert", "key", "resolve", "unix_socket", "proxy", "new_connections",
    "connection_max_age", "connection_max_requests",
)  # fmt: skip
"""Options of `harness perf` that harness.yaml may hold and HARNESS_<NAME> overrides."""

_FIELDS = ("url", "lab", "name", "objectives", *OPTIONS)
_PARAMETERS = {
    "duration": "duration_s", "think_time": "think_s", "connection_max_age": "max_age_s",
    "connection_max_requests": "max_requests",
}  # fmt: skip
_LISTS = ("resolve",)
_MAPPINGS = ("populations",)
"""By name; in the environment NAME=LOAD, separated by semicolons."""

_PATHS = ("cacert", "cert", "key", "unix_socket")
"""Beside the file, where it names them."""


@dataclass(frozen=True, slots=True)
class Project:
    """What one harness.yaml says; `url` is empty where `lab` has a program."""

    root: Path
    url: str
    name: str
    objectives: tuple[Objective, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)
    lab: Mapping[str, object] = field(default_factory=dict)


def find_project() -> Project | None:
    """The project of the nearest harness.yaml upwards, or None; UsageError for a wrong one."""
    here = Path.cwd()
    for directory in (here, *here.parents):
        if (directory / FILE).is_file():
            return read_project(directory / FILE)
    return None


def read_project(path: Path) -> Project:
    """The project of a file; CatalogError where it is no YAML mapping, UsageError for all else."""
    from harness.catalog.yaml_documents import read_mapping  # noqa: PLC0415 - who has a file pays

    found = read_mapping(path)
    problems = [f"{name}: unknown" for name in found if name not in _FIELDS]
    problems += [
        f"{name}: not one value"
        for name in OPTIONS
        if name not in _MAPPINGS
        and isinstance(found.get(name), dict if name in _LISTS else (dict, list))
    ]
    problems += [
        f"{name}: not a mapping of names to values"
        for name in _MAPPINGS
        if not isinstance(each := found.get(name) or {}, dict)
        or any(isinstance(value, dict | list | NoneType) for value in each.values())
    ]
    url, lab = found.get("url", ""), found.get("lab")
    if not isinstance(lab, dict | NoneType) or lab == {}:
        problems.append("lab: not a mapping; write command: and how your program starts")
    if lab is not None and url:
        problems.append("url and lab exclude each other")
    if lab is None and (not isinstance(url, str) or urlsplit(url).scheme not in {"http", "https"}):
        problems.append("url: give it as http://host:port/path, or a program under lab:")
    objectives, wrong = _objectives(found.get("objectives") or [])
    if problems + wrong:
        raise UsageError(
            f"{path}: {'; '.join(problems + wrong)}", f"the fields are {', '.join(_FIELDS)}"
        )
    options = {name: found[name] for name in OPTIONS if found.get(name) is not None}
    options |= {name: path.parent / str(options[name]) for name in _PATHS if name in options}
    name = slug(str(found.get("name") or url or path.resolve().parent.name))
    return Project(
        path.parent,
        str(url),
        name,
        tuple(objectives),
        options,
        lab if isinstance(lab, dict) else {},
    )


def _objectives(texts: object) -> tuple[list[Objective], list[str]]:
    if not isinstance(texts, list):
        return [], ["objectives: not a list; write - p95 < 100ms"]
    found, problems = [], []
    for number, text in enumerate(texts):
        try:
            found.append(parse_objective(str(text)))
        except ValueError as problem:
            problems.append(f"objectives[{number}]: {problem}")
    return found, problems


def usual_options(project: Project | None) -> dict[str, object]:
    """Values of `harness perf`'s options, by their parameters: HARNESS_<NAME>, then the file."""
    options = dict(project.options) if project else {}
    for name in OPTIONS:
        if value := os.environ.get(f"HARNESS_{name.upper()}"):
            options[name] = value
    return {_PARAMETERS.get(name, name): _value(name, value) for name, value in options.items()}


def _value(name: str, value: object) -> str | list[str]:
    """What the command line would have in place of this."""
    if name in _MAPPINGS:
        parts = value.items() if isinstance(value, dict) else ()
        named = [f"{key}={load}" for key, load in parts]
        return named or [part for part in str(value).split(";") if part.strip()]
    return _several(value) if name in _LISTS else str(value)


def _several(value: object) -> list[str]:
    """The values of an option that may be given again: a list, or words of one text."""
    return [str(each) for each in value] if isinstance(value, list) else str(value).split()


def slug(text: str) -> str:
    """A name for a directory: of a URL, its host and port."""
    text = urlsplit(text).netloc.rpartition("@")[2] if "://" in text else text
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.") or "service"


def url_service(name: str, url: str, objectives: tuple[Objective, ...] = ()) -> Service:
    """A catalogue entry for what nobody has put into a catalogue."""
    return Service(
        name=name, tier="specialized", core_app=False, port=urlsplit(url).port or 0, purpose=url,
        replicas=1, cpu=0.0, memory="", health_path=path_of(url), routes=(), regions=("here",),
        environments=(), objectives=objectives, primary="p95", region_roles=("active",),
    )  # fmt: skip


def base_of(url: str) -> str:
    """Scheme, host and port. Raises UsageError where the URL carries a password."""
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise UsageError("user information in the URL", "send it as a header of a scenario")
    return f"{parts.scheme}://{parts.netloc}"


def url_traffic(name: str, url: str) -> TrafficModel:
    """GET of that URL, all of the time."""
    path = path_of(url).replace("{", "{{").replace("}", "}}")
    request = get(path, name=f"GET {path_of(url).partition('?')[0]}")
    return TrafficModel(name, "url", base_of(url), (request,))


def path_of(url: str) -> str:
    """Path and query of a URL."""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
