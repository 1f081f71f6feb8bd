"""Every limit of an experiment's checks, from both sides of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.catalog.expectations import Expectations
from harness.catalog.model import Objective
from harness.judge.experiment import checks, verdict
from harness.judge.experiment.loss import SETTLED_S
from harness.judge.failover import Stages
from harness.record.distribution import Distribution
from tests.record.synthetic import service

INJECT, HEAL, END = 20, 22, 45
RATE = 400


def noticed(after_s: float) -> Any:
    return SimpleNamespace(
        milestones=SimpleNamespace(injected=14.0, detected=14.0 + after_s, alerted=None),
        recovery=SimpleNamespace(impact=1.0, recovery=2.0),
    )


def recovered(after_s: float) -> Any:
    return SimpleNamespace(
        milestones=SimpleNamespace(injected=14.0, detected=None, alerted=None),
        recovery=SimpleNamespace(impact=1.0, recovery=after_s),
    )


@pytest.mark.parametrize(("after_s", "said"), [(299.0, "pass"), (300.0, "fail")])
def test_a_fault_must_be_noticed_within_five_minutes(after_s: float, said: str) -> None:
    assert checks._detection(noticed(after_s))[0] == said


@pytest.mark.parametrize(("after_s", "said"), [(299.0, None), (300.0, "inconclusive")])
def test_what_ends_by_itself_within_five_minutes_need_not_be_noticed(
    after_s: float, said: str | None
) -> None:
    assert checks._detection(recovered(after_s))[0] == said


@pytest.mark.parametrize(("after_s", "said"), [(299.0, "pass"), (300.0, "fail")])
def test_the_recovery_objective_is_five_minutes(after_s: float, said: str) -> None:
    outcome, _, limit, _ = checks._objectives(recovered(after_s))
    assert outcome == said
    assert limit == "RTO 5m 00s, MTTR 15m 00s"


def after(
    *,
    times: float = 1.0,
    lost: int = 0,
    promised: float | None = 0.001,
    end: float = END,
    late: int = RATE,
) -> str | None:
    """What is said of a tail whose p99 is `times` that of before, with `lost` failed requests.

    `late` of each second's requests are as slow as that.
    """
    usual = Distribution(np.array([0.1]), np.array([RATE]))
    slow = Distribution(np.array([0.1, 0.1 * times]), np.array([RATE - late, late]))
    response = [usual if second < HEAL else slow for second in range(END)]
    failed = np.zeros(END, np.int64)
    failed[HEAL + 4] = lost
    series = SimpleNamespace(offered=np.full(END, RATE), lost=failed)
    objectives = [] if promised is None else [Objective("errors", "error_ratio", promised)]
    record = SimpleNamespace(
        seconds=END,
        service=service(tuple(objectives)),
        series=lambda axis: series,
        distributions=lambda kind: response,
        quantile_series=lambda q, kind: np.zeros(END),
        of=lambda kind: [],
        events_of=lambda kind: [],
    )
    stages = Stages(4.0, float(INJECT), float(HEAL), end)
    found = SimpleNamespace(recovery=1.0)
    facts: Any = SimpleNamespace(
        record=record, stages=stages, recovery=found, at_best=found, expect=Expectations()
    )
    return checks._tail(facts)[0]


@pytest.mark.parametrize(("times", "said"), [(1.45, "pass"), (1.55, "fail")])
def test_a_tail_may_be_half_as_slow_again(times: float, said: str) -> None:
    assert after(times=times) == said


@pytest.mark.parametrize(("left_s", "said"), [(2.9, "inconclusive"), (3.0, "pass")])
def test_a_tail_is_looked_at_for_three_seconds_that_begin_after_three(
    left_s: float, said: str
) -> None:
    assert after(end=HEAL + SETTLED_S + left_s) == said
    assert SETTLED_S == 3


@pytest.mark.parametrize(
    ("promised", "said"),
    [
        (0.001038, "fail"),  # chance explains 20 of 8,000 in 1 of 2,500
        (0.001087, "inconclusive"),  # in 1 of 1,430
        (0.001491, "inconclusive"),  # in 1 of 50
        (0.001560, "pass"),  # in 1 of 33
    ],
)
def test_errors_after_the_recovery_count_by_how_seldom_chance_explains_them(
    promised: float, said: str
) -> None:
    assert after(lost=20, promised=promised) == said


@pytest.mark.parametrize(("share", "said"), [(0.0095, "pass"), (0.0145, "fail")])
def test_where_no_error_ratio_is_promised_one_in_a_hundred_may_fail(
    share: float, said: str
) -> None:
    assert after(lost=round(share * RATE * 20), promised=None) == said


@pytest.mark.parametrize(
    ("felt", "at_best", "asked", "said"),
    [
        (None, None, True, ("inconclusive", "none", "felt", "a fault that must be felt")),
        (None, None, False, ("pass", "none", "any", "No user felt it")),
        (3.0, None, True, ("noisy", "3.00 s", "felt", "Users felt it.")),
        (3.0, None, False, (None, "3.00 s", "any", "own lateness would explain them")),
        (3.0, 3.0, True, ("pass", "3.00 s", "felt", "10.00 % of the requests failed during it")),
        (3.0, 3.0, False, (None, "3.00 s", "any", "10.00 % of the requests failed during it")),
    ],
)
def test_an_impact_is_judged_only_where_the_fault_must_be_felt(
    felt: float | None,
    at_best: float | None,
    said: tuple[str | None, str, str, str],
    *,
    asked: bool,
) -> None:
    series = SimpleNamespace(offered=np.full(END, RATE), lost=np.full(END, RATE // 10))
    facts: Any = SimpleNamespace(
        record=SimpleNamespace(series=lambda axis: series, of=lambda kind: []),
        stages=Stages(4.0, float(INJECT), float(HEAL), END),
        recovery=SimpleNamespace(impact=felt),
        at_best=SimpleNamespace(impact=at_best),
        expect=Expectations(impact=asked),
    )
    *found, statement = checks._impact(facts)
    assert tuple(found) == said[:3]
    assert said[3] in statement


@pytest.mark.parametrize(
    ("impact", "recovery_s", "said"),
    [(None, None, "no impact"), (1.0, None, "never"), (1.0, 3.0, "3.00 s")],
)
def test_a_recovery_that_nobody_asked_for_is_shown(
    impact: float | None, recovery_s: float | None, said: str
) -> None:
    facts: Any = SimpleNamespace(
        recovery=SimpleNamespace(impact=impact, recovery=recovery_s), expect=Expectations()
    )
    assert checks._recovered_once(facts)[:3] == (None, said, "not asked")


def test_an_interrupted_experiment_says_so() -> None:
    stopped: Any = SimpleNamespace(status="interrupted", of=lambda kind: [])
    assert "was interrupted" in (verdict._prevented(stopped) or "")


@pytest.mark.parametrize(
    ("limit_s", "said"),
    [(5.2, "pass"), (5.0, "inconclusive"), (4.3, "inconclusive"), (4.2, "fail")],
)
def test_a_recovery_within_the_second_of_its_limit_is_a_doubt(limit_s: float, said: str) -> None:
    """It came between 4.2 and 5.2 s after the injection."""
    found = SimpleNamespace(impact=0.0, recovery=5.2, low=4.2, high=5.2, censored=False)
    facts: Any = SimpleNamespace(
        stages=Stages(4.0, 20.8, 30.0, 50.0),
        recovery=found,
        expect=Expectations(recovery_s=limit_s, recovery_from="inject"),
    )
    assert checks._recovered_once(facts)[0] == said
