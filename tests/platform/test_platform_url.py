"""A URL as the platform: reached once, never broken, and wrong ones told in one line."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from harness.catalog.model import Service
from harness.errors import CapabilityMissing, Gone, PlatformError
from harness.platform.model import Fault, Platform
from harness.platform.registry import attach, make_platform
from harness.platform.undo import UndoRecord
from harness.platform.url import Url


@pytest.fixture
def teapot() -> Iterator[str]:
    """A server that answers 418 to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(418)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:3000",
        "127.0.0.1",
        "ftp://host",
        "http://",
        "http://:80",
        "http:/host",
        "http://host:99999",
        "http://host:0",
        "http://host:x",
        "http://[::1",
        "http://a b",
        "http://u:p@host",
        "http://host/?q=1",
    ],
)
def test_what_is_no_url_is_refused_with_the_form_it_should_have(url: str) -> None:
    with pytest.raises(PlatformError, match=r"give it as http://host:port"):
        Url(url)


def test_any_http_answer_will_do(teapot: str, memorai: Service) -> None:
    platform = Url(teapot + "/")
    assert isinstance(platform, Platform)
    with platform.provision(memorai):
        target = platform.target(memorai)
    assert target.urls == (teapot,)
    assert target.exec_prefix == ()
    assert platform.replicas(memorai) == ()
    assert platform.regions(memorai) == ()


def test_a_dead_port_is_found_before_any_load(memorai: Service) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        with (
            pytest.raises(PlatformError, match=f"{url}.*start the service"),
            Url(url).provision(memorai),
        ):
            pass


def test_a_name_that_does_not_resolve_is_told(memorai: Service) -> None:
    with (
        pytest.raises(PlatformError, match="does not resolve"),
        Url("http://no-such-host.invalid").provision(memorai),
    ):
        pass


def test_tls_to_a_plain_port_is_told(teapot: str, memorai: Service) -> None:
    with (
        pytest.raises(PlatformError, match="https://127"),
        Url(teapot.replace("http:", "https:")).provision(memorai),
    ):
        pass


def test_a_server_that_speaks_no_http_is_told(memorai: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak() -> None:
            line, _ = server.accept()
            line.recv(4096)
            line.sendall(b"SSH-2.0-OpenSSH\r\n")
            line.close()

        threading.Thread(target=speak, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(PlatformError, match="does not speak HTTP"), Url(url).provision(memorai):
            pass


def test_a_password_in_a_url_is_not_repeated() -> None:
    """The refusal stands in the log of whoever runs it."""
    with pytest.raises(PlatformError, match="user, query or fragment") as refused:
        Url("http://admin:hunter2@host")
    assert "hunter2" not in str(refused.value)


def test_a_body_without_end_is_left_unread(memorai: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        left: list[bool] = []

        def speak() -> None:
            line, _ = server.accept()
            line.recv(4096)
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
            try:
                for _ in range(300):  # never too slow for a timeout, and not done before 3 s
                    line.sendall(b"x" * 1000)
                    time.sleep(0.01)
            except OSError:
                left.append(True)
            line.close()

        speaking = threading.Thread(target=speak, daemon=True)
        speaking.start()
        with Url(f"http://127.0.0.1:{server.getsockname()[1]}").provision(memorai):
            speaking.join(10)
    assert left == [True]


def test_an_unreadable_ca_file_is_told(memorai: Service) -> None:
    with (
        pytest.raises(PlatformError, match=r"tls\.ca_file: cannot read /nowhere"),
        Url("https://127.0.0.1:1", ca_file="/nowhere").provision(memorai),
    ):
        pass


def test_no_fault_is_within_reach(memorai: Service) -> None:
    platform = Url("http://127.0.0.1:1")
    fault, heal = Fault("kill-replicas"), UndoRecord("f1", "kill-replicas", {})
    assert all(platform.capabilities().values())
    for act in (
        lambda: platform.plan_heal(memorai, fault, "f1"),
        lambda: platform.inject(memorai, fault, heal),
    ):
        with pytest.raises(CapabilityMissing, match="use the lab"):
            act()
    platform.heal(heal)
    assert platform.residual_faults() == ()


def test_platforms_are_made_by_name() -> None:
    assert make_platform("lab").name == "lab"
    assert make_platform("url", url="http://h").name == "url"
    with pytest.raises(PlatformError, match="give --target"):
        make_platform("url")
    with pytest.raises(PlatformError, match="give one of lab, kubernetes, url"):
        make_platform("cloud")


def test_a_handle_turns_back_into_the_url() -> None:
    """Through JSON, with all that was said of it."""
    url = Url("https://service.example", host="other", verify=False, http2=True)
    again = attach(json.loads(json.dumps(dict(url.handle()))))
    assert isinstance(again, Url)
    assert again.handle() == url.handle()
    assert again.verify(UndoRecord("f1", "kill-replicas", {})).in_effect is False


def test_a_handle_of_nothing_is_refused() -> None:
    with pytest.raises(PlatformError, match="no platform 'moon'"):
        attach({"platform": "moon"})
    with pytest.raises(Gone, match="no lab answers"):
        attach({"platform": "lab", "runtime": "/nowhere"})
