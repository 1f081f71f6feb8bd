"""CI tries once more only what failed while a hypervisor took processor time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.catalog import project_root
from tests.stolen import LIST, stolen, times

FAILING = "def test_it():\n    assert False\n\n\ndef test_sound():\n    pass\n"

FIXTURE = """
import pytest
from tests import stolen

stolen._now = lambda: (0.0, 0.0)

@pytest.fixture(scope="module")
def broken():
    stolen._now = lambda: (7.0, 100.0)
    raise OSError

def test_first(broken):
    pass

def test_second(broken):
    pass
"""

TEST = "test_one.py::test_it"

CONFTEST = """
import itertools
from tests import stolen

looks = itertools.count()
stolen._now = lambda: (TICKS * (n := next(looks)), 1000.0 * n)
"""


def test_guests_are_counted_once_and_stolen_time_is_a_share_of_the_whole() -> None:
    before, after = (
        times("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1\n"),
        times("cpu 11 2 3 4 5 6 7 18 99 99"),
    )
    assert before == (8, 36)
    assert stolen(before, after) == 10 / 20
    assert stolen(before, before) == 0


@pytest.mark.parametrize(
    ("ticks", "workers", "listed"),
    [(0, "-n1", [TEST]), (4, "-n0", [TEST]), (5, "-n1", []), (5, "-n0", [])],
)
def test_a_failure_is_listed_where_less_than_a_200th_of_the_processor_was_stolen(
    tmp_path: Path, ticks: int, workers: str, listed: list[str]
) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST.replace("TICKS", str(ticks)))
    (tmp_path / LIST.parent).mkdir()
    (tmp_path / LIST).write_text("a run before\n")
    printed, found = failed(tmp_path, FAILING, workers)
    assert f"{ticks / 1000:.1%}" in printed
    assert found == listed


def test_a_fixture_that_failed_while_time_was_stolen_is_no_other_failure_of_the_next_test(
    tmp_path: Path,
) -> None:
    assert failed(tmp_path, FIXTURE, "-n0")[1] == []


def failed(directory: Path, tests: str, workers: str) -> tuple[str, list[str]]:
    """What pytest printed, and the list that it left."""
    (directory / "test_one.py").write_text(tests)
    outside = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.stolen", workers, "test_one.py"],
        cwd=directory,
        env={**outside, "PYTHONPATH": str(project_root())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    found = directory / LIST
    return done.stdout, found.read_text().split() if found.exists() else []
