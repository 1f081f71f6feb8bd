"""Experiment files: found, validated twice (Chaos Toolkit's rules and ours) and made one type."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from harness.catalog.expectations import Expectations
from harness.catalog.yaml_documents import read_mapping
from harness.chaos.model import (
    BaseLoad,
    BlastRadius,
    Experiment,
    Guards,
    Needs,
    Timeline,
)
from harness.errors import CatalogError, ExperimentError
from harness.platform.model import Fault

EXTENSION = "harness"
ACTIONS = "harness.chaos.actions"
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_STRICT)
class _Stages:
    """The seconds around the fault; how long it holds stands in the method's own pauses."""

    before_s: float = 12.0
    after_s: float = 16.0


@dataclass(frozen=True, config=_STRICT)
class _Extension:
    """The `extensions` entry named `harness`."""

    name: str
    teaches: str
    incident: str
    load: BaseLoad
    expect: Expectations
    needs: Needs = Needs()
    timeline: _Stages = _Stages()
    blast_radius: BlastRadius = BlastRadius()
    guards: Guards = Guards()
    platforms: tuple[str, ...] = ("lab", "kubernetes")


_EXTENSION = TypeAdapter(_Extension)
_NESTED: Mapping[str, type[Any]] = {
    "load": BaseLoad,
    "expect": Expectations,
    "needs": Needs,
    "blast_radius": BlastRadius,
    "guards": Guards,
}


def experiment_names(root: Path) -> tuple[str, ...]:
    """The experiments of a project."""
    return tuple(sorted(path.stem for path in (root / "experiments").glob("*.yaml")))


def load_experiment(
    name: str,
    root: Path,
    parameters: Mapping[str, Any] | None = None,
    platform: str = "lab",
) -> Experiment:
    """The experiment of that name (or file), as it is on a platform.

    `parameters` stand in place of its configuration's; what its extension says under
    `elsewhere.PLATFORM` stands in place of the rest. Raises ExperimentError naming file, field and
    remedy.
    """
    path = _find(name, root)
    document = _read(path)
    _adapt(path, document, platform)
    _configure(path, document, parameters or {})
    _validate(path, document)
    extension = _extension(path, document)
    faults, during_s = _faults(path, document)
    stages = extension.timeline
    if stages.before_s < 1 or stages.after_s < 1 or during_s <= 0:
        raise ExperimentError(
            f"{path}: a stage without seconds",
            "give timeline.before_s, timeline.after_s and pauses.after of each injection",
        )
    return Experiment(
        name=path.stem,
        path=path,
        title=document["title"],
        teaches=" ".join(extension.teaches.split()),
        incident=" ".join(extension.incident.split()),
        document=document,
        needs=extension.needs,
        faults=faults,
        load=extension.load,
        timeline=Timeline(stages.before_s, during_s, stages.after_s),
        blast_radius=extension.blast_radius,
        guards=extension.guards,
        expect=extension.expect,
        platforms=extension.platforms,
    )


def shortened(experiment: Experiment, before_s: float, after_s: float) -> Experiment:
    """The same experiment with other stages around the fault (for trials, not for verdicts)."""
    timeline = replace(experiment.timeline, before_s=before_s, after_s=after_s)
    return replace(experiment, timeline=timeline)


