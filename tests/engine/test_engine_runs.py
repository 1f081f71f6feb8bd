"""What a run counts, bounds and ends."""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Callable

import pytest

from harness import _engine
from tests.engine.conftest import (
    OK,
    Peer,
    answering,
    finish,
    make_plan,
    run_plan,
)

Start = Callable[[Callable[[socket.socket, Peer], None]], Peer]


def slow(seconds: float) -> Callable[[socket.socket, Peer], None]:
    def handle(connection: socket.socket, peer: Peer) -> None:
        while peer.read_head(connection) is not None:
            if peer.stopped.wait(seconds):
                return
            connection.sendall(OK)

    return handle


def test_every_request_of_a_good_run_completes(null_server: str) -> None:
    outcome = run_plan(make_plan(null_server, rate=1000, duration=1.5))
    assert outcome.conserved()
    assert outcome.total("completed") == 1500
    assert outcome.total("bytes_in") == 1500 * 11
    seconds = {s["second"]: s["offered"] for s in outcome.slices if s["axis"] == "due"}
    assert seconds == {0: 1000, 1: 500}
    found = {(s["axis"], name) for s in outcome.slices for name in s["hist"]}
    assert found == {
        *(("due", name) for name in ("response", "service", "lag", "wait")),
        ("done", "response"),
    }
    for axis, name in found:
        assert outcome.histogram(name, axis).count == 1500, (name, axis)
    assert outcome.snapshot["in_flight"] == outcome.snapshot["clipped"] == 0


def test_with_slack_an_arrival_waits_for_company_and_the_wait_is_lag(null_server: str) -> None:
    pacing = {"slack_s": 0.01}
    outcome = run_plan(make_plan(null_server, rate=50, duration=0.5, pacing=pacing))
    assert outcome.conserved()
    # Not all of them: on a busy machine an answer may be late enough to be company.
    assert (outcome.histogram("lag").quantile(0.5) or 0) >= 9.9e6
    assert (outcome.histogram("response").quantile(0.5) or 0) >= 9.9e6


def test_an_answer_that_wakes_the_thread_sends_what_became_due_meanwhile() -> None:
    server = _engine.NullServer(latency={"median_s": 0.005, "p99_s": 0.00501})
    plan = make_plan(f"http://127.0.0.1:{server.port}", duration=0.5, pacing={"slack_s": 0.01})
    outcome = run_plan(plan)  # each 10 ms: the answer comes halfway through the next one's slack
    server.stop()
    assert outcome.conserved()
    assert (outcome.histogram("lag").min or 0) < 9e6


def test_several_threads_share_one_schedule(null_server: str) -> None:
    plan = make_plan(null_server, rate=1000, duration=1.2, threads=3)
    outcome = run_plan(plan)
    assert outcome.conserved()
    assert outcome.total("completed") == 1200
    keys = [(s["axis"], s["second"], s["endpoint"]) for s in outcome.slices]
    assert len(keys) == len(set(keys)), "the threads' counts were not merged"


def test_lines_come_while_the_run_goes_on(null_server: str) -> None:
    engine = _engine.Engine(json.dumps(make_plan(null_server, duration=3)))
    engine.start()
    assert not engine.join(1.7)
    lines = [json.loads(line) for line in engine.poll()]
    engine.abort()
    assert engine.join(5)
    assert {(s["axis"], s["second"]) for s in lines} == {("due", 0), ("done", 0)}
    assert all(s["schema"] == 1 for s in lines)


def test_waiting_for_a_connection_is_wait_and_not_lag(peer: Start) -> None:
    """One connection, 50 ms an answer, 40 requests/s: the queue grows, the pacer stays punctual."""
    url = peer(slow(0.05)).url
    outcome = run_plan(make_plan(url, rate=40, duration=0.5, connections_per_target=1))
    assert outcome.total("completed") == 20
    wait, lag = outcome.histogram("wait").quantile(1.0), outcome.histogram("lag").quantile(0.5)
    assert wait is not None
    assert lag is not None
    assert wait > 300e6
    assert lag < 20e6
    response = outcome.histogram("response").max
    assert response is not None
    assert response >= wait


def test_the_connections_of_a_target_are_bounded(peer: Start) -> None:
    server = peer(slow(0.05))
    outcome = run_plan(make_plan(server.url, rate=200, connections_per_target=3))
    assert outcome.conserved()
    assert server.connections == outcome.total("connects") == 3


