"""What single steps of the verdict say, one at a time."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from harness.catalog.expectations import Expectations
from harness.judge import changes, evidence, judge, scaling
from harness.judge.concentration import printed_last
from harness.judge.connections import _allowed
from harness.judge.effect import effect_of
from harness.judge.evidence import Evidence
from harness.judge.experiment import checks, judge_experiment, verdict
from harness.judge.experiment.proof import proof_of_effect
from harness.judge.failover import Backlog, Stages, backlog_of
from harness.judge.faulted import _typical, _worse, faulted_run
from harness.judge.lost_writes import Read, Write, lost_writes, writes_of
from harness.judge.objectives import second_is_bad
from harness.judge.stages import _names
from harness.load.connections import STREAMS
from harness.stats.autocorrelation import memory
from harness.stats.interval import Floats
from harness.traffic.model import LoadProfile, Segment
from tests.judge.made_experiment import experiment
from tests.record.synthetic import OBJECTIVES, Made, plan, record


def test_the_typical_recovery_is_the_median_and_one_that_never_came_the_longest() -> None:
    made: Any = [SimpleNamespace(recovery_s=s, censored=s > 50) for s in (4.0, 99.0, 8.0)]
    assert _typical(made) == "8.00 s"


def test_figures_that_do_not_vary_have_surely_risen_where_they_are_higher() -> None:
    assert _worse([1.0, 1.0, 1.0], [2.0, 2.0]) == (0.0, 1.0)
    assert _worse([2.0, 2.0, 2.0], [1.0, 1.0]) == (1.0, -1.0)


def test_a_run_under_a_fault_knows_its_platform_and_that_it_felt_nothing(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    judged = judge_experiment(made)
    found = faulted_run(made, judged)
    assert found is not None
    assert found.platform == "lab"
    assert judged.recovery is not None
    unfelt = replace(judged.recovery, impact=None, recovery=None)
    found = faulted_run(made, replace(judged, recovery=unfelt))
    assert found is not None
    assert (found.recovery_s, found.censored) == (0.0, False)


def test_a_load_that_never_fell_says_nothing_of_scaling_down() -> None:
    seen: Any = SimpleNamespace(ready=np.array([2.0, 2.0, 3.0]), rise=0, fall=3)
    assert scaling._scaled_down(seen, 60.0).outcome == "inconclusive"
    assert "never fell" in scaling._scaled_down(seen, 60.0).statement


def test_the_queue_is_told_with_when_it_was_gone() -> None:
    facts: Any = SimpleNamespace(
        backlog=SimpleNamespace(most=1200, drained=26.0), stages=SimpleNamespace(inject=20.0)
    )
    outcome, words, _, told = checks._backlog(facts)
    assert (outcome, words) == (None, "1,200 requests")
    assert "gone 6.00 s after the injection" in told


def test_where_all_was_answered_at_once_nothing_waited() -> None:
    due, done = (
        SimpleNamespace(offered=np.full(40, 10)),
        SimpleNamespace(completed=np.full(40, 9), failed=np.full(40, 1)),
    )
    made: Any = SimpleNamespace(series=lambda axis: due if axis == "due" else done)
    assert backlog_of(made, Stages(4.0, 20.0, 22.0, 40)) == Backlog(0, None)


def test_a_service_that_felt_nothing_has_recovered() -> None:
    facts: Any = SimpleNamespace(
        recovery=SimpleNamespace(impact=None), expect=Expectations(recovery_s=5.0)
    )
    assert checks._recovered_once(facts)[:2] == ("pass", "no impact")


def test_a_recovery_before_the_heal_took_no_time_from_it() -> None:
    found = SimpleNamespace(impact=1.0, recovery=2.0, low=1.0, high=2.0, censored=False)
    facts: Any = SimpleNamespace(
        recovery=found,
        stages=SimpleNamespace(inject=20.0, heal=32.0, end=54.0),
        expect=Expectations(recovery_s=5.0, recovery_from="heal"),
    )
    outcome, words, *_ = checks._recovered_once(facts)
    assert outcome == "pass"
    assert "(0 to 0 s)" in words


def test_what_is_noticed_before_it_was_injected_took_no_time() -> None:
    facts: Any = SimpleNamespace(
        milestones=SimpleNamespace(injected=14.0, detected=13.9, alerted=None),
        recovery=SimpleNamespace(impact=1.0, recovery=2.0),
    )
    outcome, words, *_ = checks._detection(facts)
    assert outcome == "pass"
    assert words.startswith("0")


@pytest.mark.parametrize(
    ("rates", "first"), [((100, 300, 100), "before"), ((100, 200, 300), "step 1 (100/s)")]
)
def test_three_stages_are_a_peak_where_the_second_is_the_highest(
    rates: tuple[int, ...], first: str
) -> None:
    pieces = [(0.0, Segment("hold", 10, rate, rate)) for rate in rates]
    profile = LoadProfile("stairs", tuple(piece for _, piece in pieces))
    assert _names(profile, pieces)[0] == first


def test_writes_that_nobody_acknowledged_have_no_age_and_those_without_a_name_are_none() -> None:
    seen = [Read("a", 5.0, 5.1, seen=True), Read("a", 8.0, 8.1, seen=False)]
    found = lost_writes([Write("a", 1.0, None, acknowledged=False)], seen, 10.0)
    assert found.lost == ("a",)
    acknowledged = [Write("b", 1.0, 1.1, acknowledged=True)]
    assert lost_writes(acknowledged, [Read("b", 5.0, 5.1, seen=False)], None).rpo_s is None
    many = [Write(str(n), 1.0, 1.1, acknowledged=True) for n in range(12)]
    unseen = [Read(str(n), 5.0, 5.1, seen=False) for n in range(12)]
    assert len(lost_writes(many, unseen, 10.0).examples) == 5
    nameless: Any = {"type": "write", "id": None, "due_s": 1.0, "sent_s": 1.0, "done_s": 1.1,
                     "status": 201, "error": None}  # fmt: skip
    assert writes_of([nameless]) == []


def test_multiplexed_connections_carry_so_many_requests_each() -> None:
    def allowed(*, http2: bool) -> int:
        target = SimpleNamespace(urls=("a", "b"), http2=http2)
        made: Any = SimpleNamespace(plan=SimpleNamespace(target=target, connections_per_target=10))
        return _allowed(made)

    assert allowed(http2=False) == 20
    assert allowed(http2=True) == 20 * STREAMS


def test_a_fault_ends_for_an_entry_point_whose_replica_is_gone_for_good() -> None:
    def answers(where: str) -> list[Any]:
        return [
            {"t": t / 5, "where": where, "connection": "new", "ok": t < 70, "error": None,
             "latency_s": 0.02}
            for t in range(170)
        ]  # fmt: skip

    asked = answers("a of eu-1")
    found = effect_of(asked, (), 14.0, 18.0, 34.0)
    assert (found.began, found.ended) == (14.0, None)
    assert effect_of(asked, (), 14.0, 18.0, 34.0, {"a": 18.5}).ended == 18.5


def test_the_first_level_begins_with_the_first_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = record(tmp_path, Made(plan=plan(hold_s=30)))
    monkeypatch.setattr(changes, "level_changes", lambda series: [1])
    (told,) = changes.describe_changes(made)
    first = told.removeprefix("The p95 was not steady: ")
    assert not first.startswith("0 ")


def made_evidence(bad: list[int]) -> Evidence:
    n = len(bad)
    zero, none = np.zeros(n, np.int64), np.zeros((n, 1), np.int64)
    return Evidence(
        np.arange(n), zero + 100, np.array(bad), zero, zero + 100, zero, zero + 100,
        np.array([0.001]), none, np.array([0.0]), none, np.zeros(n),
    )  # fmt: skip


def test_a_second_is_judged_by_its_own_requests() -> None:
    errors = next(one for one in OBJECTIVES if one.indicator == "error_ratio")
    found = [second_is_bad(made_evidence([0, 50, 0]), second, (errors,)) for second in range(3)]
    assert found == [False, True, False]


def test_a_lag_explains_twice_itself_and_what_is_slower_still_is_the_services() -> None:
    lags = np.array([[0], [1], [0]])
    made = replace(
        made_evidence([0, 0, 0]),
        values=np.array([0.22]), counts=np.full((3, 1), 90), lag_values=np.array([0.05]),
        lag_counts=lags,
    )  # fmt: skip
    assert made.explained_s() == pytest.approx(0.1)
    assert replace(made, lag_values=np.array([0.0004])).explained_s() == 0
    assert made.certainly_beyond(0.1).tolist() == [90, 90, 90]
    assert replace(made, values=np.array([0.19])).certainly_beyond(0.1).tolist() == [90, 89, 90]


def test_an_abort_outranks_a_fault_that_was_not_proven() -> None:
    made: Any = SimpleNamespace(
        status="complete",
        of=lambda kind: [{"what": "abort", "detail": "the budget is spent"}],
    )
    proof: Any = SimpleNamespace(
        name="proof of effect", outcome="inconclusive", statement="Nothing was seen."
    )
    outcome, reasons = verdict._outcome(made, (), (proof,), None, None)
    assert outcome == "fail"
    assert reasons == ("Aborted: the budget is spent.", "Nothing was seen.")


def test_a_fault_that_nobody_saw_begin_beside_one_that_was_seen_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.judge.experiment.proof.injected", lambda record: True)
    faults = [SimpleNamespace(kind="kill", shown=True), SimpleNamespace(kind="delay", shown=False)]
    facts: Any = SimpleNamespace(
        record=None, stages=None, faults=faults,
        effect=SimpleNamespace(platform_began=True, began=14.0, unmet=None),
    )  # fmt: skip
    *_, said = proof_of_effect(facts)
    assert said == "The canary did not see fault 2 (delay) begin."


def test_a_stolen_share_delays_its_second_and_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evidence, "check_connections", lambda record: SimpleNamespace(ok=True))
    stolen = {("tick", "steal"): [(3.0, 0.5)]}
    made: Any = SimpleNamespace(seconds=5, measurements=lambda *kind: stolen.get(kind, []))
    assert (evidence.machine_delays(made) > 0).tolist() == [False, False, True, True, False]


def test_the_interval_of_a_trend_is_students_over_twenty_batches() -> None:
    latency: Floats = np.exp(0.1 * np.random.default_rng(1).standard_normal(600))
    found = changes.drift(latency)
    assert found is not None
    hours = (np.arange(20) + 0.5) * 30 / 3600
    y = np.log(np.median(latency.reshape(20, 30), axis=1))
    known = stats.linregress(hours, y)
    left: Floats = np.subtract(y - y.mean(), known.slope * (hours - hours.mean()))
    half = stats.t.isf(0.025, 18) * known.stderr * math.sqrt(memory(left).time)
    assert found.estimate == pytest.approx(math.expm1(known.slope))
    assert found.low == pytest.approx(math.expm1(known.slope - half))
    assert found.high == pytest.approx(math.expm1(known.slope + half))


def test_the_last_line_of_three_replicas_is_quoted() -> None:
    logs = [{"where": f"replica {n}", "lines": ["started", "out of memory"]} for n in range(7)]
    made: Any = SimpleNamespace(of=lambda kind: logs)
    said = printed_last(made, "fail")
    assert said[0] == "replica 0 printed last: out of memory"
    assert len(said) == 3
    assert printed_last(made, "pass") == ()


def test_a_result_says_of_which_endpoints_it_is(tmp_path: Path) -> None:
    found = judge(record(tmp_path, Made(plan=plan(hold_s=10))))
    assert {one.scope for one in found.objectives} == {"all endpoints"}
