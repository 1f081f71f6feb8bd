"""A run ends early where it fails for certain or nothing answers, and never for a short stall."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.early_end import CELLS, cell, ended
from harness.catalog.model import Objective
from harness.judge import judge
from harness.judge.early_end import (
    BLOCK_S,
    EarlyDecision,
    EarlyEnd,
    fails_for_certain,
    limits_of,
    most_wealth,
)
from harness.load.plan import LoadPlan
from harness.record import RunRecord, RunWriter
from harness.traffic.model import LoadProfile, Request, Segment, Streaming
from tests.record.synthetic import OBJECTIVES, Made, histogram, messages, plan, record, service

HOLD = 7
"""The second in which the hold of the made-up plan begins."""


def _tick(offered: int, completed: int, failed: int) -> Any:
    return {"type": "tick", "offered": offered, "completed": completed, "failed": failed}


def _decided(made: Made, delay_s: int = 1) -> EarlyDecision | None:
    """What is decided, second by second; reports come so many seconds late."""
    early = EarlyEnd(made.plan, OBJECTIVES)
    for message in messages(made):
        early.add(message)
        if message["type"] == "tick":
            found = early.decide(message["t"] + delay_s)
            if found is not None:
                return found
    return None


def _failing(seconds: Callable[[int], bool], share: float = 1.0) -> Any:
    def failures(second: int, endpoint: str, offered: int) -> dict[str, int]:
        return {"refused": round(offered * share)} if seconds(second) else {}

    return failures


def _long(hold_s: float = 60.0) -> LoadPlan:
    return plan(hold_s=hold_s)


def test_a_sound_run_goes_on_to_its_end() -> None:
    assert _decided(Made(plan=_long())) is None


def test_a_service_that_answers_nothing_is_ended_within_five_seconds_of_the_hold() -> None:
    found = _decided(Made(plan=_long(), failures=_failing(lambda second: True)))
    assert found is not None
    assert found.rule == "no answer"
    assert found.second == HOLD + 5
    assert "No request was answered in the first 12.0 s" in found.reason


def test_a_slow_start_that_answered_once_is_not_dead() -> None:
    made = Made(plan=plan(hold_s=8.0), failures=_failing(lambda second: second != 2))
    assert _decided(made) is None


def test_what_is_still_under_way_may_be_answered_until_it_times_out() -> None:
    """Less than half has failed, and the scenario allows an answer thirty seconds."""
    made = plan(hold_s=60.0)
    slow = replace(made.traffic, requests=(Request("GET", "GET", "/", timeout_s=30.0),))
    early = EarlyEnd(replace(made, traffic=slow), OBJECTIVES)
    early.add(_tick(4_000, 0, 1_900))
    assert early.decide(30.9) is None
    found = early.decide(31.1)
    assert found is not None
    assert found.rule == "no answer"


def test_a_service_that_dies_in_the_hold_is_ended_when_it_fails_for_certain() -> None:
    found = _decided(Made(plan=_long(), failures=_failing(lambda second: second >= HOLD + 8)))
    assert found is not None
    assert found.rule == "certain failure"
    assert HOLD + 16 <= found.second <= HOLD + 22
    assert "missed errors, which allows 12 of the 12,000 that were planned" in found.reason


def test_answers_that_are_all_too_slow_fail_for_certain_too() -> None:
    found = _decided(Made(plan=_long(), median_s=1.0))
    assert found is not None
    assert "missed p95, which allows 600" in found.reason


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("begin", range(HOLD, HOLD + 2 * BLOCK_S))
def test_a_stall_of_up_to_three_seconds_never_ends_a_run(length: int, begin: int) -> None:
    stall = _failing(lambda second: begin <= second < begin + length)
    assert _decided(Made(plan=_long(), failures=stall)) is None


@pytest.mark.parametrize("allowed", [0.05, 0.001, 0.0001, 0.00001])
def test_no_objective_is_so_strict_that_a_stall_ends_a_run(allowed: float) -> None:
    for begin in range(2 * BLOCK_S):
        shares = np.zeros(30)
        shares[begin : begin + 3] = 1.0
        assert ended(shares, allowed) is None


def test_requests_that_the_generator_sent_late_are_not_held_against_the_service() -> None:
    assert _decided(Made(plan=_long(), lag_s=0.5)) is None


@pytest.mark.parametrize("kind", ["in_flight_limit", "local"])
def test_what_failed_at_a_limit_of_the_generator_is_not_either(kind: str) -> None:
    def refused(second: int, endpoint: str, offered: int) -> dict[str, int]:
        return {kind: offered // 2}

    assert _decided(Made(plan=_long(), failures=refused)) is None


@pytest.mark.parametrize(
    "changed",
    [
        LoadProfile("stairs", (Segment("hold", 30, 200, 200), Segment("hold", 30, 400, 400))),
        LoadProfile("ramp", (Segment("hold", 60, 0, 200),)),
        LoadProfile("users", (Segment("hold", 60, 0, 0),), users=8),
        LoadProfile("replay", (Segment("hold", 60, 200, 200),), replay_ns=(0, 1)),
    ],
    ids=["stages", "a ramp", "a closed loop", "a replay"],
)
def test_where_there_is_no_one_rate_only_the_verdict_decides(changed: LoadProfile) -> None:
    early = EarlyEnd(replace(plan(), profile=changed), OBJECTIVES)
    for second in range(40):
        row: Any = {"axis": "due", "second": second, "offered": 200, "completed": 1, "failed": 199,
               "unfinished": 0, "errors": {"refused": 199}, "hist": {}}  # fmt: skip
        early.add({"type": "slice", "worker": 0, "seq": second, "slice": row})
        early.add(_tick(200, 1, 199))
        assert early.decide(second + 1.0) is None


def test_objectives_that_no_request_decides_are_left_to_the_verdict() -> None:
    assert [limit.name for limit in limits_of(OBJECTIVES)] == ["p95", "errors"]


def test_objectives_of_single_endpoints_are_left_to_the_verdict_too() -> None:
    one = replace(OBJECTIVES[2], endpoints=("GET recall",))
    assert not limits_of([one])


def test_a_handful_of_requests_without_an_answer_may_be_chance() -> None:
    early = EarlyEnd(_long(), OBJECTIVES)
    early.add(_tick(19, 0, 19))
    assert early.decide(50.0) is None
    early.add(_tick(20, 0, 20))
    assert early.decide(50.0) is not None


def test_a_hold_without_a_warm_up_may_take_ten_seconds_to_answer() -> None:
    bare = replace(plan(), profile=LoadProfile("constant", (Segment("hold", 60, 200, 200),)))
    early = EarlyEnd(bare, OBJECTIVES)
    early.add(_tick(2_000, 0, 2_000))
    assert early.decide(9.9) is None
    assert early.decide(10.1) is not None


def test_twice_what_is_allowed_ends_a_long_hold_before_its_last_quarter() -> None:
    shares = np.full(300, 0.1)
    assert ended(shares, 0.05) == 228
    assert ended(np.full(300, 0.07), 0.05) is None


def test_an_hour_that_was_good_until_now_costs_no_time() -> None:
    shares = np.concatenate([np.zeros(1800), np.ones(1800)])
    at = ended(shares, 0.001)
    assert at is not None
    assert at <= 1840


def test_objectives_share_the_probability_of_an_error() -> None:
    """Six wholly bad blocks prove a P95 at one in a thousand, seven at one in two thousand."""
    for objectives, blocks in ((OBJECTIVES[:1], 6), (OBJECTIVES, 7)):
        early = EarlyEnd(_long(), objectives)
        for second in range(HOLD, HOLD + 40):
            slow = {"response": histogram([1.0] * 200)}
            row: Any = {"axis": "due", "second": second, "offered": 200, "completed": 200,
                        "failed": 0, "unfinished": 0, "errors": {}, "hist": slow}  # fmt: skip
            early.add({"type": "slice", "worker": 0, "seq": second, "slice": row})
        end = HOLD + blocks * BLOCK_S
        assert early.decide(end - 0.1) is None
        assert early.decide(end + 0.1) is not None


def test_the_wealth_of_a_bet_is_a_test_at_every_look() -> None:
    """Blocks that are wholly bad or wholly good, as often bad as allowed: the largest variance."""
    random = np.random.default_rng(5)
    shares = (random.random((2000, 200)) < 0.05).astype(np.float64)
    exceeded = sum(most_wealth(row, 0.05) >= 20 for row in shares)
    assert exceeded <= 0.05 * 2000


def test_a_run_is_ended_only_where_the_rest_cannot_save_it() -> None:
    """Sixteen bad seconds prove the service bad, but are within what ten minutes allow."""
    assert fails_for_certain(np.ones(12), 0.05, 60.0)
    assert not fails_for_certain(np.ones(8), 0.05, 600.0)
    assert not fails_for_certain(np.ones(2), 0.001, 30.0)


def test_a_run_goes_on_until_three_blocks_were_bad_however_certain_two_are() -> None:
    assert not fails_for_certain(np.ones(2), 0.00001, 30.0)
    assert fails_for_certain(np.ones(3), 0.00001, 30.0)


@pytest.mark.parametrize(("lag_s", "counted"), [(0.009, 10), (0.011, 0)])
def test_a_request_sent_late_by_a_tenth_of_the_objective_says_nothing(
    lag_s: float, counted: int
) -> None:
    slow = {"response": histogram([1.0] * 10), "lag": histogram([lag_s] * 10)}
    row: Any = {"failed": 0, "unfinished": 0, "errors": {}, "hist": slow}
    (latency,) = limits_of(OBJECTIVES[:1])
    assert latency.bad(row) == counted


@pytest.mark.parametrize("each", CELLS, ids=lambda each: each.name)
def test_simulated_services_end_as_often_as_they_should(each: Any) -> None:
    """A small version of the table in benchmarks/RESULTS.md."""
    random = np.random.default_rng(3)
    share, wrong, _ = cell(random, each, 300, 0.05, 60)
    assert wrong == 0
    if each.truth == "bad":
        assert share == 1
    else:
        assert share <= 0.05


def test_the_judged_hold_ends_where_the_run_did(tmp_path: Path) -> None:
    """What was not offered after it is no missing schedule, and the verdict is a failure."""
    made = Made(plan=_long(), failures=_failing(lambda second: second >= HOLD + 8))
    found = _recorded(tmp_path, made)
    (early,) = found.events_of("early_end")
    assert int(found.seconds_of("hold")[-1]) == early["second"] - 1
    verdict = judge(found)
    assert verdict.outcome == "fail"
    assert verdict.exit_code == 1
    offered = next(check for check in verdict.validity if check.name == "offered rate")
    assert offered.ok


def test_a_dead_target_is_a_failure(tmp_path: Path) -> None:
    made = Made(plan=_long(), failures=_failing(lambda second: True))
    verdict = judge(_recorded(tmp_path, made))
    assert (verdict.outcome, verdict.exit_code) == ("fail", 1)


def test_a_whole_run_has_no_early_end(tmp_path: Path) -> None:
    assert not record(tmp_path).events_of("early_end")


def _recorded(root: Path, made: Made) -> RunRecord:
    """The run as it is recorded when it ends early: the load drains for two seconds more."""
    early = EarlyEnd(made.plan, OBJECTIVES)
    writer = RunWriter.create(root, service(), made.plan, {"cores": 4})
    for message in _until(made, early):
        if message["type"] == "early_end":
            writer.event("early_end", **{k: v for k, v in message.items() if k != "type"})
        else:
            writer.message(message)
    return writer.finish("complete")


def _until(made: Made, early: EarlyEnd) -> Iterator[Any]:
    totals = dict.fromkeys(("offered", "completed", "failed", "unfinished"), 0)
    decision = None
    for message in messages(made):
        if message["type"] == "end":
            continue
        early.add(message)
        if message["type"] == "slice" and message["slice"]["axis"] == "due":
            for name in totals:
                totals[name] += message["slice"][name]
        yield message
        if message["type"] == "probe" and decision is None:
            decision = early.decide(message["t"] + 1)
            if decision is not None:
                yield {"type": "early_end", "rule": decision.rule, "second": decision.second,
                       "reason": decision.reason}  # fmt: skip
                break
    yield {"type": "end", "conserved": True, "totals": totals | {"clipped": 0}}


TTFT = Objective("ttft p95", "time_to_first_token", 0.3, 0.95)
ITL = Objective("itl p95", "inter_token_latency", 0.05, 0.95)
GOODPUT = Objective("goodput", "goodput", 0.95)


def _row(second: int, ttft_s: float, itl_s: float, good: int) -> Any:
    times = {"response": histogram(np.full(200, 0.01)), "ttft": histogram(np.full(200, ttft_s)),
             "itl": histogram(np.full(200, itl_s))}  # fmt: skip
    return {"axis": "due", "second": second, "offered": 200, "completed": 200, "failed": 0,
            "unfinished": 0, "errors": {}, "good": good, "hist": times}  # fmt: skip


def _decided_streams(made: LoadPlan, objective: Objective, *row: Any) -> EarlyDecision | None:
    early = EarlyEnd(made, [objective])
    for second in range(HOLD, HOLD + 40):
        early.add({"type": "slice", "worker": 0, "seq": second, "slice": _row(second, *row)})
    early.add(_tick(8_000, 8_000, 0))
    return early.decide(HOLD + 40.0)


@pytest.mark.parametrize(
    ("objective", "bad"),
    [(TTFT, (0.4, 0.01, 200)), (ITL, (0.1, 0.06, 200)), (GOODPUT, (0.1, 0.01, 20))],
    ids=["ttft", "itl", "goodput"],
)
def test_streams_that_miss_their_objectives_for_certain_end_a_run(
    objective: Objective, bad: tuple[float, float, int]
) -> None:
    """Where all that is sent are streams; beside other requests the share would be another."""
    made = _long()
    stream = Request("chat", "POST", "/", stream=Streaming())
    streams = replace(made, traffic=replace(made.traffic, requests=(stream,)))
    found = _decided_streams(streams, objective, *bad)
    assert found is not None
    assert f"missed {objective.name}" in found.reason
    assert _decided_streams(streams, objective, 0.1, 0.01, 200) is None
    mixed = (stream, Request("GET", "GET", "/"))
    beside = replace(made, traffic=replace(made.traffic, requests=mixed))
    assert _decided_streams(beside, objective, *bad) is None
