"""Streamed answers are timed event by event, whatever ends them."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.engine.conftest import Outcome, Peer, make_plan, reset, run_plan
from tests.platform.replica import started

Start = Callable[[Callable[[socket.socket, Peer], None]], Peer]

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"
END = b"0\r\n\r\n"


def event(content: str = "w") -> bytes:
    return f'data: {{"choices":[{{"delta":{{"content":"{content}"}}}}]}}\n\n'.encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def streaming(*targets: str, stream: dict[str, Any] | None = None, **changes: Any) -> Outcome:
    request = {"name": "chat", "path": "/", "stream": {"until": "[DONE]", **(stream or {})}}
    return run_plan(make_plan(*targets, rate=20, requests=[{**request, **changes}]))


def pieces(*parts: bytes, wait_s: float = 0.0) -> Callable[[socket.socket, Peer], None]:
    def handle(connection: socket.socket, peer: Peer) -> None:
        while peer.read_head(connection) is not None:
            for part in parts:
                connection.sendall(part)
                time.sleep(wait_s)

    return handle


def test_times_count_from_the_instant_due_and_gaps_from_event_to_event(peer: Start) -> None:
    handle = pieces(HEAD, chunk(event()), chunk(event()), chunk(DONE) + END, wait_s=0.02)
    outcome = streaming(peer(handle).url)
    assert outcome.conserved()
    assert outcome.total("completed") == 6
    for name, low_ms in (("ttfb", 0), ("ttft", 20), ("gap", 20), ("itl", 20)):
        found = outcome.histogram(name)
        assert found.count == 6, name
        # Not all of them: on a busy machine two events may be read at once.
        assert (found.max or 0) >= low_ms * 0.98e6, name
    # A token of the lengths is a millisecond.
    assert outcome.histogram("length").quantile(1.0) == pytest.approx(2_000_000, rel=0.001)
    (line, *_) = [s for s in outcome.slices if s["axis"] == "due"]
    assert (line["tokens"], line["events"]) == (12, 12)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ((HEAD, chunk(event()) + END), "ended without [DONE] after 1 events"),
        ((HEAD, chunk(DONE) + END), "ended without an event"),
        ((HEAD, chunk(b'data: {"error":{"message":"no memory"}}\n\n' + DONE) + END), "no memory"),
    ],
    ids=["no last event", "no content", "an error after 200"],
)
def test_a_stream_that_is_not_whole_is_broken_and_says_why(
    peer: Start, parts: tuple[bytes, ...], says: str
) -> None:
    outcome = streaming(peer(pieces(*parts)).url)
    assert outcome.conserved()
    assert outcome.errors == {"broken_stream": 6}
    assert outcome.histogram("ttft").count == 0, "figures are of whole streams"
    assert says in str(outcome.examples)


JSON = b'{"choices":[{"message":{"content":"all at once"}}]}'


def document(body: bytes = JSON, kind: bytes = b"application/json", more: bytes = b"") -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\n%scontent-length: %d\r\n\r\n"
    return head % (kind, more, len(body)) + body


@pytest.mark.parametrize(
    "answer",
    [
        document(),
        document(kind=b"Application/JSON; charset=utf-8"),
        document(b"<html>log in</html>", b"text/html"),
        document(gzip.compress(JSON), more=b"content-encoding: gzip\r\n"),
    ],
    ids=["json", "with a charset", "a page", "packed"],
)
def test_a_plain_document_is_not_a_stream_and_is_shown(peer: Start, answer: bytes) -> None:
    """It is no stream of one token, however well it was answered."""
    server = peer(pieces(answer))
    outcome = streaming(server.url)
    assert outcome.conserved()
    assert outcome.errors == {"not_a_stream": 6}
    assert outcome.histogram("ttft").count == 0
    example = json.loads(outcome.examples[0])
    assert example["message"] == "not a stream"
    assert example["head"] in {JSON.decode(), "<html>log in</html>"}
    assert server.connections == 1


def test_without_a_last_event_any_body_is_a_stream_of_its_pieces(peer: Start) -> None:
    outcome = streaming(peer(pieces(document())).url, stream={"until": None})
    assert outcome.errors == {}
    assert outcome.total("completed") == 6


def test_events_that_come_together_have_no_time_between_them(peer: Start) -> None:
    """Nothing, and not what half the width of the lowest bucket is."""
    handle = pieces(HEAD + chunk(event() + event()) + chunk(DONE) + END)
    gaps = streaming(peer(handle).url).histogram("gap")
    assert gaps.count == 6
    assert [float(value) for value in gaps.buckets()[0]] == [0.0]


def test_a_stream_that_is_cut_or_falls_silent_is_broken(peer: Start) -> None:
    def cut(connection: socket.socket, peer: Peer) -> None:
        peer.read_head(connection)
        connection.sendall(HEAD + chunk(event()))
        time.sleep(0.02)
        reset(connection)

    def silent(connection: socket.socket, peer: Peer) -> None:
        peer.read_head(connection)
        connection.sendall(HEAD + chunk(event()))
        peer.stopped.wait(5)

    for handle in (cut, silent):
        outcome = streaming(peer(handle).url, stream={"silence_s": 0.2})
        assert outcome.conserved()
        assert outcome.errors == {"broken_stream": 6}, handle


def test_a_stream_outlasts_its_silence_as_long_as_something_comes(peer: Start) -> None:
    parts = (HEAD, *[chunk(b": still there\n\n")] * 5, chunk(event() + DONE) + END)
    outcome = streaming(peer(pieces(*parts, wait_s=0.1)).url, stream={"silence_s": 0.3})
    assert outcome.errors == {}
    assert outcome.total("completed") == 6


def test_no_stream_outlasts_the_timeout_and_none_that_never_begins_its_silence(
    peer: Start,
) -> None:
    def endless(connection: socket.socket, peer: Peer) -> None:
        peer.read_head(connection)
        connection.sendall(HEAD)
        while not peer.stopped.wait(0.01):
            connection.sendall(chunk(event()))

    outcome = streaming(peer(endless).url, timeout_s=0.3)
    assert outcome.conserved()
    assert outcome.errors == {"timeout": 6}

    def never(connection: socket.socket, peer: Peer) -> None:
        peer.stopped.wait(5)

    outcome = streaming(peer(never).url, stream={"silence_s": 0.2})
    assert outcome.errors == {"timeout": 6}


def test_an_answer_without_success_is_no_stream(peer: Start) -> None:
    refused = b"HTTP/1.1 503 Busy\r\ncontent-type: text/event-stream\r\ncontent-length: 2\r\n\r\nno"
    outcome = streaming(peer(pieces(refused)).url)
    assert outcome.errors == {"status_5xx": 6}


@pytest.mark.parametrize("version", [1, 2])
def test_the_reference_service_is_measured_as_it_streams(version: int) -> None:
    stream = {"tokens": 5, "ttft_median_s": 0.05, "gap_median_s": 0.01}
    body = {"stream": True, "stream_options": {"include_usage": True}}
    limits = {"ttft_s": 0.001}
    with started(behaviour={"stream": stream}) as (url, _):
        request = {
            "name": "chat", "path": "/v1/chat/completions", "method": "POST",
            "headers": [["content-type", "application/json"]],
            "body": json.dumps(body).replace("{", "{{").replace("}", "}}"),
            "stream": {"until": "[DONE]", "limits": limits},
        }  # fmt: skip
        outcome = run_plan(make_plan(url, requests=[request], http2=version == 2))
    assert outcome.conserved()
    assert (outcome.total("completed"), outcome.errors) == (30, {})
    counts = [s for s in outcome.slices if s["axis"] == "due"]
    assert sum(s["tokens"] for s in counts) == 150
    assert sum(s["good"] for s in counts) == 0, "50 ms is not within 1 ms"
    assert outcome.histogram("gap").count == 30 * 4
    assert (outcome.histogram("ttft").min or 0) >= 49e6
    assert (outcome.histogram("ttfb").min or 0) < 49e6, "the head and the role come at once"


def test_streams_that_the_service_breaks_are_those_that_are_counted_broken() -> None:
    body = json.dumps({"stream": True}).replace("{", "{{").replace("}", "}}")
    with started(behaviour={"stream": {"tokens": 3, "break_ratio": 0.5}}) as (url, _):
        request = {
            "name": "chat", "path": "/v1/chat/completions", "method": "POST", "body": body,
            "stream": {"until": "[DONE]"},
        }  # fmt: skip
        outcome = run_plan(make_plan(url, requests=[request], rate=200, duration=0.5))
    assert outcome.conserved()
    assert set(outcome.errors) == {"broken_stream"}
    assert 30 <= outcome.errors["broken_stream"] <= 70


@pytest.mark.parametrize(
    ("stream", "field"),
    [
        ({"silence_s": 0}, "stream.silence_s"),
        ({"limits": {"ttft_s": -1}}, "stream.limits.ttft_s"),
        ({"limit": {}}, "limit"),
        ({"until": " "}, "stream.until: empty"),
    ],
)
def test_a_bad_field_of_a_stream_is_named(stream: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        streaming("http://127.0.0.1:9", stream=stream)
