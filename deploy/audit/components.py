"""What is installed, compiled in and copied into the image, with versions and licences."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from deploy.audit.licences import problem_of

PROJECT = Path(__file__).resolve().parents[2]
OWN = "codai-harness"


@dataclass(frozen=True, slots=True)
class Part:
    """A component of a bill of materials; `purl` is its package URL."""

    name: str
    version: str
    purl: str
    licence: str = ""
    sha256: str = ""
    files: tuple[str, ...] = ()
    """Of a package: SHA-256 of each of its files that set-up takes, one of which was installed."""


class MissingError(Exception):
    """Something that must be made before it can be looked at."""


def normal(name: str) -> str:
    """A Python package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence_of(found: metadata.Distribution) -> str:
    """What the metadata says: an expression, a line that is understood, or all classifiers."""
    about = found.metadata
    line = about.get("License-Expression") or (about.get("License") or "").strip()
    names = [
        each.rpartition("::")[2].strip()
        for each in about.get_all("Classifier") or ()
        if each.startswith("License ::")
    ]
    classified = " AND ".join(name for name in names if name != "OSI Approved")
    unclear = "\n" in line or (problem_of(line) or "").startswith("unknown")
    return classified or line[:60] if unclear else line


def of_python(distributions: Iterable[metadata.Distribution]) -> list[Part]:
    """These packages, without the project itself."""
    found, sums = {}, _sums_of_files()
    for each in distributions:
        name = normal(each.metadata["Name"] or "")
        if name and name != OWN:
            purl = f"pkg:pypi/{name}@{each.version}"
            files = sums.get(f"{name}=={each.version}", ())
            found[name] = Part(
                each.metadata["Name"], each.version, purl, licence_of(each), files=files
            )
    return [found[name] for name in sorted(found)]


def _sums_of_files() -> dict[str, tuple[str, ...]]:
    """Package and version (`a==1`) -> SHA-256 of its files, of all lists."""
    found: dict[str, set[str]] = {}
    package = ""
    for path in (PROJECT / "requirements").glob("*.txt"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("    --hash=sha256:"):
                found[package].add(line.strip(" \\").rpartition(":")[2])
            elif line and not line.startswith(("#", "-", " ")):
                each = Requirement(line.rstrip("\\ "))
                package = f"{normal(each.name)}{each.specifier}"
                found.setdefault(package, set())
    return {package: tuple(sorted(sums)) for package, sums in found.items()}


def locked(list_name: str) -> dict[str, str]:
    """Name -> version of a list of requirements, for this system."""
    found = {}
    text = (PROJECT / "requirements" / f"{list_name}.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line and not line.startswith((" ", "#", "-")):
            each = Requirement(line.rstrip("\\ "))
            if each.marker is None or each.marker.evaluate():
                found[normal(each.name)] = str(each.specifier).removeprefix("==")
    return found


def crates(*, linked: bool) -> list[Part]:
    """The crates that set-up fetches or, with `linked`, those whose code is in the engine."""
    command = ["cargo", "metadata", "--format-version", "1", "--offline", "--locked"]
    command += ["--manifest-path", str(PROJECT / "engine" / "Cargo.toml")]
    if linked:
        command += ["--filter-platform", _host()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"cargo metadata: {done.stderr.strip().splitlines()[-1]}")
    found = json.loads(done.stdout)
    wanted = _linked(found["resolve"]) if linked else {each["id"] for each in found["packages"]}
    sums = _checksums()
    return [
        Part(
            each["name"],
            each["version"],
            f"pkg:cargo/{each['name']}@{each['version']}",
            (each.get("license") or "").replace("/", " OR "),
            sums.get((each["name"], each["version"]), ""),
        )
        for each in found["packages"]
        if each["source"] is not None and each["id"] in wanted
    ]


def _host() -> str:
    shown = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    return next(line.removeprefix("host: ") for line in shown.splitlines() if "host: " in line)


def _linked(resolve: dict[str, object]) -> set[str]:
    """The crates that the root reaches by normal dependencies: no build scripts', no tests'."""
    nodes = {each["id"]: each for each in resolve["nodes"]}  # type: ignore[attr-defined]
    found: set[str] = set()
    waiting = [str(resolve["root"])]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        waiting += [
            each["pkg"]
            for each in nodes[name]["deps"]
            if any(kind["kind"] is None for kind in each["dep_kinds"])
        ]
    return found


def _checksums() -> dict[tuple[str, str], str]:
    lines = (PROJECT / "engine" / "crates.txt").read_text(encoding="utf-8").splitlines()
    words = [line.split(" ") for line in lines if not line.startswith("#")]
    return {(each[0], each[1]): each[2] for each in words}


def of_debian(paths: Sequence[str]) -> list[Part]:
    """The packages of this system that these files were copied from; none without dpkg."""
    asked = [form for path in paths for form in {path, path.removeprefix("/usr")}]
    try:
        owners = subprocess.run(
            ["dpkg-query", "--search", *asked], capture_output=True, text=True, check=False
        ).stdout
        names = {line.partition(": ")[0].split(", ")[0] for line in owners.splitlines()}
        names = {name for name in names if not name.startswith("diversion ")}
        if not names:
            return []
        shown = subprocess.run(
            ["dpkg-query", "--show", "--showformat=${Package} ${Version} ${Architecture}\n",
             *sorted(names)],
            capture_output=True, text=True, check=False,
        ).stdout  # fmt: skip
    except FileNotFoundError:
        return []
    rows = sorted({tuple(line.split(" ")) for line in shown.splitlines()})
    return [
        Part(name, version, f"pkg:deb/debian/{name}@{version.replace('+', '%2B')}?arch={machine}")
        for name, version, machine in rows
    ]


def files_of(layer: Path) -> list[str]:
    """The programs and libraries in a layer, by their paths in the image."""
    with tarfile.open(layer) as archive:
        names = [f"/{each.name}" for each in archive if each.isfile()]
    places = ("/usr/bin/", "/usr/sbin/", "/usr/lib/", "/usr/lib64/")
    return [name for name in names if name.startswith(places)]
