"""When a method injects and heals, in seconds from its beginning, by its pauses."""

import importlib
import inspect
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from harness.errors import ExperimentError, PlatformError
from harness.faults.registry import arguments_of
from harness.platform.model import Fault
from harness.toolkit import Activity, Document, Provider

ACTIONS = "harness.chaos.actions"
Settings = Mapping[str, object]
"""The parameters of an experiment, resolved."""

LONGEST_SLEEP_S = 60.0
"""A process that sleeps longer hangs: the load does not wait for it. Pauses are for waiting."""


@dataclass(frozen=True, slots=True)
class Act:
    """An injection (`fault`) or a heal (None), `at_s` seconds into the method."""

    at_s: float
    fault: Fault | None


@dataclass(frozen=True, slots=True)
class Method:
    """The acts of a method in order; `duration_s` is what its pauses add up to."""

    acts: tuple[Act, ...] = ()
    duration_s: float = 0.0

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What it injects, in order."""
        return tuple(act.fault for act in self.acts if act.fault is not None)

    @property
    def together(self) -> list[tuple[Fault, ...]]:
        """The faults that hold at one time: those between two heals."""
        groups = itertools.groupby(self.acts, lambda act: act.fault is not None)
        return [
            tuple(act.fault for act in acts if act.fault) for injects, acts in groups if injects
        ]

    @property
    def first_s(self) -> float:
        """When it first injects; 0 where it injects nothing."""
        return next((act.at_s for act in self.acts if act.fault is not None), 0.0)

    @property
    def healed_s(self) -> float:
        """When the last fault is healed: by the method, else by the rollbacks after it."""
        last = self.acts[-1] if self.acts else None
        return self.duration_s if last is None or last.fault is not None else last.at_s


def method_of(path: object, document: Document, configuration: Settings) -> Method:
    """Walk a document's method with its parameters filled in.

    Raises ExperimentError where a pause is no number, nothing heals what is injected, or the
    rollbacks inject.
    """
    acts, now, end = [], 0.0, 0.0
    for step in document["method"]:
        before, after = (_pause(path, step, key, configuration) for key in ("before", "after"))
        at = now + before
        fault = _fault_of(path, step, configuration)
        if fault is not None or _is(step, "heal"):
            acts.append(Act(at, fault))
        done = at + _waits(step, configuration) + after
        end = max(end, done)
        now = now if step.get("background") else done
    acts.sort(key=lambda act: act.at_s)
    rollbacks = document.get("rollbacks") or ()
    if any(map(injects, rollbacks)):
        raise ExperimentError(f"{path}: its rollbacks inject a fault", "let them heal only")
    last = acts[-1] if acts else None
    if last is not None and last.fault is not None and not any(_is(s, "heal") for s in rollbacks):
        raise ExperimentError(
            f"{path}: nothing heals {last.fault.kind}",
            f"end the method, or the rollbacks, with {ACTIONS}.heal",
        )
    return Method(tuple(acts), end)


def all_activities(document: Document) -> Iterator[Activity]:
    """Every activity of the hypothesis, the method and the rollbacks."""
    hypothesis = document.get("steady-state-hypothesis") or {}
    yield from hypothesis.get("probes") or ()
    yield from document.get("method") or ()
    yield from document.get("rollbacks") or ()


def injects(step: Activity) -> bool:
    """Whether a step injects a fault of the harness."""
    return _is(step, "inject")


def has_signature(provider: Provider) -> bool:
    """Whether a provider's function, where it is found, takes its arguments by name."""
    try:
        found = getattr(importlib.import_module(str(provider.get("module"))), provider["func"])
    except (ImportError, AttributeError, KeyError, ValueError):
        return True
    try:
        parameters = inspect.signature(found).parameters.values()
    except ValueError:
        return False
    except TypeError:
        return True
    return not any(each.kind is each.POSITIONAL_ONLY for each in parameters)


def _is(step: Activity, function: str) -> bool:
    provider = step.get("provider") or {}
    return (provider.get("module"), provider.get("func")) == (ACTIONS, function)


def _fault_of(path: object, step: Activity, configuration: Settings) -> Fault | None:
    from chaoslib import substitute  # noqa: PLC0415 - slow to import

    if not injects(step):
        return None
    arguments = dict(substitute(step["provider"].get("arguments") or {}, configuration, {}))
    kind = arguments.pop("fault", None)
    if not isinstance(kind, str):
        raise ExperimentError(
            f"{path}: {step.get('name')}: arguments.fault is {kind!r}", "name a kind of fault"
        )
    try:
        arguments_of(kind, arguments)
    except PlatformError as error:
        raise ExperimentError(
            f"{path}: {step.get('name')}: {error.problem}", error.remedy
        ) from None
    return Fault(kind, arguments)


def _pause(path: object, step: Activity, key: str, configuration: Settings) -> float:
    from chaoslib import substitute  # noqa: PLC0415 - slow to import

    pause = substitute((step.get("pauses") or {}).get(key, 0), configuration, {})
    try:
        return float(pause)
    except (TypeError, ValueError):
        raise ExperimentError(
            f"{path}: {step.get('name')}: pauses.{key} is {pause!r}", "give seconds"
        ) from None


def _waits(step: Activity, configuration: Settings) -> float:
    """How long an activity that only sleeps takes; what others take is not known before."""
    from chaoslib import substitute  # noqa: PLC0415 - slow to import

    provider = step.get("provider") or {}
    sleeps = PurePath(str(provider.get("path"))).name == "sleep"
    if not sleeps and (provider.get("module"), provider.get("func")) != ("time", "sleep"):
        return 0.0
    given = substitute(provider.get("arguments") or 0, configuration, {})
    if isinstance(given, (dict, list)):
        given = next(iter(given.values() if isinstance(given, dict) else given), 0)
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        return 0.0
    return seconds if 0 <= seconds <= LONGEST_SLEEP_S else 0.0
