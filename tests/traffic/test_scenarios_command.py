"""`harness scenarios` tells what can be named after --scenario and --profile."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.services import scenarios as command


def run() -> str:
    result = CliRunner().invoke(command, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_scenarios_and_profiles_are_listed_with_what_they_are_for() -> None:
    """A line each."""
    text = run()
    assert "  memorai     a memory that is recalled far more often than it is written." in text
    assert "  perf        10,000/s for 30.0 s   the release question" in text
    assert "  replay:FILE" in text


def test_a_broken_scenario_does_not_break_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is imported: the list is what the files say of themselves."""
    (tmp_path / "services").mkdir()
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "broken.py").write_text("def\n")
    (tmp_path / "scenarios" / "mute.py").write_text("raise SystemExit\n")
    (tmp_path / "scenarios" / "empty.py").write_text("")
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))
    text = run()
    assert "  broken      (cannot be read: invalid syntax)" in text
    assert "  mute        (says nothing of itself)" in text
    assert "  empty       (says nothing of itself)" in text
