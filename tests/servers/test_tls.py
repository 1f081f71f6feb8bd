"""TLS against nginx: the protocol that ALPN chose, and certificates that must not be trusted."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from tests.servers.authority import Authority
from tests.servers.containers import nginx, nginx_log
from tests.servers.drive import drive, plan

pytestmark = pytest.mark.docker

NAME = "service.test"
COUNT = 1000


def tls(authority: Authority, **fields: Any) -> dict[str, Any]:
    return {"ca_file": str(authority.file), "verify": True, "server_name": NAME} | fields


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("protocol", ["HTTP/2.0", "HTTP/1.1"])
def test_alpn_chooses_the_protocol_that_the_plan_asks_for(
    image: str, authority: Authority, protocol: str, version: str
) -> None:
    """One port speaks both; every request of the log has the protocol asked for."""
    with nginx(image, certificate=authority.issue(NAME), protocols=version) as server:
        url = server.url(8443, "https")
        fields = {"http2": protocol == "HTTP/2.0", "tls": tls(authority)}
        totals = drive(plan(url, rate=500, duration_s=2, **fields)).totals()
        log = nginx_log(server, expected=COUNT)
    assert (totals.completed, len(log)) == (COUNT, COUNT)
    assert {line.protocol for line in log} == {protocol}
    assert len({line.connection for line in log}) == totals.connects


def test_the_address_itself_is_a_name_that_a_certificate_can_hold(
    image: str, authority: Authority
) -> None:
    """Without a server name the URL's address is verified."""
    with nginx(image, certificate=authority.issue(NAME)) as server:
        fields = {"tls": tls(authority, server_name=None)}
        totals = drive(plan(server.url(8443, "https"), rate=200, duration_s=1, **fields)).totals()
    assert totals.completed == 200


def test_tls_connections_that_the_server_closes_are_replaced(
    image: str, authority: Authority
) -> None:
    """Nginx ends each after 100 requests; the engine shakes hands anew and goes on to the end."""
    with nginx(image, certificate=authority.issue(NAME), keepalive_requests=100) as server:
        url = server.url(8443, "https")
        document = plan(url, rate=1000, duration_s=3, http2=True, tls=tls(authority))
        totals = drive(document).totals()
        log = nginx_log(server, expected=totals.completed)
    assert len(log) == totals.completed > 2250
    assert set(totals.errors) <= {"reset", "eof"}
    assert len({line.connection for line in log}) == totals.connects >= 23


@pytest.mark.parametrize("fault", ["unknown authority", "wrong name", "expired"])
def test_a_certificate_that_does_not_verify_is_kind_tls_and_nothing_is_sent(
    image: str, authority: Authority, fault: str, tmp_path: Path
) -> None:
    """Each request fails as `tls`; the server has seen none."""
    age = dt.timedelta(days=10) if fault == "expired" else dt.timedelta()
    trusted = (
        Authority(tmp_path, "another authority") if fault == "unknown authority" else authority
    )
    name = "another.test" if fault == "wrong name" else NAME
    with nginx(image, certificate=authority.issue(NAME, age=age)) as server:
        fields = {"tls": tls(trusted, server_name=name)}
        totals = drive(plan(server.url(8443, "https"), rate=100, duration_s=1, **fields)).totals()
        assert nginx_log(server) == []
    assert totals.errors == {"tls": 100}


def test_verification_can_be_switched_off(image: str, authority: Authority) -> None:
    """Then an expired certificate of an unknown authority serves."""
    certificate = authority.issue(NAME, age=dt.timedelta(days=10))
    with nginx(image, certificate=certificate) as server:
        fields = {"tls": {"verify": False}, "http2": True}
        totals = drive(plan(server.url(8443, "https"), rate=200, duration_s=1, **fields)).totals()
    assert totals.completed == 200


def test_a_server_without_http2_fails_a_plan_that_asks_for_it(
    image: str, authority: Authority
) -> None:
    """Nothing falls back in silence: the run says that the protocol was not to be had."""
    with nginx(image, certificate=authority.issue(NAME)) as server:
        fields = {"tls": tls(authority), "http2": True}
        totals = drive(plan(server.url(8444, "https"), rate=100, duration_s=1, **fields)).totals()
        assert nginx_log(server) == []
    assert totals.failed == 100
    assert set(totals.errors) <= {"tls", "protocol"}


def test_plain_http_on_a_tls_port_is_the_servers_400(image: str, authority: Authority) -> None:
    """Nginx answers 400 itself; it is counted as what it is."""
    with nginx(image, certificate=authority.issue(NAME)) as server:
        totals = drive(plan(server.url(8443), rate=100, duration_s=1)).totals()
    assert totals.errors == {"status_4xx": 100}


def test_tls_on_a_plain_port_is_kind_tls(image: str, authority: Authority) -> None:
    """The server's plain-text complaint is no handshake."""
    with nginx(image) as server:
        fields = {"tls": tls(authority)}
        totals = drive(plan(server.url(8080, "https"), rate=100, duration_s=1, **fields)).totals()
    assert totals.errors == {"tls": 100}
