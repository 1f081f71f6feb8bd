"""The probe `answers` without a namespace to ask from: in the process of the experiment itself."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace

import pytest

from harness.catalog.model import Service
from harness.chaos import probe_client, probes
from harness.chaos.probe_client import Endpoint
from harness.platform.model import Target


@pytest.fixture
def answering() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.mark.parametrize(
    ("status", "text", "right"),
    [("200 OK", "healthy", True), ("200 OK", "broken", False), ("503 Busy", "healthy", False)],
)
def test_an_answer_is_right_that_is_a_success_and_holds_the_text(
    answering: socket.socket,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    text: str,
    *,
    right: bool,
) -> None:
    def serve() -> None:
        line, _ = answering.accept()
        with line:
            line.recv(65536)
            head = f"HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {len(text)}\r\n\r\n"
            line.sendall((head + text).encode())

    thread = threading.Thread(target=serve)
    thread.start()
    url = f"http://127.0.0.1:{answering.getsockname()[1]}"
    target = Target(service.name, (url,), "global", "here")
    platform = SimpleNamespace(target=lambda *_: target)
    context = SimpleNamespace(platform=platform, service=service, path="/", expected="healthy")
    monkeypatch.setattr(probes, "current", lambda: context)
    assert probes.answers() is right
    thread.join()


def test_nobody_there_is_no_right_answer(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target(service.name, ("http://127.0.0.1:1",), "global", "here")
    platform = SimpleNamespace(target=lambda *_: target)
    context = SimpleNamespace(platform=platform, service=service, path="/", expected=None)
    monkeypatch.setattr(probes, "current", lambda: context)
    assert probes.answers() is False


def test_a_connection_is_used_again_after_an_answer_longer_than_is_read(
    answering: socket.socket,
) -> None:
    """What was not read would be taken for the next answer."""
    body = b"x" * (probe_client._MOST_BYTES + 1)

    def serve() -> None:
        for _ in range(2):
            line, _ = answering.accept()
            with line:
                line.recv(65536)
                head = f"HTTP/1.1 429 Busy\r\nretry-after: 7\r\ncontent-length: {len(body)}\r\n\r\n"
                with suppress(OSError):
                    line.sendall(head.encode() + body)

    thread = threading.Thread(target=serve)
    thread.start()
    endpoint = Endpoint("here", f"http://127.0.0.1:{answering.getsockname()[1]}")
    connection = endpoint.connect(5.0)
    for _ in range(2):
        answer = probe_client.ask(connection, endpoint, "/", {})
        assert (answer.status, answer.error, answer.retry_after) == (429, None, "7")
    connection.close()
    thread.join()
