"""Finding, importing and checking scenario files.

A scenario imports Locust, which patches the whole process, and is code of a team: it is only
ever imported in a child (`python -m harness.traffic describe FILE`), never in the CLI.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import subprocess
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from harness.catalog.model import Service
from harness.errors import ScenarioError
from harness.traffic.build import model_of
from harness.traffic.model import TrafficModel

GENERIC = "crud"
"""The scenario that serves any service from its catalogue entry."""

SERVICE_VARIABLE = "HARNESS_SERVICE"
"""How the generic scenario learns which service it stands for: the catalogue entry as JSON."""

TIMEOUT_S = 60.0

_MODEL = TypeAdapter(TrafficModel)


def scenario_file(service: Service, scenario: str | None, root: Path) -> Path:
    """The file of a scenario: the one named, else the service's own, else the generic one.

    Raises ScenarioError when the one named does not exist.
    """
    if scenario is None:
        own = root / "scenarios" / f"{service.name}.py"
        return own if own.is_file() else root / "scenarios" / f"{GENERIC}.py"
    candidates = [Path(scenario), root / "scenarios" / f"{scenario.removesuffix('.py')}.py"]
    for path in candidates:
        if path.is_file() and path.suffix == ".py":
            return path.resolve()
    known = ", ".join(scenario_names(root))
    raise ScenarioError(f"no scenario {scenario!r}", f"scenarios/ holds {known}")


def scenario_names(root: Path) -> tuple[str, ...]:
    """The scenarios of a project."""
    return tuple(
        sorted(
            path.stem for path in (root / "scenarios").glob("*.py") if not path.stem.startswith("_")
        )
    )


def scenario_environment(service: Service) -> dict[str, str]:
    """The environment in which a scenario is imported."""
    return {**os.environ, SERVICE_VARIABLE: json.dumps(asdict(service))}


def load_model(service: Service, scenario: str | None, root: Path) -> TrafficModel:
    """The checked traffic model of a service, read in a child process.

    Raises ScenarioError naming file, line and remedy.
    """
    path = scenario_file(service, scenario, root)
    try:
        child = subprocess.run(
            [sys.executable, "-m", "harness.traffic", str(path)],
            capture_output=True,
            text=True,
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
        tail = child.stderr.strip().splitlines()[-1:] or [f"exit code {child.returncode}"]
        raise ScenarioError(f"{path}: {tail[0]}", "the file must be importable")
    if "problem" in answer:
        raise ScenarioError(answer["problem"], answer["remedy"])
    model = _MODEL.validate_python(answer)
    if model.service != service.name:
        raise ScenarioError(
            f"{path}: its service is {model.service!r}, not {service.name!r}",
            "name a scenario of that service",
        )
    return model


def _last_json(text: str) -> dict[str, Any] | None:
    """The last line that is a JSON object: a scenario may print as it pleases."""
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            try:
                found: dict[str, Any] = json.loads(line)
            except ValueError:
                continue
            return found
    return None


def import_user(path: Path) -> type[Any]:
    """Import a scenario file and return its one User class.

    Raises ScenarioError with file and line; imports Locust into this process.
    """
    from harness.traffic.user import TrafficUser  # noqa: PLC0415 - it patches the process

    spec = importlib.util.spec_from_file_location(f"scenario_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ScenarioError(f"{path}: not a Python file", "name a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except ScenarioError:
        raise
    except SyntaxError as error:
        raise ScenarioError(
            f"{path}:{error.lineno}: {error.msg}", "mend the Python syntax"
        ) from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a team's code may raise anything
        line = _line_in(path, error)
        raise ScenarioError(
            f"{path}{line}: {type(error).__name__}: {error}", "the file must be importable"
        ) from None
    users = [
        item
        for _, item in inspect.getmembers(module, inspect.isclass)
        if issubclass(item, TrafficUser) and item.__module__ == module.__name__
    ]
    if len(users) != 1:
        names = ", ".join(user.__name__ for user in users) or "none"
        raise ScenarioError(
            f"{path}: it must hold one TrafficUser class, found {names}", "keep one a file"
        )
    return users[0]


def describe(path: Path) -> TrafficModel:
    """Import a scenario into this process and check it."""
    return model_of(import_user(path), str(path), path.stem)


def _line_in(path: Path, error: BaseException) -> str:
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename == str(path):
            return f":{frame.lineno}"
    return ""
