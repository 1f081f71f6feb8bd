"""The commands of the README and of docs/kubernetes.md exist, and the README's links lead on."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from harness.cli import COMMANDS, cli

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
KUBERNETES = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
COMMAND = re.compile(r"^\$ (.+?)(?:\s{2,}#.*)?$", re.MULTILINE)
COMMAND_LINES = [*COMMAND.findall(README), *COMMAND.findall(KUBERNETES)]


def _known_options(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts} | {"--help"}


@pytest.mark.parametrize("line", [line for line in COMMAND_LINES if line.startswith("harness ")])
def test_every_documented_harness_command_parses(line: str) -> None:
    """Each word after `harness` is a command, and each option one of its options."""
    words = shlex.split(line)[1:]
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None, f"{line}: no command {words[0]}"
    if isinstance(command, click.Group):
        command = command.get_command(click.Context(command), words[1])
        assert command is not None, f"{line}: no command {words[1]}"
    options = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert options <= _known_options(command), line


@pytest.mark.parametrize("line", [line for line in COMMAND_LINES if line.startswith("make ")])
def test_every_make_target_in_the_readme_exists(line: str) -> None:
    """`make -n` accepts the line: the target is there."""
    target = shlex.split(line)[1]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), line


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


def test_links_in_the_readme_lead_to_files() -> None:
    """No relative link is broken."""
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).exists(), link


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(name: str) -> None:
    """`--help` of each command ends well and says something."""
    done = subprocess.run(
        [sys.executable, "-m", "harness", name, "--help"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0
    assert "Usage:" in done.stdout
