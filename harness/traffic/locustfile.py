"""An ordinary locustfile as a traffic model: users that loop, a closed model.

Nothing here imports Locust; a file that has users of its has imported it.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from harness.errors import ScenarioError
from harness.traffic.build import code_digest
from harness.traffic.model import Journey, Shape, TrafficModel

if TYPE_CHECKING:
    from locust import LoadTestShape, User

LONGEST_SHAPE_S = 86_400
"""Seconds that a LoadTestShape is asked about; one that goes on longer has no end."""


def users_of(module: ModuleType) -> tuple[type[object], ...]:
    """The classes that `locust -f` would spawn users of, imported ones included."""
    return _concrete(module, "User")


def shape_of(path: Path, module: ModuleType) -> object:
    """The file's LoadTestShape, made; None without one. Raises ScenarioError for several."""
    found = _concrete(module, "LoadTestShape")
    if len(found) > 1:
        names = ", ".join(kind.__name__ for kind in found)
        raise ScenarioError(f"{path}: it has several shapes: {names}", "keep one LoadTestShape")
    return found[0]() if found else None


def locustfile_model(
    path: Path, users: tuple[type[User], ...], shape: LoadTestShape | None
) -> TrafficModel:
    """The model of a locustfile; its service is named by who drives it.

    Raises ScenarioError for what would not run: a class without tasks, names that occur twice, a
    shape that cannot tell how many users it wants.
    """
    names = [user.__name__ for user in users]
    for name in names:
        if names.count(name) > 1:
            raise ScenarioError(f"{path}: two user classes are called {name}", "rename one")
    chosen = [user for user in users if user.weight > 0 or user.fixed_count > 0]
    if not chosen:
        raise ScenarioError(f"{path}: every user class has weight 0", "give one a weight above 0")
    for user in chosen:
        if not user.tasks:
            raise ScenarioError(
                f"{path}: {user.__name__} has no tasks", "mark a method with @task, or set tasks"
            )
    return TrafficModel(
        service="",
        scenario=path.stem,
        source=str(path),
        requests=(),
        journeys=tuple(
            Journey(user.__name__, user.__name__, float(user.weight or user.fixed_count))
            for user in chosen
        ),
        journeys_digest=code_digest(path),
        locustfile=True,
        shape=None if shape is None else _asked(path, shape),
    )


def _concrete(module: ModuleType, base: str) -> tuple[type[object], ...]:
    locust = sys.modules.get("locust")
    if locust is None:
        return ()
    kind: type[object] = getattr(locust, base)
    found = (
        item for item in vars(module).values()
        if inspect.isclass(item) and issubclass(item, kind)
        and getattr(item, "abstract", None) is False
    )  # fmt: skip
    return tuple(dict.fromkeys(found))


def _asked(path: Path, shape: LoadTestShape) -> Shape:
    """What a shape wants in each second, by a clock that is not waited for."""
    name, most = type(shape).__name__, 0
    for second in range(LONGEST_SHAPE_S):
        shape.get_run_time = lambda second=second: float(second)
        try:
            tick = shape.tick()
            most = max(most, 0 if tick is None else int(tick[0]))
        except Exception as error:  # noqa: BLE001 - a team's code
            raise ScenarioError(
                f"{path}: {name}.tick() raised {type(error).__name__}: {error}",
                "let it depend on self.get_run_time() only",
            ) from None
        if tick is None:
            return Shape(name, _users(path, name, most), float(second))
    return Shape(name, _users(path, name, most))


def _users(path: Path, name: str, most: int) -> int:
    if most < 1:
        raise ScenarioError(f"{path}: {name}.tick() asks for no users", "return (users, rate)")
    return most
