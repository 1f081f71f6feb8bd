"""TLS and HTTP/2, against a server that is not ours."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from harness import _engine
from harness.errors import HarnessError, PlatformError
from harness.platform.url import Url
from tests.engine.conftest import (
    Peer,
    Pki,
    answering,
    make_plan,
    run_plan,
    self_signed,
    then_close,
)
from tests.record.synthetic import service

Start = Callable[[Callable[[socket.socket, Peer], None]], Peer]

APP = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    body = scope["http_version"].encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""


def wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("granian did not come up")


@pytest.fixture(scope="module")
def granian(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The same application as HTTP/1.1 and as HTTP/2, each in the clear and under TLS."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "answering.py").write_text(APP)
    servers: list[subprocess.Popen[bytes]] = []
    urls: dict[str, str] = {}
    for http in ("1", "2"):
        for scheme in ("http", "https"):
            with socket.create_server(("127.0.0.1", 0)) as probe:
                port = probe.getsockname()[1]
            certificate = ["--ssl-certificate", str(pki.certificate), "--ssl-keyfile", str(pki.key)]
            command = [sys.executable, "-m", "granian", "--interface", "asgi", "--port", str(port)]
            command += [
                "--http",
                http,
                "answering:app",
                *(certificate if scheme == "https" else []),
            ]
            servers.append(subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL))
            urls[scheme + http] = f"{scheme}://127.0.0.1:{port}"
    for url in urls.values():
        wait_for(int(url.rsplit(":", 1)[1]))
    yield urls
    for server in servers:
        server.terminate()
    for server in servers:
        server.wait(10)


def saying(version: str) -> list[dict[str, object]]:
    checks = [{"kind": "body_contains", "text": version}]
    return [{"name": "one", "method": "POST", "path": "/", "body": "hello", "checks": checks}]


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_both_protocols_work_in_the_clear_and_under_tls(
    granian: dict[str, str], pki: Pki, scheme: str, *, http2: bool
) -> None:
    version = "2" if http2 else "1.1"
    plan = make_plan(
        granian[scheme + version[0]],
        rate=300,
        http2=http2,
        requests=saying(version),
        tls={"ca_file": str(pki.ca)},
    )
    outcome = run_plan(plan)
    assert outcome.errors == {}
    assert outcome.total("completed") == 90
    assert outcome.conserved()
    if http2:
        assert outcome.total("connects") == 1


def test_a_closed_model_multiplexes_on_one_connection(granian: dict[str, str]) -> None:
    arrivals = {"kind": "closed", "users": 50, "duration_s": 0.3}
    plan = make_plan(granian["http2"], http2=True, requests=saying("2"), arrivals=arrivals)
    outcome = run_plan(plan)
    assert outcome.errors == {}
    assert outcome.total("completed") > 50
    assert outcome.total("connects") == 1
    assert outcome.conserved()


@pytest.mark.parametrize(
    ("life", "connects"), [({"requests": 1}, 30), ({"requests": 10}, 3), ({"age_s": 3600}, 1)]
)
def test_the_life_of_an_http_2_connection_is_bounded(
    granian: dict[str, str], life: dict[str, float], connects: int
) -> None:
    """By the requests it has carried, whatever it could carry at once."""
    plan = make_plan(granian["http2"], http2=True, requests=saying("2"), connection_life=life)
    outcome = run_plan(plan)
    assert outcome.errors == {}
    assert outcome.total("completed") == 30
    assert outcome.total("connects") == connects
    assert outcome.conserved()


def test_an_old_http_2_connection_takes_no_more_requests(granian: dict[str, str]) -> None:
    """Five requests, 200 ms apart, on connections of 100 ms."""
    plan = make_plan(
        granian["http2"], rate=5, duration=1.0, http2=True, requests=saying("2"),
        connection_life={"age_s": 0.1},
    )  # fmt: skip
    outcome = run_plan(plan)
    assert outcome.errors == {}
    assert outcome.total("connects") == outcome.total("completed") == 5


def test_more_users_than_streams_open_more_connections(granian: dict[str, str]) -> None:
    arrivals = {"kind": "closed", "users": 250, "duration_s": 0.3}
    plan = make_plan(granian["http2"], http2=True, requests=saying("2"), arrivals=arrivals)
    outcome = run_plan(plan)
    assert outcome.errors == {}
    assert outcome.total("connects") == 3
    assert outcome.conserved()


def test_a_certificate_of_another_authority_is_a_tls_failure(
    granian: dict[str, str], pki: Pki
) -> None:
    outcome = run_plan(make_plan(granian["https1"], rate=30, tls={"ca_file": str(pki.other_ca)}))
    assert outcome.errors == {"tls": 9}
    assert outcome.conserved()


def test_an_own_authority_is_trusted_as_the_refusal_says(
    granian: dict[str, str], pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the probe of a URL and by the engine alike."""
    url = Url(granian["https1"])
    with pytest.raises(PlatformError, match="--cacert or SSL_CERT_FILE"), url.provision(service()):
        pass
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.ca))
    with url.provision(service()):
        assert run_plan(make_plan(granian["https1"], rate=30)).errors == {}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_url_is_asked_the_way_it_will_be_loaded(
    granian: dict[str, str], pki: Pki, scheme: str
) -> None:
    """A server of HTTP/2 alone answers to http2 only; --insecure needs no authority."""
    with (
        pytest.raises(PlatformError),
        Url(granian[f"{scheme}2"], verify=False).provision(service()),
    ):
        pass
    with Url(granian[f"{scheme}2"], http2=True, verify=False).provision(service()):
        pass
    if scheme == "https":
        with Url(granian["https2"], http2=True, ca_file=str(pki.ca)).provision(service()):
            pass


