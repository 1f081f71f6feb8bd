"""What the gate looks at: every row, its role, its tolerance, and what it may claim."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from harness.baseline import TOTAL, AcceptedRun
from harness.gate import GateVerdict, Policy, Row, compare_interleaved, compare_runs
from harness.gate.decide import levels
from harness.gate.failures import dispersion
from harness.gate.rules import parse_rule
from tests.gate.made_runs import runs

TOY = 1000
"""A run of 100/s for 10 s: `rare` has seven requests of it."""


def gate(
    before: list[AcceptedRun], after: list[AcceptedRun], *rules: str, **policy: object
) -> GateVerdict:
    asked = Policy(rules=tuple(map(parse_rule, rules)), **policy)  # type: ignore[arg-type]
    return compare_runs("memorai", "memorai", before, after, "p95", asked)


def row(verdict: GateVerdict, endpoint: str, metric: str) -> Row:
    return next(r for r in verdict.rows if (r.endpoint, r.metric) == (endpoint, metric))


def without(made: list[AcceptedRun], endpoint: str) -> list[AcceptedRun]:
    return [
        replace(run, endpoints={k: v for k, v in run.endpoints.items() if k != endpoint})
        for run in made
    ]


def with_value(run: AcceptedRun, endpoint: str, factor: float) -> AcceptedRun:
    one = run.endpoints[endpoint]
    values = {name: (q[0] * factor, None, None) for name, q in one.quantiles.items()}
    return replace(run, endpoints={**run.endpoints, endpoint: replace(one, quantiles=values)})


def test_every_metric_of_every_endpoint_is_a_row() -> None:
    verdict = gate(runs(6), runs(3, seed=2))
    seen = {(r.endpoint, r.metric) for r in verdict.rows}
    endpoints = (TOTAL, "recall", "remember", "rare")
    metrics = ("p50", "p95", "p99", "error_ratio", "throughput")
    assert seen == {(e, m) for e in endpoints for m in metrics}
    assert {r.endpoint for r in verdict.rows if not r.gating} == {"recall", "remember", "rare"}


@pytest.mark.parametrize("new", [1, 3])
def test_a_light_endpoint_ten_times_slower_is_at_least_suspected(new: int) -> None:
    verdict = gate(
        runs(6, sd=0.05, requests=TOY),
        runs(new, sd=0.05, seed=2, slow={"rare": 10.0}, requests=TOY),
    )
    assert verdict.outcome == ("inconclusive" if new == 1 else "fail")
    assert row(verdict, "rare", "p50").outcome == ("suspected" if new == 1 else "regression")
    assert any("of rare" in reason for reason in verdict.reasons)


@pytest.mark.parametrize("new", [1, 3])
def test_a_wholly_failed_endpoint_fails_though_others_fail_less_than_before(new: int) -> None:
    before = runs(6, failing={"recall": 0.02}, requests=TOY)
    verdict = gate(before, runs(new, seed=2, failing={"rare": 1.0}, requests=TOY))
    assert verdict.outcome == "fail"
    assert row(verdict, TOTAL, "error_ratio").outcome in {"no-change", "trivial"}
    found = row(verdict, "rare", "error_ratio")
    assert (found.outcome, found.failing) == ("regression", True)
    assert "no request was answered well" in found.reason
    assert row(verdict, "rare", "p95").outcome == "no-data"


def test_a_tail_that_only_p99_shows_is_claimed() -> None:
    after = [
        replace(
            run,
            endpoints={
                name: replace(one, quantiles={**one.quantiles, "p99": (2.1, None, None)})
                for name, one in run.endpoints.items()
            },
        )
        for run in runs(3, seed=2)
    ]
    verdict = gate(runs(6), after)
    assert verdict.outcome == "fail"
    assert row(verdict, TOTAL, "p99").outcome == "regression"
    one = gate(runs(6), after[:1])
    assert one.outcome == "inconclusive"
    assert (TOTAL, "p99") in {(r.endpoint, r.metric) for r in one.suspected}


@pytest.mark.parametrize("factor", [1.5, 10.0, 1000.0])
def test_one_candidate_run_is_at_most_suspected(factor: float) -> None:
    verdict = gate(runs(20), runs(1, seed=2, slow={TOTAL: factor}))
    assert verdict.outcome == "inconclusive"
    assert verdict.rows[0].outcome == "suspected"
    assert verdict.rows[0].detectable is None
    assert "one run claims nothing" in verdict.reasons[0]
    assert verdict.runs_needed == 1
    more = gate(runs(20), runs(2, seed=2, slow={TOTAL: factor}))
    assert more.outcome == "fail"


def test_few_runs_that_may_all_be_outliers_claim_nothing_and_say_how_many_would() -> None:
    slow: Mapping[str, float] = {TOTAL: 1.5}
    two = gate(runs(6), runs(2, seed=2, slow=slow))
    assert two.outcome == "inconclusive"
    assert "may all be outliers" in two.reasons[0]
    assert two.runs_needed == 1
    assert gate(runs(6), runs(2 + two.runs_needed, seed=2, slow=slow)).outcome == "fail"


def test_an_outlier_among_the_baseline_runs_is_named_and_hides_nothing() -> None:
    before = runs(10)
    before[4] = with_value(before[4], "recall", 5.0)
    verdict = gate(before, runs(5, seed=2, slow={"recall": 2.0}))
    assert verdict.outcome == "fail"
    assert row(verdict, "recall", "p95").outcome == "regression"
    assert row(verdict, "recall", "p95").outliers == ("run-004",)
    assert any("run-004 is an outlier" in text for text in verdict.warnings)
    assert row(verdict, "recall", "p95").shift == pytest.approx(1.0, abs=0.05)


def test_a_baseline_in_milliseconds_is_doubt_and_no_improvement() -> None:
    before = [with_value(run, TOTAL, 1000.0) for run in runs(6)]
    verdict = gate(before, runs(3, seed=2))
    assert verdict.outcome == "inconclusive"
    assert "about 1,000 times better: are both sides in the same unit?" in verdict.reasons[0]


def test_an_outlier_among_six_runs_leaves_a_doubt_not_a_pass() -> None:
    before = runs(6)
    before[2] = with_value(before[2], "recall", 5.0)
    verdict = gate(before, runs(3, seed=2, slow={"recall": 2.0}))
    assert verdict.outcome in {"inconclusive", "fail"}
    assert any("run-002 is an outlier" in text for text in verdict.warnings)


def test_doubt_about_an_endpoint_is_doubt_of_the_gate() -> None:
    before = runs(6)
    after = [
        with_value(run, "recall", f) for run, f in zip(runs(3, seed=2), (0.6, 1, 2), strict=True)
    ]
    verdict = gate(before, after)
    assert row(verdict, TOTAL, "p95").outcome == "no-change"
    assert row(verdict, "recall", "p95").outcome == "inconclusive"
    assert verdict.outcome == "inconclusive"
    assert gate(before, after, "recall:*=shown").outcome == "pass"


def test_throughput_that_falls_to_nothing_is_told_in_requests_a_second() -> None:
    dead = [replace(run, throughput=0.0) for run in runs(3, seed=2)]
    (reason,) = [text for text in gate(runs(6), dead).reasons if text.startswith("throughput")]
    assert "throughput of all endpoints: -500/s, regression" in reason


def test_a_row_that_is_surely_not_worse_is_no_doubt() -> None:
    after = [
        with_value(run, "recall", f)
        for run, f in zip(runs(3, seed=2), (0.2, 0.5, 0.8), strict=True)
    ]
    verdict = gate(runs(6), after)
    assert not any(r.open for r in verdict.rows if r.endpoint == "recall" and r.high and r.high < 0)


def test_doubt_about_a_tail_of_few_requests_is_none_of_the_gate_unless_it_is_critical() -> None:
    before, after = runs(6, requests=TOY), runs(3, seed=2, requests=TOY)
    after = [with_value(run, "rare", f) for run, f in zip(after, (0.2, 1, 5), strict=True)]
    assert row(gate(before, after), "rare", "p95").thin
    assert gate(before, after, "rare:p50=shown").outcome == "pass"
    critical = gate(before, after, "rare:p50=shown", "rare:p95=critical")
    assert not row(critical, "rare", "p95").thin
    assert critical.outcome == "inconclusive"


def test_a_halved_throughput_is_worse_and_not_better() -> None:
    after = [replace(run, throughput=run.throughput / 2) for run in runs(3, seed=2)]
    assert row(gate(runs(6), after), TOTAL, "throughput").outcome == "regression"
    faster = [replace(run, throughput=run.throughput * 2) for run in runs(3, seed=2)]
    assert row(gate(runs(6), faster), TOTAL, "throughput").outcome == "improvement"


@pytest.mark.parametrize(("missing", "outcome"), [("fail", "fail"), ("warn", "pass")])
def test_an_endpoint_that_is_gone_is_a_row_and_may_fail(missing: str, outcome: str) -> None:
    verdict = gate(runs(6), without(runs(3, seed=2), "rare"), missing=missing)
    found = row(verdict, "rare", "presence")
    assert (found.outcome, found.failing) == ("gone", missing == "fail")
    assert verdict.outcome == outcome
    assert any("rare: gone" in reason for reason in verdict.reasons)


@pytest.mark.parametrize(
    ("lacking", "candidates", "gone"), [(1, 2, True), (2, 4, True), (1, 3, False), (2, 5, False)]
)
def test_an_endpoint_is_gone_when_half_of_the_candidates_lack_it(
    lacking: int,
    candidates: int,
    gone: bool,  # noqa: FBT001
) -> None:
    after = runs(candidates, seed=2)
    verdict = gate(runs(6), [*without(after[:lacking], "rare"), *after[lacking:]])
    found = [r for r in verdict.rows if (r.endpoint, r.metric) == ("rare", "presence")]
    assert [r.outcome for r in found] == ["gone"] * gone
    assert any("rare: gone" in reason for reason in verdict.reasons) == gone
    if gone:
        assert found[0].reason.startswith(f"no request in {lacking} candidate runs")


@pytest.mark.parametrize("endpoint", [TOTAL, "recall"])
@pytest.mark.parametrize("interleaved", [False, True])
def test_a_quantile_of_exactly_zero_on_both_sides_is_no_change(
    endpoint: str,
    interleaved: bool,  # noqa: FBT001
) -> None:
    before, after = (
        [with_value(run, endpoint, 0.0) for run in runs(5, seed=seed)] for seed in (1, 2)
    )
    compare = compare_interleaved if interleaved else compare_runs
    verdict = compare("memorai", "memorai", before, after, "p95")
    assert row(verdict, endpoint, "p95").outcome == "no-change"
    assert verdict.outcome == "pass"


def test_the_scatter_of_other_endpoints_is_not_lent_to_differences() -> None:
    """It is one of ratios, and a value of zero has none."""
    before = [with_value(run, "recall", 0.0) for run in runs(6)]
    before[2] = with_value(runs(1)[0], "recall", 1e-6)
    verdict = gate(before, [with_value(run, "recall", 0.0) for run in runs(3, seed=2)])
    found = row(verdict, "recall", "p95")
    assert found.high is not None
    assert found.high < 1e-6


def test_a_new_endpoint_is_a_row_and_a_renamed_one_is_guessed() -> None:
    verdict = gate(without(runs(6), "rare"), runs(3, seed=2))
    assert row(verdict, "rare", "presence").outcome == "new"
    assert verdict.outcome == "pass"
    assert any("rare: new" in reason for reason in verdict.reasons)
    after = [
        replace(
            run, endpoints={("seldom" if k == "rare" else k): v for k, v in run.endpoints.items()}
        )
        for run in runs(3, seed=2)
    ]
    renamed = gate(runs(6), after)
    assert "perhaps it is seldom now" in row(renamed, "rare", "presence").reason
    assert "perhaps it was rare" in row(renamed, "seldom", "presence").reason
    assert renamed.outcome == "fail"


def test_an_endpoint_so_rare_that_chance_explains_its_absence_does_not_fail() -> None:

    verdict = gate(runs(6, requests=150), without(runs(3, seed=2, requests=150), "rare"))
    assert "chance explains it" in row(verdict, "rare", "presence").reason
    assert verdict.outcome != "fail"


def test_a_critical_row_must_have_data() -> None:
    def silent(made: list[AcceptedRun]) -> list[AcceptedRun]:
        return [
            replace(
                run,
                endpoints={**run.endpoints, "rare": replace(run.endpoints["rare"], quantiles={})},
            )
            for run in made
        ]

    assert gate(runs(6), silent(runs(3, seed=2))).outcome == "pass"
    verdict = gate(runs(6), silent(runs(3, seed=2)), "rare:p95=critical")
    assert verdict.outcome == "fail"
    assert row(verdict, "rare", "p95").outcome == "no-data"
    assert (
        gate(runs(6), without(runs(3), "rare"), "rare:*=critical", missing="warn").outcome == "fail"
    )


@pytest.mark.parametrize(("role", "outcome"), [("critical", "fail"), ("gates", "pass")])
def test_a_rule_for_an_endpoint_that_no_run_has_is_named_and_fails_where_data_is_a_must(
    role: str, outcome: str
) -> None:
    made = runs(10), runs(6, seed=2)
    verdict = gate(*made, f"recal:p95={role}")
    assert verdict.outcome == outcome
    assert any("'recal', which no run has; there is recall" in text for text in verdict.warnings)
    paired = compare_interleaved(
        "s", "s", made[0][:6], made[1], policy=Policy(rules=(parse_rule(f"recal:p95={role}"),))
    )
    assert [r.metric for r in paired.rows if r.endpoint == "recal"] == ["p95"] * (outcome == "fail")


def test_errors_of_one_run_alone_are_weighed_by_how_much_the_runs_differ() -> None:
    before = runs(6)
    burst = [*runs(2, seed=2), *runs(1, seed=3, name="burst", failing={"recall": 0.05})]
    steady = runs(3, seed=2, failing={"recall": 0.05 / 3})
    assert row(gate(before, burst), "recall", "error_ratio").outcome != "regression"
    assert row(gate(before, burst), "recall", "error_ratio").open
    assert row(gate(before, steady), "recall", "error_ratio").outcome == "regression"


def test_dispersion_is_one_for_runs_that_agree_and_large_for_a_burst() -> None:
    assert dispersion([[(0, 100), (0, 100)], [(5, 100)]]) == 1.0
    assert dispersion([[(5, 1000), (5, 1000), (5, 1000)]]) == 1.0
    assert dispersion([[(0, 1000), (0, 1000), (60, 1000)]]) == pytest.approx(60, rel=0.05)
    assert dispersion([[(0, 1000), (60, 1000)]]) == pytest.approx(60 / 0.97)


def test_half_of_the_level_is_the_primarys_and_the_others_share_the_other_half() -> None:
    policy = Policy(gates_per_month=100.0)
    assert levels(policy, 10).primary == pytest.approx(0.005)
    assert levels(policy, 10).other == pytest.approx(0.0005)
    before, after = runs(10, sd=0.02), runs(6, sd=0.02, seed=5, slow={TOTAL: 1.04})
    p = gate(before, after, margin=0.01).rows[0].p_value or 0.0
    assert 1e-6 < p < 0.02
    just = gate(before, after, margin=0.01, gates_per_month=1 / (2.02 * p)).rows[0]
    beyond = gate(before, after, margin=0.01, gates_per_month=1 / (1.98 * p)).rows[0]
    assert (just.outcome, beyond.outcome) == ("regression", "suspected")


def test_two_looks_have_half_of_everything_each() -> None:
    once, twice = Policy(), Policy(looks=2)
    assert twice.level == once.level / 2
    assert twice.tail == once.tail / 2


def test_the_order_of_runs_is_a_warning() -> None:
    before = [with_value(run, TOTAL, 1 + 0.02 * at) for at, run in enumerate(runs(10))]
    assert any("drift with time" in text for text in gate(before, runs(3, seed=2)).warnings)


def test_another_machine_of_the_same_kind_is_said() -> None:
    before = [replace(run, host="a") for run in runs(6)]
    after = [replace(run, host="b") for run in runs(3, seed=2)]
    assert any("ran on b, the baseline on a" in text for text in gate(before, after).warnings)
    assert gate(before, before[:3]).warnings == ()


def test_scatter_that_nobody_would_pay_for_has_no_price() -> None:
    verdict = gate(runs(3, sd=0.5, common=0.5), runs(2, sd=0.5, common=0.5, seed=2))
    assert verdict.outcome == "inconclusive"
    assert verdict.runs_needed is None
    assert verdict.minutes_needed is None


@pytest.mark.parametrize(
    ("endpoint", "rule", "upper", "outcome"),
    [
        ("recall", (), 0.12, "pass"),
        ("recall", (), 0.14, "inconclusive"),
        ("recall", ("recall:p95=critical",), 0.12, "inconclusive"),
        (TOTAL, (), 0.12, "inconclusive"),
    ],
)
def test_an_endpoint_is_in_doubt_at_twice_its_tolerance_and_the_total_at_once(
    endpoint: str, rule: tuple[str, ...], upper: float, outcome: str
) -> None:
    """An endpoint has 0.6 of the requests, so a tolerance of 6.5 %: twice that is 12.9 %."""
    before, after = runs(10, sd=1e-6), runs(5, sd=1e-6, seed=2)
    shifts = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    shifts /= 100

    def shifted(scale: float) -> GateVerdict:
        made = [
            with_value(run, endpoint, 1.02 * math.exp(scale * by))
            for run, by in zip(after, shifts, strict=True)
        ]
        return gate(before, made, "*:p50=shown", "total:p99=shown", "recall:p99=shown", *rule)

    reached = row(shifted(1.0), endpoint, "p95").high or 0.0
    found = shifted(math.log((1 + upper) / 1.02) / math.log((1 + reached) / 1.02))
    assert row(found, endpoint, "p95").high == pytest.approx(upper, abs=0.002)
    assert found.outcome == outcome


def test_half_of_alpha_is_the_primarys_when_something_is_suspected() -> None:
    before, after = runs(10, sd=0.02), runs(6, sd=0.02, seed=5, slow={TOTAL: 1.04})
    few = {"margin": 0.01, "gates_per_month": 1e6}
    p = gate(before, after, **few).rows[0].p_value or 0.0
    words = [gate(before, after, alpha=k * p, **few).rows[0].outcome for k in (2.02, 1.98)]
    assert words == ["suspected", "inconclusive"]


@pytest.mark.parametrize("new", [3, 10])
def test_one_accepted_run_claims_nothing_and_the_advice_is_to_accept_more(new: int) -> None:
    verdict = gate(runs(1), runs(new, seed=2, slow={TOTAL: 2.0}))
    assert verdict.outcome == "inconclusive"
    assert verdict.rows[0].outcome == "suspected"
    assert "one accepted run claims nothing" in verdict.reasons[0]
    assert verdict.rows[0].detectable is None
    assert (verdict.baseline_runs_needed or 0) >= 1


def test_the_chance_of_outliers_is_not_charged_once_for_each_row() -> None:
    before = runs(10)
    before[4] = with_value(before[4], "recall", 5.0)
    few, enough = (gate(before, runs(n, seed=2, slow={"recall": 1.5})) for n in (3, 4))
    assert row(few, "recall", "p95").outcome == "suspected"
    assert few.runs_needed == 1
    assert row(enough, "recall", "p95").outcome == "regression"


def test_a_run_without_a_quantile_takes_no_other_run_with_it() -> None:
    before, after = runs(6), runs(3, seed=2, slow={TOTAL: 1.5})
    one = after[1].endpoints[TOTAL]
    after[1] = replace(
        after[1], endpoints={**after[1].endpoints, TOTAL: replace(one, quantiles={})}
    )
    verdict = gate(before, after)
    assert verdict.outcome == "fail"
    assert row(verdict, TOTAL, "p95").outcome in {"suspected", "regression"}


def test_one_claimed_row_settles_a_gate_so_the_suspected_row_that_needs_fewest_runs_counts() -> (
    None
):
    slow: Mapping[str, float] = {TOTAL: 1.15}
    near = "recall:p95=critical,15%"
    verdict = gate(runs(6, sd=0.02), runs(1, sd=0.02, seed=4, slow=slow), near)
    assert row(verdict, "recall", "p95").open
    assert (row(verdict, "recall", "p95").runs_needed or 99) > 5
    assert verdict.runs_needed == min(r.runs_needed or 99 for r in verdict.suspected) == 2
    more = runs(1 + verdict.runs_needed, sd=0.02, seed=4, slow=slow)
    assert gate(runs(6, sd=0.02), more, near).outcome == "fail"
