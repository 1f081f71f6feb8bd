"""Servers paused and killed while requests are on their way."""

from __future__ import annotations

import pytest

from tests.servers.containers import nginx, nginx_log
from tests.servers.drive import Act, drive, plan

pytestmark = pytest.mark.docker

RATE = 500
DEAD = {"refused", "reset", "eof"}
SECOND_NS = 1e9
SLACK_S = 0.15  # a busy machine's own delays


def length(begin: Act, end: Act) -> tuple[float, float]:
    """The least and the most time (s) that can have passed between two acts, with slack."""
    return end.ordered - begin.done - SLACK_S, end.done - begin.ordered + SLACK_S


def test_a_pause_shows_in_every_request_that_was_due_in_it(image: str) -> None:
    """Latency counts from the intended start, though four connections carried it all.

    A client that waits for an answer before it sends again would have noticed four requests.
    """
    with nginx(image) as server:
        document = plan(server.url(), rate=RATE, duration_s=6, connections_per_target=4)
        driven = drive(document, (1.5, server.pause), (3.0, server.unpause))
        log = nginx_log(server, expected=6 * RATE)
    shortest, longest = length(*driven.acts)
    response = driven.histogram("response")
    values, counts = response.buckets()
    delayed = int(counts[values > 0.1 * SECOND_NS].sum())
    assert driven.totals().completed == 6 * RATE == len(log)
    assert RATE * (shortest - 0.1) <= delayed <= RATE * longest
    assert response.max is not None
    assert shortest <= response.max / SECOND_NS <= longest
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
    shortest, longest = length(*driven.acts)
    totals = driven.totals()
    assert set(totals.errors) == {"timeout"}
    assert RATE * (shortest - timeout_s) <= totals.failed <= RATE * (longest - timeout_s)
    failed = driven.histogram("failed")
    assert failed.min is not None
    assert failed.min >= 0.99 * timeout_s * SECOND_NS
    assert driven.totals(second=2).completed == 0
    assert driven.totals(second=5).completed == RATE


def test_a_killed_server_is_reset_or_refused_to_the_end(image: str) -> None:
    """What was answered before is in the dead server's log; nothing is answered after."""
    with nginx(image) as server:
        driven = drive(plan(server.url(), rate=RATE, duration_s=4), (1.5, server.kill))
        log = nginx_log(server)
    totals = driven.totals()
    assert set(totals.errors) <= DEAD
    assert totals.errors["refused"] > RATE
    # Logged but not delivered, or (one worker, so at most one) delivered but not yet logged.
    assert -1 <= len(log) - totals.completed <= totals.errors["reset"] + totals.errors["eof"]
    killed = driven.acts[0]
    assert RATE * (killed.ordered - SLACK_S) <= totals.completed <= RATE * (killed.done + SLACK_S)
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
    paused = driven.acts[0]
    left = (2 - paused.done - SLACK_S, 2 - paused.ordered + SLACK_S)
    assert RATE * left[0] <= totals.unfinished <= RATE * left[1]
