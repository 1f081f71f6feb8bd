"""Objectives for streams are judged by the share of streams that broke them, as latency is."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.baseline.measure import conditions
from harness.catalog.model import Objective
from harness.judge import Verdict, judge
from harness.record import RunRecord, RunWriter
from harness.report.run import beside, summary
from harness.report.run_html import render_html
from harness.traffic.endpoints import drain_s, stream_endpoints, with_limits
from harness.traffic.model import Limits, Request, Streaming
from tests.record.synthetic import Made, histogram, messages, plan, service

TTFT = Objective("ttft p95", "time_to_first_token", 0.3, 0.95)
ITL = Objective("itl p95", "inter_token_latency", 0.05, 0.95)
GOODPUT = Objective("goodput", "goodput", 0.95)
TOKENS = 10


@dataclass(frozen=True)
class Streams:
    """A service that answers with streams, `slow` of which keep neither limit."""

    ttft_s: float = 0.2
    itl_s: float = 0.02
    slow: float = 0.0
    broken: float = 0.0
    alone: float = 0.0
    """Share of streams that have one token, and so no time between two."""

    lag_s: float = 0.00005


def made(root: Path, streams: Streams, *objectives: Objective) -> tuple[RunRecord, Verdict]:
    """The run of a chat endpoint, beside one that is no stream, and the verdict on it."""
    usual = plan()
    requests = (
        Request("chat", "POST", "/v1/chat/completions", 3.0, stream=Streaming(limits=Limits())),
        Request("models", "GET", "/v1/models"),
    )
    usual = replace(usual, traffic=replace(usual.traffic, requests=requests))
    broken = streams.broken

    def failures(second: int, endpoint: str, offered: int) -> dict[str, int]:
        count = round(offered * broken) if endpoint == "chat" else 0
        return {"broken_stream": count} if count else {}

    made_run = Made(plan=usual, lag_s=streams.lag_s, failures=failures)
    writer = RunWriter.create(root, service(objectives), usual, {})
    for message in messages(made_run):
        if message["type"] == "slice" and message["slice"]["endpoint"] == "chat":
            message["slice"] = _with_streams(message["slice"], streams)
        writer.message(message)
    record = writer.finish("complete")
    return record, judge(record)


def _with_streams(row: dict[str, Any], streams: Streams) -> dict[str, Any]:
    if row["axis"] == "done":
        return row
    completed = row["completed"]
    slow = round(completed * streams.slow)
    factor = np.array([2.0] * slow + [1.0] * (completed - slow), np.float64)
    ttft, itl = streams.ttft_s * factor, streams.itl_s * factor
    return row | {
        "tokens": TOKENS * completed, "events": TOKENS * completed, "coalesced": 0,
        "good": completed - slow,
        "hist": row["hist"]
        | {"ttfb": histogram(ttft / 2), "ttft": histogram(ttft),
           "itl": histogram(itl[round(completed * streams.alone) :]),
           "gap": histogram(np.repeat(itl, TOKENS - 1)),
           "length": histogram(np.full(completed, TOKENS * 1e-3, np.float64))},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("streams", "words"),
    [
        (Streams(), ["pass", "pass", "pass"]),
        (Streams(ttft_s=0.31), ["fail", "pass", "pass"]),
        (Streams(itl_s=0.06), ["pass", "fail", "pass"]),
        (Streams(ttft_s=0.2, itl_s=0.03, slow=0.2), ["fail", "fail", "fail"]),
        (Streams(broken=0.2), ["fail", "fail", "fail"]),
    ],
    ids=["good", "late", "slow tokens", "one in five slow", "one in five broken"],
)
def test_each_objective_is_judged_on_the_streams_alone(
    tmp_path: Path, streams: Streams, words: list[str]
) -> None:
    """A fifth of the requests is no stream and answered at once; goodput is as the engine saw."""
    _, verdict = made(tmp_path, streams, TTFT, ITL, GOODPUT)
    assert [result.outcome for result in verdict.objectives] == words, verdict.reasons


def test_the_statement_says_what_was_measured_and_its_share(tmp_path: Path) -> None:
    _, verdict = made(tmp_path, Streams(slow=0.2), TTFT, ITL, GOODPUT)
    first, between, good = (result.statement for result in verdict.objectives)
    assert "TTFT p95 400 ms" in first
    assert "20.00 % (" in first
    assert "did not bring a token within 300 ms" in first
    assert "ITL p95 40.0 ms" in between
    assert "Goodput 120/s, 80 %" in good
    assert "95 % is not reached" in good


@pytest.mark.parametrize(("lag_s", "word"), [(0.00001, "fail"), (0.2, "invalid")])
def test_a_late_token_is_never_held_against_a_service_that_was_asked_late(
    tmp_path: Path, lag_s: float, word: str
) -> None:
    """The time between tokens is the service's own, however late the request was."""
    streams = Streams(ttft_s=0.31, itl_s=0.06, lag_s=lag_s)
    _, verdict = made(tmp_path, streams, TTFT, ITL)
    assert [result.outcome for result in verdict.objectives] == [word, "fail"]


