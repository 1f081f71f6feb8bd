"""The wheel is all that is needed besides its dependencies: engine and templates are in it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from harness._engine import NullServer

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "engine" / "target" / "release" / "lib_engine.so"

pytestmark = pytest.mark.slow


def _is_built() -> bool:
    """Whether the engine is as new as its sources: else building it takes minutes."""
    sources = (ROOT / "engine" / "src").rglob("*.rs")
    return TARGET.is_file() and TARGET.stat().st_mtime > max(s.stat().st_mtime for s in sources)


@pytest.mark.skipif(not _is_built(), reason="the engine is not built; run make setup")
def test_a_wheel_drives_a_url_in_an_empty_directory(tmp_path: Path) -> None:
    """As `pipx run` does: an environment of its own, without the repository."""
    subprocess.run(
        [Path(sys.executable).parent / "maturin", "build", "--release", "--out", tmp_path / "dist"],
        check=True, cwd=ROOT, capture_output=True, timeout=120,
    )  # fmt: skip
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=False)
    (site,) = (tmp_path / "venv").glob("lib/python3*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (tmp_path / "empty").mkdir()
    server = NullServer()
    child = subprocess.run(
        [tmp_path / "venv/bin/python", "-m", "harness", "perf",
         f"http://127.0.0.1:{server.port}/a", "--duration", "1s", "--quiet"],
        cwd=tmp_path / "empty", capture_output=True, text=True, timeout=60, check=False,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )  # fmt: skip
    server.stop()
    assert child.returncode == 0, child.stderr
    assert "10 offered = 10 completed" in child.stdout
    listed = subprocess.run(
        [tmp_path / "venv/bin/python", "-m", "harness", "experiment", "list"],
        cwd=tmp_path / "empty", capture_output=True, text=True, timeout=60, check=False,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )  # fmt: skip
    assert "kill-replica" in listed.stdout, listed.stderr
    reports = list((tmp_path / "empty" / "results").rglob("report.html"))
    assert len(reports) == 1
    assert str(ROOT) not in child.stdout + child.stderr
