"""`make audit` refuses licences and known vulnerabilities, and lists what everything is made of."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from benchmarks import run
from deploy.audit import advisories, licences
from deploy.audit.advisories import CRATES, PYPI, Advisory, Component, UnreadableError, known, read
from deploy.audit.components import Part, licence_of, locked, normal, of_python
from deploy.audit.sbom import bill


@pytest.mark.parametrize(
    "licence",
    ["", "UNKNOWN", "AGPL-3.0-only", "GNU Affero General Public License v3", "GPL-3.0-or-later",
     "GNU General Public License v2 (GPLv2)", "GPL-2.0 OR AGPL-3.0", "SSPL-1.0", "BUSL-1.1",
     "Proprietary", "MIT AND AGPL-3.0", "(MIT OR Apache-2.0) AND AGPL-3.0", "see the website"],
)  # fmt: skip
def test_a_licence_that_is_unknown_or_not_allowed_is_refused(licence: str) -> None:
    assert licences.problem_of(licence)


@pytest.mark.parametrize(
    "licence",
    ["MIT", "BSD-3-Clause", "Apache-2.0 OR MIT", "GPL-2.0-or-later OR Apache-2.0", "MPL-2.0",
     "LGPL-2.1-or-later", "GNU Lesser General Public License v3 (LGPLv3)",
     "(MIT OR GPL-3.0) AND BSD-3-Clause", "(MIT OR Apache-2.0) AND Unicode-3.0"],
)  # fmt: skip
def test_other_licences_are_allowed(licence: str) -> None:
    assert licences.problem_of(licence) is None


def test_a_review_holds_for_the_licence_that_was_read_and_for_nothing_else() -> None:
    found = {"a": "GPL-2.0", "b": "GPL-3.0", "c": "MIT", "d": "MIT"}
    reviewed = {"a": "GPL-2.0", "b": "GPL-2.0", "c": "MIT"}
    assert licences.problems(found, reviewed) == [
        "b: licence 'GPL-3.0' is not the one reviewed",
        "c: its licence 'MIT' needs no review",
    ]
    assert licences.problems({"a": "GPL-2.0"}, {}) == ["a: licence GPL-2.0"]


def advisory(package: str, events: Sequence[dict[str, str]], **more: Any) -> Advisory:
    """An advisory about one package; `events` of one range."""
    ecosystem, _, name = package.partition(":")
    kind = "SEMVER" if ecosystem == CRATES else "ECOSYSTEM"
    affected = {
        "package": {"ecosystem": ecosystem, "name": name},
        "ranges": [{"type": kind, "events": list(events)}],
        **more.pop("affected", {}),
    }
    return Advisory.model_validate({"id": "X-1", "affected": [affected], **more})


ZERO = {"introduced": "0"}
TWICE = [{"introduced": "1.0"}, {"fixed": "1.2"}, {"introduced": "2.0"}, {"fixed": "2.1"}]
TRUTH = [
    (PYPI, "1.9", [ZERO, {"fixed": "1.10"}], True),
    (PYPI, "1.10", [ZERO, {"fixed": "1.10"}], False),
    (PYPI, "1.10rc1", [ZERO, {"fixed": "1.10"}], True),
    (PYPI, "1.10.post1", [ZERO, {"last_affected": "1.10"}], False),
    (PYPI, "1.10", [ZERO, {"last_affected": "1.10"}], True),
    (PYPI, "0.9", [{"introduced": "1.0"}], False),
    (PYPI, "1.0", [{"introduced": "1.0"}], True),
    (PYPI, "1.1", TWICE[::-1], True),
    (PYPI, "1.5", TWICE, False),
    (PYPI, "2.0", TWICE, True),
    (PYPI, "2.1", TWICE, False),
    (PYPI, "5", [], False),
    (PYPI, "5", [{"introduced": "what"}], True),
    (CRATES, "0.4.9", [ZERO, {"fixed": "0.4.10"}], True),
    (CRATES, "0.4.10", [ZERO, {"fixed": "0.4.10"}], False),
    (CRATES, "1.0.0-rc.2", [{"introduced": "1.0.0-rc.10"}], False),
    (CRATES, "1.0.0-rc.11", [{"introduced": "1.0.0-rc.10"}], True),
    (CRATES, "1.0.0-alpha", [ZERO, {"fixed": "1.0.0-0"}], False),
    (CRATES, "1.0.0+build", [ZERO, {"fixed": "1.0.0"}], False),
    (CRATES, "0.0.0-1", [{"introduced": "0.0.0-0"}, {"fixed": "1.0.0"}], True),
]  # fmt: skip


@pytest.mark.parametrize(("ecosystem", "version", "events", "truth"), TRUTH)
def test_a_version_is_affected_exactly_within_the_ranges_of_an_advisory(
    ecosystem: str, version: str, events: Sequence[dict[str, str]], *, truth: bool
) -> None:
    found = known(
        iter([advisory(f"{ecosystem}:some_Thing", events)]),
        [Component(ecosystem, "some-thing", version)],
    )
    assert bool(found) == truth


def test_what_is_withdrawn_about_another_ecosystem_or_only_informs_is_passed_over() -> None:
    mine = [Component(PYPI, "a", "1.0")]
    assert known(iter([advisory(f"{PYPI}:a", [ZERO])]), mine) == ["a 1.0: X-1: "]
    others = [
        advisory(f"{PYPI}:a", [ZERO], withdrawn="2026-01-01T00:00:00Z"),
        advisory(f"{CRATES}:a", [ZERO]),
        advisory(f"{PYPI}:b", [ZERO]),
        advisory(f"{PYPI}:a", [ZERO], affected={"database_specific": {"informational": "x"}}),
    ]
    assert known(iter(others), mine) == []
    listed = advisory(f"{PYPI}:a", [], affected={"versions": ["1.0"]}, aliases=["CVE-1"])
    assert known(iter([listed]), mine) == ["a 1.0: X-1 CVE-1: "]


def test_advisories_are_read_from_a_file_a_directory_and_an_archive(tmp_path: Path) -> None:
    one = json.dumps({"id": "X-1", "affected": []})
    (tmp_path / "one.json").write_text(one)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("deep/two.json", one.replace("X-1", "X-2"))
    assert [each.id for each in read(tmp_path / "one.json")] == ["X-1"]
    assert sorted(each.id for each in read(tmp_path)) == ["X-1", "X-2"]


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b"[" * 100_000, b'{"id": 5}'])
def test_what_is_no_advisory_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(UnreadableError, match=r"bad\.json"):
        list(read(tmp_path))


def test_a_place_without_advisories_is_no_proof_that_there_are_none(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere.json", tmp_path / "nowhere"):
        with pytest.raises(UnreadableError, match=str(place)):
            list(read(place))


def test_an_advisory_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advisories, "MOST_BYTES", 100)
    (tmp_path / "big.json").write_text(json.dumps({"id": "X" * 100}))
    with pytest.raises(UnreadableError, match="larger"):
        list(read(tmp_path))


def test_the_bill_of_materials_names_every_package_once() -> None:
    parts = of_python(metadata.distributions())
    made = json.loads(json.dumps(bill(Part("x", "1", "pkg:pypi/x@1"), "application", parts)))
    urls = [each["purl"] for each in made["components"]]
    assert made["bomFormat"] == "CycloneDX"
    assert len(urls) == len(set(urls)) > 50
    assert any(url.startswith("pkg:pypi/locust@") for url in urls)
    assert set(made["dependencies"][0]["dependsOn"]) == set(urls)


@pytest.mark.parametrize("name", ["run", "image", "dev"])
def test_each_locked_package_has_the_checksums_of_its_files_in_the_bill(name: str) -> None:
    wanted = locked(name)
    parts = [each for each in of_python(metadata.distributions()) if normal(each.name) in wanted]
    made: Any = bill(Part("x", "1", "pkg:pypi/x@1"), "application", parts)
    assert len(made["components"]) > 10
    for each in made["components"]:
        (reference,) = each["externalReferences"]
        assert reference["hashes"]
        assert all(re.fullmatch("[0-9a-f]{64}", found["content"]) for found in reference["hashes"])


def test_peers_under_the_agpl_run_only_where_they_are_asked_for() -> None:
    assert not set(run.PEERS) & set(run.AGPL_PEERS)
    assert run.Bench(1, 1).peers == run.PEERS
    root = Path(__file__).resolve().parents[2]
    for file in (root / "Makefile", *(root / ".ci").iterdir(), *(root / "scripts").iterdir()):
        if file.is_file():
            text = file.read_text(encoding="utf-8")
            assert not any(re.search(rf"\b{peer}\b|agpl-peers", text) for peer in run.AGPL_PEERS)


@pytest.mark.parametrize(
    ("lines", "licence"),
    [
        ("License-Expression: MIT\nClassifier: License :: OSI Approved :: BSD License", "MIT"),
        ("License: Apache-2.0\nClassifier: License :: Freely Distributable", "Apache-2.0"),
        (("License: Dual License\nClassifier: License :: OSI Approved :: BSD License\n"
         "Classifier: License :: OSI Approved :: MIT License"), "BSD License AND MIT License"),
        ("License: GPL-3.0\nClassifier: License :: OSI Approved :: MIT License", "GPL-3.0"),
        ("License: see below", "see below"),
        ("License-Expression: AGPL-3.0", "AGPL-3.0"),
    ],
)  # fmt: skip
def test_a_licence_is_read_from_what_the_metadata_says_most_clearly(
    tmp_path: Path, lines: str, licence: str
) -> None:
    about = tmp_path / "a-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: a\nVersion: 1\n{lines}\n")
    assert licence_of(metadata.Distribution.at(about)) == licence
