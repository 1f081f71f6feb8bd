"""HAProxy in front of two nginx: its own counters agree with the engine's."""

from __future__ import annotations

import pytest
from testcontainers.core.network import Network

from tests.servers.containers import haproxy, haproxy_statistics, nginx, nginx_log
from tests.servers.drive import drive, plan

pytestmark = pytest.mark.docker


def test_counts_agree_through_a_balancer(image: str, network: Network) -> None:
    """Engine, HAProxy and the two servers name the same numbers."""
    with (
        nginx(image, network=network) as a,
        nginx(image, network=network) as b,
        haproxy(image, network, {"a": a, "b": b}) as proxy,
    ):
        totals = drive(plan(proxy.url(), rate=1000, duration_s=3)).totals()
        counters = haproxy_statistics(proxy)
        logged = [len(nginx_log(server, expected=1500)) for server in (a, b)]
    assert totals.completed == 3000
    assert int(counters["FRONTEND"]["req_tot"]) == 3000
    assert int(counters["FRONTEND"]["hrsp_2xx"]) == 3000
    assert [int(counters[name]["hrsp_2xx"]) for name in ("a", "b")] == logged
    assert logged == [1500, 1500]


def test_a_backend_killed_behind_a_health_checking_balancer_fails_until_it_is_found(
    image: str, network: Network
) -> None:
    """As many requests fail as HAProxy counts errors, and none once it has marked the server down.

    On a reused client connection HAProxy does not send the 503 that it counts, but closes (so that
    the client may retry; issue 2375 of haproxy/haproxy): that is `eof` here. What it was sending on
    a kept connection to the server at the moment of its death it closes without counting.
    """
    with (
        nginx(image, network=network) as a,
        nginx(image, network=network) as b,
        haproxy(image, network, {"a": a, "b": b}) as proxy,
    ):
        driven = drive(plan(proxy.url(), rate=500, duration_s=4), (1.5, b.kill))
        counters = haproxy_statistics(proxy)
        answered = [len(nginx_log(server)) for server in (a, b)]
    totals, back = driven.totals(), counters["BACKEND"]
    assert int(counters["FRONTEND"]["req_tot"]) == totals.offered == 2000
    assert set(totals.errors) <= {"status_5xx", "eof", "reset"}
    assert int(back["hrsp_2xx"]) == totals.completed
    uncounted = totals.failed - int(back["econ"]) - int(back["eresp"])
    assert 0 <= uncounted <= 3
    assert totals.failed > 3
    # The dead server may have logged what it could no longer deliver, or died before one line.
    assert -1 <= sum(answered) - totals.completed <= totals.failed
    assert counters["b"]["status"].startswith("DOWN")
    assert driven.totals(second=3).failed == 0


def test_a_backend_killed_behind_an_unchecking_balancer_is_as_many_5xx_as_it_says(
    image: str, network: Network
) -> None:
    """With a connection for each request every failure is an answer; half fail to the end."""
    with (
        nginx(image, network=network) as a,
        nginx(image, network=network) as b,
        haproxy(image, network, {"a": a, "b": b}, check=False, keep_alive=False) as proxy,
    ):
        document = plan(proxy.url(), rate=500, duration_s=4)
        driven = drive(document, (1.5, b.kill))
        front = haproxy_statistics(proxy)["FRONTEND"]
    totals, last = driven.totals(), driven.totals(second=3)
    assert totals.connects == totals.offered == int(front["req_tot"]) == 2000
    assert int(front["hrsp_2xx"]) == totals.completed
    assert totals.errors == {"status_5xx": int(front["hrsp_5xx"])}
    assert last.failed == pytest.approx(last.offered / 2, abs=25)
