"""The same model under plain Locust: the engine's figures in its CSV and its web UI."""

from __future__ import annotations

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from harness._engine import NullServer
from tests.load.conftest import SCENARIO

pytestmark = pytest.mark.slow


@contextmanager
def _locust(directory: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Plain `locust -f`, in a process group of its own, ended with all its workers."""
    file = directory / "tiny.py"
    file.write_text(SCENARIO)
    process = subprocess.Popen(
        [sys.executable, "-m", "locust", "-f", str(file), *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        cwd=directory,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("processes", [1, 2])
def test_the_engines_rate_stands_in_locusts_csv(
    server: NullServer, tmp_path: Path, processes: int
) -> None:
    """`locust --headless --csv`: the schedule's requests, all of them, also over two processes."""
    words = [
        *("--headless", "--host", f"http://127.0.0.1:{server.port}", "--csv", "out"),
        *("--harness-profile", "constant", "--harness-rate", "200", "--harness-duration", "4s"),
        *(["--processes", "2"] if processes == 2 else []),
    ]
    with _locust(tmp_path, *words) as process:
        process.wait(timeout=60)
    with (tmp_path / "out_stats.csv").open(newline="") as stream:
        rows = {row["Name"]: row for row in csv.DictReader(stream)}
    assert int(rows["Aggregated"]["Request Count"]) == 800
    assert int(rows["a"]["Request Count"]) + int(rows["b"]["Request Count"]) == 800
    assert int(rows["Aggregated"]["Failure Count"]) == 0
    assert float(rows["a"]["50%"]) < 1000


def test_the_web_ui_starts_the_engine_and_shows_its_rate(
    server: NullServer, tmp_path: Path
) -> None:
    """Start by the form, read the statistics as the page does, stop."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    host = f"http://127.0.0.1:{server.port}"
    words = [
        *("--web-host", "127.0.0.1", "--web-port", str(port), "--host", host),
        *("--harness-profile", "constant", "--harness-rate", "100", "--harness-duration", "60s"),
    ]
    with _locust(tmp_path, *words), httpx.Client(base_url=f"http://127.0.0.1:{port}") as page:
        _await(page)
        page.post("/swarm", data={"user_count": 1, "spawn_rate": 1, "host": host})
        total = 0
        for _ in range(40):
            time.sleep(0.5)
            rows = page.get("/stats/requests").json()["stats"]
            total = max(row["num_requests"] for row in rows)
            if total >= 200:
                break
        page.get("/stop")
    assert total >= 200
    assert {"a", "b"} <= {row["name"] for row in rows}


def _await(page: httpx.Client) -> None:
    for _ in range(100):
        try:
            page.get("/")
        except httpx.TransportError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError("Locust's web UI never answered")
