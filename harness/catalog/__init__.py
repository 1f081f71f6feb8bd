"""The services of the platform and what each of them promises."""

from harness.catalog.load import load_catalog, project_root
from harness.catalog.model import Service

__all__ = ["Service", "load_catalog", "project_root"]
