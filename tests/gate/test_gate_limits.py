"""The limits by which a gate calls a row a regression, a doubt or gone, from both sides."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.baseline import TOTAL, BaselineStore
from harness.errors import BaselineError
from harness.gate import Policy, compare_runs
from harness.gate.decide import _price
from harness.gate.failures import _outcome, failures
from harness.gate.findings import Levels, Subject, _doubt, priors, subjects
from harness.gate.model import EXIT_CODES
from harness.gate.noise import noise_of, pairs_needed
from harness.gate.presence import _renamed, presence
from harness.gate.revisions import Start, command_sides
from harness.gate.rules import terms
from harness.gate.run import (
    GateOptions,
    Invalid,
    _Batch,
    fresh_seeds,
    gate_runs,
    make_run,
    unjudged,
)
from harness.gate.spread import independent_endpoints, shared_spread
from harness.session.options import RunOptions
from tests.gate.made_runs import runs

ERRORS = Subject("a", "error_ratio", primary=False, terms=terms("a", "error_ratio", (), 1e-4, 9, 9))


def counted(*, high: float, before: float = 0.0, failed: int = 100, p_worse: float = 0.5) -> Any:
    found: Any = SimpleNamespace(
        p_worse=p_worse, difference=1e-4, high=high, baseline=SimpleNamespace(estimate=before)
    )
    return _outcome(found, failed, ERRORS, Policy())[0]


@pytest.mark.parametrize(("high", "said"), [(0.00099, "no-change"), (0.00101, "inconclusive")])
def test_failed_requests_are_in_doubt_at_ten_times_the_tolerance(high: float, said: str) -> None:
    assert counted(high=high) == said


@pytest.mark.parametrize(("high", "said"), [(0.0099, "no-change"), (0.0101, "inconclusive")])
def test_where_two_percent_failed_before_one_percent_more_is_in_doubt(
    high: float, said: str
) -> None:
    assert counted(high=high, before=0.02) == said


@pytest.mark.parametrize(("failed", "said"), [(4, "no-change"), (5, "inconclusive")])
def test_fewer_than_five_failed_requests_are_no_doubt(failed: int, said: str) -> None:
    assert counted(high=0.5, failed=failed) == said


@pytest.mark.parametrize(("share", "certain"), [(0.49, True), (0.51, False)])
def test_no_answer_at_all_is_certain_where_less_than_half_failed_before(
    share: float, *, certain: bool
) -> None:
    before = runs(6, failing={"remember": share})
    after = runs(3, seed=2, failing={"remember": 1.0})
    subject = Subject(
        "remember", "error_ratio", primary=False, terms=terms("remember", "p50", (), 1e-4, 9, 9)
    )
    assert failures(subject, before, after, Policy(), Levels(0.01, 0.01)).certain is certain


@pytest.mark.parametrize(("known", "lent"), [(7, True), (8, False)])
def test_endpoints_lend_each_other_their_scatter_below_eight_accepted_runs(
    known: int, *, lent: bool
) -> None:
    before, after = runs(known, sd=0.02), runs(3, sd=0.02, seed=2)
    asked = subjects(before, after, "p95", Policy())
    assert bool(priors(asked, before, after)) is lent


def test_scatter_is_shared_from_two_degrees_of_freedom() -> None:
    apart = [[1.0, 1.1, 1.3], [1.3, 1.0, 1.1], [1.0, 1.2, 1.1]]
    assert shared_spread([x[:2] for x in apart], [x[2:] for x in apart]) is None
    assert shared_spread(apart, [x[2:] for x in apart]) is not None
    assert shared_spread(apart[:2], [x[2:] for x in apart[:2]]) is not None
    assert shared_spread(apart[:1], [x[2:] for x in apart[:1]]) is None


def test_an_endpoint_that_does_not_vary_is_worth_no_independent_one() -> None:
    apart = np.random.default_rng(1).standard_normal((50, 3))
    apart[:, 1] = 0
    assert independent_endpoints(apart, 48) == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize(("fewer", "rare"), [(2, True), (0, False)])
def test_an_endpoint_is_gone_where_chance_hides_it_in_one_of_a_thousand_runs(
    fewer: int, *, rare: bool
) -> None:
    """Seven requests a run are missing in 0.09 % of runs, 6.8 of them in 0.11 %."""
    before = [*runs(10 - fewer, requests=1050), *runs(fewer, requests=900, name="fewer")]
    after = runs(1, seed=2)
    del after[0].endpoints["rare"]  # type: ignore[attr-defined]
    (found,) = presence(before, after, Policy())
    assert ("so few that chance explains it" in found.row.reason) is rare
    assert found.certain is not rare


def offering(**requests: int) -> Any:
    return [SimpleNamespace(endpoints={n: SimpleNamespace(offered=c) for n, c in requests.items()})]


@pytest.mark.parametrize(("other", "renamed"), [("abcdefvwxyz", True), ("abcdevwxyz", False)])
def test_a_name_of_which_six_tenths_are_the_same_may_be_the_new_one(
    other: str, *, renamed: bool
) -> None:
    name = "abcdefghi" if renamed else "abcdeghijk"
    found = _renamed(name, 1000, [other], offering(**{other: 10}))
    assert (found is not None) is renamed


@pytest.mark.parametrize(("requests", "renamed"), [(76, True), (74, False)])
def test_three_quarters_of_the_requests_make_another_name_the_new_one(
    requests: int, *, renamed: bool
) -> None:
    found = _renamed("abc", 100, ["xyz"], offering(xyz=requests))
    assert (found is not None) is renamed


def test_every_outcome_has_the_exit_code_that_the_help_promises() -> None:
    asked = GateOptions(RunOptions("memorai"))
    found = {outcome: unjudged(asked, outcome, "why").exit_code for outcome in EXIT_CODES}
    assert found == {
        "pass": 0, "fail": 1, "error": 2, "inconclusive": 3, "invalid": 4, "no-baseline": 5,
    }  # fmt: skip


def test_a_run_of_unknown_length_costs_its_hold_and_twenty_seconds() -> None:
    found = compare_runs("memorai", "memorai", runs(3), runs(3, seed=2), "p95", Policy())
    assert replace(found, seconds_a_run=None).minutes_a_run == pytest.approx((20 + 20) / 60)
    assert replace(found, seconds_a_run=90.0).minutes_a_run == 1.5


def test_a_second_run_under_other_conditions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def conditions(record: Any) -> Any:
        return SimpleNamespace(differences=lambda other, ignore: ["2 cores, not 4"])

    monkeypatch.setattr("harness.baseline.store.conditions_of", conditions)
    monkeypatch.setattr("harness.gate.run.refuse_unfit", lambda record: None)
    service = SimpleNamespace(name="memorai")
    records: Any = [SimpleNamespace(id=name, service=service) for name in ("a", "b")]
    with pytest.raises(BaselineError, match="b was made under other conditions: 2 cores, not 4"):
        gate_runs("memorai", records, BaselineStore(Path("none")), Policy())


def test_the_usual_policy_is_a_twentieth_and_one_false_alarm_in_six_hundred_gates() -> None:
    usual = Policy()
    assert (usual.margin, usual.error_margin) == (0.05, 0.0001)
    assert usual.tail == 0.05
    assert usual.level == pytest.approx(1 / 600)
    assert Policy(gates_per_month=1.0).level == 0.05


@pytest.mark.parametrize(("more", "price"), [(50, (50, 0)), (51, (None, None))])
def test_nobody_pays_for_more_than_fifty_further_runs(
    more: int, price: tuple[int | None, int | None]
) -> None:
    rows: Any = [SimpleNamespace(outcome="inconclusive", runs_needed=more, baseline_runs_needed=0)]
    assert _price(rows) == price


@pytest.mark.parametrize(("sd", "advised"), [(0.38, True), (0.395, False)])
def test_no_more_than_a_thousand_pairs_are_advised(sd: float, *, advised: bool) -> None:
    assert (pairs_needed(sd, Policy()) is not None) is advised


def test_three_runs_that_are_asked_for_and_three_invalid_ones_in_a_row_are_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert GateOptions(RunOptions("memorai")).runs == 3
    made: list[int | None] = []

    @contextlib.contextmanager
    def session(options: RunOptions) -> Iterator[object]:
        made.append(options.seed)
        verdict = SimpleNamespace(valid=False, spoilt="stolen CPU")
        run = SimpleNamespace(record=SimpleNamespace(id="a"), verdict=verdict)
        yield SimpleNamespace(profile=lambda: None, run=lambda profile: run)

    monkeypatch.setattr("harness.gate.run.session", session)
    with pytest.raises(Invalid, match="3 runs in a row were invalid; the last: stolen CPU"):
        make_run(RunOptions("memorai"), 7, print)
    assert made == [7, 7, 7]


def test_a_program_has_a_minute_to_be_ready() -> None:
    first, second = command_sides("a", "b", "memorai", Start("a"))
    assert (first.program.ready_s, second.program.ready_s) == (60.0, 60.0)


def test_a_run_that_is_an_outlier_of_an_endpoint_lends_no_scatter() -> None:
    before, after = runs(7, sd=0.02), runs(3, sd=0.02, seed=2)
    odd = before[3].endpoints["recall"]
    slow = {name: (value[0] * 5, None, None) for name, value in odd.quantiles.items()}
    before[3] = replace(
        before[3], endpoints={**before[3].endpoints, "recall": replace(odd, quantiles=slow)}
    )
    lent = priors(subjects(before, after, "p95", Policy()), before, after)
    assert lent["p95"].sd == pytest.approx(0.02, rel=0.5)


def test_seeds_go_on_after_those_of_the_accepted_runs() -> None:
    known: Any = SimpleNamespace(runs=[SimpleNamespace(seed=7), SimpleNamespace(seed=3)])
    options = RunOptions("memorai")
    assert next(fresh_seeds(options, known)) == 8
    assert next(fresh_seeds(options, None)) == 1
    assert next(fresh_seeds(replace(options, seed=5), known)) == 5


def test_the_longest_run_is_what_a_run_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 130.0, 200.0, 220.0])
    monkeypatch.setattr("harness.gate.run.time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr("harness.gate.run.make_run", lambda *asked: "record")
    monkeypatch.setattr("harness.gate.run.measure", lambda record: record)
    batch = _Batch(RunOptions("memorai"), iter([1, 2]), print)
    batch.make(2)
    assert (len(batch.runs), batch.seconds_a_run) == (2, 30.0)


def test_the_primary_row_has_a_level_of_its_own() -> None:
    primary = replace(ERRORS, primary=True)
    assert (Levels(0.1, 0.2).of(primary), Levels(0.1, 0.2).of(ERRORS)) == (0.1, 0.2)


def test_an_endpoint_is_in_doubt_up_to_twice_its_tolerance_and_the_total_up_to_it() -> None:
    assert (_doubt(ERRORS), _doubt(replace(ERRORS, endpoint=TOTAL))) == (2.0, 1.0)


def test_noise_is_known_from_the_second_and_third_run() -> None:
    assert noise_of(runs(2), "p95").sd is None
    made = runs(3)
    second, third = (run.values("p95", TOTAL) or 0.0 for run in made[1:])
    assert noise_of(made, "p95").sd == pytest.approx(abs(math.log(third / second)))
