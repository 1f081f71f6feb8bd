"""The steps of a search as runs of a deployed service: limits, counts, early ends."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.capacity.evidence import judge_observations, least_hold
from harness.capacity.measure import SessionMeasure, StepEnd, observation_of, step_profile
from harness.catalog.model import Objective
from harness.errors import UsageError
from harness.judge import judge
from harness.load.plan import LoadPlan
from harness.session.options import RunOptions
from harness.session.run import Session
from harness.traffic.model import Request, Streaming, TrafficModel
from tests.judge.test_streams import Streams, made
from tests.record.synthetic import Made, plan, service
from tests.record.synthetic import record as run_record


@pytest.mark.parametrize(("slow", "ends"), [(80, True), (52, False)])
def test_a_real_long_hold_is_looked_at_once(slow: int, *, ends: bool) -> None:
    made = plan(rate=1_000.0)
    loaded = LoadPlan(made.target, made.traffic, step_profile(1_000.0, 40.0))
    end = StepEnd(loaded, [Objective("errors", "error_ratio", 0.05)])
    begin = math.ceil(loaded.profile.duration_s - 40.0)
    for second in range(begin, begin + 12):
        row: Any = {"axis": "due", "second": second, "offered": 1_000, "failed": slow,
               "unfinished": 0, "errors": {}, "hist": {}}  # fmt: skip
        end.add({"type": "slice", "worker": 0, "seq": second, "slice": row})
    assert end.decide(begin + 11.9) is None
    assert (end.decide(begin + 12.0) is not None) is ends
    assert end.decide(begin + 13.0) is None


def test_a_cold_service_warms_up_at_half_the_rate() -> None:
    lead, ramp, hold = step_profile(1_000.0, 10.0, lead_s=8.0).segments
    assert (lead.duration_s, lead.from_rate, lead.to_rate) == (8.0, 500.0, 500.0)
    assert (ramp.phase, hold.phase, hold.from_rate) == ("warmup", "hold", 1_000.0)


def _loaded(rate: float) -> LoadPlan:
    made = plan(rate=rate)
    return LoadPlan(made.target, made.traffic, step_profile(rate, 10.0))


@pytest.mark.parametrize(
    ("now", "under_way", "ends"), [(9.5, 1_500, True), (8.0, 1_500, False), (9.5, 1_000, False)]
)
def test_a_real_step_ends_when_its_requests_under_way_have_lost_it(
    now: float, under_way: int, *, ends: bool
) -> None:
    end = StepEnd(_loaded(1_000.0), [Objective("p95", "latency", 0.1, 0.95)])
    tick: Any = {"type": "tick", "in_flight": under_way, "completed": 10, "offered": 5_000}
    end.add(tick)
    assert (end.decide(now) is not None) is ends


@pytest.mark.parametrize(("endpoints", "ends"), [((), True), (("GET recall",), False)])
def test_a_limit_of_one_endpoint_does_not_end_a_step_of_all(
    endpoints: tuple[str, ...], *, ends: bool
) -> None:
    end = StepEnd(_loaded(1_000.0), [Objective("p95", "latency", 0.1, 0.95, endpoints)])
    tick: Any = {"type": "tick", "in_flight": 1_500, "completed": 10, "offered": 5_000}
    end.add(tick)
    assert (end.decide(9.5) is not None) is ends


def test_an_objective_of_one_endpoint_is_judged_by_its_requests_alone(tmp_path: Path) -> None:
    """One request in four writes, and every other write fails."""
    reads = Objective("reads", "error_ratio", 0.02, endpoints=("GET *",))
    writes = Objective("writes", "error_ratio", 0.2, endpoints=("POST <store>",))

    def failures(second: int, endpoint: str, offered: int) -> dict[str, int]:
        return {"status_500": offered // 2} if endpoint.startswith("POST") else {}

    stored = run_record(tmp_path, Made(failures=failures), of=service((reads, writes)))
    limits = SessionMeasure(replace(_session(plan().traffic), service=stored.service)).limits
    assert [limit.part for limit in limits] == [0.75, 0.25]
    assert least_hold(limits[1:], 100.0) == 4 * least_hold([replace(limits[1], part=1.0)], 100.0)
    found = observation_of(stored, judge(stored), limits, 200.0, 20.0, None)
    assert found.asked.sum(axis=1).tolist() == [3_000, 1_000]
    assert found.bad.sum(axis=1).tolist() == [0, 500]
    assert judge_observations(limits[:1], [replace(found, asked=found.asked[:1])]).outcome == "held"
    assert judge_observations(limits, [found]).reason.startswith("writes: 50.00 % failed")


STREAMS = (
    Objective("ttft p95", "time_to_first_token", 0.3, 0.95),
    Objective("itl p95", "inter_token_latency", 0.05, 0.95),
    Objective("goodput", "goodput", 0.9),
)


def _session(traffic: TrafficModel) -> Session:
    nothing: Any = None
    here = Path()
    return Session(RunOptions("chat"), service(STREAMS), traffic, nothing, nothing, here, here)


def _streaming(*more: Request) -> TrafficModel:
    stream = Request("chat", "POST", "/", stream=Streaming())
    return replace(plan().traffic, requests=(stream, *more))


def test_objectives_for_streams_are_limits_of_a_search() -> None:
    """Each by what it says itself; none of them a latency that bounds what is under way."""
    limits = SessionMeasure(_session(_streaming())).limits
    assert [(x.name, round(x.allowed, 3), x.latency_s) for x in limits] == [
        ("ttft p95", 0.05, None), ("itl p95", 0.05, None), ("goodput", 0.1, None),
    ]  # fmt: skip


@pytest.mark.parametrize(("slow", "broken"), [(0.0, 0.0), (0.25, 0.0), (0.0, 0.5)])
def test_a_step_counts_the_streams_that_broke_each_objective(
    tmp_path: Path, slow: float, broken: float
) -> None:
    record, verdict = made(tmp_path, Streams(itl_s=0.03, slow=slow, broken=broken), *STREAMS)
    only = replace(record.plan.traffic, requests=record.plan.traffic.requests[:1])
    limits = SessionMeasure(_session(only)).limits
    found = observation_of(record, verdict, limits, 200.0, 20.0, None)
    streams = record.series("due", "chat").offered[record.seconds_of("hold")]
    bad = round(float(streams.sum()) * (slow + broken))
    for row in found.bad[:2]:
        assert int(row.sum()) == pytest.approx(bad, rel=0.02, abs=1)
    plain = int(record.series("due", "models").offered[record.seconds_of("hold")].sum())
    assert int(found.bad[2].sum()) == pytest.approx(bad + plain, rel=0.02, abs=1)


def test_a_search_whose_rate_is_not_that_of_its_objectives_is_refused() -> None:
    with pytest.raises(UsageError, match=r"ttft p95, itl p95, goodput: .*GET plain"):
        SessionMeasure(_session(_streaming(Request("GET plain", "GET", "/"))))
    crawler = replace(_streaming(), population="crawler", load="5/s")
    several = replace(_streaming(), population="shopper", others=(crawler,))
    with pytest.raises(UsageError, match="of one population, and it has shopper, crawler"):
        SessionMeasure(_session(several))
