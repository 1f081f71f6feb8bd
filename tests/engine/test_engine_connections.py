"""How connections are made and how long they live, against peers on loopback."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from harness import _engine
from tests.engine.conftest import OK, Peer, Pki, answering, make_plan, run_plan

Start = Callable[[Callable[[socket.socket, Peer], None]], Peer]


def test_a_new_connection_for_each_request_is_closed_by_whoever_answers(peer: Start) -> None:
    """The request says so, and nothing is sent on a used one."""
    server = peer(answering())
    outcome = run_plan(make_plan(server.url, connection_life={"requests": 1}))
    assert outcome.errors == {}
    assert outcome.total("completed") == outcome.total("connects") == server.connections == 30
    assert all("\nconnection: close\r" in head.lower() for head in server.heads)
    assert outcome.conserved()


def test_a_connection_carries_no_more_requests_than_it_may(peer: Start) -> None:
    """Ten each: thirty requests make three connections."""
    server = peer(answering())
    life = {"requests": 10}
    outcome = run_plan(make_plan(server.url, connections_per_target=1, connection_life=life))
    assert outcome.errors == {}
    assert outcome.total("completed") == 30
    assert server.connections == outcome.total("connects") == 3
    assert "connection: close" not in server.heads[0].lower()


def test_a_connection_is_left_at_its_age_although_it_idles(peer: Start) -> None:
    """One request every 200 ms and an age of 100 ms: none is sent on an old one."""
    server = peer(answering())
    plan = make_plan(server.url, rate=5, duration=1.0, connection_life={"age_s": 0.1})
    outcome = run_plan(plan)
    assert outcome.errors == {}
    assert server.connections == outcome.total("completed") == 5


def test_an_address_stands_in_for_a_name_that_resolves_to_nothing(peer: Start) -> None:
    """The Host header and the port stay those of the URL."""
    server = peer(answering())
    port = server.listener.getsockname()[1]
    url = f"http://shop.invalid:{port}"
    assert run_plan(make_plan(url, rate=30)).errors == {"resolve": 9}
    outcome = run_plan(make_plan(url, rate=30, resolve=[f"SHOP.invalid:{port}:127.0.0.1"]))
    assert outcome.total("completed") == 9
    assert f"host: shop.invalid:{port}" in server.heads[0]


@pytest.fixture
def socket_file(tmp_path: Path) -> Iterator[str]:
    path = str(tmp_path / "s")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    server = Peer(listener, answering())
    threading.Thread(target=server.serve, daemon=True).start()
    yield path
    server.stop()


def test_a_unix_socket_takes_the_place_of_the_address(socket_file: str) -> None:
    """The URL says Host and path only; a socket that is not there is a failure."""
    outcome = run_plan(make_plan("http://app", unix_socket=socket_file))
    assert outcome.errors == {}
    assert outcome.total("completed") == 30
    assert run_plan(make_plan("http://app", unix_socket=f"{socket_file}x")).errors == {
        "unreachable": 30
    }


class _Proxy:
    """A proxy that tunnels, and answers plain requests itself."""

    def __init__(self, status: bytes = b"200 OK") -> None:
        self.status = status
        self.asked: list[str] = []

    def __call__(self, connection: socket.socket, peer: Peer) -> None:
        head = peer.read_head(connection)
        while head is not None:
            self.asked.append(head)
            method, place, _ = head.split(" ", 2)
            if method == "CONNECT":
                connection.sendall(b"HTTP/1.1 " + self.status + b"\r\nx: y\r\n\r\n")
                if self.status.startswith(b"200"):
                    _pipe(connection, place)
                return
            connection.sendall(OK)
            head = peer.read_head(connection)


def _pipe(near: socket.socket, place: str) -> None:
    host, _, port = place.rpartition(":")
    with socket.create_connection((host, int(port))) as far:

        def copy(source: socket.socket, sink: socket.socket) -> None:
            with suppress(OSError):
                while data := source.recv(65536):
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_WR)

        back = threading.Thread(target=copy, args=(far, near), daemon=True)
        back.start()
        copy(near, far)
        back.join(10)


def test_a_proxy_is_asked_for_the_full_address_and_told_who_we_are(peer: Start) -> None:
    """Its user and password are percent-decoded."""
    proxy = _Proxy()
    url = peer(proxy).url.replace("http://", "http://us%65r:p%40ss@")
    outcome = run_plan(make_plan("http://shop.invalid:81/base", proxy=url))
    assert outcome.total("completed") == 30
    head = proxy.asked[0]
    assert head.startswith("GET http://shop.invalid:81/base/ HTTP/1.1\r\n")
    token = base64.b64encode(b"user:p@ss").decode()
    assert f"proxy-authorization: Basic {token}\r\n" in head
    assert "host: shop.invalid:81\r\n" in head


@pytest.fixture
def secured(pki: Pki) -> Iterator[Peer]:
    """A server that asks for a certificate of the same authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.certificate, pki.key)
    context.load_verify_locations(pki.ca)
    context.verify_mode = ssl.CERT_REQUIRED

    def handle(connection: socket.socket, peer: Peer) -> None:
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as wrapped:
            answering()(wrapped, peer)

    server = Peer(socket.create_server(("127.0.0.1", 0), backlog=64), handle)
    threading.Thread(target=server.serve, daemon=True).start()
    yield server
    server.stop()


