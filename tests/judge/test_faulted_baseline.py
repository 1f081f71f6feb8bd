"""Recovery and behaviour during a fault against stored runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from harness.errors import BaselineError
from harness.judge.faulted import FaultedRun, FaultedStore, compare


def runs(
    count: int, *, recovery: float = 5.0, p95: float = 0.06, errors: float = 0.02, seed: int = 1,
    censored: bool = False, platform: str = "lab",
) -> list[FaultedRun]:  # fmt: skip
    random = np.random.default_rng(seed)
    return [
        FaultedRun(
            id=f"{seed}-{number}",
            platform=platform,
            recovery_s=float(np.ceil(recovery + random.normal(0, 0.7))),
            censored=censored,
            error_ratio=float(errors + random.normal(0, 0.002)),
            latency_s={
                "p50": 0.02 * float(np.exp(random.normal(0, 0.03))),
                "p95": p95 * float(np.exp(random.normal(0, 0.05))),
            },
        )
        for number in range(count)
    ]


def failed(baseline: list[FaultedRun], fresh: list[FaultedRun]) -> set[str]:
    return {check.name for check in compare(baseline, fresh) if check.outcome == "fail"}


def test_the_same_behaviour_is_no_finding() -> None:
    alarms = [failed(runs(8, seed=2 * seed), runs(3, seed=2 * seed + 1)) for seed in range(1, 200)]
    assert sum(bool(found) for found in alarms) <= 6


def test_a_recovery_three_times_as_long_is_found() -> None:
    found = failed(runs(8), runs(3, recovery=15.0, seed=2))
    assert "recovery against stored runs" in found


def test_recoveries_that_never_came_count_as_slower() -> None:
    found = failed(runs(8), runs(3, recovery=30.0, seed=2, censored=True))
    assert "recovery against stored runs" in found


def test_a_faster_recovery_is_no_failure() -> None:
    assert failed(runs(8, recovery=15.0), runs(3, recovery=5.0, seed=2)) == set()


def test_latency_and_errors_during_the_fault_must_not_get_worse() -> None:
    assert failed(runs(8), runs(1, p95=0.12, seed=2)) == {"p95 against stored runs"}
    assert failed(runs(8), runs(1, errors=0.08, seed=2)) == {"errors against stored runs"}


def exactly(
    count: int, *, recovery: float = 8.0, p95: float = 0.06, errors: float = 0.02, name: str = "a"
) -> list[FaultedRun]:
    """Runs that scatter by a ten-thousandth."""
    return [
        FaultedRun(
            id=f"{name}{at}", platform="lab", recovery_s=recovery, censored=False,
            error_ratio=errors * (1 + 1e-4 * (at % 2)), latency_s={"p95": p95 * (1 + 1e-4 * at)},
        )
        for at in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fresh", "names"),
    [
        ({"p95": 0.0745}, set()),
        ({"p95": 0.0755}, {"p95 against stored runs"}),
        ({"errors": 0.0295}, set()),
        ({"errors": 0.0305}, {"errors against stored runs"}),
        ({"recovery": 10.9}, set()),
        ({"recovery": 11.1}, {"recovery against stored runs"}),
    ],
)
def test_a_quarter_of_a_latency_and_one_request_of_a_hundred_are_what_matters(
    fresh: dict[str, float], names: set[str]
) -> None:
    """Of a recovery a quarter and one second: 11 s where it took 8."""
    assert failed(exactly(8), exactly(3, name="b", **fresh)) == names


@pytest.mark.parametrize(("p", "is_found"), [(0.008, True), (0.012, False)])
def test_a_change_is_found_where_chance_makes_it_in_one_of_a_hundred_comparisons(
    p: float, *, is_found: bool
) -> None:
    """Eight stored runs with errors of 8 and 12 % in turn, by Student's prediction t."""
    stored = [replace(run, error_ratio=0.08 + 0.04 * (at % 2)) for at, run in enumerate(exactly(8))]
    error = 0.02 * np.sqrt(8 / 7) * np.sqrt(1 + 1 / 8)
    (fresh,) = exactly(1, name="b", errors=0.1 + float(stats.t.isf(p, 7)) * error)
    assert (failed(stored, [fresh]) == {"errors against stored runs"}) is is_found


def test_three_stored_runs_are_enough() -> None:
    assert failed(exactly(3), exactly(3, name="b", p95=0.12)) == {"p95 against stored runs"}


def test_too_few_stored_runs_judge_nothing() -> None:
    (check,) = compare(runs(2), runs(1, recovery=99, seed=2))
    assert check.outcome is None


def test_runs_of_another_platform_are_not_compared_with() -> None:
    (check,) = compare(runs(8, platform="kubernetes"), runs(1, recovery=99, seed=2))
    assert check.outcome is None


def test_stored_runs_come_back_and_none_is_kept_twice(tmp_path: Path) -> None:
    store = FaultedStore(tmp_path)
    store.accept("memorai", "fail-region", runs(3))
    store.accept("memorai", "fail-region", runs(4))
    assert len(store.load("memorai", "fail-region")) == 4
    assert store.load("memorai", "other") == ()


def test_files_of_this_schema_are_read(tmp_path: Path) -> None:
    path = FaultedStore(tmp_path).path("memorai", "fail-region")
    path.parent.mkdir(parents=True)
    path.write_text('{"schema": 1, "runs": []}')
    assert FaultedStore(tmp_path).load("memorai", "fail-region") == ()


@pytest.mark.parametrize("text", ["{", '{"schema": 1}', '{"schema": 99, "runs": []}', "[]"])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    path = FaultedStore(tmp_path).path("memorai", "fail-region")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(BaselineError, match=r"fail-region\.json"):
        FaultedStore(tmp_path).load("memorai", "fail-region")
