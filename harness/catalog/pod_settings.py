"""Where the settings of the harness's pods come from: a file, or the catalogue's environment."""

from collections.abc import Iterable
from pathlib import Path

from harness.catalog.model import Service
from harness.catalog.pods import NONE, PodSettings, settings_from
from harness.errors import UsageError


def pod_settings(file: Path | None, services: Iterable[Service], namespace: str) -> PodSettings:
    """The file's, else the namespace's environment's, else none; CatalogError, UsageError."""
    if file is not None:
        return _read(file)
    known = (place for each in services for place in each.environments)
    here = (place.pods for place in known if place.namespace == namespace)
    return next((pods for pods in here if pods != NONE), NONE)


def _read(path: Path) -> PodSettings:
    from harness.catalog.yaml_documents import read_mapping  # noqa: PLC0415 - heavy

    found = settings_from(read_mapping(path))
    if isinstance(found, PodSettings):
        return found
    where = f"{path}: {found.where}: " if found.path else f"{path}: "
    raise UsageError(f"{where}{found.said}", found.remedy)
