"""`scripts/packages`: uv takes the registry that pip is configured for."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHOW = """
. scripts/packages
as_pip_is_configured
printf '%s\\n' "${UV_DEFAULT_INDEX:-}" "${UV_INDEX:-}" "${UV_FIND_LINKS:-}" "${UV_NO_INDEX:-}"
"""

pytestmark = pytest.mark.skipif(
    not (ROOT / ".venv" / "bin" / "python").exists(), reason="scripts/setup made no .venv here"
)


def bash(script: str, **variables: str) -> list[str]:
    """The lines that a script prints, with nothing but these variables of pip and uv."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_"))}
    environment = {**kept, "PIP_CONFIG_FILE": os.devnull, **variables}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.splitlines()


def test_what_pip_is_told_reaches_uv(tmp_path: Path) -> None:
    """A directory of wheels that does not exist is left out: uv would refuse to work at all."""
    shown = bash(
        SHOW,
        PIP_INDEX_URL="https://user:word@registry.example/simple",
        PIP_EXTRA_INDEX_URL="https://one.example/simple https://two.example/simple",
        PIP_FIND_LINKS=f"{tmp_path} {tmp_path}/nowhere https://wheels.example/",
    )
    assert shown == [
        "https://user:word@registry.example/simple",
        "https://one.example/simple https://two.example/simple",
        f"{tmp_path},https://wheels.example/",
        "",
    ]


def test_without_a_configuration_of_pip_uv_keeps_its_own() -> None:
    assert bash(SHOW, UV_DEFAULT_INDEX="https://mine.example/") == [
        "https://mine.example/",
        *("", "", ""),
    ]
