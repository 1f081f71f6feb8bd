"""The limits of an experiment's timeline: when something counts as felt, alerted, switched back."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.catalog.expectations import Expectations
from harness.catalog.model import Objective
from harness.judge.experiment.execution import _told_by_status, shown
from harness.judge.experiment.facts import facts_of
from harness.judge.failover import Stages, _alerted, _switches, crowded, own_delay_of, recovery_of
from harness.record.distribution import Distribution, Floats
from tests.record.synthetic import service

STAGES = Stages(0.0, 40.0, 50.0, 80.0)
ERRORS = Objective("errors", "error_ratio", 0.001)
P95 = Objective("p95", "latency", 0.1, 0.95)
RATE = 100


def recorded(
    *objectives: Objective,
    latency: Floats | None = None,
    lost: dict[int, int] | None = None,
    late: dict[int, int] | None = None,
    lag: Floats | None = None,
    rate: int = RATE,
    ticks: tuple[dict[str, float], ...] = (),
) -> Any:
    """80 seconds of `rate` requests each; `lost` and `late` are by second."""
    failed = np.zeros(80, np.int64)
    for second, count in (lost or {}).items():
        failed[second] = count
    slow = late or {}
    response = [
        Distribution(np.array([0.01, 1.0]), np.array([rate - slow.get(at, 0), slow.get(at, 0)]))
        for at in range(80)
    ]
    offered = np.full(80, rate)
    zero = np.zeros(80) if lag is None else lag
    done = offered - failed
    series = SimpleNamespace(offered=offered, lost=failed, failed=failed, completed=done)
    return SimpleNamespace(
        seconds=80,
        directory=Path("none"),
        service=service(tuple(objectives)),
        series=lambda axis: series,
        distributions=lambda kind: response,
        quantile_series=lambda q, kind="response": zero if kind == "lag" else latency,
        of=lambda kind: [],
        events_of=lambda kind: ticks if kind == "tick" else (),
    )


def slower(usual_s: float, then_s: float) -> Floats:
    """Latencies that vary by 0.1 %, with three other seconds after the injection."""
    latency: Floats = np.multiply(usual_s, 1 + 0.001 * (np.arange(80.0) % 5), dtype=np.float64)
    latency[45:48] *= then_s / usual_s
    return latency


@pytest.mark.parametrize(("times", "at"), [(1.24, None), (1.27, 5.0)])
def test_a_second_is_felt_at_a_quarter_more_than_before(times: float, at: float | None) -> None:
    found = recovery_of(recorded(latency=slower(0.1, 0.1 * times)), STAGES)
    assert found.impact == at


@pytest.mark.parametrize(("then_s", "at"), [(0.0123, None), (0.0127, 5.0)])
def test_latencies_below_a_tenth_of_the_objective_are_all_alike(
    then_s: float, at: float | None
) -> None:
    found = recovery_of(recorded(P95, latency=slower(0.001, then_s)), STAGES)
    assert found.impact == at


@pytest.mark.parametrize(("failed", "at"), [(133, 10.0), (134, 20.0)])
def test_a_recovery_is_surely_late_by_seconds_that_chance_makes_in_one_of_a_thousand(
    failed: int, at: float
) -> None:
    """100 failed of a thousand a second before: of 1,000 such seconds one has 133 or more."""
    lost = dict.fromkeys(range(40), 100) | dict.fromkeys(range(40, 50), 500)
    lost |= dict.fromkeys(range(50, 58), 100) | {58: failed, 59: failed}
    lost |= dict.fromkeys(range(60, 80), 100)
    found = facts_of(
        recorded(latency=np.ones(80), lost=lost, rate=1000), Expectations(), STAGES, []
    )
    assert found.recovery.recovery == 20
    assert found.sure.recovery == at


def test_a_delay_of_this_machine_counts_from_what_was_usual_in_39_of_40_seconds() -> None:
    lag: Floats = np.concatenate([np.arange(40.0) / 1000, np.full(40, 0.1)])
    found = own_delay_of(recorded(lag=lag), STAGES, 0.95)
    assert found[60] == pytest.approx(0.1 - 0.975 * 0.039)


@pytest.mark.parametrize(
    ("rate", "others", "waited", "found"),
    [
        (20, 0.2, 0.99, []),
        (20, 0.2, 1.0, [49, 50]),
        (20, 0.19, 9.0, []),
        (1000, 0.2, 4.9, []),
        (1000, 0.2, 5.0, [49, 50]),
    ],
)
def test_a_second_is_crowded_by_a_fifth_of_the_cores_and_a_wait_for_them(
    rate: int, others: float, waited: float, found: list[int]
) -> None:
    """A second in one, and 5 ms a request; the reading at 50.9 s speaks of the second before."""
    tick = {"t": 50.9, "others": others, "waited": waited}
    record = recorded(rate=rate, ticks=({"t": 10.0}, tick))
    assert np.flatnonzero(crowded(record)).tolist() == found


@pytest.mark.parametrize(
    ("longest", "others", "found"),
    [(9.0, 0.9, [41, 42, 43, 44, 45, 46, 47, 48, 49, 50]), (0.99, 0.9, []), (9.0, 0.19, [])],
)
def test_a_thread_that_was_kept_waiting_makes_all_seconds_of_its_wait_crowded(
    longest: float, others: float, found: list[int]
) -> None:
    """Where others had the cores meanwhile; it is counted in the second in which it ended."""
    kept = [{"t": t + 0.9, "others": others, "waited": 0.01} for t in range(1, 60)]
    kept[49] |= {"t": 50.9, "longest_wait": longest}
    record = recorded(ticks=tuple(kept))
    assert np.flatnonzero(crowded(record)).tolist() == found


@pytest.mark.parametrize(("lost", "at"), [(7, None), (8, 46.0)])
def test_the_alert_fires_at_14_times_the_error_budget_over_five_seconds(
    lost: int, at: float | None
) -> None:
    """14.4 x 0.1 % of 500 requests are 7.2."""
    assert _alerted(recorded(ERRORS, lost={45: lost}), STAGES) == at


@pytest.mark.parametrize(("late", "at"), [(74, None), (76, 47.0)])
def test_the_alert_fires_at_six_times_the_budget_of_a_quantile(late: int, at: float | None) -> None:
    """6 x 5 % of 500 requests are 150."""
    assert _alerted(recorded(P95, late={45: 75, 46: late}), STAGES) == at


@pytest.mark.parametrize(("again", "back"), [(4, None), (5, 60.0)])
def test_five_answers_in_a_row_from_the_first_region_are_a_fail_back(
    again: int, back: float | None
) -> None:
    regions = [(at, "us") for at in range(40)] + [(at, "eu") for at in range(45, 60)]
    regions += [(60 + at, "us") for at in range(again)]
    answer: Any = {"ok": True}
    front: Any = [(float(at), {**answer, "region": name}) for at, name in regions]
    assert _switches(front, STAGES) == (45.0, back)


def test_a_value_is_shown_up_to_120_characters() -> None:
    assert shown("x" * 118) == f'"{"x" * 118}"'
    assert shown("x" * 119) == f'"{"x" * 119}…'


@pytest.mark.parametrize(("status", "said"), [(399, None), (400, "was answered with status 400")])
def test_an_http_status_from_400_is_a_problem(status: int, said: str | None) -> None:
    assert _told_by_status({"type": "http"}, {"status": status}) == said