def _tls(server: Peer) -> str:
    return server.url.replace("http:", "https:")


def test_a_server_that_asks_gets_the_client_certificate(secured: Peer, pki: Pki) -> None:
    """Without one, the failure says what the server said; with one, all is well."""
    tls = {"ca_file": str(pki.ca)}
    engine = _engine.Engine(json.dumps(make_plan(_tls(secured), rate=30, tls=tls)))
    engine.start()
    assert engine.join(20)
    assert engine.snapshot()["failed"] == 9
    own = {**tls, "cert_file": str(pki.certificate), "key_file": str(pki.key)}
    outcome = run_plan(make_plan(_tls(secured), rate=30, tls=own))
    assert outcome.errors == {}
    assert outcome.total("completed") == 9


def test_tls_goes_through_the_tunnel_of_a_proxy(peer: Start, secured: Peer, pki: Pki) -> None:
    proxy = _Proxy()
    tls = {"ca_file": str(pki.ca), "cert_file": str(pki.certificate), "key_file": str(pki.key)}
    plan = make_plan(_tls(secured), rate=30, proxy=peer(proxy).url, tls=tls)
    outcome = run_plan(plan)
    assert outcome.errors == {}
    assert outcome.total("completed") == 9
    port = secured.listener.getsockname()[1]
    assert proxy.asked[0].startswith(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n")


def _reasons(plan: dict[str, object]) -> set[tuple[str, str | None]]:
    engine = _engine.Engine(json.dumps(plan))
    engine.start()
    assert engine.join(20)
    found = [json.loads(line) for line in engine.take_examples()]
    return {(example["kind"], example["message"]) for example in found}


def test_a_failure_to_connect_says_why(peer: Start, secured: Peer, pki: Pki) -> None:
    """A proxy's refusal, and what is wrong with a certificate."""
    url = peer(_Proxy(b"407 Who are you")).url
    assert _reasons(make_plan("https://127.0.0.1:1", rate=10, proxy=url)) == {
        ("proxy", "the proxy answered 407")
    }
    plan = make_plan(_tls(secured), rate=10, tls={"ca_file": str(pki.other_ca)})
    ((kind, said),) = _reasons(plan)
    assert kind == "tls"
    assert "UnknownIssuer" in str(said)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"resolve": ["a:80"]}, r"resolve\[0\]: \"a:80\" is not HOST:PORT:ADDRESS"),
        ({"resolve": ["a:80:b"]}, r"give an IP address"),
        ({"resolve": ["a:80:127.0.0.1"]}, r"no target is at a:80"),
        ({"unix_socket": ""}, r"unix_socket: \"\" names no socket"),
        ({"unix_socket": "/" + "x" * 200}, r"1 to 107 bytes"),
        ({"unix_socket": "/s", "proxy": "http://h"}, r"proxy: unix_socket says already"),
        ({"proxy": "https://u:secret@h"}, r"proxy: it does not begin with http://"),
        ({"proxy": "http://u:secret@"}, r"proxy: no host"),
        ({"proxy": "http://h/path"}, r"proxy: it has a path"),
        ({"connection_life": {"requests": 0}}, r"connection_life\.requests: 0"),
        ({"connection_life": {"age_s": 0}}, r"connection_life\.age_s"),
    ],
)
def test_what_says_no_way_to_the_target_is_refused_without_its_password(
    changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        _engine.Engine(json.dumps(make_plan("http://localhost", **changes)))
    assert "secret" not in str(refused.value)


def test_a_certificate_that_is_none_is_refused_by_its_file(pki: Pki, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for files, says in (
        ((empty, pki.key), "empty.pem: holds no certificate"),
        ((pki.certificate, empty), "empty.pem: holds no private key"),
        ((pki.ca, pki.key), "key_file"),
    ):
        tls = {"ca_file": str(pki.ca), "cert_file": str(files[0]), "key_file": str(files[1])}
        with pytest.raises(ValueError, match=says):
            _engine.Engine(json.dumps(make_plan("https://localhost", tls=tls)))
    tls = {"cert_file": str(tmp_path / "none.pem")}
    with pytest.raises(FileNotFoundError, match=r"tls\.cert_file"):
        _engine.Engine(json.dumps(make_plan("https://localhost", tls=tls)))


def test_a_time_out_within_the_body_keeps_the_status(peer: Start) -> None:
    """The head has come: what the service said is known."""

    def stall(connection: socket.socket, me: Peer) -> None:
        me.read_head(connection)
        connection.sendall(b"HTTP/1.1 503 Busy\r\ncontent-length: 9\r\n\r\nwait")
        me.stopped.wait(5)

    requests = [{"name": "one", "path": "/", "timeout_s": 0.2}]
    outcome = run_plan(make_plan(peer(stall).url, rate=10, requests=requests))
    assert outcome.errors == {"timeout": 3}
    assert [line["statuses"] for line in outcome.slices if line["axis"] == "due"] == [{"503": 3}]
