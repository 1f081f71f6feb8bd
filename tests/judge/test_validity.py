"""Each way in which the generator can spoil a measurement makes the run invalid and says why."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.catalog.model import Objective
from harness.judge import judge, validity
from harness.judge.model import ValidityCheck
from harness.judge.schedule import bound_is_too_low, scheduled_requests
from harness.judge.validity import check_validity
from harness.load.plan import LoadPlan
from harness.record import RunRecord, RunWriter
from harness.traffic.model import Journey, Segment
from tests.record.synthetic import Made, plan, record, service


def _check(found: RunRecord, name: str) -> ValidityCheck:
    return next(check for check in check_validity(found) if check.name == name)


def test_a_sound_run_holds_every_check(tmp_path: Path) -> None:
    checks = check_validity(record(tmp_path))
    assert [check.name for check in checks if check.ok is not True] == []
    assert len({check.name for check in checks}) == 12


def test_requests_under_way_when_a_harness_was_killed_are_no_defect_of_it(tmp_path: Path) -> None:
    """The last second of the record knows when they were due and not yet when they were done."""
    found = record(tmp_path, Made(stop_at=12, end=None))
    path = found.directory / "slices.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    kept = [row for row in rows if (row["second"], row["axis"]) != (11, "done")]
    assert len(kept) < len(rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in kept))
    check = _check(RunRecord.load(found.directory), "conserved")
    assert check.ok, check.reason


LOST = {"type": "worker_lost", "worker": 2, "shards": 4, "last_seq": 17, "from_second": 18,
        "reason": "killed", "unknown": "seconds"}  # fmt: skip


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ((), "worker 2 is unknown"),
        (("Running",), "worker 2 is unknown"),
        (("Running", "Failed: Evicted; low on memory"),
         "worker 2 (pod load-worker-1-x7k2p: Failed: Evicted; low on memory) is unknown"),
        (("Terminating", "Failed: OOMKilled (exit code 137)"), "OOMKilled (exit code 137)) is"),
        (("gone",), "worker 2 (pod load-worker-1-x7k2p: gone) is unknown from second 18 on"),
    ],
)  # fmt: skip
def test_a_lost_worker_is_named_with_its_second_and_what_became_of_its_pod(
    tmp_path: Path, states: tuple[str, ...], said: str
) -> None:
    """And not with what became of another one's."""
    lost = {**LOST, "reason": "load-worker-1_4f2a is gone: it ended, or is out of reach"}
    pods = [
        {"type": "load_pod", "pod": pod, "node": "n", "state": state}
        for pod, told in (("load-worker-1-x7k2p", states), ("load-worker-11-q", ("Failed: a; b",)))
        for state in told
    ]
    check = _check(record(tmp_path, Made(messages=(*pods, lost))), "workers")
    assert said in check.reason
    assert "q: Failed" not in check.reason


