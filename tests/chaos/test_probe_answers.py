"""The probe `answers` without a namespace to ask from: in the process of the experiment itself."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from harness.catalog.model import Service
from harness.chaos import probes
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
