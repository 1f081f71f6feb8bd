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
    (tmp_path / "test_one.py").write_text(FAILING)
    (tmp_path / "conftest.py").write_text(CONFTEST.replace("TICKS", str(ticks)))
    (tmp_path / LIST.parent).mkdir()
    (tmp_path / LIST).write_text("a run before\n")
    outside = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.stolen", workers, "test_one.py"],
        cwd=tmp_path,
        env={**outside, "PYTHONPATH": str(project_root())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert f"{ticks / 1000:.1%}" in done.stdout
    found = (tmp_path / LIST).read_text().split() if (tmp_path / LIST).exists() else []
    assert found == listed