def test_waiting_for_a_connection_times_out(peer: Start) -> None:
    requests = [{"name": "one", "path": "/", "timeout_s": 0.2}]
    url = peer(slow(30)).url
    plan = make_plan(url, requests=requests, connections_per_target=1)
    outcome = run_plan(plan)
    assert outcome.errors == {"timeout": 30}
    longest = outcome.histogram("failed").max
    assert longest is not None
    assert longest < 600e6
    assert outcome.conserved()


def test_what_the_bound_on_flight_refuses_is_charged(peer: Start) -> None:
    url = peer(slow(30)).url
    plan = make_plan(url, max_in_flight=5, drain_s=0.1)
    outcome = run_plan(plan)
    assert outcome.errors == {"in_flight_limit": 25}
    assert outcome.total("unfinished") == 5
    assert outcome.conserved()


def test_what_has_not_ended_after_the_drain_is_unfinished(peer: Start) -> None:
    url = peer(slow(30)).url
    begin = time.monotonic()
    outcome = run_plan(make_plan(url, drain_s=0.3))
    assert time.monotonic() - begin < 3
    assert outcome.total("unfinished") == 30
    assert outcome.conserved()


def test_stop_ends_the_arrivals_and_drains(peer: Start) -> None:
    engine = _engine.Engine(json.dumps(make_plan(peer(slow(0.2)).url, duration=60)))
    engine.start()
    engine.join(0.5)
    engine.stop()
    outcome = finish(engine, 3)
    assert 20 < outcome.total("completed") < 60
    assert outcome.total("unfinished") == 0
    assert outcome.conserved()


def test_abort_ends_at_once(peer: Start) -> None:
    engine = _engine.Engine(json.dumps(make_plan(peer(slow(30)).url, duration=60)))
    engine.start()
    engine.join(0.5)
    engine.abort()
    outcome = finish(engine, 1)
    assert outcome.total("unfinished") == outcome.total("offered") > 20
    assert outcome.conserved()


def test_an_engine_starts_once(null_server: str) -> None:
    engine = _engine.Engine(json.dumps(make_plan(null_server)))
    assert engine.now_ns() == 0
    assert not engine.join(0)
    engine.start()
    with pytest.raises(RuntimeError, match="started already"):
        engine.start()
    finish(engine)


def test_a_start_in_the_future_is_waited_for(null_server: str) -> None:
    plan = make_plan(null_server, start_unix_ns=time.time_ns() + 400_000_000)
    engine = _engine.Engine(json.dumps(plan))
    engine.start()
    assert -400_000_000 <= engine.now_ns() < -200_000_000
    assert engine.snapshot()["offered"] == 0
    assert finish(engine).total("completed") == 30


def test_a_start_long_ago_is_refused(null_server: str) -> None:
    engine = _engine.Engine(json.dumps(make_plan(null_server, start_unix_ns=1)))
    with pytest.raises(ValueError, match="start_unix_ns"):
        engine.start()


def test_a_replay_sends_at_the_recorded_instants(null_server: str) -> None:
    arrivals = {"kind": "replay", "due_ns": [0, 1_000_000, 200_000_000]}
    outcome = run_plan(make_plan(null_server, arrivals=arrivals))
    assert outcome.total("completed") == 3


def test_a_replay_sends_the_requests_and_values_it_names(null_server: str) -> None:
    requests = [
        {"name": name, "path": f"/{name}/{{id}}", "log": True, "headers": [["x", "{token}"]]}
        for name in ("a", "b")
    ]
    feeds = {"id": {"kind": "cycle", "values": ["7", "8", "9"]}, "token": {"kind": "given"}}
    arrivals = {"kind": "replay", "due_ns": [0, 1_000_000, 2_000_000], "requests": [1, 0, 1]}
    plan = make_plan(null_server, arrivals=arrivals, requests=requests, feeds=feeds)
    engine = _engine.Engine(json.dumps(plan))
    engine.set_values("token", ["s", "t"])
    engine.start()
    log = sorted(finish(engine).log)
    assert [(endpoint, *values.values()) for _, endpoint, *_, values in log] == [
        ("b", "7", "s"), ("a", "8", "t"), ("b", "9", "s"),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="a value that a header cannot hold"):
        engine.set_values("token", ["two\nlines"])
    with pytest.raises(ValueError, match="has values of its own"):
        engine.set_values("id", ["1"])
    with pytest.raises(ValueError, match='there is no feed "nope"'):
        engine.set_values("nope", ["1"])


