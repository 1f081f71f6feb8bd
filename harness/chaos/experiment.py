"""Experiment files: found, validated twice (Chaos Toolkit's rules and ours) and made one type."""

import copy
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import cast

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from harness.bounded import read_file
from harness.catalog.expectations import Expectations
from harness.catalog.yaml_documents import MAX_BYTES, read_mapping, refuse_infinite
from harness.chaos.method import Method, Settings, injects, method_of
from harness.chaos.model import (
    LEAST_BEFORE_S,
    BaseLoad,
    BlastRadius,
    Experiment,
    Guards,
    Needs,
    Timeline,
)
from harness.chaos.validation import check_bounds, validate
from harness.errors import CatalogError, ExperimentError, did_you_mean
from harness.platform.names import PLATFORMS
from harness.redact import learn, learn_environment, redact
from harness.toolkit import Activity, Document

EXTENSION = "harness"
SUFFIXES = (".yaml", ".yml", ".json")
ACTIVITY_S = 2.0
"""What an activity without a pause is taken to last, where nothing says how long a method does."""

CONFIGURED_S = 60.0
"""What a probe of the configuration may take; nothing else is waited for then."""

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_STRICT)
class _Stages:
    """The seconds around the fault; how long it holds stands in the method's own pauses.

    `during_s` is for a method that injects nothing by the harness: how long it lasts.
    """

    before_s: float = 12.0
    after_s: float = 16.0
    during_s: float | None = None


@dataclass(frozen=True, config=_STRICT)
class _Extension:
    """The `extensions` entry named `harness`."""

    name: str
    teaches: str
    incident: str
    load: BaseLoad = BaseLoad()
    expect: Expectations = Expectations()
    needs: Needs = Needs()
    timeline: _Stages = _Stages()
    blast_radius: BlastRadius = BlastRadius()
    guards: Guards = Guards()
    platforms: tuple[str, ...] = ("lab", "kubernetes")


_EXTENSION = TypeAdapter(_Extension)
_NESTED = {each.name: each.default for each in fields(_Extension) if is_dataclass(each.default)}


def experiment_names(root: Path) -> tuple[str, ...]:
    """The experiments of a project."""
    found = {path.stem for path in _directory(root).glob("*") if path.suffix in SUFFIXES}
    return tuple(sorted(found))


def _directory(root: Path) -> Path:
    """Where they are: a project without any, and without a catalogue, has those of the harness."""
    own = root / "experiments"
    has_own = own.is_dir() or (root / "services").is_dir()
    return own if has_own else Path(__file__).resolve().parents[1] / "experiments"


def load_experiment(
    name: str, root: Path, parameters: Mapping[str, object] | None = None, platform: str = "lab"
) -> Experiment:
    """The experiment of that name (or file), as it is on a platform.

    `parameters` stand in place of its configuration's; what its extension says under
    `elsewhere.PLATFORM` stands in place of the rest. Raises ExperimentError naming file, field and
    remedy.
    """
    path = _find(name, root)
    whole = _read(path)
    document = cast("Document", {key: each for key, each in whole.items() if each is not None})
    _adapt(path, document, platform)
    _configure(path, document, parameters or {})
    validate(path, document)
    extension = _extension(path, document)
    learn_document(document)
    configuration = _resolved(path, document)
    method = method_of(path, document, configuration)
    timeline = _timeline(path, document, extension.timeline, method)
    spike = extension.load.spike
    if spike and spike.at_s + spike.duration_s > timeline.during_s + timeline.after_s:
        raise ExperimentError(
            f"{path}: extensions.{EXTENSION}.load.spike ends after the load does",
            "let it end within the fault and timeline.after_s",
        )
    return Experiment(
        name=path.stem,
        path=path,
        title=_title(document, configuration),
        teaches=" ".join(extension.teaches.split()),
        incident=" ".join(extension.incident.split()),
        document=document,
        needs=extension.needs,
        faults=method.faults,
        load=extension.load,
        timeline=timeline,
        blast_radius=extension.blast_radius,
        guards=extension.guards,
        expect=extension.expect,
        platforms=extension.platforms,
        method=method,
        ordinary=is_ordinary(document),
    )


def is_ordinary(document: Document) -> bool:
    """Whether a document knows nothing of the harness: neither its extension nor its faults."""
    return not _own(document) and not any(map(injects, document["method"]))


def _title(document: Document, configuration: Settings) -> str:
    """The title with its parameters filled in, as Chaos Toolkit shows it; no secret is in it."""
    from chaoslib import substitute  # noqa: PLC0415 - slow to import

    return str(redact(str(substitute(document["title"], configuration, {}))))


