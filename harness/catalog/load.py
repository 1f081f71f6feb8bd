"""Reading the catalogue; every error names the file, the line, the field and the remedy."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from harness.catalog.documents import (
    DOCUMENTS,
    ServiceDocument,
    SloDocument,
    TargetDocument,
)
from harness.catalog.model import Environment, Objective, Route, Service
from harness.errors import CatalogError

QUANTILE = "harness.codai/quantile"
"""Annotation of a latency indicator: which quantile it promises."""


def project_root() -> Path:
    """HARNESS_HOME, else the nearest directory upwards with `services/`, else the installation's.

    Raises CatalogError when HARNESS_HOME names no such directory.
    """
    home = os.environ.get("HARNESS_HOME")
    if home:
        if not (Path(home) / "services").is_dir():
            raise CatalogError(f"HARNESS_HOME={home}: no services/ in it", "set it to a project")
        return Path(home).resolve()
    here = Path.cwd()
    for directory in (here, *here.parents):
        if (directory / "services").is_dir():
            return directory
    return Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Catalog:
    """The services of one directory; each file is read when its service is asked for."""

    directory: Path

    def names(self) -> tuple[str, ...]:
        """Every service's name, sorted."""
        return tuple(sorted(path.stem for path in self.directory.glob("*.yaml")))

    def service(self, name: str) -> Service:
        """One service.

        Raises CatalogError, with the nearest name, when there is none of that name.
        """
        names = self.names()
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}? " if near else ""
            raise CatalogError(f"no service {name!r}", f"{hint}`harness services` lists them")
        return read_service(self.directory / f"{name}.yaml")

    def services(self) -> tuple[Service, ...]:
        """All of them, by name."""
        return tuple(self.service(name) for name in self.names())


def load_catalog(directory: Path | None = None) -> Catalog:
    """The catalogue in `directory` (default: `services/` of the project).

    Raises CatalogError when it is no directory or holds no service.
    """
    directory = directory or project_root() / "services"
    if not directory.is_dir() or not any(directory.glob("*.yaml")):
        raise CatalogError(
            f"{directory}: no services in it", "run inside the project, or set HARNESS_HOME"
        )
    return Catalog(directory)


def read_service(path: Path) -> Service:
    """The service that one file describes.

    Raises CatalogError naming file, line and field.
    """
    services: list[ServiceDocument] = []
    targets: list[TargetDocument] = []
    slos: list[SloDocument] = []
    for document in _documents(path):
        if isinstance(document, ServiceDocument):
            services.append(document)
        elif isinstance(document, TargetDocument):
            targets.append(document)
        else:
            slos.append(document)
    for kind, found in (("Service", services), ("Target", targets)):
        if len(found) != 1:
            raise CatalogError(
                f"{path}: {len(found)} documents of kind {kind}", "there must be exactly one"
            )
    if not slos:
        raise CatalogError(f"{path}: no document of kind SLO", "state at least one objective")
    name = services[0].metadata.name
    named = [(f"Target {t.metadata.name}", t.spec.service) for t in targets]
    named += [(f"SLO {s.metadata.name}", s.spec.service) for s in slos]
    for what, service in named:
        if service != name:
            raise CatalogError(
                f"{path}: {what}: spec.service is {service!r}", f"the Service is called {name!r}"
            )
    if name != path.stem:
        raise CatalogError(
            f"{path}: metadata.name is {name!r}", f"call it {path.stem!r} or rename the file"
        )
    return _service(services[0], targets[0], _objectives(path, slos))


def _service(
    document: ServiceDocument, target: TargetDocument, objectives: tuple[Objective, ...]
) -> Service:
    spec = target.spec
    return Service(
        name=document.metadata.name,
        tier=spec.tier,
        core_app=spec.coreApplication,
        port=spec.port,
        purpose=document.spec.description,
        replicas=spec.replicas,
        cpu=spec.resources.cpu,
        memory=spec.resources.memory,
        health_path=spec.healthPath,
        routes=tuple(Route(route.path, tuple(route.methods)) for route in spec.routes),
        regions=tuple(spec.regions),
        environments=tuple(
            Environment(e.name, e.baseUrl, e.namespace, e.production) for e in spec.environments
        ),
        objectives=objectives,
        primary=spec.primaryMetric,
    )


