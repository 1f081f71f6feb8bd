"""Servers paused and killed while requests are on their way."""

from __future__ import annotations

import pytest

from tests.servers.containers import nginx, nginx_log
from tests.servers.drive import drive, plan

pytestmark = pytest.mark.docker

RATE = 500
DEAD = {"refused", "reset", "eof"}
SECOND_NS = 1e9


def test_a_pause_shows_in_every_request_that_was_due_in_it(image: str) -> None:
    """Latency counts from the intended start, though four connections carried it all.

    A client that waits for an answer before it sends again would have noticed four requests.
    """
    with nginx(image) as server:
        document = plan(server.url(), rate=RATE, duration_s=6, connections_per_target=4)
        driven = drive(document, (1.5, server.pause), (3.0, server.unpause))
        log = nginx_log(server, expected=6 * RATE)
    began, ended = driven.acts
    response = driven.histogram("response")
    values, counts = response.buckets()
    delayed = int(counts[values > 0.1 * SECOND_NS].sum())
    assert driven.totals().completed == 6 * RATE == len(log)
    assert delayed == pytest.approx(RATE * (ended - began - 0.1), rel=0.15)
    assert response.max is not None
    assert response.max / SECOND_NS == pytest.approx(ended - began, abs=0.3)
    after = driven.histogram("response", since=5).quantile(0.5)
    assert after is not None
    assert after < 0.05 * SECOND_NS


def test_a_pause_longer_than_the_timeout_is_kind_timeout_and_then_it_goes_on(image: str) -> None:
    """What came due a timeout or more before the end of the pause fails; later ones complete."""
    timeout_s = 0.5
    request = {"name": "item", "path": "/item?id={id}", "timeout_s": timeout_s}
    with nginx(image) as server:
        document = plan(server.url(), rate=RATE, duration_s=6, requests=[request])
        driven = drive(document, (1.5, server.pause), (3.5, server.unpause))
    began, ended = driven.acts
    totals = driven.totals()
    assert set(totals.errors) == {"timeout"}
    assert totals.failed == pytest.approx(RATE * (ended - began - timeout_s), rel=0.15)
    failed = driven.histogram("failed")
    assert failed.min is not None
    assert failed.min >= 0.99 * timeout_s * SECOND_NS
    assert driven.totals(second=2).completed == 0
    assert driven.totals(second=5).completed == RATE


def test_a_killed_server_is_reset_or_refused_to_the_end(image: str) -> None:
    """Everything answered before is in the dead server's log; nothing is answered after."""
    with nginx(image) as server:
        driven = drive(plan(server.url(), rate=RATE, duration_s=4), (1.5, server.kill))
        log = nginx_log(server)
    totals = driven.totals()
    assert set(totals.errors) <= DEAD
    assert totals.errors["refused"] > RATE
    assert 0 <= len(log) - totals.completed <= totals.errors["reset"] + totals.errors["eof"]
    assert totals.completed == pytest.approx(RATE * driven.acts[0], rel=0.15)
    assert driven.totals(second=3).errors == {"refused": RATE}


def test_one_dead_server_of_three_fails_its_third_and_no_more(image: str) -> None:
    """No hidden retry: the two others get their own share, the dead one's share fails."""
    with nginx(image) as a, nginx(image) as b, nginx(image) as c:
        urls = [server.url() for server in (a, b, c)]
        driven = drive(plan(*urls, rate=600, duration_s=4), (1.0, c.kill))
        alive = [len(nginx_log(server, expected=800)) for server in (a, b)]
    totals, last = driven.totals(), driven.totals(second=3)
    assert set(totals.errors) <= DEAD
    assert last.errors["refused"] == pytest.approx(200, abs=6)
    assert alive == [pytest.approx(800, abs=16)] * 2


def test_a_run_aborted_during_a_pause_leaves_its_requests_unfinished(image: str) -> None:
    """With no time to drain, what the paused server holds is neither completed nor failed."""
    with nginx(image) as server:
        document = plan(server.url(), rate=RATE, duration_s=2, drain_s=0.2)
        driven = drive(document, (1.0, server.pause))
        server.unpause()
    totals = driven.totals()
    assert totals.failed == 0
    assert totals.unfinished == pytest.approx(RATE * (2 - driven.acts[0]), rel=0.15)
