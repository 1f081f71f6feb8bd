"""What makes a Chaos Toolkit file one that can run: its own rules, and what it lets pass.

Chaos Toolkit goes on without a control that it cannot load, without a secret that it cannot read,
and without rollbacks where their strategy is misspelt. Here each is refused, and named.
"""

import copy
import importlib
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from harness.chaos.method import (
    ACTIONS,
    DAY_S,
    Settings,
    all_activities,
    has_signature,
    takes_value,
)
from harness.errors import ExperimentError, did_you_mean
from harness.toolkit import (
    Activity,
    Document,
    Pauses,
    Provider,
    Runtime,
    WhenChecked,
    rollback_strategy,
    steady_strategy,
)
from harness.typed import problem_of

STEADY_STRATEGIES = (
    "default",
    "before-method-only",
    "after-method-only",
    "during-method-only",
    "continuously",
    "skip",
)
ROLLBACK_STRATEGIES = ("default", "always", "never", "deviated")
REFERENCE = re.compile(r"\$\{([^{}]+)\}")
DRY = ("activities", "actions", "probes", "pause")
VAULT_CLIENT = "hvac"
_SEE = "see: chaos validate"

TOLERANCES: Mapping[str, tuple[str, ...]] = {
    "jsonpath": ("type", "name", "path", "expect", "count", "target"),
    "regex": ("type", "name", "pattern", "target"),
    "range": ("type", "name", "range", "target"),
}
"""What Chaos Toolkit reads of each kind of tolerance; with a field more, it would judge by less."""

BOUNDS: Mapping[str, tuple[float, float]] = {
    "load.rate": (0.1, 1e6),
    "load.spike.factor": (0.01, 1e3),
    "load.spike.at_s": (0, DAY_S),
    "load.spike.duration_s": (1, DAY_S),
    "needs.regions": (1, 100),
    "needs.replicas": (1, 1000),
    "timeline.before_s": (0, DAY_S),
    "timeline.after_s": (0, DAY_S),
    "timeline.during_s": (0.1, DAY_S),
    "blast_radius.share": (0, 1),
    "guards.error_ratio": (0, 1),
    "guards.p95_s": (1e-4, DAY_S),
    "guards.budget": (0, 100),
    "expect.recovery_s": (0, DAY_S),
    "expect.error_budget": (0, 100),
    "expect.error_ratio": (0, 1),
    "expect.lost_writes": (0, 1e9),
    "expect.rpo_s": (0, DAY_S),
    "expect.fail_back_s": (0, DAY_S),
}
"""Of the numbers of the harness's extension: beyond them nothing sensible is meant."""


def check_bounds(where: str, extension: Mapping[str, object]) -> None:
    """Raise ExperimentError naming the first number that is out of its bounds."""
    for field, (least, most) in BOUNDS.items():
        found: object = extension
        for key in field.split("."):
            found = found.get(key) if isinstance(found, Mapping) else None
        if isinstance(found, (int, float)) and not least <= found <= most:
            raise ExperimentError(f"{where}.{field} is {found:g}", f"give {least:g} to {most:g}")


def validate(path: Path, document: Document) -> None:
    """Raise ExperimentError, naming the field, where a document cannot run as it is meant to."""
    from chaoslib.exceptions import ChaosException  # noqa: PLC0415 - slow to import

    if problem := problem_of(document, Document):
        raise ExperimentError(
            f"{path}: not a Chaos Toolkit experiment ({problem}, which is of another type)", _SEE
        )
    try:
        _check_names(path, document)
        _check_secrets(path, document.get("secrets") or {}, "secrets")
        configuration = document.get("configuration") or {}
        for name, entry in configuration.items():
            if isinstance(entry, dict) and entry.get("type") == "env":
                _check_variable(f"{path}: configuration.{name}", entry)
            _check_value(f"{path}: configuration.{name}", entry, configuration)
        _check_imports(path, document)
        _check_controls(path, document)  # before Chaos Toolkit, which would say that it goes on
        _check_by_toolkit(copy.deepcopy(document))
        _check_words(path, document)
        _check_references(path, document)
    except ExperimentError:
        raise
    except ChaosException as problem:
        raise ExperimentError(f"{path}: {' '.join(str(problem).split())}", _SEE) from None
    except (TypeError, AttributeError, KeyError) as problem:
        raise ExperimentError(f"{path}: not a Chaos Toolkit experiment ({problem})", _SEE) from None
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # noqa: BLE001 - what a module of the file, or a vault, raises
        raise ExperimentError(
            f"{path}: it cannot be read as an experiment ({type(problem).__name__}: {problem})",
            _SEE,
        ) from None


