"""Older names of options are accepted for one release, with a warning that names today's."""

from __future__ import annotations

import click
import pytest

from harness.cli import cli, run
from harness.cli.deprecated import RENAMED

NAMES = [(command, old, new) for command, names in RENAMED.items() for old, new in names.items()]


@pytest.mark.parametrize(("command", "old", "new"), NAMES)
def test_an_older_name_is_taken_for_todays_with_a_warning(
    command: str, old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = cli.get_command(click.Context(cli), command)
    assert found is not None
    assert any(new in param.opts for param in found.params)
    assert not any(old in param.opts for param in found.params)
    assert run([command, "--no-such-option", f"{old}=1"]) == 2
    said = capsys.readouterr().err
    assert f"{old} is deprecated; use {new}" in said
    assert f"{old}=" not in said