def _find(name: str, root: Path) -> Path:
    for path in (root / "experiments" / f"{name.removesuffix('.yaml')}.yaml", Path(name)):
        if path.suffix in {".yaml", ".yml"} and path.is_file():
            return path
    names = experiment_names(root)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ExperimentError(
        f"no experiment {name!r}", f"{hint}experiments/ holds {', '.join(names) or 'none'}"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_mapping(path)
    except CatalogError as error:
        raise ExperimentError(error.problem, error.remedy) from None


def _adapt(path: Path, document: dict[str, Any], platform: str) -> None:
    """Let the extension's part for a platform replace what it names, one level deep.

    A cluster notices a dead node in tens of seconds, the lab in two: the same question has other
    stages and other limits there. `configuration` in it replaces parameters of the document.
    """
    for extension in document.get("extensions") or ():
        if not isinstance(extension, dict) or extension.get("name") != EXTENSION:
            continue
        elsewhere = extension.pop("elsewhere", None) or {}
        changes = elsewhere.get(platform) if isinstance(elsewhere, dict) else None
        if changes is None:
            continue
        if not isinstance(changes, dict):
            raise ExperimentError(
                f"{path}: extensions.{EXTENSION}.elsewhere.{platform} is {changes!r}",
                "give a mapping of the fields that differ",
            )
        _configure(path, document, changes.pop("configuration", None) or {})
        for key, value in changes.items():
            known = extension.get(key)
            if isinstance(known, dict) and isinstance(value, dict):
                value = {**known, **value}  # noqa: PLW2901 - the merged one
            extension[key] = value


def _configure(path: Path, document: dict[str, Any], parameters: Mapping[str, Any]) -> None:
    """Put the parameters into `configuration`, where the document's own defaults stand."""
    configuration = document.get("configuration") or {}
    for key, value in parameters.items():
        if key not in configuration:
            known = ", ".join(configuration) or "none"
            raise ExperimentError(f"{path}: no parameter {key!r}", f"it has {known}")
        configuration[key] = value
    if configuration:
        document["configuration"] = configuration


def _validate(path: Path, document: dict[str, Any]) -> None:
    """Chaos Toolkit's own rules, the existence of each provider's function included."""
    from chaoslib.exceptions import ChaosException  # noqa: PLC0415 - slow to import
    from chaoslib.experiment import ensure_experiment_is_valid  # noqa: PLC0415

    try:
        ensure_experiment_is_valid(copy.deepcopy(document))
    except ChaosException as problem:
        raise ExperimentError(
            f"{path}: {' '.join(str(problem).split())}", "see: chaos validate"
        ) from None
    except (TypeError, AttributeError, KeyError) as problem:
        raise ExperimentError(
            f"{path}: not a Chaos Toolkit experiment ({problem})", "see: chaos validate"
        ) from None


def _extension(path: Path, document: Mapping[str, Any]) -> _Extension:
    found = [e for e in document.get("extensions") or () if e.get("name") == EXTENSION]
    if len(found) != 1:
        raise ExperimentError(
            f"{path}: extensions: {len(found)} entries named {EXTENSION!r}", "give one"
        )
    for field, kind in _NESTED.items():
        inner = found[0].get(field)
        unknown = (
            set(inner) - {each.name for each in fields(kind)} if isinstance(inner, dict) else ()
        )
        for key in unknown:
            known = ", ".join(each.name for each in fields(kind))
            raise ExperimentError(
                f"{path}: extensions.{EXTENSION}.{field}.{key}: no such field", f"it has {known}"
            )
    try:
        return _EXTENSION.validate_python(found[0])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ExperimentError(
            f"{path}: extensions.{EXTENSION}.{field}: {first['msg'].lower()}",
            "docs/gameday.md lists the fields",
        ) from None


def _faults(path: Path, document: Mapping[str, Any]) -> tuple[tuple[Fault, ...], float]:
    """The faults of the method with their parameters filled in, and how long they hold (s)."""
    from chaoslib import substitute  # noqa: PLC0415
    from chaoslib.configuration import load_configuration  # noqa: PLC0415 - slow to import

    configuration = load_configuration(document.get("configuration") or {})
    faults, held = [], 0.0
    for step in document["method"]:
        provider = step.get("provider") or {}
        if (provider.get("module"), provider.get("func")) != (ACTIONS, "inject"):
            continue
        arguments = dict(substitute(provider.get("arguments") or {}, configuration, {}))
        kind = arguments.pop("fault", None)
        if not isinstance(kind, str):
            raise ExperimentError(
                f"{path}: {step.get('name')}: arguments.fault is {kind!r}", "name a kind of fault"
            )
        faults.append(Fault(kind, arguments))
        pause = substitute((step.get("pauses") or {}).get("after", 0), configuration, {})
        try:
            held += float(pause)
        except (TypeError, ValueError):
            raise ExperimentError(
                f"{path}: {step.get('name')}: pauses.after is {pause!r}", "give seconds"
            ) from None
    if not faults:
        raise ExperimentError(f"{path}: its method injects nothing", f"use {ACTIONS}.inject")
    return tuple(faults), held
