"""The gate on two revisions of a real server, under real load: found, not invented, cleaned up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner

from harness.cli.gate import command
from harness.record import RunRecord
from tests.gate.toy_revisions import project, repository

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LOAD = ("--profile", "poisson", "--rate", "150", "--duration", "6s")
"""900 requests: the p95 of two equal runs differs by a few percent, that of the slow one by 50."""

LENIENT = ("--false-alarms", "60", "--gates-per-month", "600")
"""A budget that three pairs can spend: at the usual one they claim nothing."""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_HOME", str(project(tmp_path / "project", ROOT / "services")))
    monkeypatch.setattr("harness.gate.revisions.PILOT_RUNS", 3)
    monkeypatch.setattr("harness.gate.revisions.PILOT_S", 2.0)
    monkeypatch.chdir(tmp_path)
    return repository(tmp_path / "repository", {"v1": 1.0, "slow": 1.5})


def gate(*words: str) -> tuple[int, dict[str, Any], str]:
    said = CliRunner().invoke(
        command, ["toy", *words, *LOAD, *LENIENT, "--json"], standalone_mode=False
    )
    if said.exception is not None:
        raise said.exception
    return said.return_value, json.loads(said.stdout), said.stderr


@pytest.mark.alone
def test_a_slower_revision_fails_and_its_records_name_it(toy: Path, tmp_path: Path) -> None:
    words = ("--repository", str(toy), "--revisions", "v1..slow", "--runs", "3")
    code, verdict, said = gate(*words, "--command", f"exec {sys.executable} server.py")
    assert (code, verdict["outcome"]) == (1, "fail"), verdict["reasons"]
    assert len(verdict["candidate_runs"]) == 3
    assert "of a pair of runs scatters by" in said
    records = [RunRecord.load(path.parent) for path in tmp_path.rglob("toy/*/run.json")]
    commits = {record.labels["service_commit"] for record in records}
    heads = (
        subprocess.run(
            ["git", "-C", str(toy), "rev-parse", tag], capture_output=True, text=True, check=True
        )
        for tag in ("v1", "slow")
    )
    assert commits == {head.stdout.strip() for head in heads}


@pytest.mark.alone
def test_two_equal_commands_do_not_fail(toy: Path) -> None:
    start = f"cd {toy} && git checkout -q v1 && exec {sys.executable} server.py"
    both = ("--baseline-command", start, "--candidate-command", start)
    code, verdict, _ = gate(*both, "--runs", "3")
    assert code in {0, 3}, verdict["reasons"]
    assert verdict["design"] == "interleaved"


def test_a_termination_leaves_no_program_and_no_work_tree(toy: Path, tmp_path: Path) -> None:
    command = f"exec {sys.executable} server.py {tmp_path}"
    words = ("--repository", str(toy), "--revisions", "v1..slow", "--command", command)
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "gate", "toy", *words, *LOAD],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    while not servers(tmp_path) and time.monotonic() < until:
        time.sleep(0.1)
    assert servers(tmp_path)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[1].endswith("interrupted\n") or process.returncode == 130
    assert not servers(tmp_path)
    trees = subprocess.run(
        ["git", "-C", str(toy), "worktree", "list"], capture_output=True, text=True, check=True
    )
    assert len(trees.stdout.splitlines()) == 1


def servers(mark: Path) -> list[int]:
    """Processes of the toy server that this test started."""
    return [
        one.pid
        for one in psutil.process_iter(["cmdline"])
        if one.info["cmdline"] and one.info["cmdline"][1:] == ["server.py", str(mark)]
    ]
