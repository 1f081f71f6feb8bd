"""The services of the platform and what each of them promises."""

from harness.catalog.load import Catalog, load_catalog, project_root, read_service
from harness.catalog.model import Environment, Objective, RegionRole, Route, Service

__all__ = [
    "Catalog",
    "Environment",
    "Objective",
    "RegionRole",
    "Route",
    "Service",
    "load_catalog",
    "project_root",
    "read_service",
]
