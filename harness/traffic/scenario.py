"""Finding, importing and checking scenario files.

A scenario imports Locust, which patches the whole process, and is code of a team: it is only
ever imported in a child (`python -m harness.traffic describe FILE`), never in the CLI.
"""

import importlib.util
import inspect
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.catalog import load_catalog
from harness.catalog.model import Service
from harness.errors import HarnessError, ScenarioError, did_you_mean
from harness.redact import learn, learn_environment, redact
from harness.traffic.declared import Declared
from harness.traffic.locustfile import locustfile_model, shape_of, users_of
from harness.traffic.model import TrafficModel
from harness.traffic.populations import models_of
from harness.typed import adapter

GENERIC = "crud"
"""The scenario that serves any service from its catalogue entry."""

SERVICE_VARIABLE = "HARNESS_SERVICE"
"""How the generic scenario learns which service it stands for: its name, or its entry as JSON."""

URLS_VARIABLE = "HARNESS_SERVICE_URLS"
"""How journeys learn where the other services are that they ask: JSON, URLs by name."""

TIMEOUT_S = 60.0


def scenario_file(service: Service, scenario: str | None, root: Path) -> Path:
    """The scenario's file: as named, the service's own, or the generic; ScenarioError for none."""
    directory = root / "scenarios"
    if scenario is None:
        candidates = [directory / f"{service.name}.py", directory / f"{GENERIC}.py"]
    else:
        candidates = [directory / f"{scenario.removesuffix('.py')}.py", Path(scenario)]
    for path in candidates:
        if path.suffix == ".py" and path.is_file():
            return path.resolve()
    if scenario is None:
        raise ScenarioError(f"{candidates[0]}: no such file, and no {GENERIC}.py", "write one")
    names = scenario_names(root)
    known = ", ".join(names) or "none"
    raise ScenarioError(
        f"no scenario {scenario!r}", f"{did_you_mean(scenario, names)}scenarios/ holds {known}"
    )


def scenario_names(root: Path) -> tuple[str, ...]:
    """The scenarios of a project."""
    return tuple(
        sorted(
            path.stem for path in (root / "scenarios").glob("*.py") if not path.stem.startswith("_")
        )
    )