def learn_document(document: Document) -> None:
    """Register what an experiment holds of secrets, its variables of the environment included.

    All that stands under `secrets` is one, and whatever a `type: env` entry names.
    """
    secret, settings = document.get("secrets") or {}, document.get("configuration") or {}
    learn(document)
    learn({"secret": secret})
    learn_environment(_variables([secret, settings]))


def _variables(value: object) -> Iterator[str]:
    """The variables that entries of `type: env` name."""
    if isinstance(value, dict) and value.get("type") == "env":
        yield str(value.get("key") or value.get("name"))
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        yield from _variables(each)


def at_rate(experiment: Experiment, rate: float | None) -> Experiment:
    """The same experiment with this base load in requests/s; None: its own."""
    if rate is None:
        return experiment
    return replace(experiment, load=replace(experiment.load, rate=rate))


def shortened(experiment: Experiment, before_s: float, after_s: float) -> Experiment:
    """The same experiment with other stages around the fault (for trials, not for verdicts)."""
    timeline = replace(experiment.timeline, before_s=before_s, after_s=after_s)
    return replace(experiment, timeline=timeline)


def _find(name: str, root: Path) -> Path:
    of_project = (_directory(root) / f"{name}{suffix}" for suffix in (*SUFFIXES, ""))
    for path in (*of_project, Path(name)):
        if path.suffix in SUFFIXES and path.is_file():
            return path
    names = experiment_names(root)
    raise ExperimentError(
        f"no experiment {name!r}",
        f"{did_you_mean(name, names)}experiments/ holds {', '.join(names) or 'none'}",
    )


def _read(path: Path) -> dict[str, object]:
    try:
        return _read_json(path) if path.suffix == ".json" else read_mapping(path)
    except CatalogError as error:
        raise ExperimentError(error.problem, error.remedy) from None


def _read_json(path: Path) -> dict[str, object]:
    """The object of a JSON file, with the same rules as one of YAML."""
    try:
        text = read_file(path, MAX_BYTES).decode("utf-8-sig")
        found = json.loads(text, object_pairs_hook=_each_once)
    except (OSError, ValueError, RecursionError) as error:
        raise ExperimentError(f"{path}: not JSON ({error})", "see: chaos validate") from None
    if not isinstance(found, dict):
        raise ExperimentError(f"{path}: not a mapping", "see: chaos validate")
    refuse_infinite(path, found)
    return found


def _each_once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """Of a name that stands twice JSON's reader keeps the last: a method would be lost silently."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands twice in one object")
    return found


def _adapt(path: Path, document: Document, platform: str) -> None:
    """Let the extension's part for a platform replace what it names, one level deep.

    A cluster notices a dead node in tens of seconds, the lab in two: the same question has other
    stages and other limits there. `configuration` in it replaces parameters of the document.
    """
    extensions = document.get("extensions") or ()
    if not isinstance(extensions, (list, tuple)):
        raise ExperimentError(f"{path}: extensions is {extensions!r}", "give a list")
    for extension in extensions:
        if not isinstance(extension, dict) or extension.get("name") != EXTENSION:
            continue
        elsewhere = extension.pop("elsewhere", None) or {}
        if not isinstance(elsewhere, dict):
            raise ExperimentError(
                f"{path}: extensions.{EXTENSION}.elsewhere is {elsewhere!r}", "give a mapping"
            )
        _check_platforms(path, "elsewhere", elsewhere)
        changes = elsewhere.get(platform)
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


def _check_platforms(path: Path, field: str, names: Iterable[object]) -> None:
    """One that nobody knows would make the experiment "not applicable", as none would."""
    for name in names:
        if name not in PLATFORMS:
            raise ExperimentError(
                f"{path}: extensions.{EXTENSION}.{field}: no platform {name!r}",
                f"{did_you_mean(str(name), PLATFORMS)}known are {', '.join(PLATFORMS)}",
            )


def _configure(path: Path, document: Document, parameters: Mapping[str, object]) -> None:
    """Put the parameters into `configuration`, where the document's own defaults stand."""
    configuration = document.get("configuration") or {}
    if not isinstance(configuration, dict):
        raise ExperimentError(f"{path}: configuration is {configuration!r}", "give a mapping")
    for key, value in parameters.items():
        if key not in configuration:
            known = ", ".join(configuration) or "none"
            raise ExperimentError(f"{path}: no parameter {key!r}", f"it has {known}")
        configuration[key] = value
    if configuration:
        document["configuration"] = configuration


def _own(document: Document) -> list[dict[str, object]]:
    """The entries of the harness among the extensions."""
    return [e for e in document.get("extensions") or () if e.get("name") == EXTENSION]


