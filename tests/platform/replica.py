"""Replicas of the reference service and databases without a lab."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

HOST = "127.0.0.1"
START_LIMIT_S = 15


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def running(module: str, config: dict[str, Any]) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the lab that listens where its configuration says."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"harness.platform.lab.{module}", json.dumps(config)],
        stdin=subprocess.PIPE,
    )
    assert process.stdin is not None
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            try:
                socket.create_connection(tuple(config["listen"])).close()
                break
            except OSError:
                assert process.poll() is None, "it ended"
                assert time.monotonic() < deadline, "it does not listen"
                time.sleep(0.01)
        yield process
    finally:
        process.stdin.close()
        code = process.wait(5)
    assert code in {0, -signal.SIGKILL}, "it ends with its owner, unless the test has killed it"


@contextmanager
def started(**changes: Any) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address and the process of a replica with two routes and no database."""
    port = free_port()
    plan: dict[str, Any] = {
        "service": "memorai",
        "id": "r",
        "region": "us-east-1",
        "replication": "async",
        "routes": ["/api/memory", "/api/mfa/{action}"],
        "behaviour": {},
        "health_path": "/api/health",
        "listen": [HOST, port],
        "database": None,
    }
    with running("service", plan | changes) as process:
        yield f"http://{HOST}:{port}", process


@contextmanager
def serving(**changes: Any) -> Iterator[httpx.Client]:
    """A client of such a replica."""
    with started(**changes) as (url, _), httpx.Client(base_url=url, trust_env=False) as client:
        yield client
