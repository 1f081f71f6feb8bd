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

DAY_S = 86_400.0
"""No pause and no time limit is longer: such a number is a mistake."""

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

    Raises ExperimentError where a pause or a time limit is out of bounds, nothing heals what is
    injected, or the rollbacks inject.
    """
    for step in all_activities(document):
        _check_limit(path, step, configuration)
        for key in ("before", "after"):
            _pause(path, step, key, configuration)
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
        found = _parameters(provider)
    except ValueError:
        return False
    return not any(each.kind is each.POSITIONAL_ONLY for each in found.values())


def takes_value(provider: Provider) -> bool:
    """Whether the provider of a probe that is a tolerance is given the value to look at.

    A function that has no such parameter looks elsewhere.
    """
    if provider.get("type") != "python":
        return isinstance(provider.get("arguments") or {}, dict)
    try:
        found = _parameters(provider)
    except ValueError:
        return False
    return "value" in found or any(each.kind is each.VAR_KEYWORD for each in found.values())


def _parameters(provider: Provider) -> Mapping[str, inspect.Parameter]:
    """Those of a function, {} where it is not found; ValueError where it does not tell."""
    try:
        found = getattr(importlib.import_module(str(provider.get("module"))), provider["func"])
        return inspect.signature(found).parameters
    except (ImportError, AttributeError, KeyError, TypeError):
        return {}


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
    return _seconds(f"{path}: {step.get('name')}: pauses.{key}", pause)


def _check_limit(path: object, step: Activity, configuration: Settings) -> None:
    """An activity's time limit is that of its provider, where it has none itself."""
    from chaoslib import substitute  # noqa: PLC0415 - slow to import

    for where, holder in (("timeout", step), ("provider.timeout", step.get("provider") or {})):
        given = substitute(holder.get("timeout"), configuration, {})
        if given is None or (isinstance(given, str) and "${" in given):  # a secret's
            continue
        for each in given if isinstance(given, list) else [given]:  # of HTTP: to connect, to read
            if not _seconds(f"{path}: {step.get('name')}: {where}", each):
                raise ExperimentError(f"{path}: {step.get('name')}: {where} is 0", "give seconds")


def _seconds(where: str, given: object) -> float:
    """A number of seconds; raises ExperimentError for what is none, or is out of bounds."""
    try:
        seconds = float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ExperimentError(f"{where} is {given!r}", "give seconds") from None
    if not 0 <= seconds <= DAY_S:
        raise ExperimentError(f"{where} is {given!r}", f"give 0 to {DAY_S:g} seconds")
    return seconds


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