def _check_names(path: Path, document: Document) -> None:
    """A field that is misspelt would be left out without a word; others are let pass."""
    runtime = document.get("runtime") or {}
    parts: list[tuple[str, object, type]] = [
        ("the experiment", document, Document),
        ("runtime", runtime, Runtime),
        *((f"runtime.{name}", part, WhenChecked) for name, part in runtime.items()),
    ]
    for activity in all_activities(document):
        name = str(activity.get("name"))
        parts += [(name, activity, Activity), (name, activity.get("provider"), Provider)]
        parts.append((f"{name}: pauses", activity.get("pauses"), Pauses))
    for where, part, kind in parts:
        fields = part if isinstance(part, dict) else {}
        known = kind.__annotations__.keys()
        for field in fields.keys() - known:
            if meant := did_you_mean(str(field), known, 0.8):
                raise ExperimentError(f"{path}: {where}: no field {field!r}", meant.strip())
    for activity in all_activities(document):
        _check_tolerance(f"{path}: {activity.get('name')}: tolerance", activity.get("tolerance"))


def _check_tolerance(where: str, tolerance: object) -> None:
    kind = tolerance.get("type") if isinstance(tolerance, dict) else None
    if not isinstance(tolerance, dict) or not isinstance(kind, str):
        return
    known = TOLERANCES.get(kind, tuple(tolerance))
    for field in tolerance:
        if field not in known:
            raise ExperimentError(f"{where}: no field {field!r}", _one_of(field, known))
    match tolerance.get("range"):
        case [int() | float() as least, int() | float() as most] if (
            kind == "range" and least > most
        ):
            raise ExperimentError(f"{where}: no value is from {least:g} to {most:g}", "turn them")


def _check_by_toolkit(document: Document) -> None:
    """Chaos Toolkit's own rules, for the tolerances of the method as well; changes the document."""
    from chaoslib.experiment import ensure_experiment_is_valid  # noqa: PLC0415 - slow to import
    from chaoslib.hypothesis import ensure_hypothesis_tolerance_is_valid  # noqa: PLC0415

    for activity in all_activities(document):
        _name_tolerance(activity)
        provider = activity.get("provider") or {}
        if provider.get("type") == "python" and not has_signature(provider):  # nothing to bind
            provider.update({"module": ACTIONS, "func": "heal", "arguments": {}})
    ensure_experiment_is_valid(document)
    for step in (*document["method"], *(document.get("rollbacks") or ())):
        if "tolerance" in step:
            ensure_hypothesis_tolerance_is_valid(step["tolerance"])


def _name_tolerance(activity: Activity) -> None:
    """A probe that is a tolerance needs no name, and its value is given when there is one."""
    tolerance = activity.get("tolerance")
    if isinstance(tolerance, dict) and tolerance.get("type") == "probe":
        tolerance.setdefault("name", "tolerance")
        provider = cast("Provider", tolerance.get("provider") or {})
        if provider.get("type") == "python" and takes_value(provider):
            provider["arguments"] = {
                "value": None,
                **cast("Settings", provider.get("arguments") or {}),
            }


def _check_secrets(path: Path, given: object, where: str) -> None:
    """Without a client, Chaos Toolkit takes a secret of a vault for an empty one."""
    if not isinstance(given, dict):
        return
    kind = given.get("type")
    if kind == "env":
        _check_variable(f"{path}: {where}", given)
    if isinstance(kind, str) and (
        kind in {"env", "vault"} or not {"key", "path"}.isdisjoint(given)
    ):
        if kind not in {"env", "vault"}:
            raise ExperimentError(
                f"{path}: {where}: type {kind!r} is not known here", "give a value, or type env"
            )
        if kind == "vault" and find_spec(VAULT_CLIENT) is None:
            raise ExperimentError(
                f"{path}: {where}: type 'vault' needs the package {VAULT_CLIENT}",
                f"install {VAULT_CLIENT} beside the harness, or give type env",
            )
        if kind == "vault" and "path" not in given:
            raise ExperimentError(f"{path}: {where}: type 'vault' without path", "give its path")
        return
    for key, value in given.items():
        _check_secrets(path, value, f"{where}.{key}")


def _check_value(where: str, entry: object, configuration: Mapping[str, object]) -> None:
    """Chaos Toolkit hands `${name}` on as it stands; to a shell that is an unset variable."""
    for name in REFERENCE.findall(entry) if isinstance(entry, str) else ():
        if name in configuration:
            raise ExperimentError(
                f"{where} refers to ${{{name}}}, which is not resolved within the configuration",
                "write the value out, or refer to both where they are used",
            )


