"""What a command imports before it is known to need it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.catalog import project_root

MEMORAI = str(project_root() / "scenarios" / "memorai.py")
HEAVY = ("gevent", "locust", "matplotlib", "numpy", "pydantic", "rich", "scipy", "yaml")


def imported(code: str) -> set[str]:
    """Which of HEAVY a Python of its own has imported after `code`: ours has them all."""
    report = f"import sys\n{code}\nprint(*(set({HEAVY!r}) & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("code", "needed"),
    [
        ("from harness.cli import run; run(['--help'])", set[str]()),
        ("import harness.catalog, harness.platform.model", set[str]()),
        ("from harness.cli import run; run(['services'])", {"yaml"}),
        (
            "import harness.session.run, harness.report.run_html",
            {"numpy", "pydantic", "rich", "scipy"},
        ),
        (
            f"from harness.traffic.__main__ import main; main(['describe', {MEMORAI!r}])",
            set[str](),
        ),
    ],
)
def test_a_command_imports_only_the_libraries_it_needs(code: str, needed: set[str]) -> None:
    assert imported(code) == needed
