"""A release has one version."""

from __future__ import annotations

import tomllib

from harness import __version__
from tests.docs.pages import ROOT


def test_the_project_the_package_and_the_engine_have_the_same_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    engine = tomllib.loads((ROOT / "engine" / "Cargo.toml").read_text(encoding="utf-8"))
    assert project["project"]["version"] == engine["package"]["version"] == __version__
