"""The verdict: what the hold shows, and nothing that it cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.catalog.model import Objective, Service
from harness.errors import RecordError
from harness.judge import Verdict, judge, objectives
from harness.judge.evidence import Evidence, machine_delays
from harness.judge.model import ObjectiveResult, load_verdict
from harness.record import RunRecord
from harness.storage import write_json
from tests.record.synthetic import OBJECTIVES, Made, plan, record, service


def _result(verdict: Verdict, name: str) -> ObjectiveResult:
    return next(result for result in verdict.objectives if result.objective.name == name)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return record(tmp_path_factory.mktemp("results"))


def test_a_service_that_keeps_its_promises_passes(sound: RunRecord) -> None:
    verdict = judge(sound)
    assert verdict.outcome == "pass"
    assert verdict.exit_code == 0
    assert verdict.valid
    assert verdict.hold == (7, 27)
    p95 = _result(verdict, "p95")
    assert p95.low is not None
    assert p95.estimate is not None
    assert p95.high is not None
    assert p95.low < p95.estimate < p95.high < 0.1


def test_a_slow_service_fails_with_the_numbers(tmp_path: Path) -> None:
    verdict = judge(record(tmp_path, Made(median_s=0.06)))
    assert verdict.outcome == "fail"
    assert verdict.exit_code == 1
    assert _result(verdict, "p95").outcome == "fail"
    assert verdict.reasons[0].startswith("p95 ")
    assert "is not below 100 ms" in verdict.reasons[0]


def test_slowness_outside_the_hold_does_not_count(tmp_path: Path) -> None:
    made = Made(slow=lambda second: 1.0 if 7 <= second < 27 else 50.0)
    assert judge(record(tmp_path, made)).outcome == "pass"


def test_the_interval_decides_not_the_estimate(sound: RunRecord) -> None:
    found = _result(judge(sound), "p95")
    assert found.low is not None
    assert found.estimate is not None
    assert found.high is not None

    def against(threshold: float) -> str | None:
        objective = Objective("p95", "latency", threshold, 0.95)
        return judge(sound, service((objective,))).objectives[0].outcome

    assert against(found.high * 1.001) == "pass"
    assert against((found.estimate + found.high) / 2) == "inconclusive"
    assert against((found.low + found.estimate) / 2) == "inconclusive"
    assert against(found.low * 0.999) == "fail"


def test_a_quantile_near_the_objective_is_inconclusive_and_priced(tmp_path: Path) -> None:
    made = Made(median_s=0.0375, slow=lambda second: 1 + 0.15 * (-1) ** (second // 4))
    result = _result(judge(record(tmp_path, made)), "p95")
    assert result.outcome == "inconclusive"
    assert "would tell" in result.statement or "too close" in result.statement


def test_unfinished_requests_are_errors(tmp_path: Path) -> None:
    verdict = judge(record(tmp_path, Made(unfinished=100)))
    errors = _result(verdict, "errors")
    assert errors.estimate == pytest.approx(100 / 4000)
    assert "A stall of 1.00 s at second 20" in errors.statement


def test_steady_errors_get_the_exact_interval_and_clustered_ones_a_wider(tmp_path: Path) -> None:
    def steady(second: int, endpoint: str, offered: int) -> dict[str, int]:
        return {"timeout": 2}

    def burst(second: int, endpoint: str, offered: int) -> dict[str, int]:
        return {"timeout": 20} if second in {12, 20} else {}

    even = _result(judge(record(tmp_path, Made(failures=steady))), "errors")
    uneven = _result(judge(record(tmp_path, Made(failures=burst))), "errors")
    assert even.estimate == uneven.estimate == pytest.approx(80 / 4000)
    assert even.method is not None
    assert uneven.method is not None
    assert "exact binomial" in even.method
    assert "clusters" in uneven.method
    assert even.low is not None
    assert uneven.low is not None
    assert uneven.low < even.low
    assert even.outcome == "fail"


def test_a_request_without_a_good_answer_was_not_answered_in_time(tmp_path: Path) -> None:
    made = Made(failures=lambda second, endpoint, offered: {"timeout": offered // 10})
    p95 = _result(judge(record(tmp_path, made)), "p95")
    assert p95.outcome == "fail"
    assert p95.estimate is None, "a tenth never got one, so no time holds 95 %"
    assert "beyond every answer" in p95.statement


def test_a_profile_below_the_objective_does_not_test_it_and_may_still_pass(
    tmp_path: Path,
) -> None:
    high = (OBJECTIVES[0], Objective("throughput", "throughput", 10_000.0))
    verdict = judge(record(tmp_path), service(high))
    result = _result(verdict, "throughput")
    assert result.outcome is None
    assert "Not tested at 10,000/s" in result.statement
    assert "offered only 200/s" in result.statement
    assert verdict.outcome == "pass"
    assert result.statement in verdict.reasons


def test_a_service_that_falls_behind_misses_its_throughput(tmp_path: Path) -> None:
    made = Made(failures=lambda second, endpoint, offered: {"timeout": offered // 20})
    assert _result(judge(record(tmp_path, made)), "throughput").outcome == "fail"


def test_what_the_error_objective_allows_does_not_miss_the_throughput(tmp_path: Path) -> None:
    made = Made(
        plan=plan(rate=2000.0),
        failures=lambda second, endpoint, offered: {"timeout": 1} if endpoint[0] == "G" else {},
    )
    verdict = judge(record(tmp_path, made), service((
        Objective("throughput", "throughput", 2000.0), Objective("errors", "error_ratio", 0.001),
    )))  # fmt: skip
    assert _result(verdict, "throughput").outcome == "pass"


def test_a_closed_loop_can_show_throughput_but_not_the_lack_of_it(tmp_path: Path) -> None:
    made = Made(plan=plan(users=8))
    low = judge(record(tmp_path, made), service((Objective("t", "throughput", 190.0),)))
    high = judge(record(tmp_path, made), service((Objective("t", "throughput", 5000.0),)))
    assert low.outcome == "pass"
    assert high.objectives[0].outcome is None
    assert "8 users in a closed loop" in high.objectives[0].statement
    assert high.outcome == "inconclusive", "a run that tested nothing passes nothing"


def test_a_latency_of_a_closed_loop_is_labelled_in_its_statement(tmp_path: Path) -> None:
    latency = service((OBJECTIVES[0],))
    label = "Closed model: from the actual start; no arrival rate is offered."
    found = judge(record(tmp_path, Made(plan=plan(users=8))), latency)
    assert found.objectives[0].statement.endswith(label)
    assert label not in judge(record(tmp_path, Made()), latency).objectives[0].statement


def test_few_slices_cannot_show_four_nines_and_do_not_block_a_pass(sound: RunRecord) -> None:
    result = _result(judge(sound), "availability")
    assert result.outcome is None
    assert "1 of 1 slice of 1 minute was good" in result.statement
    assert "99.99 % takes 25d 14h" in result.statement


def test_a_bad_slice_of_a_short_hold_is_listed_and_not_judged(tmp_path: Path) -> None:
    made = Made(slow=lambda second: 20.0 if 10 <= second < 20 else 1.0)
    result = _result(judge(record(tmp_path, made)), "availability")
    assert result.outcome is None
    assert "the bad: from second 7" in result.statement


def _availability(threshold: float, window_s: float) -> Service:
    availability = Objective("availability", "availability", threshold, window_s=window_s)
    return service((OBJECTIVES[0], availability))


@pytest.mark.parametrize(("seconds", "outcome"), [({10, 11}, None), ({10, 11, 15}, "fail")])
def test_three_bad_slices_of_the_declared_window_rule_the_objective_out(
    tmp_path: Path, seconds: set[int], outcome: str | None
) -> None:
    made = Made(slow=lambda second: 20.0 if second in seconds else 1.0)
    verdict = judge(record(tmp_path, made), _availability(0.9999, 1.0))
    assert _result(verdict, "availability").outcome == outcome


def test_a_second_whose_own_interval_holds_the_objective_is_no_bad_slice(tmp_path: Path) -> None:
    made = Made(failures=lambda s, e, n: {"timeout": 1} if (s, e[0]) == (9, "G") else {})
    errors = Objective("errors", "error_ratio", 0.001)
    found = record(tmp_path, made, of=service((*_availability(0.9999, 1.0).objectives, errors)))
    assert "20 of 20 slices" in _result(judge(found), "availability").statement


def test_enough_good_slices_pass_a_modest_objective(sound: RunRecord) -> None:
    verdict = judge(sound, _availability(0.8, 1.0))
    assert _result(verdict, "availability").outcome == "pass"


def test_a_short_hold_is_inconclusive_not_invalid(tmp_path: Path) -> None:
    verdict = judge(record(tmp_path, Made(plan=plan(hold_s=6.0))))
    assert verdict.outcome == "inconclusive"
    assert verdict.exit_code == 3
    assert any("hold for at least 10 s" in reason for reason in verdict.reasons)


def test_a_certain_failure_outweighs_a_busy_generator(tmp_path: Path) -> None:
    verdict = judge(record(tmp_path, Made(median_s=0.06, cpu=0.99)))
    assert verdict.outcome == "fail"
    assert not verdict.valid
    assert "is not below 100 ms" in verdict.reasons[0]
    assert any("99 % of a core" in reason for reason in verdict.reasons)


def test_a_miss_that_the_generators_lateness_explains_is_invalid(tmp_path: Path) -> None:
    verdict = judge(record(tmp_path, Made(median_s=0.02, lag_s=0.04)))
    assert _result(verdict, "p95").outcome == "invalid"
    assert verdict.outcome == "invalid"
    assert "explain up to" in verdict.reasons[0]


def test_a_lateness_of_milliseconds_does_not_explain_seconds(tmp_path: Path) -> None:
    verdict = judge(record(tmp_path, Made(lag_s=0.002, slow=lambda s: 200.0 if s > 18 else 1.0)))
    assert verdict.outcome == "fail"


def test_a_late_generator_does_not_excuse_an_answer(tmp_path: Path) -> None:
    made = Made(lag_s=0.02, failures=lambda s, e, n: {"status_5xx": n // 40})
    verdict = judge(record(tmp_path, made))
    assert verdict.outcome == "fail"
    assert _result(verdict, "errors").outcome == "fail"


def test_what_the_generator_refused_itself_is_no_error_of_the_service(tmp_path: Path) -> None:
    made = Made(failures=lambda s, e, n: {"local": n // 10})
    verdict = judge(record(tmp_path, made))
    assert _result(verdict, "errors").outcome == "invalid"
    assert verdict.outcome == "invalid"


def test_a_lost_worker_makes_everything_invalid(tmp_path: Path) -> None:
    lost = {"type": "worker_lost", "worker": 2, "shards": 4, "last_seq": 17, "from_second": 18,
            "reason": "killed", "unknown": "seconds"}  # fmt: skip
    verdict = judge(record(tmp_path, Made(median_s=0.2, messages=(lost,))))
    assert verdict.outcome == "invalid"
    assert "worker 2 is unknown" in verdict.reasons[0]


def test_an_objective_whose_check_crashes_is_inconclusive_and_names_the_exception(
    sound: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(objectives, "judge_share", broken)
    verdict = judge(sound)
    assert _result(verdict, "p95").outcome == "inconclusive"
    assert "ZeroDivisionError: by zero" in _result(verdict, "p95").statement
    assert verdict.outcome == "inconclusive"


def test_a_run_that_never_held_is_judged_without_a_crash(tmp_path: Path) -> None:
    verdict = judge(record(tmp_path, Made(stop_at=2, end=None)))
    assert verdict.outcome == "invalid"
    assert verdict.hold is None
    assert all(result.estimate is None for result in verdict.objectives)
    empty = judge(record(tmp_path, Made(stop_at=0, end=None)))
    assert empty.outcome == "invalid"


def test_a_verdict_reads_back_as_it_was_written(sound: RunRecord, tmp_path: Path) -> None:
    verdict = judge(sound)
    path = tmp_path / "verdict.json"
    write_json(path, verdict.as_dict())
    assert load_verdict(path) == verdict
    assert load_verdict(tmp_path / "none.json") is None


@pytest.mark.parametrize("content", ["{", '{"schema": 99}', '{"schema": 1, "outcome": "maybe"}'])
def test_a_damaged_verdict_is_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "verdict.json"
    path.write_text(content)
    with pytest.raises(RecordError, match=r"verdict\.json"):
        load_verdict(path)


def test_a_constant_latency_has_an_interval_of_no_width(tmp_path: Path) -> None:
    found = _result(judge(record(tmp_path, Made(sigma=0.0, lag_s=0.0))), "p95")
    assert found.low == found.estimate == found.high == pytest.approx(0.01, rel=0.01)


def test_an_objective_for_one_endpoint_is_judged_on_it_alone(tmp_path: Path) -> None:
    made = Made(failures=lambda s, e, n: {"status_5xx": n // 10} if e[0] == "P" else {})
    found = record(tmp_path, made)
    errors = (
        Objective("get", "error_ratio", 0.01, endpoints=("GET *",)),
        Objective("post", "error_ratio", 0.01, endpoints=("POST <store>",)),
        Objective("gone", "error_ratio", 0.01, endpoints=("DELETE *",)),
    )
    verdict = judge(found, service((OBJECTIVES[0], *errors)))
    assert [result.outcome for result in verdict.objectives[1:]] == ["pass", "fail", None]
    assert _result(verdict, "post").scope == "POST <store>"
    assert "the endpoints are GET recall, POST <store>" in _result(verdict, "gone").statement


def test_a_group_of_endpoints_is_judged_together(tmp_path: Path) -> None:
    both = Objective("both", "latency", 0.1, 0.95, ("GET *", "POST *"))
    verdict = judge(record(tmp_path), service((OBJECTIVES[0], both)))
    assert _result(verdict, "both").estimate == _result(verdict, "p95").estimate


def test_a_queue_that_grows_misses_the_throughput_though_nothing_was_lost(tmp_path: Path) -> None:
    found = record(tmp_path, Made(plan=plan(hold_s=30)))
    rows = [
        row | {"completed": round(row["completed"] * 0.9)} if row["axis"] == "done" else row
        for row in found.slices
    ]
    found.__dict__["_slices"] = (rows, False)
    result = _result(judge(found), "throughput")
    assert result.outcome == "fail"
    assert "a queue grew by 10" in result.statement


def test_one_stall_at_the_end_is_no_queue(tmp_path: Path) -> None:
    found = record(tmp_path, Made(plan=plan(hold_s=30)))
    rows = [
        row | {"completed": 0} if (row["axis"], row["second"]) == ("done", 36) else row
        for row in found.slices
    ]
    found.__dict__["_slices"] = (rows, False)
    assert _result(judge(found), "throughput").outcome == "pass"


@pytest.mark.parametrize(("rate", "word"), [(10.0, None), (400.0, "pass")])
def test_errors_that_a_run_is_too_small_to_confirm_are_not_judged(
    tmp_path: Path, rate: float, word: str | None
) -> None:
    verdict = judge(record(tmp_path, Made(plan=plan(rate=rate))), service(
        (OBJECTIVES[0], OBJECTIVES[2])
    ))  # fmt: skip
    errors = _result(verdict, "errors")
    assert errors.outcome == word
    assert verdict.outcome == "pass"
    if word is None:
        assert "0 of 200 requests failed; 3,688 without a bad one would show it: 6m 09s" in (
            errors.statement
        )


def test_a_run_that_could_not_judge_its_latency_does_not_pass(tmp_path: Path) -> None:
    verdict = judge(record(tmp_path, Made(plan=plan(rate=3.0))))
    assert _result(verdict, "p95").outcome is None
    assert verdict.outcome == "inconclusive"


def test_a_bound_never_leaves_what_was_observed(tmp_path: Path) -> None:
    made = Made(plan=plan(hold_s=30), slow=lambda second: 200.0 if second == 20 else 1.0)
    found = record(tmp_path, made)
    p95 = _result(judge(found), "p95")
    whole = found.distribution("response")
    assert p95.low is not None
    assert p95.estimate is not None
    assert whole.values[0] <= p95.low <= p95.estimate
    assert p95.high is None or p95.estimate <= p95.high <= whole.values[-1]


def test_stolen_processor_time_explains_its_share_of_a_second(tmp_path: Path) -> None:
    made = Made(plan=plan(hold_s=30), slow=lambda second: 20.0 if second in {12, 13} else 1.0)
    found = record(tmp_path, made)
    assert judge(found).outcome == "inconclusive"
    assert all(r.outcome != "invalid" for r in judge(found).objectives)
    ticks = [
        e | {"steal": 0.9} if e["type"] == "tick" and 12 <= e["t"] < 15 else e for e in found.events
    ]
    stolen = RunRecord.load(found.directory)
    stolen.__dict__["events"] = tuple(ticks)
    assert _result(judge(stolen), "p95").outcome == "invalid"


@pytest.mark.parametrize(("lost", "outcome"), [(1, "pass"), (4, "fail")])
def test_without_an_error_objective_one_in_a_thousand_may_be_lost_to_throughput(
    tmp_path: Path, lost: int, outcome: str
) -> None:
    made = Made(
        plan=plan(rate=2000.0),
        failures=lambda s, e, n: {"timeout": lost} if e[0] == "G" else {},
    )
    alone = service((Objective("throughput", "throughput", 2000.0),))
    found = record(tmp_path, made, of=alone)
    assert judge(found, alone).objectives[0].outcome == outcome


def test_without_a_latency_objective_a_second_of_requests_may_be_under_way() -> None:
    assert objectives.DEFAULT_QUEUE_S == 1.0


def test_a_lag_below_half_a_millisecond_explains_nothing() -> None:
    late, early = _with_lag(0.0006), _with_lag(0.0005)
    assert early.certainly_beyond(0.1).sum() == early.beyond(0.1).sum() == 200
    assert late.certainly_beyond(0.1).sum() == 0


def _with_lag(lag_s: float) -> Evidence:
    """Two seconds of 100 requests that took 100.5 ms, each sent late by `lag_s`."""
    offered, zero, counts = np.full(2, 100), np.zeros(2, np.int64), np.full((2, 1), 100)
    return Evidence(
        seconds=np.arange(2), offered=offered, lost=zero, own=zero, completed=offered, failed=zero,
        done=offered, values=np.array([0.1005]), counts=counts, lag_values=np.array([lag_s]),
        lag_counts=counts, delays=np.zeros(2),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("event", "delay_s"),
    [
        ({"type": "probe", "second": 9, "p99_ns": 1_000_000}, 0.0),
        ({"type": "probe", "second": 9, "p99_ns": 1_100_000}, 0.0011),
        ({"type": "tick", "t": 9.9, "steal": 0.05}, 0.0),
        ({"type": "tick", "t": 9.9, "steal": 0.06}, 0.06),
        ({"type": "clock_jump", "t": 9.9, "seconds": -2.0}, 2.0),
    ],
)
def test_the_machine_explains_what_it_was_seen_to_delay(
    tmp_path: Path, event: dict[str, object], delay_s: float
) -> None:
    found = record(tmp_path)
    found.__dict__["events"] = (event,)
    delays = machine_delays(found)
    assert delays[9] == pytest.approx(delay_s)
    assert delays[10:].sum() == 0


def test_a_service_that_failed_throughout_had_no_stall(tmp_path: Path) -> None:
    verdict = judge(record(tmp_path, Made(failures=lambda s, e, n: {"status_5xx": n})))
    errors = _result(verdict, "errors")
    assert errors.outcome == "fail"
    assert "4,000 of 4,000 requests failed, 20 seconds in a row from second 7" in errors.statement
