"""Reading the catalogue; every error names the file, the line, the field and the remedy."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.catalog.model import Environment, Objective, RateLimit, Route, Service
from harness.catalog.production import is_production_name
from harness.errors import CatalogError, did_you_mean
from harness.units import parse_duration

if TYPE_CHECKING:
    from harness.catalog.documents import (
        Document,
        ServiceDocument,
        SloDocument,
        TargetDocument,
    )


COMMON = "_common.yaml"
"""Beside the files of the services: what each of them need not say."""

_OURS = re.compile(r"""^apiVersion:\s*["']?harness\b""", re.MULTILINE)


def project_root() -> Path:
    """HARNESS_HOME, else the nearest project upwards from here, else the installation's.

    A project has `harness.yaml`, or `services/` with documents of ours in it: many a repository
    has a directory of that name. Raises CatalogError when HARNESS_HOME names no such directory.
    """
    home = os.environ.get("HARNESS_HOME")
    if home:
        if not (Path(home) / "services").is_dir():
            raise CatalogError(f"HARNESS_HOME={home}: no services/ in it", "set it to a project")
        return Path(home).resolve()
    here = Path.cwd()
    for directory in (here, *here.parents):
        if (directory / "harness.yaml").is_file() or _is_catalog(directory / "services"):
            return directory
    return Path(__file__).resolve().parents[2]


def _is_catalog(directory: Path) -> bool:
    """Whether a document in it says that it is ours."""
    for path in sorted(directory.glob("*.yaml")):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if _OURS.search(text):
            return True
    return False


@dataclass(frozen=True, slots=True)
class Catalog:
    """The services of one directory; each file is read when its service is asked for."""

    directory: Path

    def names(self) -> tuple[str, ...]:
        """Every service's name, sorted."""
        found = (path.stem for path in self.directory.glob("*.yaml") if path.name != COMMON)
        return tuple(sorted(found))

    def service(self, name: str) -> Service:
        """One service; raises CatalogError, with the nearest name, for one that is not there."""
        names = self.names()
        if name not in names:
            raise CatalogError(
                f"no service {name!r}",
                f"{did_you_mean(name.lower(), names, cutoff=0.4)}`harness services` lists them",
            )
        return read_service(self.directory / f"{name}.yaml")

    def services(self) -> tuple[Service, ...]:
        """All of them, by name."""
        return tuple(self.service(name) for name in self.names())


def load_catalog(directory: Path | None = None) -> Catalog:
    """The catalogue in `directory` (default: `services/`); CatalogError for none or no service."""
    directory = directory or project_root() / "services"
    if not directory.is_dir() or not Catalog(directory).names():
        raise CatalogError(
            f"{directory}: no services in it", "run inside the project, or set HARNESS_HOME"
        )
    return Catalog(directory)


def read_service(path: Path) -> Service:
    """The service that one file describes; raises CatalogError naming file, line and field."""
    # Pydantic and YAML: most of what imports the catalogue only wants its dataclasses.
    from harness.catalog.documents import (  # noqa: PLC0415 - see above
        ServiceDocument,
        SloDocument,
        TargetDocument,
    )
    from harness.catalog.yaml_documents import read_documents  # noqa: PLC0415 - see above

    documents = list(read_documents(path, path.with_name(COMMON)))
    services = [item for item in documents if isinstance(item, ServiceDocument)]
    targets = [item for item in documents if isinstance(item, TargetDocument)]
    slos = [item for item in documents if isinstance(item, SloDocument)]
    _require_one(path, "Service", services)
    _require_one(path, "Target", targets)
    if not slos:
        raise CatalogError(f"{path}: no document of kind SLO", "state at least one objective")
    name = services[0].metadata.name
    owned: list[TargetDocument | SloDocument] = [*targets, *slos]
    for item in owned:
        if item.spec.service != name:
            raise CatalogError(
                f"{path}: {item.kind} {item.metadata.name}: spec.service is {item.spec.service!r}",
                f"the Service is called {name!r}",
            )
    if name != path.stem:
        raise CatalogError(
            f"{path}: metadata.name is {name!r}", f"call it {path.stem!r} or rename the file"
        )
    return _service(services[0], targets[0], _objectives(path, slos))


def _require_one(path: Path, kind: str, found: Sequence[Document]) -> None:
    if len(found) != 1:
        raise CatalogError(
            f"{path}: {len(found) or 'no'} documents of kind {kind}", "there must be exactly one"
        )


def _service(
    document: ServiceDocument, target: TargetDocument, objectives: tuple[Objective, ...]
) -> Service:
    spec, limit = target.spec, target.spec.rateLimit
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
        routes=tuple(Route(item.path, tuple(item.methods), item.name) for item in spec.routes),
        regions=tuple(spec.regions),
        environments=tuple(
            # A forgotten word must not open production: its name says enough.
            Environment(
                e.name, e.baseUrl, e.namespace, e.production or is_production_name(e.name), e.pods
            )
            for e in spec.environments
        ),
        objectives=objectives,
        primary=spec.primaryMetric,
        region_roles=tuple(spec.regions.values()),
        gate=tuple(spec.gate),
        profiles=tuple(spec.profiles),
        depends_on=tuple(spec.dependsOn),
        degrades_without=tuple(spec.degradesWithout),
        rate_limit=None
        if limit is None
        else RateLimit(limit.requests, parse_duration(limit.window), limit.header),
    )


def _objectives(path: Path, slos: Sequence[SloDocument]) -> tuple[Objective, ...]:
    found: dict[str, Objective] = {}
    for slo in slos:
        objective = slo.objective()
        if objective.name in found:
            raise CatalogError(
                f"{path}: SLO {slo.metadata.name}: a second objective {objective.name!r}",
                "give each a displayName of its own",
            )
        found[objective.name] = objective
    return tuple(found.values())
