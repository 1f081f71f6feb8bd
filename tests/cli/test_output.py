"""How a command ends: an exit code of a verdict is never made of a pipe, a full disk or Ctrl-C."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import run
from harness.storage import finite_only
from tests.record.synthetic import record

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("words", ["services", "show latest", "show latest --json"])
def test_a_reader_that_leaves_ends_the_command_without_a_word(tmp_path: Path, words: str) -> None:
    """Click and rich would say 1 of it, which is the word for a failed objective."""
    reader, writer = os.pipe()
    os.close(reader)
    ended = _ended(tmp_path, words, writer)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this platform")
@pytest.mark.parametrize("words", ["services", "show latest", "show latest --json"])
def test_a_full_disk_under_the_output_is_one_line(tmp_path: Path, words: str) -> None:
    with Path("/dev/full").open("w") as full:
        ended = _ended(tmp_path, words, full.fileno())
    assert ended.returncode == 2
    assert ended.stderr == "harness: cannot print: No space left on device; free some space\n"


def _ended(root: Path, words: str, output: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", *words.split()]
    if "show" in words:
        record(root)
        run(["judge", "latest", "--write", "--results", str(root)])
        command += ["--results", str(root)]
    return subprocess.run(
        command, stdout=output, stderr=subprocess.PIPE, text=True, check=False, timeout=60
    )


def test_ctrl_c_while_python_makes_a_class_is_our_exit_code_too(tmp_path: Path) -> None:
    """A caught interrupt out of an `exec` would else end `python -m` by the signal."""
    (tmp_path / "struck.py").write_text(
        "import sys; from harness import cli\n"
        "strike = 'import os, signal; os.kill(os.getpid(), signal.SIGINT)'\n"
        "cli.cli.main = lambda **words: exec(strike)\n"
        "sys.exit(cli.run([]))\n"
    )
    command = [sys.executable, "-m", "struck"]
    where = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    ended = subprocess.run(
        command, env=where, capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (130, "harness: interrupted\n")


def test_ctrl_c_before_the_command_is_imported_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt\n")
    where = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, "-m", "harness", "--help"]
    ended = subprocess.run(
        command, env=where, capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (130, "")


def test_scenarios_and_profiles_can_be_read_by_a_program() -> None:
    command = [sys.executable, "-m", "harness", "scenarios", "--json"]
    told = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    assert "memorai" in told["scenarios"]
    assert told["profiles"]["perf"]["rate"] == 10_000


def test_what_json_does_not_know_is_null_in_every_document() -> None:
    document = {"rows": [{"shift": float("inf")}, {"shift": 0.5}], "p": (float("nan"),)}
    assert finite_only(document) == {"rows": [{"shift": None}, {"shift": 0.5}], "p": [None]}
