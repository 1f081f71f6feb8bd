"""Where the settings of the harness's pods come from: a file, or the catalogue's environment."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.catalog.model import Service
from harness.catalog.pods import NONE, PodSettings
from harness.errors import UsageError
from harness.typed import adapter

PLAIN: Mapping[str, tuple[str, str]] = {
    "string_type": ("not a text", 'quote it, e.g. cpu: "1"'),
    "dict_type": ("not a mapping", "write `name: value` lines under it"),
    "tuple_type": ("not a list", "begin each item with -"),
}


def pod_settings(file: Path | None, services: Iterable[Service], namespace: str) -> PodSettings:
    """The file's, else the namespace's environment's, else none; CatalogError, UsageError."""
    if file is not None:
        return _read(file)
    known = (place for each in services for place in each.environments)
    here = (place.pods for place in known if place.namespace == namespace)
    return next((pods for pods in here if pods != NONE), NONE)


def _read(path: Path) -> PodSettings:
    from pydantic import ValidationError  # noqa: PLC0415 - heavy, as is YAML

    from harness.catalog.yaml_documents import explain, read_mapping  # noqa: PLC0415

    try:
        return adapter(PodSettings).validate_python(read_mapping(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    problem, remedy = PLAIN.get(first["type"]) or explain(first["type"], first["msg"])
    raise UsageError(f"{path}: {where}: {problem}" if where else f"{path}: {problem}", remedy)