def scenario_environment(service: Service, urls: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment in which a scenario is imported; `urls` of the other services, by name."""
    found = {**os.environ, SERVICE_VARIABLE: json.dumps(asdict(service))}
    return found | ({URLS_VARIABLE: json.dumps(urls)} if urls else {})


def url_of(service: str) -> str:
    """Where a service is that a journey asks; ScenarioError where its class does not name it."""
    known: dict[str, str] = json.loads(os.environ.get(URLS_VARIABLE, "{}"))
    if service not in known:
        raise ScenarioError(f"url_of({service!r}): not known", f'add it: across = ("{service}",)')
    return known[service]


def service_asked() -> Service:
    """The service a generic scenario stands for, by the environment; ScenarioError for none."""
    value = os.environ.get(SERVICE_VARIABLE, "")
    if not value:
        raise ScenarioError(
            f"{SERVICE_VARIABLE} is not set", "set it to the name of a service of the catalogue"
        )
    if not value.startswith("{"):
        return load_catalog().service(value)
    try:
        return adapter(Service).validate_json(value)
    except ValueError:
        raise ScenarioError(
            f"{SERVICE_VARIABLE} is not a catalogue entry", "set it to the name of a service"
        ) from None


def load_model(
    service: Service, scenario: str | None, root: Path, *, of_any: bool = False
) -> TrafficModel:
    """The checked traffic model of a service, read in a child process.

    What it holds of secrets is registered (see `harness.redact`) and in no endpoint's name.
    `of_any`: the scenario may have been written for another name. Raises ScenarioError naming file,
    line and remedy.
    """
    path = scenario_file(service, scenario, root)
    try:
        child = subprocess.run(
            [sys.executable, "-m", "harness.traffic", "describe", str(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
            env=scenario_environment(service),
        )
    except subprocess.TimeoutExpired:
        raise ScenarioError(
            f"{path}: importing it took more than {TIMEOUT_S:.0f} s", "move work out of the module"
        ) from None
    answer = _last_json(child.stdout)
    if answer is None:
        tail = child.stderr.strip().splitlines()[-1:] or ["it ended the process without a word"]
        raise ScenarioError(
            f"{path}: {tail[0]} (exit code {child.returncode})", "the file must be importable"
        )
    if "problem" in answer:
        raise ScenarioError(answer["problem"], answer["remedy"])
    model = adapter(TrafficModel).validate_python(answer)
    if of_any or model.locustfile:
        others = tuple(replace(each, service=service.name) for each in model.others)
        model = replace(model, service=service.name, others=others)
    if model.service != service.name:
        raise ScenarioError(
            f"{path}: its service is {model.service!r}, not {service.name!r}",
            "name a scenario of that service",
        )
    return _without_secrets(model, service)


def _without_secrets(model: TrafficModel, service: Service) -> TrafficModel:
    public = (json.dumps(asdict(service)),)
    learn(asdict(model), public)
    learn_environment(model.variables, public)
    return _redacted(model)


def _redacted(model: TrafficModel) -> TrafficModel:
    audit = model.audit and replace(model.audit, write=redact(model.audit.write))
    others = tuple(map(_redacted, model.others))
    named = model.mapped(lambda request: replace(request, name=redact(request.name)))
    return replace(named, audit=audit, others=others)


def _last_json(text: str) -> dict[str, Any] | None:
    """The answer among what a scenario may have printed: the last line with one."""
    for line in reversed(text.splitlines()):
        if line.startswith(('{"service": ', '{"problem": ')):
            try:
                found: dict[str, Any] = json.loads(line)
            except ValueError:
                continue
            return found
    return None


def import_users(path: Path) -> tuple[tuple[type[Any], ...], Any]:
    """Import a scenario file: its TrafficUser classes, or a locustfile's users and shape.

    As under `locust -f`, the file's directory can be imported from. Raises ScenarioError with
    file and line; imports Locust into this process.
    """
    from harness.traffic.user import TrafficUser  # noqa: PLC0415 - it patches the process

    module = _import(path)
    users = [
        item
        for _, item in inspect.getmembers(module, inspect.isclass)
        if issubclass(item, TrafficUser)
        and item.__module__ == module.__name__
        and not item.__dict__.get("abstract", False)
    ]
    plain = tuple(user for user in users_of(module) if not issubclass(user, Declared))
    if users and not plain:
        return tuple(users), None
    if not users and plain:
        return plain, shape_of(path, module)
    names = ", ".join(user.__name__ for user in (*users, *plain)) or "none"
    raise ScenarioError(
        f"{path}: it must hold TrafficUser classes, or users of Locust, found {names}",
        "keep one kind in a file; mark base classes with abstract = True",
    )


def _import(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"scenario_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ScenarioError(f"{path}: not a Python file", "name a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    if (directory := str(path.resolve().parent)) not in sys.path:
        sys.path.append(directory)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a team's code may raise anything
        raise _import_error(path, error) from None
    return module


def describe(path: Path) -> TrafficModel:
    """Import a scenario into this process and check it."""
    with _variables_read(path.resolve().parent) as names:
        users, shape = import_users(path)
    if issubclass(users[0], Declared):
        model = models_of(users, str(path), path.stem)
    else:
        model = locustfile_model(path, users, shape)
    _refuse_unheard(path, model)
    return replace(model, variables=tuple(sorted(names)))


@contextmanager
def _variables_read(directory: Path) -> Iterator[set[str]]:
    """The variables of the environment that code of a directory reads meanwhile."""
    names: set[str] = set()
    usual = type(os.environ)

    class Watched(usual):  # type: ignore[misc,valid-type]
        """The same environment; it notes who asks for what."""

        def __getitem__(self, key: str) -> str:
            frame = sys._getframe(1)  # noqa: SLF001 - as warnings do
            while frame.f_back and frame.f_globals.get("__name__") in {"os", "collections.abc"}:
                frame = frame.f_back
            elsewhere = Path(frame.f_code.co_filename).parent != directory
            value: str = super().__getitem__(key)
            names.update(() if elsewhere else (key,))
            return value

    os.environ.__class__ = Watched
    try:
        yield names
    finally:
        os.environ.__class__ = usual


HEARD = ("test_start", "test_stop", "request", "spawning_complete")
"""Events of Locust that a load fires; `request` for the requests of journeys."""

HEARD_BY_LOCUSTFILES = (
    *HEARD, "init", "test_stopping", "user_error", "cpu_warning", "usage_monitor",
)  # fmt: skip
"""Those that it fires where Locust's own users run."""


def _refuse_unheard(path: Path, model: TrafficModel) -> None:
    """A listener that would never be called is named, never ignored."""
    locust = sys.modules.get("locust")
    heard = HEARD_BY_LOCUSTFILES if model.locustfile else HEARD
    for name, event in vars(locust.events).items() if locust else ():
        listeners = [
            handler
            for handler in getattr(event, "_handlers", ())
            if not str(handler.__module__).startswith(("locust", "harness."))
        ]
        if listeners and name not in heard:
            raise ScenarioError(
                f"{path}: a listener of events.{name} would never be called",
                f"use one of {', '.join(heard)}",
            )
        if listeners and name == "request" and model.templates:
            raise ScenarioError(
                f"{path}: a listener of events.request would not hear the mix: the engine sends it",
                "remove it, or make the requests in a @journey",
            )


def _import_error(path: Path, error: BaseException) -> ScenarioError:
    """What importing raised, in one line with the place in the scenario."""
    if isinstance(error, SyntaxError):
        place = f"{error.filename or path}" + (f":{error.lineno}" if error.lineno else "")
        return ScenarioError(f"{place}: {error.msg}", "mend the Python syntax")
    frames = reversed(traceback.extract_tb(error.__traceback__))
    line = next((f":{frame.lineno}" for frame in frames if frame.filename == str(path)), "")
    if isinstance(error, HarnessError):
        return ScenarioError(f"{path}{line}: {error.problem}", error.remedy)
    words = " ".join(str(error).split())[:200]
    return ScenarioError(
        f"{path}{line}: {type(error).__name__}: {words}", "the file must be importable"
    )
