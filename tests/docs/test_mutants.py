"""The tool that edits the judging code: what it edits, and that a running process runs the edit."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from benchmarks.mutants.edits import others, thresholds
from benchmarks.mutants.patch import patch
from harness.stats import order

SOURCE = """LIMIT = 4.0
GRID = (1, 2, 3, 4)


def judge(value: float, text: str) -> bool:
    if value > LIMIT and text:
        return f"{1 + 1}" != text
    return False
"""


def edited(path: Path, source: str) -> list[str]:
    path.write_text(source)
    return [each.applied().decode() for each in (*thresholds(path), *others(path))]


def test_every_threshold_is_halved_and_doubled_and_every_rule_turned_round(tmp_path: Path) -> None:
    found = edited(tmp_path / "rules.py", SOURCE)
    for after in (
        "LIMIT = 2.0", "LIMIT = 8.0", "(value >= LIMIT) and text", "(value <= LIMIT) and text",
        "if (value > LIMIT or text):", "return None\n    return False", "return True",
    ):  # fmt: skip
        assert sum(after in source for source in found) == 1, after
    assert not any("{1 - 1}" in source for source in found), "no wording"
    assert all(source.count("\n") == SOURCE.count("\n") for source in found)


@pytest.mark.parametrize(
    "key", ["LEVEL: 0.025 -> 0.05", "_warning: trend_p <= LEVEL -> (trend_p >"]
)
def test_a_process_that_has_imported_a_module_runs_its_edit(key: str) -> None:
    """Also of functions that the tests took out of the garbage collector's sight."""
    path = Path("harness/stats/order.py")
    (edit,) = [each for each in (*thresholds(path), *others(path)) if key in each.key]
    assert order._warning("runs", 0.04, 0.0, 1.0) is None
    if process := os.fork():
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
        assert order.LEVEL == 0.025
        return
    code = 1
    try:
        gc.freeze()
        patch(edit)
        code = int(order._warning("runs", 0.04, 0.0, 1.0) is None)
    finally:
        os._exit(code)


@pytest.mark.parametrize("name", ["judge", "stats", "gate"])
def test_every_edit_of_a_package_is_python(name: str) -> None:
    for path in sorted(Path("harness", name).glob("*.py"))[::4]:
        for each in thresholds(path):
            compile(each.applied(), str(path), "exec")
