"""The report as a browser shows it: drawn whole, from one file, without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.judge import judge
from harness.report.run_html import render_html
from tests.record.synthetic import Made, record

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH; apt-get install chromium"),
]


def _show(page: Path, *words: str) -> subprocess.CompletedProcess[str]:
    root = ("--no-sandbox",) if os.geteuid() == 0 else ()
    profile = f"--user-data-dir={page.parent / 'profile'}"
    return subprocess.run(
        [CHROMIUM or "chromium", *QUIET, *root, profile, *words, page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A report on disk."""
    found = record(tmp_path / "results", Made(median_s=0.04))
    path = tmp_path / "report.html"
    path.write_text(render_html(found, judge(found)), encoding="utf-8")
    return path


def test_a_browser_lays_out_every_chart_and_table(page: Path) -> None:
    done = _show(page, "--dump-dom")
    assert done.stdout.count("<svg") >= 4
    assert "Latency by percentile" in done.stdout
    assert "Throughput and failures" in done.stdout


def test_the_picture_of_it_is_not_empty(page: Path) -> None:
    """A blank page of this size is a few kilobytes."""
    picture = page.parent / "report.png"
    _show(page, f"--screenshot={picture}", "--window-size=1100,2400")
    assert picture.stat().st_size > 60_000
