"""One made-up failover, broken in one way at a time: the verdict and its reason must follow."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import RecordError
from harness.judge.experiment import ExperimentVerdict, judge_experiment, write_experiment
from harness.judge.experiment import checks as checking
from harness.judge.faulted import faulted_run
from harness.report.gameday_html import timeline_chart
from harness.storage import read_object
from harness.units import format_ratio
from tests.judge.made_experiment import END, HEAL, INJECT, US, Event, Story, experiment

SOUND = Story()


def judged(root: Path, **broken: object) -> ExperimentVerdict:
    return judge_experiment(experiment(root, replace(SOUND, **broken)))  # type: ignore[arg-type]


def word(verdict: ExperimentVerdict, name: str) -> str | None:
    return next(check.outcome for check in verdict.checks if check.name == name)


def test_a_sound_failover_passes_and_its_timeline_is_the_truth(tmp_path: Path) -> None:
    verdict = judged(tmp_path)
    assert verdict.outcome == "pass", verdict.reasons
    marks = verdict.milestones
    assert marks is not None
    assert marks.impact == pytest.approx(INJECT, abs=1)
    assert marks.detected == pytest.approx(21.5)
    assert marks.failed_over == pytest.approx(22, abs=0.3)
    assert marks.recovered == pytest.approx(25, abs=1)
    assert marks.failed_back == pytest.approx(34, abs=0.3)
    assert verdict.healed


UNFELT: dict[str, Any] = {"outage": (INJECT, INJECT)}

ELSEWHERE_BEFORE: Event = {
    "type": "canary", "t": 10.5, "where": "global", "region": "eu-west-1", "ok": True,
    "connection": "new", "error": None, "latency_s": 0.01,
}  # fmt: skip


@pytest.mark.parametrize(
    ("story", "said"),
    [
        ({"over_at": INJECT + 0.1}, "pass"),
        ({"over_at": None}, "inconclusive"),
        ({"over_at": INJECT + 0.1, "extra": (ELSEWHERE_BEFORE,)}, "inconclusive"),
    ],
    ids=["another region serves", "the same region serves", "both served before"],
)
def test_a_fault_that_must_be_felt_may_be_unfelt_where_another_region_serves_at_once(
    tmp_path: Path, story: dict[str, Any], said: str
) -> None:
    verdict = judged(tmp_path, **UNFELT, **story)
    assert word(verdict, "impact") == said, verdict.checks
    if said == "pass":
        assert verdict.outcome == "pass", verdict.reasons


def test_a_region_that_never_comes_over_recovers_with_the_heal_only(tmp_path: Path) -> None:
    verdict = judged(tmp_path, outage=(INJECT, HEAL + 1), over_at=None)
    assert verdict.outcome == "fail"
    assert word(verdict, "recovery") == "fail"
    assert word(verdict, "fail-back") == "fail"


def test_traffic_that_never_comes_back_fails(tmp_path: Path) -> None:
    verdict = judged(tmp_path, back_at=None)
    assert (verdict.outcome, word(verdict, "fail-back")) == ("fail", "fail")


def test_a_fault_that_nobody_saw_proves_nothing_however_good_the_figures(tmp_path: Path) -> None:
    verdict = judged(tmp_path, canary=False)
    assert (verdict.outcome, word(verdict, "proof of effect")) == ("inconclusive", "inconclusive")


BORNE = {"canary": False, "outage": (INJECT, INJECT), "over_at": None, "expect": {}}


@pytest.mark.parametrize(("taken", "proven"), [(0.0, False), (0.49, False), (0.51, True)])
def test_busy_processes_are_proven_by_half_of_the_service_s_cores_though_nobody_was_slower(
    tmp_path: Path, taken: float, *, proven: bool
) -> None:
    verdict = judged(tmp_path, taken=taken, **BORNE)
    assert word(verdict, "proof of effect") == ("pass" if proven else "inconclusive")
    assert verdict.outcome == ("pass" if proven else "inconclusive")
    assert f"took {format_ratio(taken)} of the service's cores" in " ".join(verdict.reasons)


def test_busy_processes_that_ended_early_have_taken_nothing_since(tmp_path: Path) -> None:
    over = [
        {"type": "proof", "t": t, "fault_id": "f1", "in_effect": False, "statement": "they ended"}
        for t in range(INJECT + 5, HEAL)
    ]
    verdict = judged(tmp_path, taken=0.9, taken_until=INJECT + 4, **BORNE, extra=tuple(over))
    assert word(verdict, "proof of effect") == "inconclusive"


def test_busy_processes_that_remain_fail(tmp_path: Path) -> None:
    verdict = judged(tmp_path, taken=0.9, healed=False, problem="f1 was not healed", **BORNE)
    assert (verdict.outcome, word(verdict, "proof of effect")) == ("fail", "fail")


def test_a_fault_beside_busy_processes_is_not_proven_by_what_these_took(tmp_path: Path) -> None:
    others = [
        {"type": "proof", "t": t, "fault_id": "f2", "in_effect": True, "statement": "it is stopped"}
        for t in range(INJECT + 1, HEAL)
    ]
    verdict = judged(tmp_path, taken=0.9, **BORNE, extra=tuple(others))
    assert word(verdict, "proof of effect") == "inconclusive"


def test_an_injection_without_effect_proves_nothing_even_where_the_users_suffered(
    tmp_path: Path,
) -> None:
    verdict = judged(tmp_path, platform_sees=False, outage=(INJECT, END))
    assert verdict.outcome == "inconclusive"
    assert "no fault in effect" in " ".join(verdict.reasons)


def test_a_heal_that_failed_fails_and_stops_the_day(tmp_path: Path) -> None:
    verdict = judged(tmp_path, healed=False, canary_ends=False, problem="f1 was not healed")
    assert (verdict.outcome, word(verdict, "undone"), verdict.healed) == ("fail", "fail", False)


def test_entry_points_that_stay_broken_after_a_proven_heal_are_the_service_s_failure(
    tmp_path: Path,
) -> None:
    verdict = judged(tmp_path, canary_ends=False, after_errors=0.2)
    assert verdict.outcome == "fail"
    assert word(verdict, "proof of effect") == "fail"


def test_an_entry_point_to_a_replica_that_moved_elsewhere_has_ended(tmp_path: Path) -> None:
    """After its node's death a pod keeps its name: who asks its old address hears nobody."""
    moved = {"type": "service_pod", "t": HEAL + 2.0, "pod": US, "what": "moved", "node": "n1"}
    verdict = judged(tmp_path, canary_ends=False, extra=(moved,))
    assert word(verdict, "proof of effect") == "pass"


