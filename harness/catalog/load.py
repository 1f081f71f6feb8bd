"""Reading the catalogue; every error names the file, the line, the field and the remedy."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.catalog.model import Environment, Objective, RateLimit, Route, Service
from harness.catalog.pods import NONE, PodSettings, settings_from
from harness.catalog.production import is_production_name
from harness.errors import CatalogError, did_you_mean
from harness.units import parse_duration

if TYPE_CHECKING:
    from harness.catalog.documents import (
        Document,
        EnvironmentSpec,
        RateLimitSpec,
        ServiceDocument,
        SloDocument,
        TargetDocument,
        TargetSpec,
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
        return tuple(read_service(self.directory / f"{name}.yaml") for name in self.names())


def load_catalog(directory: Path | None = None) -> Catalog:
    """The catalogue in `directory` (default: `services/`); CatalogError for none or no service."""
    directory = directory or project_root() / "services"
    if not directory.is_dir() or not Catalog(directory).names():
        raise CatalogError(
            f"{directory}: no services in it", "run inside the project, or set HARNESS_HOME"
        )
    return Catalog(directory)


def read_service(path: Path) -> Service:
    """The service that one file describes; raises CatalogError naming file, line and field.

    A file is read again when it, or the one that all share, has changed.
    """
    return _read_service(path, (_version(path), _version(path.with_name(COMMON))))


def _version(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size


@lru_cache(maxsize=256)
def _read_service(path: Path, versions: tuple[tuple[int, ...], ...]) -> Service:
    # Most of what imports the catalogue only wants its dataclasses.
    from harness.catalog.documents import objective_of  # noqa: PLC0415 - see above
    from harness.catalog.yaml_documents import read_documents  # noqa: PLC0415 - see above

    documents = list(read_documents(path, path.with_name(COMMON)))
    services = [item for item in documents if item["kind"] == "Service"]
    targets = [item for item in documents if item["kind"] == "Target"]
    slos = [item for item in documents if item["kind"] == "SLO"]
    _require_one(path, "Service", services)
    _require_one(path, "Target", targets)
    if not slos:
        raise CatalogError(f"{path}: no document of kind SLO", "state at least one objective")
    name = services[0]["metadata"]["name"]
    owned: list[TargetDocument | SloDocument] = [*targets, *slos]
    for item in owned:
        owner = item["spec"]["service"]
        if owner != name:
            raise CatalogError(
                f"{path}: {item['kind']} {item['metadata']['name']}: spec.service is {owner!r}",
                f"the Service is called {name!r}",
            )
    if name != path.stem:
        raise CatalogError(
            f"{path}: metadata.name is {name!r}", f"call it {path.stem!r} or rename the file"
        )
    found: dict[str, Objective] = {}
    for slo in slos:
        objective = objective_of(slo)
        if objective.name in found:
            raise CatalogError(
                f"{path}: SLO {slo['metadata']['name']}: a second objective {objective.name!r}",
                "give each a displayName of its own",
            )
        found[objective.name] = objective
    return _service(services[0], targets[0]["spec"], tuple(found.values()))


def _require_one(path: Path, kind: str, found: Sequence[Document]) -> None:
    if len(found) != 1:
        raise CatalogError(
            f"{path}: {len(found) or 'no'} documents of kind {kind}", "there must be exactly one"
        )


def _service(
    document: ServiceDocument, spec: TargetSpec, objectives: tuple[Objective, ...]
) -> Service:
    limit = spec.get("rateLimit")
    return Service(
        name=document["metadata"]["name"],
        tier=spec["tier"],
        core_app=spec["coreApplication"],
        port=spec["port"],
        purpose=document["spec"].get("description", ""),
        replicas=spec["replicas"],
        cpu=float(spec["resources"]["cpu"]),
        memory=spec["resources"]["memory"],
        health_path=spec["healthPath"],
        routes=tuple(
            Route(item["path"], tuple(item["methods"]), item["name"]) for item in spec["routes"]
        ),
        regions=tuple(spec["regions"]),
        environments=tuple(_environment(item) for item in spec["environments"]),
        objectives=objectives,
        primary=spec["primaryMetric"],
        region_roles=tuple(spec["regions"].values()),
        gate=tuple(spec.get("gate", ())),
        profiles=tuple(spec.get("profiles", ())),
        depends_on=tuple(spec.get("dependsOn", ())),
        degrades_without=tuple(spec.get("degradesWithout", ())),
        rate_limit=None if limit is None else _rate_limit(limit),
    )


def _environment(spec: EnvironmentSpec) -> Environment:
    # A forgotten word must not open production: its name says enough.
    production = spec.get("production", False) or is_production_name(spec["name"])
    pods = settings_from(spec["pods"]) if "pods" in spec else NONE
    assert isinstance(pods, PodSettings)  # noqa: S101 - the document was checked
    return Environment(spec["name"], spec["baseUrl"], spec["namespace"], production, pods)


def _rate_limit(spec: RateLimitSpec) -> RateLimit:
    found = RateLimit(spec["requests"], parse_duration(spec["window"]))
    return replace(found, header=spec["header"]) if "header" in spec else found