def test_a_closed_model_keeps_its_users_busy(peer: Start) -> None:
    server = peer(slow(0.05))
    arrivals = {"kind": "closed", "users": 4, "duration_s": 0.5}
    outcome = run_plan(make_plan(server.url, arrivals=arrivals))
    assert 28 <= outcome.total("completed") <= 44
    assert server.connections == 4
    assert outcome.conserved()
    thinking = {**arrivals, "think_s": 0.1}
    assert 8 <= run_plan(make_plan(server.url, arrivals=thinking)).total("completed") <= 20


def test_shards_of_a_closed_model_share_the_users(peer: Start) -> None:
    server = peer(slow(0.2))
    arrivals = {"kind": "closed", "users": 5, "duration_s": 0.1}
    counts = [
        run_plan(make_plan(server.url, arrivals=arrivals, shard=shard, shards=2)).total("offered")
        for shard in (0, 1)
    ]
    assert counts == [3, 2]


def test_targets_are_taken_in_turn(peer: Start) -> None:
    servers = [peer(answering()) for _ in range(3)]
    run_plan(make_plan(*(server.url for server in servers)))
    assert [len(server.heads) for server in servers] == [10, 10, 10]


def test_a_request_is_sent_as_its_template_says(peer: Start) -> None:
    server = peer(answering())
    requests = [
        {
            "name": "save",
            "method": "POST",
            "path": "/items/{name}?n={n}",
            "headers": [["Content-Type", "application/json"], ["X-Id", "id-{n}"]],
            "body": '{{"n": {n}, "name": "{name}"}}',
        }
    ]
    feeds = {
        "name": {"kind": "choice", "values": ["a b/ü"]},
        "n": {"kind": "sequence", "start": 5, "step": 2},
    }
    outcome = run_plan(
        make_plan(f"{server.url}/base/", rate=1, duration=1, requests=requests, feeds=feeds)
    )
    head, _, body = server.heads[0].partition("\r\n\r\n")
    lines = head.lower().split("\r\n")
    assert head.startswith("POST /base/items/a%20b%2F%C3%BC?n=5 HTTP/1.1")
    assert f"host: 127.0.0.1:{server.listener.getsockname()[1]}" in lines
    assert {"content-type: application/json", "x-id: id-5"} <= set(lines)
    assert json.loads(body) == {"n": 5, "name": "a b/ü"}
    assert outcome.total("bytes_out") == len(body.encode())


def test_the_first_byte_and_the_whole_body_are_told_apart(peer: Start) -> None:
    def handle(connection: socket.socket, peer: Peer) -> None:
        while peer.read_head(connection) is not None:
            connection.sendall(OK[:-2])
            time.sleep(0.1)
            connection.sendall(OK[-2:])

    requests = [{"name": "one", "path": "/", "first_byte": True}]
    outcome = run_plan(make_plan(peer(handle).url, rate=30, requests=requests))
    assert not outcome.histogram("first", "done").count
    first, whole = outcome.histogram("first").quantile(0.5), outcome.histogram("service").min
    assert first is not None
    assert whole is not None
    assert first < 80e6 < whole


def test_a_large_body_within_the_limit_is_read_whole(peer: Start) -> None:
    body = b"x" * 12_000_000
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    outcome = run_plan(make_plan(peer(answering(answer)).url, rate=5, duration=1))
    assert outcome.total("completed") == 5
    assert outcome.total("bytes_in") == 5 * len(body)


def test_the_host_header_can_be_set(peer: Start) -> None:
    server = peer(answering())
    run_plan(make_plan(server.url, rate=1, duration=1, host="memorai.example:81"))
    assert "host: memorai.example:81\r\n" in server.heads[0].lower()


def test_connections_leave_from_the_bound_address(peer: Start) -> None:
    seen: list[str] = []

    def handle(connection: socket.socket, peer: Peer) -> None:
        seen.append(connection.getpeername()[0])
        answering()(connection, peer)

    outcome = run_plan(make_plan(peer(handle).url, bind="127.0.0.9"))
    assert set(seen) == {"127.0.0.9"}
    assert outcome.total("completed") == 30


def test_logged_requests_tell_their_values(peer: Start) -> None:
    answer = b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n"
    requests = [{"name": "put", "path": "/{id}", "log": True}]
    feeds = {"id": {"kind": "sequence", "start": 0}}
    outcome = run_plan(
        make_plan(peer(answering(answer)).url, rate=30, requests=requests, feeds=feeds)
    )
    assert sorted(entry[0] for entry in outcome.log) == list(range(9))
    for k, endpoint, due, sent, done, status, error, values in outcome.log:
        assert (endpoint, status, error) == ("put", 404, "status_4xx")
        assert values == {"id": str(k)}
        assert due <= sent <= done