@pytest.mark.parametrize(
    ("served", "trusted", "kinds"),
    [
        (("localhost", 2), None, set()),
        (("elsewhere.example", 2), None, {"tls"}),
        (("localhost", -1), None, {"tls"}),
        (("localhost", 2), ("localhost", 2), {"tls"}),
    ],
    ids=["the same", "another name", "expired", "another of this name"],
)
def test_a_self_signed_certificate_is_trusted_where_it_is_named_itself(
    peer: Start,
    tmp_path: Path,
    served: tuple[str, int],
    trusted: tuple[str, int] | None,
    kinds: set[str],
) -> None:
    """As curl's --cacert does, by the engine and by the clients of journeys: OpenSSL's rules."""
    certificate, key = self_signed(tmp_path / "served", served[0], days=served[1])
    ca = certificate
    if trusted is not None:
        ca, _ = self_signed(tmp_path / "trusted", trusted[0], days=trusted[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def serve(connection: socket.socket, me: Peer) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            answering()(secure, me)

    url = peer(serve).url.replace("http://127.0.0.1", "https://localhost")
    outcome = run_plan(
        make_plan(url, rate=30, tls={"ca_file": str(ca)}, resolve=[f"{url[8:]}:127.0.0.1"])
    )
    assert set(outcome.errors) == kinds
    assert outcome.conserved()
    python = ssl.create_default_context(cafile=str(ca))
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as plain:
        refused = pytest.raises(ssl.SSLError) if kinds else nullcontext()
        with refused, python.wrap_socket(plain, server_hostname="localhost"):
            pass


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_wants_a_client_certificate_is_told_as_such(
    peer: Start, pki: Pki, version: ssl.TLSVersion
) -> None:
    """And not as a port that speaks no HTTP; with a certificate it is reached."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(pki.certificate, pki.key)
    context.load_verify_locations(pki.ca)
    context.verify_mode = ssl.CERT_REQUIRED

    def serve(connection: socket.socket, me: Peer) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            answering()(secure, me)

    url = peer(serve).url.replace("http:", "https:")
    plain = Url(url, ca_file=str(pki.ca))
    with (
        pytest.raises(HarnessError, match="name your --cert") as caught,
        plain.provision(service()),
    ):
        pass
    assert "does not speak HTTP" not in str(caught.value)
    mine = {"cert_file": str(pki.certificate), "key_file": str(pki.key)}
    with Url(url, ca_file=str(pki.ca), **mine).provision(service()):
        pass


def test_a_certificate_for_another_name_is_a_tls_failure(granian: dict[str, str], pki: Pki) -> None:
    tls = {"ca_file": str(pki.ca), "server_name": "elsewhere.example"}
    assert run_plan(make_plan(granian["https1"], rate=30, tls=tls)).errors == {"tls": 9}
    tls["server_name"] = "localhost"
    assert run_plan(make_plan(granian["https1"], rate=30, tls=tls)).errors == {}


def test_verification_can_be_switched_off(granian: dict[str, str]) -> None:
    outcome = run_plan(make_plan(granian["https1"], tls={"verify": False}))
    assert outcome.total("completed") == 30


def test_http_2_is_not_quietly_replaced_by_http_1(granian: dict[str, str], pki: Pki) -> None:
    plan = make_plan(granian["https1"], rate=30, http2=True, tls={"ca_file": str(pki.ca)})
    outcome = run_plan(plan)
    assert set(outcome.errors) <= {"tls", "protocol"}
    assert outcome.total("failed") == 9


def test_a_peer_that_speaks_no_tls_is_a_tls_failure(peer: Start, pki: Pki) -> None:
    server = peer(lambda connection, _: connection.sendall(b"HTTP/1.1 400 Bad\r\n\r\n"))
    plan = make_plan(server.url.replace("http:", "https:"), rate=30, tls={"ca_file": str(pki.ca)})
    outcome = run_plan(plan)
    assert outcome.total("failed") == 9
    assert set(outcome.errors) <= {"tls", "reset"}
    assert outcome.conserved()


def test_an_http_2_peer_that_hangs_times_out(peer: Start) -> None:
    server = peer(lambda _, me: time.sleep(0) if me.stopped.wait(20) else None)
    requests = [{"name": "one", "path": "/", "timeout_s": 0.2}]
    outcome = run_plan(make_plan(server.url, http2=True, requests=requests))
    assert outcome.errors == {"timeout": 30}
    assert outcome.conserved()


def test_an_http_2_peer_that_closes_is_counted(peer: Start) -> None:
    outcome = run_plan(make_plan(peer(then_close(b"")).url, http2=True))
    assert set(outcome.errors) <= {"eof", "reset", "protocol"}
    assert outcome.total("failed") == 30
    assert outcome.conserved()


def test_a_missing_ca_file_is_an_os_error(tmp_path: Path) -> None:
    plan = make_plan("https://localhost", tls={"ca_file": str(tmp_path / "none.pem")})
    with pytest.raises(FileNotFoundError, match=r"tls\.ca_file"):
        _engine.Engine(json.dumps(plan))
    (tmp_path / "empty.pem").write_text("")
    plan["tls"]["ca_file"] = str(tmp_path / "empty.pem")
    with pytest.raises(ValueError, match="holds no certificate"):
        _engine.Engine(json.dumps(plan))
    plan["tls"] = {"server_name": "not a name"}
    with pytest.raises(ValueError, match="server_name"):
        _engine.Engine(json.dumps(plan))