def _extension(path: Path, document: Document) -> _Extension:
    found = _own(document)
    for name in (str(each.get("name")) for each in document.get("extensions") or ()):
        if name != EXTENSION and did_you_mean(name.lower(), (EXTENSION,), 0.8):
            raise ExperimentError(f"{path}: extensions: {name!r}", f"did you mean {EXTENSION}?")
    if not found:
        about = str(document["description"])
        return _Extension(EXTENSION, about, f"What {path.name} does.")
    if len(found) > 1:
        raise ExperimentError(
            f"{path}: extensions: {len(found)} entries named {EXTENSION!r}", "give one"
        )
    for field, usual in _NESTED.items():
        inner = found[0].get(field)
        unknown = (
            set(inner) - {each.name for each in fields(usual)} if isinstance(inner, dict) else ()
        )
        for key in unknown:
            known = ", ".join(each.name for each in fields(usual))
            raise ExperimentError(
                f"{path}: extensions.{EXTENSION}.{field}.{key}: no such field", f"it has {known}"
            )
    try:
        made = _EXTENSION.validate_python(found[0])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        told = "give a mapping" if first["type"] == "dataclass_type" else first["msg"].lower()
        raise ExperimentError(
            f"{path}: extensions.{EXTENSION}.{field}: {told}",
            "docs/gameday.md lists the fields",
        ) from None
    _check_platforms(path, "platforms", made.platforms or ("",))
    check_bounds(f"{path}: extensions.{EXTENSION}", asdict(made))
    return made


def _resolved(path: Path, document: Document) -> dict[str, object]:
    """The configuration with what is to be asked for; a probe's answer takes its place.

    Raises ExperimentError naming a parameter that cannot be resolved.
    """
    from chaoslib.configuration import load_configuration  # noqa: PLC0415 - slow to import
    from chaoslib.secret import load_secrets  # noqa: PLC0415

    given = document.get("configuration") or {}
    kinds = {key: v.get("type") for key, v in given.items() if isinstance(v, dict) and "type" in v}
    for key, kind in kinds.items():
        if kind not in ("env", "probe"):
            raise ExperimentError(
                f"{path}: configuration.{key}: type {kind!r} is not known here",
                "give a value, or type env or probe",
            )
        entry = given[key]
        provider = entry.get("provider") if isinstance(entry, dict) else None
        if kind == "probe" and not (isinstance(provider, dict) and "type" in provider):
            raise ExperimentError(
                f"{path}: configuration.{key}: a probe without a provider", "say who answers it"
            )
    found: dict[str, object] = load_configuration(copy.deepcopy(given))
    asked = [key for key, kind in kinds.items() if kind == "probe"]
    if asked:
        secrets = load_secrets(document.get("secrets") or {}, found)
        known = {key: value for key, value in found.items() if key not in asked}
        for key in asked:
            where = f"{path}: configuration.{key}"
            known[key] = given[key] = _answer(where, cast("Activity", given[key]), known, secrets)
        found = known
    return found


def _answer(where: str, entry: Activity, known: Settings, secrets: Settings) -> object:
    """What a probe of the configuration gives: standard output, a body, a function's value."""
    from harness.chaos.foreign import answer_of  # noqa: PLC0415 - slow to import
    from harness.chaos.limits import limit_of  # noqa: PLC0415

    remedy = "correct the probe, or give a value: --set"
    limit_s = min(limit_of(entry, CONFIGURED_S, known, secrets), CONFIGURED_S)
    try:
        output = answer_of(entry, known, secrets, limit_s)
    except ValueError as problem:
        raise ExperimentError(
            f"{where}: its probe {entry.get('name')!r} failed: {problem}", remedy
        ) from None
    kind = entry["provider"]["type"]
    if kind == "python" or not isinstance(output, dict):
        return output
    if kind == "http":
        return output["body"]
    if code := output["status"]:
        raise ExperimentError(
            f"{where}: its probe {entry.get('name')!r} ended with exit code {code}", remedy
        )
    return output["stdout"].strip()


def _timeline(path: Path, document: Document, stages: _Stages, method: Method) -> Timeline:
    during = method.healed_s - method.first_s
    if not method.faults:
        count = len(document["method"])
        during = stages.during_s or max(method.duration_s, ACTIVITY_S) + ACTIVITY_S * count
    if stages.after_s < 1 or during <= 0:
        raise ExperimentError(
            f"{path}: a stage without seconds",
            "give timeline.before_s, timeline.after_s and pauses.after of each injection",
        )
    if stages.before_s < LEAST_BEFORE_S:
        raise ExperimentError(
            f"{path}: extensions.{EXTENSION}.timeline.before_s is {stages.before_s:g}",
            f"give at least {LEAST_BEFORE_S:g}: the range before the fault is estimated from it",
        )
    return Timeline(stages.before_s, during, stages.after_s, method.first_s)
