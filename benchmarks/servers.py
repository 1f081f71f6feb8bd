"""The servers that are measured against, each in a process of its own on a core of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

NGINX = """
daemon off; worker_processes 1; error_log stderr crit; pid {directory}/pid;
events {{ worker_connections 8192; }}
http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {directory}/b;
  proxy_temp_path {directory}/p; fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u;
  scgi_temp_path {directory}/s;
  server {{ listen 127.0.0.1:{port} backlog=8192; default_type application/json;
    location / {{ return 200 '{body}'; }} }} }}
"""
BODY = '{"id":"42","service":"memorai","value":"' + "x" * 140 + '"}'

PLAIN = """
import sys
from harness._engine import NullServer
server = NullServer("127.0.0.1:0")
print(server.port, flush=True)
sys.stdin.read()
"""

TRUTH = """
import sys
from harness._engine import NullServer
server = NullServer(sys.argv[1], latency={"median_s": 0.005, "p99_s": 0.03},
                    stall={"every_s": 5.0, "for_s": 0.1}, seed=7)
print(server.port, flush=True)
sys.stdin.read()
print(server.truth(), flush=True)
"""


def free_port() -> int:
    """A port of the loopback address that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def nginx(core: int) -> Iterator[str]:
    """A single-worker nginx that returns 187 bytes of JSON; yields its URL."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "nginx.conf"
        config.write_text(NGINX.format(directory=directory, port=port, body=BODY), encoding="utf-8")
        with subprocess.Popen(
            ["taskset", "-c", str(core), "nginx", "-c", str(config), "-p", directory]
        ) as server:
            url = f"http://127.0.0.1:{port}/"
            try:
                _await(url)
                yield url
            finally:
                server.terminate()


@contextmanager
def plain_server() -> Iterator[str]:
    """A server that answers everything at once with 200 and `{"ok":true}`; yields its URL."""
    with subprocess.Popen(
        [sys.executable, "-c", PLAIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        if server.stdout is None:
            raise AssertionError
        port = int(server.stdout.readline())
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.communicate(timeout=10)


@contextmanager
def truth_server(core: int) -> Iterator[tuple[str, list[str]]]:
    """The server of known latency; yields its URL and, after the block, its truth (one string)."""
    truth: list[str] = []
    with subprocess.Popen(
        ["taskset", "-c", str(core), sys.executable, "-c", TRUTH, "127.0.0.1:0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        if server.stdout is None:
            raise AssertionError
        port = int(server.stdout.readline())
        try:
            yield f"http://127.0.0.1:{port}/", truth
        finally:
            out, _ = server.communicate(timeout=10)
            truth.append(out.strip())


def _await(url: str) -> None:
    for _ in range(100):
        try:
            httpx.get(url)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"{url} never answered")