@pytest.mark.parametrize(
    ("made", "name", "figures", "words"),
    [
        (Made(lag_s=0.02), "generator lag", "latency", "late at p99"),
        (Made(cpu=0.95), "generator cpu", "latency", "95 % of a core"),
        (Made(probe_ns=60e6), "control probe", "latency", "60.0 ms"),
        (Made(clock_jump_ns=3_000_000_000_000), "clock", "latency", "jumped"),
        (Made(clipped=3), "clipping", "latency", "3 latencies"),
        (Made(end={"conserved": False}), "conserved", "all", "does not close"),
        (Made(end=None), "ended", "all", "failed"),
        (Made(messages=(LOST,)),
         "workers", "all", "worker 2 is unknown from second 18 on"),
        (Made(plan=replace(plan(), max_in_flight=10),
              failures=lambda s, e, n: {"in_flight_limit": n // 10}),
         "offered rate", "load", "generator's own bound"),
    ],
)  # fmt: skip
def test_a_broken_check_says_which_figures_it_makes_worthless(
    tmp_path: Path, made: Made, name: str, figures: str, words: str
) -> None:
    found = record(tmp_path, made)
    check = _check(found, name)
    assert check.ok is False
    assert check.costs == "invalid"
    assert check.figures == figures
    assert words in check.reason
    assert check.remedy
    verdict = judge(found)
    assert not verdict.valid, "it cannot become a baseline"
    assert verdict.spoilt == check.reason
    assert any(check.reason in reason for reason in verdict.reasons)
    # Latencies contain every lateness, so those that hold all the same do hold.
    assert verdict.outcome == ("pass" if figures == "latency" else "invalid")


def test_stolen_processor_time_is_invalid(tmp_path: Path) -> None:
    found = record(tmp_path)
    ticks = [event | {"steal": 0.2} if event["type"] == "tick" else event for event in found.events]
    found.__dict__["events"] = tuple(ticks)
    assert _check(found, "stolen cpu").ok is False


def test_a_missing_report_of_a_worker_is_noticed_by_its_number(tmp_path: Path) -> None:
    found = record(tmp_path)
    path = found.directory / "slices.jsonl"
    rows = [line for line in path.read_text().splitlines() if '"seq":21,' not in line]
    path.write_text("\n".join(rows) + "\n")
    again = RunRecord.load(found.directory)
    assert _check(again, "workers").ok is False
    assert _check(again, "conserved").ok is False


def test_a_lag_that_is_small_in_absolute_terms_is_no_reproach(tmp_path: Path) -> None:
    found = record(tmp_path, Made(median_s=0.0005, lag_s=0.0001))
    assert _check(found, "generator lag").ok is True


@pytest.mark.parametrize(("lag_s", "ok"), [(0.0015, True), (0.003, False)])
def test_a_lag_counts_from_a_tenth_of_the_response_on(
    tmp_path: Path, lag_s: float, *, ok: bool
) -> None:
    found = record(tmp_path, Made(median_s=0.02, lag_s=lag_s))
    lag, response = (found.distribution(name).quantile(0.99) or 0 for name in ("lag", "response"))
    assert lag > validity.LAG_FLOOR_S
    assert 0.05 < lag / response < 0.2  # neither half of the limit nor twice as much decides
    assert _check(found, "generator lag").ok is ok


def test_an_interruption_costs_certainty_but_not_validity(tmp_path: Path) -> None:
    found = record(tmp_path, Made(stop_at=20))
    found.meta["state"] = "interrupted"
    verdict = judge(found)
    assert verdict.valid
    assert verdict.outcome == "inconclusive"
    assert any("interrupted after" in reason for reason in verdict.reasons)


def test_a_generator_that_dies_without_a_word_is_invalid(tmp_path: Path) -> None:
    found = record(tmp_path, Made(end=None))
    found.meta["state"] = "complete"
    found.__dict__["events"] = ({"type": "child_died", "code": -9, "stderr": "a\nKilled\n"},)
    reason = _check(found, "ended").reason
    assert reason == "The load generator died without its last message (exit code -9: Killed)."


def test_what_the_generator_reports_as_its_own_fault_is_invalid(tmp_path: Path) -> None:
    found = record(tmp_path, Made(end={"conserved": True, "errors": ["cannot resolve x"]}))
    assert "cannot resolve x" in _check(found, "ended").reason
    assert judge(found).outcome == "invalid"


def test_a_clock_jump_seen_by_the_generator_counts(tmp_path: Path) -> None:
    found = record(tmp_path, Made(messages=({"type": "clock_jump", "seconds": -2.5, "t": 12.0},)))
    assert "2.50 s" in _check(found, "clock").reason


def test_a_pile_that_only_a_failing_service_can_make_is_the_services_fault(
    tmp_path: Path,
) -> None:
    made = Made(failures=lambda second, endpoint, offered: {"in_flight_limit": offered // 10})
    found = record(tmp_path, made)
    check = _check(found, "offered rate")
    assert check.ok is True
    assert "count as its errors" in check.reason
    assert judge(found).outcome == "fail"


def test_the_bound_is_judged_by_littles_law(tmp_path: Path) -> None:
    found = record(tmp_path, Made(stop_at=1))
    # p95 < 100 ms and a timeout of 10 s: a mean of 0.95 * 0.1 + 0.05 * 10 = 0.595 s at most
    assert not bound_is_too_low(found, 20_000 / 0.596)
    assert bound_is_too_low(found, 20_000 / 0.594)
    other = record(tmp_path, Made(stop_at=1), of=service((Objective("e", "error_ratio", 0.1),)))
    assert bound_is_too_low(other, 1.0), "without a latency objective nothing can be inferred"


def test_an_offered_rate_that_was_missed_is_invalid(tmp_path: Path) -> None:
    found = record(tmp_path)
    segments = tuple(
        replace(segment, from_rate=220.0, to_rate=220.0) if segment.phase == "hold" else segment
        for segment in found.plan.profile.segments
    )
    promised = replace(found.plan, profile=replace(found.plan.profile, segments=segments))
    check = _check(replace(found, plan=promised), "offered rate")
    assert check.ok is False
    assert "Only 4,000 of 4,400" in check.reason


@pytest.mark.parametrize(
    ("made", "name", "ok"),
    [
        (Made(cpu=0.85), "generator cpu", True),
        (Made(messages=({"type": "clock_jump", "seconds": 0.08, "t": 12.0},)), "clock", True),
        (Made(messages=({"type": "clock_jump", "seconds": 0.15, "t": 12.0},)), "clock", False),
    ],
)
def test_a_busy_core_and_a_stepped_clock_count_from_their_limits_on(
    tmp_path: Path, made: Made, name: str, *, ok: bool
) -> None:
    assert _check(record(tmp_path, made), name).ok is ok


@pytest.mark.parametrize(
    ("spacing", "rate", "ok"),
    [
        ("constant", 200.2, True), ("constant", 200.35, False),
        ("poisson", 215.0, True), ("poisson", 218.0, False),
    ],
)  # fmt: skip
def test_one_request_in_a_thousand_may_be_missing_and_what_chance_takes_of_a_poisson_schedule(
    tmp_path: Path, spacing: str, rate: float, *, ok: bool
) -> None:
    found = record(tmp_path)
    segments = tuple(
        replace(segment, from_rate=rate, to_rate=rate) if segment.phase == "hold" else segment
        for segment in found.plan.profile.segments
    )
    asked = _with(found, segments=segments, spacing=spacing)
    assert _check(asked, "offered rate").ok is ok


@pytest.mark.parametrize(("hold_s", "ok"), [(9.0, False), (10.0, True)])
def test_an_interval_takes_a_hold_of_ten_seconds(
    tmp_path: Path, hold_s: float, *, ok: bool
) -> None:
    found = record(tmp_path, Made(plan=plan(hold_s=hold_s)))
    assert _check(found, "hold length").ok is ok


@pytest.mark.parametrize(("lag_s", "ok"), [(0.008, True), (0.02, False)])
def test_a_game_day_stands_fifty_milliseconds_of_lag(
    tmp_path: Path, lag_s: float, *, ok: bool
) -> None:
    found = record(tmp_path, Made(lag_s=lag_s))
    found = replace(found, meta={**found.meta, "labels": {"experiment": "kill-replica"}})
    own = found.distribution("lag").quantile(0.99) or 0.0
    assert 0.025 < own < 0.1  # neither half of the limit nor twice as much decides
    assert _check(found, "generator lag").ok is ok


def _with(found: RunRecord, **profile: Any) -> RunRecord:
    changed: LoadPlan = replace(found.plan, profile=replace(found.plan.profile, **profile))
    return replace(found, plan=changed)


def test_the_schedule_is_the_integral_of_the_profile(tmp_path: Path) -> None:
    found = record(tmp_path, Made(stop_at=1))
    ramp = _with(found, segments=(Segment("hold", 10.0, 0.0, 100.0),))
    seconds = np.arange(10)
    assert scheduled_requests(ramp, seconds) == pytest.approx(500)
    assert scheduled_requests(ramp, seconds[:1]) == pytest.approx(5)
    replay = _with(found, replay_ns=(0, 10, 1_500_000_000))
    assert scheduled_requests(replay, seconds[:1]) == 2
    assert scheduled_requests(_with(found, users=3), seconds) is None
    traffic = replace(found.plan.traffic, journeys=(Journey("j", "j"),))
    walked = replace(found, plan=replace(found.plan, traffic=traffic))
    assert scheduled_requests(walked, seconds) is None


def test_what_was_not_measured_is_unknown_and_blocks_nothing(tmp_path: Path) -> None:
    found = record(tmp_path)
    found.__dict__["events"] = found.events_of("end")
    assert _check(found, "control probe").ok is None
    assert _check(found, "generator cpu").ok is None
    assert _check(found, "clock").ok is None
    assert judge(found).outcome == "pass"


def test_a_check_that_crashes_is_inconclusive_and_names_the_exception(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def _broken(_: RunRecord) -> ValidityCheck:
        raise KeyError("nothing")

    monkeypatch.setattr(validity, "_CHECKS", (_broken,))
    verdict = judge(record(tmp_path))
    assert verdict.outcome == "inconclusive"
    assert "KeyError" in verdict.validity[0].reason


def test_a_run_interrupted_before_its_load_says_so(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path, service(), plan(), {}) as writer:
        writer.finish("interrupted")
    found = _check(RunRecord.load(writer.directory), "ended")
    assert found.reason == "The run was interrupted before its load began."
