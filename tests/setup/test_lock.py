"""What set-up installs is locked by checksums, and no file of it names a registry."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from importlib import metadata
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[2]
LISTS = ("run", "dev", "setup", "build", "image")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DIRECT = {
    "run": PROJECT["dependencies"],
    "dev": PROJECT["optional-dependencies"]["dev"],
    "setup": PROJECT["optional-dependencies"]["setup"],
}


@pytest.fixture(scope="module")
def crates() -> Any:
    """The script, as a module."""
    loader = SourceFileLoader("crates", str(ROOT / "scripts" / "crates"))
    spec = spec_from_loader("crates", loader)
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules["crates"] = module
    loader.exec_module(module)
    return module


def text(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text()


def pinned(name: str) -> dict[str, Requirement]:
    """Name -> requirement of a list; the last where systems differ."""
    lines = (line.rstrip("\\ ") for line in text(name).splitlines())
    found = [Requirement(line) for line in lines if line and not line.startswith((" ", "#", "-"))]
    return {re.sub(r"[-_.]+", "-", each.name).lower(): each for each in found}


@pytest.mark.parametrize("name", LISTS)
def test_every_package_is_pinned_and_has_a_checksum(name: str) -> None:
    blocks = re.split(r"\n(?=\S)", text(name).strip())
    for block in blocks:
        assert re.match(r"[a-z0-9-]+(\[[a-z0-9,-]+\])?==\S+", block), block[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block[:80]


@pytest.mark.parametrize("name", [*(f"requirements/{n}.txt" for n in LISTS), "engine/crates.txt"])
def test_no_list_names_a_registry(name: str) -> None:
    """It differs between the places where this runs."""
    content = (ROOT / name).read_text()
    assert "//" not in content
    assert "registry" not in content
    assert not re.search(r"\b[\w-]+\.(org|io|com|dev|net)\b", content)


@pytest.mark.parametrize("name", DIRECT)
def test_each_list_has_what_pyproject_asks_for_in_the_same_version(name: str) -> None:
    found = {**pinned("run"), **pinned(name)}
    for line in DIRECT[name]:
        wanted = Requirement(line)
        assert "==" in line
        assert str(found[re.sub("_", "-", wanted.name).lower()].specifier) == str(
            wanted.specifier
        ), line


def test_one_version_of_a_package_is_installed_whatever_the_list() -> None:
    """Tests add to what a run has; the image is a part of it."""
    run = pinned("run")
    for name, each in pinned("dev").items():
        assert name not in run or str(run[name].specifier) == str(each.specifier)
    for name, each in pinned("image").items():
        assert str(run[name].specifier) == str(each.specifier)


@pytest.mark.parametrize("lists", [("run",), ("run", "dev"), ("image",)])
def test_a_list_has_everything_that_its_packages_require_here(lists: Sequence[str]) -> None:
    """Set-up takes nothing that is not listed: what is left out fails there."""
    listed = {
        name
        for each in lists
        for name, requirement in pinned(each).items()
        if requirement.marker is None or requirement.marker.evaluate()
    }
    for name in listed:
        for line in metadata.requires(name) or ():
            required = Requirement(line)
            if required.marker is None or required.marker.evaluate({"extra": ""}):
                assert re.sub(r"[-_.]+", "-", required.name).lower() in listed, f"{name}: {line}"


def test_set_up_takes_the_pythons_that_the_project_says_it_runs_on() -> None:
    """`scripts/lock` refuses one for which a package has no wheel."""
    shown = subprocess.run(
        ["bash", "-c", '. scripts/packages; echo "$PYTHONS"'],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    said = SpecifierSet(PROJECT["requires-python"])
    every = [f"3.{minor}" for minor in range(8, 20)]
    assert shown.stdout.split() == [each for each in every if f"{each}.0" in said]


def test_the_list_of_crates_is_what_the_engine_asks_for(crates: Any) -> None:
    """Each direct dependency in its version, each name of a dependency a crate of the list."""
    listed = crates.parse((ROOT / "engine" / "crates.txt").read_text())
    cargo = tomllib.loads((ROOT / "engine" / "Cargo.toml").read_text())
    versions = {(each.name, each.version) for each in listed}
    for name, asked in cargo["dependencies"].items():
        pin = asked if isinstance(asked, str) else asked["version"]
        assert (name, pin.removeprefix("=")) in versions
    names = {each.name for each in listed} | {f"{each.name}={each.version}" for each in listed}
    for each in listed:
        assert names >= set(each.dependencies), each
        assert (each.checksum == crates.OWN) == (each.name == cargo["package"]["name"])


def test_cargo_reads_back_the_lock_that_is_written(crates: Any) -> None:
    """Also where a crate is there in two versions."""
    listed = [
        crates.Crate("a", "1.0.0", "0" * 64, ("b=2.0.0",)),
        crates.Crate("b", "1.0.0", "1" * 64),
        crates.Crate("b", "2.0.0", "2" * 64),
        crates.Crate("own", "0.1.0", crates.OWN, ("a", "b=1.0.0")),
    ]
    lock = crates.lock(listed, "registry+here")
    assert crates.read_lock(lock) == listed == crates.parse(crates.listed(listed))
    assert 'dependencies = [\n "b 2.0.0",\n]' in lock


@pytest.mark.parametrize(
    "line", ["a", "a 1.0.0", "a 1.0.0 abc", "a 1.0 " + "0" * 64, 'a"\n 1.0.0 -', "a 1.0.0 - b;c"]
)
def test_a_line_that_is_no_crate_is_refused(crates: Any, line: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        crates.parse(line)


def test_a_crate_that_came_from_elsewhere_has_no_checksum_and_is_refused(crates: Any) -> None:
    lock = '[[package]]\nname = "a"\nversion = "1.0.0"\nsource = "git+somewhere"\n'
    with pytest.raises(ValueError, match=r"a 1\.0\.0 has no checksum"):
        crates.read_lock(lock)
