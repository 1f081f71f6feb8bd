"""An entry point across a cut: through a pod of the one region, to a ready one of the other."""

# ruff: noqa: D102 - the methods are http.server's

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from harness.catalog.model import Service
from harness.platform.kubernetes.agent_pool import AgentPool
from harness.platform.kubernetes.platform import Kubernetes
from harness.platform.kubernetes.relay import Relay
from tests.platform_kubernetes.fake import FakeApi


class Hello(BaseHTTPRequestHandler):
    """Answers on a connection that stays."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: Any) -> None:
        return


@contextmanager
def serving(server: Any) -> Iterator[int]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def test_a_relay_passes_requests_on_and_keeps_the_connection() -> None:
    with (
        serving(ThreadingHTTPServer(("127.0.0.1", 0), Hello)) as far,
        serving(Relay(("127.0.0.1", far), port=0)) as near,
    ):
        asked = http.client.HTTPConnection("127.0.0.1", near, timeout=5)
        for _ in range(3):
            asked.request("GET", "/")
            assert asked.getresponse().read() == b"hello"


def test_a_relay_to_nowhere_ends_the_connection() -> None:
    """It shows as an error at once, and not as an answer of the relay's own."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with serving(Relay(("127.0.0.1", port), port=0)) as near:
        asked = http.client.HTTPConnection("127.0.0.1", near, timeout=5)
        asked.request("GET", "/")
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            asked.getresponse()


def test_where_no_pod_is_there_to_be_asked_there_is_no_entry_point(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    with platform.cross_region_probe(service, "us-east-1", "mars") as nothing:
        assert nothing is None
    assert platform.residual_faults() == ()


def test_an_entry_point_of_a_run_that_died_is_reaped_like_a_fault(
    platform: Kubernetes, service: Service, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease says what it is, so that any harness can end it."""
    monkeypatch.setattr(AgentPool, "_await", lambda *_: None)
    monkeypatch.setattr(AgentPool, "address", lambda *_: "10.0.0.9")
    monkeypatch.setattr(AgentPool, "_living", lambda *_: set())
    with platform.cross_region_probe(service, "us-east-1", "us-east-1") as entry_point:
        assert entry_point is not None
        assert entry_point.target.urls == ("http://10.0.0.9:7070",)
        (heal,) = platform.orphaned_heals()
        assert len(platform.residual_faults()) == 2
        platform.heal(heal)
        assert platform.residual_faults() == ()
    assert platform.residual_faults() == ()
