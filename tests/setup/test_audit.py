"""`make audit` refuses licences that are unknown or not allowed, and lists everything."""

from __future__ import annotations

import json
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def audit() -> Any:
    """The script, as a module."""
    loader = SourceFileLoader("audit", str(ROOT / "scripts" / "audit"))
    spec = spec_from_loader("audit", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "licence",
    ["", "UNKNOWN", "AGPL-3.0-only", "GNU Affero General Public License v3", "GPL-3.0-or-later",
     "GNU General Public License v2 (GPLv2)", "GPL-2.0 OR AGPL-3.0"],
)  # fmt: skip
def test_a_licence_that_is_unknown_or_not_allowed_is_refused(audit: Any, licence: str) -> None:
    assert audit.problem_of(licence)


@pytest.mark.parametrize(
    "licence",
    ["MIT", "BSD-3-Clause", "Apache-2.0 OR MIT", "GPL-2.0-or-later OR Apache-2.0", "MPL-2.0",
     "LGPL-2.1-or-later", "GNU Lesser General Public License v3 (LGPLv3)"],
)  # fmt: skip
def test_other_licences_are_allowed(audit: Any, licence: str) -> None:
    assert audit.problem_of(licence) is None


def test_the_bill_of_materials_names_every_package_once(audit: Any) -> None:
    packages = audit.python_packages()
    made = json.loads(json.dumps(audit.sbom(packages)))
    urls = [each["purl"] for each in made["components"]]
    assert made["bomFormat"] == "CycloneDX"
    assert len(urls) == len(set(urls)) > 50
    assert any(url.startswith("pkg:pypi/locust@") for url in urls)
