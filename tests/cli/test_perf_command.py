"""`harness perf` end to end: real lab, real load, whatever happens to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness._engine import NullServer
from harness.record import RunRecord, find_run

pytestmark = [pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
QUICK = ["--rate", "200", "--duration", "10s"]


def _start(results: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "harness", "perf", "memorai", "--results", str(results), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def _descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def _gone(processes: list[psutil.Process], within_s: float = 10.0) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=within_s)
    return not alive


def _await_load(process: subprocess.Popen[str], results: Path, seconds: float = 30.0) -> None:
    """Until the record has its first slice."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit and process.poll() is None:
        if any(path.stat().st_size for path in results.glob("*/*/slices.jsonl")):
            return
        time.sleep(0.1)
    raise AssertionError(process.communicate()[1])


@pytest.fixture
def null_server() -> Iterator[str]:
    server = NullServer()
    yield f"http://127.0.0.1:{server.port}"
    server.stop()


@pytest.mark.lab
def test_a_run_in_the_lab_ends_with_a_verdict_and_a_whole_record(tmp_path: Path) -> None:
    """The main job: exit code of the verdict, every file of the record, conservation."""
    done = _start(tmp_path, *QUICK, "--json")
    out, err = done.communicate(timeout=120)
    verdict = json.loads(out)
    assert done.returncode == verdict["exit_code"], err
    record = RunRecord.load(find_run(tmp_path, "latest"))
    assert record.status == "complete"
    assert record.conserved
    names = {path.name for path in record.directory.iterdir()}
    assert {"run.json", "slices.jsonl", "events.jsonl", "verdict.json"} <= names
    assert {"report.html", "junit.xml", "summary.md"} <= names
    totals = record.totals
    assert totals is not None
    assert totals["offered"] == totals["completed"] + totals["failed"] + totals["unfinished"]
    assert record.series("due").offered.sum() == totals["offered"]


@pytest.mark.lab
def test_ctrl_c_leaves_a_readable_partial_record_and_no_process(tmp_path: Path) -> None:
    """Exit code 130; lab and load child are gone; the record says interrupted."""
    process = _start(tmp_path, "--rate", "200", "--duration", "60s")
    _await_load(process, tmp_path)
    family = _descendants(process.pid)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=40)
    assert process.returncode == 130
    assert _gone(family)
    assert RunRecord.load(find_run(tmp_path, "latest")).status == "interrupted"


@pytest.mark.lab
def test_sigkill_of_the_cli_ends_the_lab_and_the_load_by_themselves(tmp_path: Path) -> None:
    """Nobody is left to clean up, and nothing is left to clean; the record reads as partial."""
    process = _start(tmp_path, "--rate", "200", "--duration", "60s")
    _await_load(process, tmp_path)
    family = _descendants(process.pid)
    assert family
    process.kill()
    process.communicate(timeout=10)
    assert _gone(family)
    assert RunRecord.load(find_run(tmp_path, "latest")).status == "partial"


def test_ctrl_c_before_the_load_begins_leaves_nothing(tmp_path: Path, null_server: str) -> None:
    """Interrupted while it resolves and provisions: exit code 130, no traceback."""
    process = _start(tmp_path, "--target", null_server, *QUICK)
    time.sleep(0.5)
    family = _descendants(process.pid)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert _gone(family)


def test_two_runs_at_once_keep_apart(tmp_path: Path, null_server: str) -> None:
    """Two records, each whole, each of its own load."""
    words = ["--target", null_server, "--scenario", str(_plain(tmp_path)), *QUICK, "--quiet"]
    both = [_start(tmp_path / "results", *words) for _ in range(2)]
    for process in both:
        process.communicate(timeout=90)
    found = sorted((tmp_path / "results" / "memorai").iterdir())
    assert len(found) == 2
    assert all(RunRecord.load(path).status == "complete" for path in found)


def test_a_target_that_dies_mid_run_is_a_failure_and_not_a_crash(tmp_path: Path) -> None:
    """Refused connections are counted by kind; the verdict is `fail`, exit code 1."""
    server = NullServer()
    url = f"http://127.0.0.1:{server.port}"
    words = ["--target", url, "--scenario", str(_plain(tmp_path)), *QUICK]
    process = _start(tmp_path / "results", *words)
    _await_load(process, tmp_path / "results")
    time.sleep(12)
    server.stop()
    _, err = process.communicate(timeout=90)
    record = RunRecord.load(find_run(tmp_path / "results", "latest"))
    assert process.returncode in {1, 4}, err
    assert record.conserved
    assert record.series("due").errors["refused"].sum() > 0


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
def test_a_full_disk_is_one_line_and_exit_code_two(tmp_path: Path, null_server: str) -> None:
    """results/ fills up during the run: told with its remedy, no traceback."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(small)], check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        words = ["--target", null_server, "--scenario", str(_plain(tmp_path)), "--rate", "2000"]
        process = _start(small, *words, "--duration", "20s", "--quiet")
        _, err = process.communicate(timeout=90)
    finally:
        subprocess.run(["umount", str(small)], check=False)
    assert process.returncode == 2
    assert "No space left" in err
    assert "Traceback" not in err


def _plain(directory: Path) -> Path:
    """A scenario that a null server satisfies."""
    file = directory / "plain.py"
    file.write_text(
        "from harness.traffic import get\n"
        "from harness.traffic.user import TrafficUser\n"
        "class Plain(TrafficUser):\n"
        "    service = 'memorai'\n"
        "    mix = [get('/')]\n"
    )
    return file
