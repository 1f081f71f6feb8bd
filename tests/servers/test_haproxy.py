"""HAProxy in front of two nginx: its own counters agree with the engine's."""

from __future__ import annotations

import pytest

from tests.servers.containers import haproxy, haproxy_statistics, nginx, nginx_log
from tests.servers.drive import drive, plan

pytestmark = pytest.mark.docker


def test_counts_agree_through_a_balancer(image: str) -> None:
    """Engine, HAProxy and the two servers name the same numbers."""
    with nginx(image) as a, nginx(image) as b, haproxy(image, {"a": a, "b": b}) as proxy:
        totals = drive(plan(proxy.url(), rate=1000, duration_s=3)).totals()
        counters = haproxy_statistics(proxy)
        logged = [len(nginx_log(server, expected=1500)) for server in (a, b)]
    assert totals.completed == 3000
    assert int(counters["FRONTEND"]["req_tot"]) == 3000
    assert int(counters["FRONTEND"]["hrsp_2xx"]) == 3000
    assert [int(counters[name]["hrsp_2xx"]) for name in ("a", "b")] == logged
    assert logged == [1500, 1500]


@pytest.mark.parametrize("check", [True, False], ids=["health-checked", "unchecked"])
def test_a_backend_killed_behind_a_balancer_is_its_5xx(image: str, check: bool) -> None:
    """The failures are the balancer's 502, 503 and 504, as many as it says; none is hidden.

    With health checks the failures end; without them every second request fails to the end.
    """
    with (
        nginx(image) as a,
        nginx(image) as b,
        haproxy(image, {"a": a, "b": b}, check=check) as proxy,
    ):
        driven = drive(plan(proxy.url(), rate=500, duration_s=5), (1.5, b.kill))
        counters = haproxy_statistics(proxy)
        answered = [len(nginx_log(server)) for server in (a, b)]
    totals, front = driven.totals(), counters["FRONTEND"]
    assert int(front["req_tot"]) == totals.offered == 2500
    assert set(totals.errors) == {"status_5xx"}
    assert int(front["hrsp_5xx"]) == totals.failed > 0
    assert int(front["hrsp_2xx"]) == totals.completed
    # What the dead server logged and could no longer deliver was never completed.
    assert 0 <= sum(answered) - totals.completed <= totals.failed
    last = driven.totals(second=4)
    if check:
        assert counters["b"]["status"].startswith("DOWN")
        assert last.failed == 0
    else:
        assert abs(last.failed - last.offered / 2) <= 25
