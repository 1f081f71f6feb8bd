"""The fast tests run in forks of the process that collected them: nothing they say is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

TESTS = """
import os, warnings, pytest

@pytest.mark.parametrize("n", range(20))
def test_passes(n, tmp_path):
    print("said")
    assert list(tmp_path.iterdir()) == []

def test_fails():
    print("said before it failed")
    assert 1 + 1 == 3

def test_warns():
    warnings.warn("take care")

def test_dies():
    os._exit(7)
"""


def test_each_test_is_run_once_and_one_that_kills_its_process_fails(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_some.py").write_text(TESTS)
    words = ["-p", "tests.forks", "--forks", "30", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1, done.stdout
    assert "2 failed, 21 passed, 1 warning" in done.stdout
    assert "said before it failed" in done.stdout
    assert "UserWarning: take care" in done.stdout
    assert "the process that ran this test died" in done.stdout