def test_garbage_after_the_recovery_fails(tmp_path: Path) -> None:
    verdict = judged(tmp_path, after_errors=0.2)
    assert (verdict.outcome, word(verdict, "tail after")) == ("fail", "fail")


def test_a_few_failed_requests_that_chance_explains_are_no_failed_recovery(tmp_path: Path) -> None:
    def failures(second: int, endpoint: str, offered: int) -> dict[str, int]:
        if INJECT <= second < 25:
            return {"timeout": offered // 2}
        return {"check": min(offered, 6)} if second == HEAL + 8 else {}

    verdict = judged(tmp_path, made={"failures": failures})
    assert (word(verdict, "recovery"), word(verdict, "tail after")) == ("pass", "pass")


def test_lost_writes_fail_where_none_may_be_lost(tmp_path: Path) -> None:
    verdict = judged(tmp_path, lost=3)
    assert (verdict.outcome, word(verdict, "writes")) == ("fail", "fail")
    assert verdict.writes is not None
    assert len(verdict.writes.lost) == 3
    assert 0 < (verdict.writes.rpo_s or 0) < 2


def test_lost_writes_within_the_recovery_point_pass(tmp_path: Path) -> None:
    expect = {"recovery_s": 8, "rpo_s": 1.0}
    assert word(judged(tmp_path, lost=3, expect=expect), "writes") == "pass"


def test_a_lost_write_is_not_excused_by_a_late_generator(tmp_path: Path) -> None:
    busy = {"cpu": 0.99}
    verdict = judge_experiment(experiment(tmp_path, Story(lost=2, made=busy)))
    assert verdict.outcome == "fail"
    assert "2 of 200 lost" in " ".join(verdict.reasons)
    assert any("99 % of a core" in reason for reason in verdict.reasons)


def test_a_saturated_generator_makes_the_experiment_invalid(tmp_path: Path) -> None:
    verdict = judged(tmp_path, made={"cpu": 1.0})
    assert verdict.outcome == "invalid"


def test_an_aborted_experiment_fails_with_the_guard_s_reason(tmp_path: Path) -> None:
    abort = {"type": "chaos", "t": 30.0, "what": "abort", "detail": "91 % failed"}
    verdict = judged(tmp_path, extra=(abort,))
    assert verdict.outcome == "fail"
    assert "91 % failed" in " ".join(verdict.reasons)


def test_a_halted_experiment_is_inconclusive_and_names_who_halted_it(tmp_path: Path) -> None:
    """Whatever was measured until then; only what was not undone is a failure."""
    halt = {"type": "chaos", "t": 30.0, "what": "halt", "detail": "halted by ann at desk"}
    verdict = judged(tmp_path, extra=(halt,), outage=(INJECT, END), made={"cpu": 1.0})
    assert (verdict.outcome, verdict.reasons) == (
        "inconclusive",
        ("The experiment was halted by ann at desk; everything was undone.",),
    )
    unhealed = judged(tmp_path, extra=(halt,), healed=False, problem="f1 was not healed")
    assert unhealed.outcome == "fail"
    assert unhealed.reasons[-1] == "The experiment was halted by ann at desk."


def test_an_injection_that_was_refused_is_inconclusive(tmp_path: Path) -> None:
    refused = {"type": "chaos", "t": 20.0, "what": "inject_failed", "detail": "no such region"}
    verdict = judged(tmp_path, extra=(refused,))
    assert verdict.outcome == "inconclusive"
    assert "no such region" in " ".join(verdict.reasons)


def test_a_refused_injection_stands_once_whichever_function_asked_for_it(tmp_path: Path) -> None:
    """One of the file's own modules called `inject`: its activity failed for the same reason."""
    refused = [
        {"type": "chaos", "t": 20.0 + n, "what": "inject_failed", "detail": why}
        for n, why in enumerate(("not in the plan", "not in the plan", "no such region"))
    ]
    record = experiment(tmp_path, replace(SOUND, extra=tuple(refused)))
    said = "chaoslib.exceptions.ActivityFailed: kill-replicas: not in the plan"
    again, other = (
        {"activity": {"type": "action", "name": name, "provider": {"module": "mine"}},
         "status": "failed", "exception": [text]}
        for name, text in (("again", said), ("other", "ValueError: x"))
    )  # fmt: skip
    journal = read_object(record.directory / "journal.json") | {"run": [again, other]}
    (record.directory / "journal.json").write_text(json.dumps(journal))
    verdict = judge_experiment(record)
    assert verdict.outcome == "inconclusive"
    assert verdict.reasons == (
        "The fault could not be injected: not in the plan; no such region.",
        "Action `other` failed: ValueError: x.",
    )


def test_a_check_that_crashes_is_inconclusive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(facts: object) -> None:
        raise ZeroDivisionError

    checks = tuple(
        (name, crash if name == "fail-back" else check) for name, check in checking.CHECKS
    )
    monkeypatch.setattr(checking, "CHECKS", checks)
    verdict = judged(tmp_path)
    assert (verdict.outcome, word(verdict, "fail-back")) == ("inconclusive", "inconclusive")


def test_a_run_that_is_no_experiment_is_refused(tmp_path: Path) -> None:
    record = experiment(tmp_path)
    (record.directory / "plan.json").write_text("{}")
    with pytest.raises(RecordError, match=r"plan\.json"):
        judge_experiment(record)


def test_the_verdict_is_stored_and_drawn(tmp_path: Path) -> None:
    record = experiment(tmp_path)
    verdict = judge_experiment(record)
    write_experiment(verdict, record.directory)
    stored = read_object(record.directory / "experiment.json")
    assert (stored["schema"], stored["outcome"], stored["exit_code"]) == (1, "pass", 0)
    figures = faulted_run(record, verdict)
    assert figures is not None
    assert list(figures.latency_s) == ["p50", "p95", "p99"]
    svg = timeline_chart(record, verdict)
    assert svg is not None
    for text in ("injected", "failed over", "us-east-1", "answered/s"):
        assert text in svg


@pytest.mark.parametrize(
    ("recovery_s", "said"), [(4.0, None), (400.0, "inconclusive"), (None, "inconclusive")]
)
def test_what_nobody_noticed_is_a_doubt_unless_it_ended_by_itself_in_time(
    recovery_s: float | None, said: str | None
) -> None:
    """An alert that is silent over half a dozen slow answers does its work."""
    facts = SimpleNamespace(
        milestones=SimpleNamespace(detected=None, alerted=None, injected=14.0),
        recovery=SimpleNamespace(impact=15.0, recovery=recovery_s),
    )
    outcome, *_ = checking._detection(facts)  # type: ignore[arg-type]
    assert outcome == said


def test_slowness_alone_is_noticed_by_the_latency_budget(tmp_path: Path) -> None:
    made = {"slow": lambda second: 15.0 if INJECT <= second < HEAL else 1.0}
    verdict = judged(tmp_path, outage=(INJECT, INJECT), made=made)
    marks = verdict.milestones
    assert marks is not None
    assert marks.alerted == pytest.approx(INJECT + 3, abs=2)


def test_three_milliseconds_of_a_hundred_are_no_worse_than_one(tmp_path: Path) -> None:
    made = {"median_s": 0.001, "slow": lambda second: 1.0 if second < INJECT else 3.0}
    verdict = judged(tmp_path, made=made)
    assert (word(verdict, "recovery"), word(verdict, "tail after")) == ("pass", "pass")


def probes(seconds: range, worst_s: float) -> tuple[Event, ...]:
    """The null server's answers, all as slow as that."""
    told = dict.fromkeys(("p50_ns", "p95_ns", "p99_ns", "max_ns"), int(worst_s * 1e9))
    return tuple({"type": "probe", "t": each + 1.0, "second": each, **told} for each in seconds)


def slow_in(begin: int, end: int, times: float) -> dict[str, Any]:
    return {"slow": lambda second: times if begin <= second < end else 1.0}


@pytest.mark.parametrize(("seconds", "check"), [((25, 40), "recovery"), ((45, END), "tail after")])
def test_lateness_that_the_machine_itself_may_have_made_is_a_doubt_and_no_failure(
    tmp_path: Path, seconds: tuple[int, int], check: str
) -> None:
    """Where the null server beside the load was as late, nobody knows whose the delay was."""
    for delay_s, said in ((0.15, "inconclusive"), (0.001, "fail")):
        story = replace(SOUND, made=slow_in(*seconds, 8.0), extra=probes(range(*seconds), delay_s))
        record = experiment(tmp_path / said, story)
        verdict = judge_experiment(record)
        assert (verdict.outcome, word(verdict, check)) == (said, said), verdict.reasons
        spoilt = said == "inconclusive"
        assert (verdict.spoilt is not None) is spoilt
        assert (faulted_run(record, verdict) is None) is spoilt, "nor compared with stored runs"


def ticks(seconds: range, others: float, waited: float) -> tuple[Event, ...]:
    """Who had the service's cores in each second, and how long its threads waited for them."""
    shares = {"others": others, "waited": waited}
    return tuple({"type": "tick", "t": second + 0.99, **shares} for second in seconds)


@pytest.mark.parametrize(
    ("others", "waited", "said"),
    [(0.21, 2.1, "inconclusive"), (0.19, 2.1, "fail"), (0.21, 1.9, "fail"), (0.0, 9.0, "fail")],
    ids=["crowded", "mostly its own cores", "hardly waited", "crowded by the service itself"],
)
def test_a_late_recovery_is_a_doubt_where_other_processes_had_the_cores_of_the_service(
    tmp_path: Path, others: float, waited: float, said: str
) -> None:
    """400 requests a second: 2 s of waiting are 5 ms a request."""
    crowd = ticks(range(25, 40), others, waited)
    verdict = judged(tmp_path, made=slow_in(25, 40, 8.0), extra=crowd)
    assert word(verdict, "recovery") == said, verdict.reasons
    named = any("other work had this machine's cores" in each for each in verdict.reasons)
    assert named is (said == "inconclusive")


@pytest.mark.parametrize(("crowded", "said"), [(12, "inconclusive"), (11, "fail")])
def test_what_is_not_back_is_a_doubt_where_most_seconds_after_the_heal_were_crowded(
    tmp_path: Path, crowded: int, said: str
) -> None:
    """Of 22 seconds; the probes saw no end, and the steady state did not hold."""
    crowd = ticks(range(END - crowded + 1, END), 0.9, 9.0)
    record = experiment(tmp_path, replace(SOUND, canary_ends=False, extra=crowd))
    held, not_held = {"steady_state_met": True}, {"steady_state_met": False, "probes": []}
    journal = {"steady_states": {"before": held, "after": not_held}}
    (record.directory / "journal.json").write_text(json.dumps(journal))
    verdict = judge_experiment(record)
    assert {word(verdict, "proof of effect"), word(verdict, "steady state")} == {said}


def test_a_doubt_that_another_run_cannot_settle_is_not_measured_again(tmp_path: Path) -> None:
    story = replace(SOUND, made=slow_in(25, 40, 8.0), extra=probes(range(25, 40), 0.15))
    verdict = judge_experiment(experiment(tmp_path, story))
    assert verdict.again == verdict.spoilt is not None
    unproven = replace(verdict.checks[0], outcome="inconclusive", noisy=False)
    assert replace(verdict, checks=(unproven, *verdict.checks[1:])).again is None


@pytest.mark.parametrize(
    ("made", "noise"),
    [
        ({"median_s": 0.004, **slow_in(HEAL, END, 100.0)}, probes(range(HEAL, END), 0.001)),
        ({"median_s": 0.03, **slow_in(INJECT, END, 2.0)}, probes(range(END), 0.04)),
    ],
    ids=["a fast service by far more", "a machine that was as late before the fault"],
)
def test_noise_that_does_not_explain_a_slowness_excuses_none(
    tmp_path: Path, made: dict[str, Any], noise: tuple[Event, ...]
) -> None:
    verdict = judged(tmp_path, made=made, extra=noise)
    assert word(verdict, "tail after") == "fail", verdict.reasons


def test_errors_are_a_failure_on_a_noisy_machine_too(tmp_path: Path) -> None:
    noise = probes(range(INJECT, END), 1.0) + ticks(range(INJECT, END), 0.9, 9.0)
    verdict = judged(tmp_path, outage=(INJECT, HEAL + 1), extra=noise)
    assert word(verdict, "recovery") == "fail"


def test_an_entry_point_that_is_merely_slow_at_the_end_is_no_doubt_where_another_saw_the_end(
    tmp_path: Path,
) -> None:
    slow = tuple(
        {"type": "canary", "t": t / 5 + 0.01, "where": "memorai-eu-west-1-0", "connection": "new",
         "ok": True, "error": None, "region": "eu-west-1",
         "latency_s": 0.05 if t / 5 >= INJECT else 0.01}
        for t in range(20, END * 5)
    )  # fmt: skip
    verdict = judged(tmp_path, extra=slow)
    assert verdict.outcome == "pass", verdict.reasons


@pytest.mark.parametrize(("stalls", "said"), [((45, 50), "pass"), ((45, 48, 50), "fail")])
def test_a_tenth_of_the_seconds_after_a_recovery_may_stall(
    tmp_path: Path, stalls: tuple[int, ...], said: str
) -> None:
    """Rounded up: of the seconds that are looked at two."""
    verdict = judged(tmp_path, made={"slow": lambda second: 20.0 if second in stalls else 1.0})
    assert word(verdict, "tail after") == said, verdict.reasons
