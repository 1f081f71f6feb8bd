"""The pages explain every word that a verdict may use, and every package that there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import get_args

import pytest

from harness.capacity.model import FindingKind
from harness.gate.model import GateOutcome, RowOutcome
from harness.judge.experiment import judge_experiment
from harness.judge.model import EXIT_CODES
from harness.platform.kubernetes.agent_pods import KIND
from tests.docs.pages import ROOT
from tests.judge.made_experiment import experiment


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("outcome", [*EXIT_CODES, *get_args(GateOutcome), *get_args(RowOutcome)])
def test_what_to_do_about_each_outcome_is_written(outcome: str) -> None:
    assert outcome in page("verdicts.md").lower()


@pytest.mark.parametrize("outcome", [*EXIT_CODES, *get_args(RowOutcome)])
def test_each_outcome_is_a_term_of_the_glossary(outcome: str) -> None:
    assert outcome in page("glossary.md")


@pytest.mark.parametrize("finding", get_args(FindingKind))
def test_what_to_do_about_each_finding_of_a_capacity_search_is_written(finding: str) -> None:
    assert finding in page("verdicts.md")


def test_what_to_do_about_each_check_is_written(tmp_path: Path) -> None:
    """Checks of validity and of experiments are rows of their tables."""
    verdict = judge_experiment(experiment(tmp_path))
    names = [check.name for check in verdict.validity] + [check.name for check in verdict.checks]
    assert {"generator lag", "undone", "writes"} <= set(names)
    cells = [line.split("|")[1] for line in page("verdicts.md").splitlines() if line[:1] == "|"]
    rows = {name.strip() for cell in cells for name in cell.split(",")}
    assert set(names) <= rows


def test_each_package_has_its_paragraph() -> None:
    packages = {path.parent.name for path in (ROOT / "harness").glob("*/__init__.py")}
    assert {"judge", "gate"} <= packages
    for name in packages:
        assert f"`harness/{name}/`" in page("architecture.md"), name


def test_the_emergency_stop_selects_the_leases_of_faults() -> None:
    assert f"--selector {KIND}=fault" in page("runbook.md")


CLIENT = re.compile(
    r"^\s*import (?:httpx|http\.client|urllib\.request|urllib3|aiohttp|requests)\b"
    r"|^\s*from (?:geventhttpclient|httpx|urllib3|aiohttp|requests) import"
    r"|\basyncio\.open_connection\(",
    re.MULTILINE,
)


def test_each_http_client_has_its_reason() -> None:
    """The Kubernetes client's users, which know urllib3's errors, are one."""
    section = page("architecture.md").partition("## HTTP clients")[2].partition("\n## ")[0]
    for path in (ROOT / "harness").rglob("*.py"):
        text, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
        if CLIENT.search(text) and "from kubernetes import" not in text:
            assert f"`{name}`" in section, name


def test_each_kind_of_error_is_explained() -> None:
    kinds = (ROOT / "engine" / "src" / "error_kind.rs").read_text(encoding="utf-8")
    for kind in re.findall(r'=> "(\w+)",', kinds):
        assert f"`{kind}`" in page("verdicts.md"), kind
        assert f"`{kind}`" in page("contracts.md"), kind


PLACEHOLDER = re.compile(r"…|\b[NMKS]\b|\d[\d.,]*(?: ?[%a-z/]+\b)?")
"""What differs from run to run in a message that docs/verdicts.md quotes."""

LEAST = 6
"""Letters of a piece of a message that are looked for."""


def messages() -> str:
    """Every text in the code of the harness, lower case; what is filled in is left out."""
    paths = (ROOT / "harness").rglob("*.py")
    codes = (SourceFileLoader(path.stem, str(path)).get_code(path.stem) for path in paths)
    return "\n".join(text for code in codes for text in _texts(code)).lower()


def _texts(constant: object) -> Iterator[str]:
    """What a module's code holds, as Python has compiled it: to parse the sources takes longer."""
    if isinstance(constant, str):
        yield constant
    elif isinstance(constant, CodeType | tuple | frozenset):
        inner = constant.co_consts if isinstance(constant, CodeType) else constant
        for each in inner:
            yield from _texts(each)


def quoted() -> list[str]:
    """The messages in the first column of the tables, and of what is said around them."""
    rows = [line.split("|")[1] for line in page("verdicts.md").splitlines() if line[:1] == "|"]
    return [text for row in rows for text in re.findall(r"`([^`]+)`", row) if " " in text]


def test_the_messages_that_are_explained_are_those_of_the_code() -> None:
    known = messages()
    pieces = {
        message: [
            part for each in PLACEHOLDER.split(message) if len(part := each.strip(" ;:.,")) >= LEAST
        ]
        for message in quoted()
    }
    assert len(pieces) > 15
    assert all(pieces.values())
    gone = {part for parts in pieces.values() for part in parts if part.lower() not in known}
    assert not gone