def _objectives(path: Path, slos: Sequence[SloDocument]) -> tuple[Objective, ...]:
    found: list[Objective] = []
    for slo in slos:
        indicator = slo.spec.indicator.metadata
        objective = slo.spec.objectives[0]
        name = objective.displayName or slo.metadata.name
        where = f"{path}: SLO {slo.metadata.name}"
        if indicator.name in {"latency", "throughput"} and objective.value is None:
            raise CatalogError(
                f"{where}: spec.objectives[0].value is missing", "state the threshold"
            )
        quantile = None
        if indicator.name == "latency":
            quantile = _quantile(where, indicator.annotations.get(QUANTILE))
        threshold = {
            "latency": objective.value,
            "throughput": objective.value,
            "error_ratio": 1 - objective.target,
            "availability": objective.target,
        }[indicator.name]
        found.append(Objective(name, indicator.name, round(float(threshold or 0), 12), quantile))
    return tuple(found)


def _quantile(where: str, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not 0 < value < 1:
        raise CatalogError(
            f"{where}: annotation {QUANTILE} is {text!r}",
            'write the quantile as a string, e.g. "0.95"',
        )
    return value


def _documents(path: Path) -> Iterator[ServiceDocument | SloDocument | TargetDocument]:
    try:
        text = path.read_text(encoding="utf-8")
        nodes = [node for node in yaml.compose_all(text, Loader=yaml.SafeLoader) if node]
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path}: cannot be read ({error})", "it must be UTF-8 text") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise CatalogError(f"{path}{line}: {problem}", "mend the YAML syntax") from None
    if not nodes:
        raise CatalogError(f"{path}: the file is empty", "describe the service in it")
    for node in nodes:
        yield _document(path, node)


def _document(path: Path, node: yaml.Node) -> ServiceDocument | SloDocument | TargetDocument:
    _refuse_duplicate_keys(path, node)
    try:
        value = yaml.SafeLoader("").construct_document(node)
    except (yaml.YAMLError, ValueError) as error:
        line = node.start_mark.line + 1
        raise CatalogError(f"{path}:{line}: {error}", "mend the YAML value") from None
    if not isinstance(value, dict):
        raise CatalogError(
            f"{path}:{node.start_mark.line + 1}: a {type(value).__name__}, not a mapping",
            "each document begins with apiVersion and kind",
        )
    key = (str(value.get("apiVersion")), str(value.get("kind")))
    model = DOCUMENTS.get(key)
    if model is None:
        known = ", ".join(f"{kind} ({version})" for version, kind in DOCUMENTS)
        raise CatalogError(
            f"{path}:{node.start_mark.line + 1}: kind {key[1]!r} of apiVersion {key[0]!r}",
            f"known are {known}",
        )
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        line = _line(node, first["loc"])
        field = ".".join(str(part) for part in first["loc"])
        raise CatalogError(
            f"{path}:{line}: {key[1]}: {field}: {first['msg']}", "correct the field"
        ) from None


def _line(node: yaml.Node, location: Sequence[Any]) -> int:
    """The line (from 1) of the deepest part of `location` that is in the document."""
    for part in location:
        child = None
        if isinstance(node, yaml.MappingNode):
            child = next((v for k, v in node.value if k.value == part), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            child = node.value[part] if part < len(node.value) else None
        if child is None:
            break
        node = child
    return int(node.start_mark.line) + 1


def _refuse_duplicate_keys(path: Path, node: yaml.Node) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                raise CatalogError(
                    f"{path}:{key.start_mark.line + 1}: {name!r} stands twice in one mapping",
                    "keep one of them",
                )
            seen.add(name)
            _refuse_duplicate_keys(path, value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_duplicate_keys(path, value)
