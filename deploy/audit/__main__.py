"""`make audit`: licences, known vulnerabilities, bills of materials in dist/.

  python -m deploy.audit [--osv PLACE] [--no-image]

Exit code 1 where something is refused, 2 where something cannot be read. Nothing is fetched.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from deploy.audit import advisories, components, licences
from deploy.audit.components import OWN, PROJECT, MissingError, Part
from deploy.audit.sbom import bill, sha256
from deploy.images import local

OUTPUT = PROJECT / "dist"
REVIEWED = Path(__file__).with_name("reviewed.toml")


def main(words: Sequence[str] | None = None) -> int:
    """Print what is refused, write the bills."""
    parser = argparse.ArgumentParser(prog="make audit", description=__doc__)
    parser.add_argument("--osv", type=Path, help="advisories: a file, a ZIP archive, a directory")
    parser.add_argument("--no-image", action="store_true", help="without the bill of the image")
    asked = parser.parse_args(words)
    try:
        packages, crates = (
            components.of_python(metadata.distributions()),
            components.crates(linked=False),
        )
        refused = _refused([*packages, *crates])
        refused += _vulnerable(asked.osv, packages, crates)
        _write_bills(packages, with_image=not asked.no_image)
    except (MissingError, advisories.UnreadableError) as problem:
        print(f"audit: {problem}", file=sys.stderr)
        return 2
    print(*refused, sep="\n", end="\n" if refused else "")
    print(f"{len(packages)} Python packages, {len(crates)} crates, {len(refused)} refused")
    return 1 if refused else 0


def _reviewed(part: str) -> dict[str, str]:
    found: dict[str, dict[str, str]] = tomllib.loads(REVIEWED.read_text(encoding="utf-8"))
    return found[part]


def _refused(parts: Sequence[Part]) -> list[str]:
    return licences.problems({each.name: each.licence for each in parts}, _reviewed("licences"))


def _vulnerable(place: Path | None, packages: Sequence[Part], crates: Sequence[Part]) -> list[str]:
    if place is None:
        print("known vulnerabilities: not looked for; give OSV=PLACE (SECURITY.md)")
        return []
    of = {advisories.PYPI: packages, advisories.CRATES: crates}
    every = [
        advisories.Component(ecosystem, each.name, each.version)
        for ecosystem, parts in of.items()
        for each in parts
    ]
    taken = _reviewed("advisories")
    found = advisories.known(advisories.read(place), every)
    return [line for line in found if not taken.keys() & set(line.split(": ")[1].split())]


def _write_bills(packages: Sequence[Part], *, with_image: bool) -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    linked = components.crates(linked=True)
    wanted = components.locked("run")
    run = [each for each in packages if components.normal(each.name) in wanted]
    OUTPUT.mkdir(exist_ok=True)
    wheels = sorted(OUTPUT.glob("*.whl"), key=lambda path: path.stat().st_mtime)
    digest = sha256(wheels[-1]) if wheels else ""
    subject = Part(OWN, version, f"pkg:pypi/{OWN}@{version}", sha256=digest)
    _write("wheel", bill(subject, "application", [*linked, *run]))
    if not wheels:
        print("the wheel's bill has no checksum of it: it is not built (make wheel)")
    if with_image:
        _write_image(version, linked)


def _write_image(version: str, linked: Sequence[Part]) -> None:
    image = local.image()
    python = "{}.{}.{}".format(*sys.version_info)
    parts = [
        *components.of_python(local.distributions()),
        *linked,
        Part("python", python, f"pkg:generic/python@{python}", "PSF-2.0"),
        *components.of_debian(
            [path for each in image.layers for path in components.files_of(each)]
        ),
        *(
            Part(
                each.stem, each.stem.partition("-")[2], f"pkg:generic/{each.stem}", "", sha256(each)
            )
            for each in image.layers
        ),
    ]
    purl = f"pkg:oci/{local.NAME}@{image.key}"
    _write("image", bill(Part(local.NAME, version, purl), "container", parts))


def _write(name: str, content: dict[str, object]) -> None:
    path = OUTPUT / f"{name}.cdx.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"{path.relative_to(PROJECT)}: {len(content['components'])} components")  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())
