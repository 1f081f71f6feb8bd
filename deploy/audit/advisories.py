"""Known vulnerabilities of given versions, by advisories in the OSV format, read from files.

https://ossf.github.io/osv-schema is the format: a JSON file each, in a directory or a ZIP archive.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version
from pydantic import BaseModel, ConfigDict, ValidationError

PYPI, CRATES = "PyPI", "crates.io"
MOST_BYTES = 8 << 20
"""Of one advisory; the largest have some 500 kB."""


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Package(_Read):
    """What an advisory is about."""

    ecosystem: str
    name: str


class Event(_Read):
    """Where in the order of versions something changes; one of them is set."""

    introduced: str | None = None
    fixed: str | None = None
    last_affected: str | None = None


class Range(_Read):
    """Versions between events, in the order that `type` names."""

    type: str
    events: list[Event] = []


class Affected(_Read):
    """One package of an advisory, with its versions."""

    package: Package | None = None
    ranges: list[Range] = []
    versions: list[str] = []
    database_specific: Mapping[str, object] = {}


class Advisory(_Read):
    """One advisory."""

    id: str
    withdrawn: str | None = None
    summary: str = ""
    aliases: list[str] = []
    affected: list[Affected] = []


@dataclass(frozen=True, slots=True)
class Component:
    """A package at a version."""

    ecosystem: str
    name: str
    version: str


class UnreadableError(Exception):
    """An advisory that is none, or no advisories at all."""


def read(place: Path) -> Iterator[Advisory]:
    """Every advisory of a file, a ZIP archive or a directory; raises UnreadableError."""
    number = 0
    for name, text in _texts(place):
        if len(text) > MOST_BYTES:
            raise UnreadableError(f"{name}: larger than {MOST_BYTES >> 20} MiB")
        try:
            found = json.loads(text)
            for each in found if isinstance(found, list) else [found]:
                yield Advisory.model_validate(each)
                number += 1
        except (ValueError, RecursionError, ValidationError) as problem:
            reason = str(problem).splitlines()[0]
            raise UnreadableError(f"{name}: no OSV advisory: {reason}") from None
    if not number:
        raise UnreadableError(f"{place}: no advisories (*.json) there")


def _texts(place: Path) -> Iterator[tuple[str, bytes]]:
    try:
        if place.is_dir():
            for path in sorted(place.rglob("*")):
                if path.suffix in {".json", ".zip"} and path.is_file():
                    yield from _texts(path)
        elif place.suffix == ".zip":
            with zipfile.ZipFile(place) as archive:
                for each in archive.infolist():
                    if each.filename.endswith(".json"):
                        with archive.open(each) as file:
                            yield f"{place}:{each.filename}", file.read(MOST_BYTES + 1)
        else:
            with place.open("rb") as file:
                yield str(place), file.read(MOST_BYTES + 1)
    except (OSError, zipfile.BadZipFile) as problem:
        raise UnreadableError(f"{place}: {problem}") from None


def known(advisories: Iterator[Advisory], components: Sequence[Component]) -> list[str]:
    """A line for each component that an advisory says is vulnerable."""
    by_name: dict[tuple[str, str], list[Component]] = {}
    for each in components:
        by_name.setdefault((each.ecosystem, _normal(each.name)), []).append(each)
    found = set()
    for advisory in advisories:
        if advisory.withdrawn is not None:
            continue
        for affected in advisory.affected:
            about = affected.package
            if about is None or "informational" in affected.database_specific:
                continue  # of a crate that nobody keeps, say: no fault
            for each in by_name.get((about.ecosystem, _normal(about.name)), ()):
                if is_affected(affected, each):
                    names = " ".join((advisory.id, *advisory.aliases))
                    found.add(f"{each.name} {each.version}: {names}: {advisory.summary}")
    return sorted(found)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def is_affected(affected: Affected, component: Component) -> bool:
    """Whether the version is listed, or within a range (the algorithm of the OSV schema)."""
    order: Callable[[str], Any] = _semver if component.ecosystem == CRATES else _pep440
    if component.version in affected.versions:
        return True
    ranges = [each for each in affected.ranges if each.type in {"ECOSYSTEM", "SEMVER"}]
    try:
        return any(_within(each.events, component.version, order) for each in ranges)
    except (InvalidVersion, ValueError):
        return True  # an order that is not understood says nothing in its favour


def _within(events: Sequence[Event], version: str, order: Callable[[str], Any]) -> bool:
    mine, inside = order(version), False
    marks = []
    for each in events:
        if each.introduced is not None:
            lowest = each.introduced == "0"
            marks.append((not lowest, order("0" if lowest else each.introduced), 2))
        elif each.fixed is not None:
            marks.append((True, order(each.fixed), 1))
        elif each.last_affected is not None:
            marks.append((True, order(each.last_affected), 0))
    for above_all, at, kind in sorted(marks):
        if kind == 2:  # noqa: PLR2004 - introduced
            inside = inside or not above_all or mine >= at
        elif kind == 1:
            inside = inside and mine < at
        else:
            inside = inside and mine <= at
    return inside


def _pep440(text: str) -> Version:
    return Version(text)


def _semver(text: str) -> tuple[object, ...]:
    """Precedence of semantic versions (semver.org 2.0.0, 11)."""
    core, _, before = text.partition("+")[0].partition("-")
    numbers = [int(part) for part in core.split(".")]
    parts = [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in before.split(".") if p]
    return (*numbers, *[0] * (3 - len(numbers)), not before, parts)
