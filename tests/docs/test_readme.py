"""The Makefile and the commands explain themselves, and docs/kubernetes.md names what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.cli import COMMANDS, run

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")


def test_every_target_is_documented_by_make_help() -> None:
    """Each target of the Makefile that a user may call carries a `##` text."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony is not None
    for target in phony[1].split():
        assert re.search(rf"^{target}:.*## \S", makefile, re.MULTILINE), target


def test_every_file_that_the_page_of_kubernetes_applies_is_there() -> None:
    """And every role that it binds is in one of them."""
    names = re.findall(r"deploy/\S+\.yaml", KUBERNETES)
    assert names
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in names)
    for role in re.findall(r"role (codai-harness-[a-z-]+)", KUBERNETES):
        assert f"name: {role}" in text or role.endswith("-"), role


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` of each command ends well and says something."""
    assert run([name, "--help"]) == 0
    assert "Usage:" in capsys.readouterr().out