def test_an_unfinished_request_is_logged_as_unknown(peer: Start) -> None:
    requests = [{"name": "put", "path": "/", "log": True}]
    outcome = run_plan(make_plan(peer(slow(30)).url, requests=requests, drain_s=0.05))
    assert {entry[6] for entry in outcome.log} == {"unfinished"}
    assert {entry[4] for entry in outcome.log} == {0}
    assert len(outcome.log) == 30


def test_journeys_are_handed_out_and_their_requests_counted(null_server: str) -> None:
    plan = make_plan(null_server, rate=50, duration=0.6)
    plan["requests"][0]["weight"] = 1.0
    plan["journeys"] = [{"name": "login then act", "weight": 1.0}]
    engine = _engine.Engine(json.dumps(plan))
    engine.start()
    taken: list[int] = []
    while not engine.join(0.05):
        for k, name, due in engine.take_journeys():
            assert name == "login then act"
            taken.append(k)
            now = engine.now_ns()
            for endpoint, error in (("login", None), ("act", "journey")):
                step = engine.begin(k, endpoint, due, now)
                assert step is not None
                assert engine.end(step, now, None, now + 10, error, 200, 5)
                assert not engine.end(step, now, None, now + 10, error)
            assert engine.journey_done(k)
            assert not engine.journey_done(k)
    outcome = finish(engine)
    assert outcome.conserved()
    assert 5 < len(taken) < 25
    assert outcome.total("offered") == 30 - len(taken) + 2 * len(taken)
    assert outcome.errors == {"journey": len(taken)}
    assert outcome.snapshot["journeys_done"] == len(taken)
    assert engine.begin(0, "late", 0, 1) is None


def test_a_request_that_a_journey_has_not_ended_is_unfinished(null_server: str) -> None:
    """Whatever the journey says of itself, and whenever the run ends; at random, and conserved."""
    dice = random.Random(7)  # noqa: S311 - not secret
    plan = make_plan(null_server, requests=[], journeys=[{"name": "walk"}], drain_s=0.1)
    engine = _engine.Engine(json.dumps(plan))
    engine.start()
    taken, begun, ended, silent = 0, 0, 0, 0
    while not engine.join(0.02):
        for k, _, due in engine.take_journeys():
            taken += 1
            now = max(due, engine.now_ns())
            tried = [engine.begin(k, dice.choice("ab"), due, now) for _ in range(dice.randrange(4))]
            steps = [step for step in tried if step is not None]
            begun, silent = begun + len(steps), silent + (not steps)
            for step in steps:
                if dice.random() < 0.5:
                    ended += engine.end(step, now, now, now, dice.choice([None, "timeout"]))
            if steps and dice.random() < 0.5:
                engine.journey_done(k)
        if dice.random() < 0.02:
            engine.abort()
    outcome = finish(engine)
    assert outcome.conserved()
    assert outcome.total("completed") + outcome.total("failed") == ended
    never_taken = outcome.snapshot["journeys_offered"] - taken
    assert outcome.total("unfinished") == begun - ended + silent + never_taken > 0


def test_journeys_that_never_end_are_not_waited_for_beyond_the_drain(null_server: str) -> None:
    plan = make_plan(null_server, requests=[], journeys=[{"name": "stuck"}], drain_s=0.2)
    outcome = run_plan(plan, within=3)
    assert outcome.snapshot["journeys_open"] == outcome.snapshot["journeys_offered"] == 30
    assert outcome.conserved()


def test_journeys_count_against_the_bound_on_flight(null_server: str) -> None:
    journeys = [{"name": "stuck"}]
    plan = make_plan(null_server, requests=[], journeys=journeys, drain_s=0.1, max_in_flight=10)
    outcome = run_plan(plan)
    assert outcome.errors == {"in_flight_limit": 20}
    assert {s["endpoint"] for s in outcome.slices} == {"stuck"}
    assert outcome.conserved()


@pytest.mark.parametrize(
    ("times", "error"),
    [((2, 1, 3), None), ((1, None, 0), None), ((0, 0, 1), "sunspots")],
)
def test_a_record_that_makes_no_sense_is_refused(
    null_server: str, times: tuple[int, int | None, int], error: str | None
) -> None:
    engine = _engine.Engine(json.dumps(make_plan(null_server)))
    with pytest.raises(ValueError, match=r"times out of order|not an error kind"):
        engine.end(1, *times, error)
    with pytest.raises(ValueError, match="times out of order"):
        engine.begin(1, "x", 5, 4)
