"""What a command imports before it is known to need it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.catalog import project_root
from harness.cli import COMMANDS, run

MEMORAI = str(project_root() / "scenarios" / "memorai.py")
HEAVY = (
    "asyncio", "gevent", "harness.catalog", "httpx", "importlib.metadata", "locust", "matplotlib",
    "numpy", "pydantic", "rich", "scipy", "ssl", "yaml",
)  # fmt: skip


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
        ("import harness.catalog, harness.platform.model", {"harness.catalog"}),
        ("from harness.cli import run; run(['services'])", {"harness.catalog", "yaml"}),
        (
            "import harness.session.run, harness.report.run_html",
            {
                "harness.catalog",
                "importlib.metadata",
                "numpy",
                "pydantic",
                "rich",
                "scipy",
                "ssl",
            },
        ),
        (
            f"from harness.traffic.__main__ import main; main(['describe', {MEMORAI!r}])",
            {"harness.catalog"},
        ),
    ],
)
def test_a_command_imports_only_the_libraries_it_needs(code: str, needed: set[str]) -> None:
    assert imported(code) == needed


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_each_in_a_line_of_80_columns(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["--help"])
    assert f"{name:<10}  {COMMANDS[name][1]}" in [
        line.strip() for line in capsys.readouterr().out.splitlines()
    ]