def test_goodput_is_no_certain_failure_where_the_generator_may_have_made_them_late(
    tmp_path: Path,
) -> None:
    streams = Streams(ttft_s=0.16, slow=0.2, lag_s=0.2)
    _, verdict = made(tmp_path, streams, TTFT, GOODPUT)
    assert [result.outcome for result in verdict.objectives] == ["invalid", "invalid"]


def test_a_stream_of_one_token_took_no_time_for_the_next(tmp_path: Path) -> None:
    """Where all are, the quantile is known and 0."""
    for alone in (1.0, 0.96):
        _, verdict = made(tmp_path / str(alone), Streams(itl_s=0.06, alone=alone), ITL)
        assert [result.outcome for result in verdict.objectives] == ["pass"]
        assert verdict.objectives[0].estimate == 0


def test_without_streams_their_objectives_are_not_judged(tmp_path: Path) -> None:
    usual = plan()
    writer = RunWriter.create(tmp_path, service((TTFT, ITL, GOODPUT)), usual, {})
    for message in messages(Made(plan=usual)):
        writer.message(message)
    record = writer.finish("complete")
    verdict = judge(record)
    assert [result.outcome for result in verdict.objectives] == [None] * 3
    assert "no request whose answer is a stream" in verdict.objectives[0].statement
    assert beside(record)["streams"] is None


def test_reports_have_the_figures_of_streams_under_the_names_of_aiperf(tmp_path: Path) -> None:
    record, verdict = made(tmp_path, Streams(broken=0.1), TTFT, ITL, GOODPUT)
    found = beside(record)["streams"]["chat"]
    assert found["time_to_first_token"]["p95"] == pytest.approx(200, rel=0.001)
    assert found["inter_token_latency"]["avg"] == pytest.approx(20, rel=0.001)
    assert found["inter_chunk_latency"]["count"] == (TOKENS - 1) * 20 * 135
    assert found["output_sequence_length"]["p50"] == pytest.approx(TOKENS, rel=0.01)
    assert found["output_token_throughput"] == {"unit": "tokens/sec", "avg": TOKENS * 135}
    assert found["goodput"] == {"unit": "requests/sec", "avg": 135}
    assert found["broken_stream_count"]["avg"] == 20 * 15
    assert found["request_latency"]["unit"] == "ms"
    json.dumps(found, allow_nan=False)
    (table,) = [t for t in summary(record, verdict).tables if t.header[0] == "streams (hold)"]
    assert dict(zip(table.header, table.rows[0], strict=True)) == {
        "streams (hold)": "chat", "TTFT p50": "200 ms", "TTFT p95": "200 ms",
        "TTFT p99": "200 ms", "ITL p50": "20.0 ms", "ITL p95": "20.0 ms", "ITL p99": "20.0 ms",
        "gap p99": "20.0 ms", "tokens/s": "1,350", "length": "10", "broken": "300",
        "goodput": "135/s (90 %)",
    }  # fmt: skip
    assert "Streams in the hold" in render_html(record, verdict)


def test_a_good_stream_keeps_the_limits_of_the_objectives_about_it() -> None:
    traffic = plan().traffic
    chat = Request("chat", "POST", "/c", stream=Streaming())
    other = Objective("other", "time_to_first_token", 0.1, 0.95, endpoints=("other*",))
    latency = Objective("p99", "latency", 2.0, 0.99)
    beside = replace(traffic, requests=(replace(chat, name="night/chat", timeout_s=60.0),))
    traffic = replace(traffic, requests=(*traffic.requests, chat), others=(beside,))
    limited = with_limits(traffic, (TTFT, ITL, GOODPUT, other, latency))
    found = limited.requests
    assert limited.others[0].requests[0].stream == Streaming(limits=Limits(0.3, 0.05, 2.0))
    assert stream_endpoints(limited) == ("chat", "night/chat")
    assert stream_endpoints(limited, ("night/*",)) == ("night/chat",)
    assert (drain_s(limited, 10.0), drain_s(plan().traffic, 10.0)) == (60.0, 10.0)
    assert found[:-1] == traffic.requests[:-1]
    assert found[-1].stream == Streaming(limits=Limits(0.3, 0.05, 2.0))


def test_runs_are_compared_whatever_the_limits_and_plain_ones_with_those_of_old() -> None:
    """A baseline's digest of the traffic knew no streams, and objectives are not traffic."""
    chat = Request("chat", "POST", "/c", stream=Streaming())
    usual = plan()
    plans = [
        replace(usual, traffic=replace(usual.traffic, requests=(request,)))
        for request in (chat, replace(chat, stream=Streaming(limits=Limits(0.3))))
    ]
    assert conditions(plans[0], {}).traffic == conditions(plans[1], {}).traffic
    assert conditions(usual, {}).traffic == "memorai d185569d9bfc"