def _check_variable(where: str, entry: Mapping[str, object]) -> None:
    """One that is set and empty is a variable of CI that is not: it would mean "everything"."""
    from chaoslib import convert_to_type  # noqa: PLC0415 - slow to import

    name, usual = entry.get("key"), entry.get("default")
    if not isinstance(name, str) or not name:
        raise ExperimentError(f"{where}: type env without key", "name the variable")
    if name not in os.environ and "default" not in entry:
        raise ExperimentError(
            f"{where}: the variable {name} is not set", "set it, or give it a default"
        )
    found = os.environ.get(name, usual)
    if found == "" and usual != "":
        raise ExperimentError(f"{where}: the variable {name} is empty", "set it, or unset it")
    kind = entry.get("env_var_type")
    try:
        made = convert_to_type(kind, found)
    except (ValueError, TypeError, AttributeError):  # whose words would tell the value
        raise ExperimentError(
            f"{where}: the variable {name} is no {kind}", "correct it, or env_var_type"
        ) from None
    if isinstance(made, float) and not math.isfinite(made):
        raise ExperimentError(f"{where}: the variable {name} is {made}", "give a finite number")


def _check_imports(path: Path, document: Document) -> None:
    """A module that ends its process, or hangs, would take this one with it."""
    from harness.chaos.foreign import check_imports  # noqa: PLC0415 - slow to import

    named = dict.fromkeys(
        str(provider["module"])
        for provider in _providers(document)
        if provider.get("module") is not None
    )
    known = {*sys.stdlib_module_names, "harness", "chaoslib", "chaosk8s"}
    if others := [name for name in named if name.partition(".")[0] not in known]:
        check_imports(str(path), others)


def _providers(value: object) -> Iterator[Mapping[str, object]]:
    """Those of a document, at whatever depth."""
    if isinstance(value, dict) and isinstance(provider := value.get("provider"), dict):
        yield provider
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        yield from _providers(each)


def _check_controls(path: Path, document: Document) -> None:
    """What a control that cannot be loaded would guard is unguarded."""
    hypothesis = document.get("steady-state-hypothesis") or {}
    for part in (document, hypothesis, *all_activities(document)):
        for control in part.get("controls") or ():
            module = (control.get("provider") or {}).get("module")
            try:
                if module is not None:
                    importlib.import_module(module)
            except (Exception, SystemExit) as problem:  # noqa: BLE001 - whatever its import raises
                raise ExperimentError(
                    f"{path}: control {control.get('name')!r} cannot be loaded: {problem}",
                    f"install {module}, or leave the control out",
                ) from None


def _check_words(path: Path, document: Document) -> None:
    """Strategies and dry runs by a word that Chaos Toolkit knows."""
    rollbacks = rollback_strategy(document)
    for field, word, known in (
        ("runtime.hypothesis.strategy", steady_strategy(document), STEADY_STRATEGIES),
        ("runtime.rollbacks.strategy", rollbacks, ROLLBACK_STRATEGIES),
        *(("dry", word, DRY) for word in _dry_words(document)),
    ):
        if word and word not in known:
            raise ExperimentError(f"{path}: {field} is {word!r}", _one_of(word, known))


def _dry_words(document: Document) -> Iterator[object]:
    yield document.get("dry")
    for activity in all_activities(document):
        yield activity.get("dry")


def _one_of(word: object, known: Sequence[str]) -> str:
    return f"{did_you_mean(str(word), known)}give one of {', '.join(known)}"


def _check_references(path: Path, document: Document) -> None:
    """Chaos Toolkit looks at those of the method only, and takes a misspelt secret for none."""
    secrets = document.get("secrets") or {}
    for activity in all_activities(document) if secrets else ():
        named_secrets = (activity.get("provider") or {}).get("secrets") or ()
        for name in named_secrets if isinstance(named_secrets, (list, tuple)) else ():
            if name not in secrets:
                raise ExperimentError(
                    f"{path}: {activity.get('name')}: no secret {name!r}",
                    f"{did_you_mean(str(name), secrets)}it has {', '.join(secrets)}",
                )
    named = {activity.get("name") for activity in all_activities(document)}
    for step in document.get("rollbacks") or ():
        reference = step.get("ref")
        if reference is not None and reference not in named:
            raise ExperimentError(
                f"{path}: rollbacks refer to {reference!r}, which is no activity",
                "give the name of one",
            )
