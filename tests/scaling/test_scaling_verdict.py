"""The verdict on made-up scaling tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.errors import ProfileError
from harness.judge import scaling
from harness.judge.scaling import ScalingLimits, ScalingTrace, ScalingVerdict, judge_scaling
from harness.load.kubernetes.autoscaler import Autoscaler
from harness.record.run import RunRecord
from harness.report.scaling import print_scaling, render_html
from harness.session.scale_test import ScaleOptions, scale_profile
from harness.storage import json_text
from tests.record import synthetic

SCALER = Autoscaler("memorai", "staging", 1, 5, 30, ("Resource cpu 40 %",), "app=memorai")
HPA = {"name": "memorai", "least": 1, "most": 5, "targets": ["Resource cpu 40 %"]}
RISE, FALL, END = 20, 142, 232
LOAD = ScaleOptions(peak=200, base=20, before_s=20, rise_s=2, hold_s=120)
Pods = Callable[[int], int]


def pods(second: int, ready_after: int = 30, down_after: int = 20) -> int:
    """One pod, four from `ready_after` seconds after the rise, one again after the fall."""
    return 4 if RISE + ready_after <= second < FALL + down_after else 1


def seen(
    ready: Pods = pods, pressure: float | None = 2.0, **fields: Any
) -> Iterator[dict[str, Any]]:
    """What the watcher says once a second."""
    for second in range(END):
        peak = RISE < second < FALL
        yield {
            "type": "scaling",
            "t": second + 0.1,
            "desired": ready(second),
            "ready": ready(second),
            "created": ready(second),
            "pressure": pressure if peak else (None if pressure is None else 0.3),
            "usage": 0.8 if peak else 0.1,
            "share": 0.2,
            "active": True,
            **fields,
        }


def made(root: Path, *messages: dict[str, Any], slow_for: int = 40, **fields: Any) -> RunRecord:
    """A run that is slow for some seconds of the peak."""
    plan = replace(synthetic.plan(), profile=scale_profile(LOAD, SCALER))
    plan = replace(plan, profile=replace(plan.profile, spacing="constant"))
    run = synthetic.Made(
        plan=plan,
        slow=lambda second: 30.0 if RISE + 1 < second < RISE + slow_for else 1.0,
        messages=messages,
        **fields,
    )
    return synthetic.record(root, run)


def judged(root: Path, *messages: dict[str, Any], **fields: Any) -> ScalingVerdict:
    limits = fields.pop("limits", ScalingLimits())
    return judge_scaling(made(root, *messages, **fields), limits, HPA)


def check(verdict: ScalingVerdict, name: str) -> Any:
    (found,) = [each for each in verdict.checks if each.name == name]
    return found


def test_one_that_follows_passes_with_its_figures(tmp_path: Path) -> None:
    """First pod, relief, pod-seconds, no flap, back again."""
    verdict = judged(tmp_path, *seen(), limits=ScalingLimits(scaled_down_s=60))
    assert verdict.outcome == "pass", verdict.reasons
    assert check(verdict, "first new ready pod").measured == 30
    assert check(verdict, "objectives hold again").measured == pytest.approx(40, abs=1)
    assert check(verdict, "most replicas").measured == 4
    assert check(verdict, "flapping").measured == 0
    assert check(verdict, "scaled down").measured == 20
    # 0.8 for 200/s is 0.004 a request, a pod's share of 0.2 is 50/s: four are needed, for 30 s
    # three of them were missing, for 20 s after the fall three too many were there.
    assert check(verdict, "under-provisioned").measured == pytest.approx(3 * 29, abs=4)
    assert check(verdict, "over-provisioned").measured == pytest.approx(3 * 20, abs=3)


@pytest.mark.parametrize(
    ("ready", "slow_for", "name"),
    [
        (lambda s: pods(s, ready_after=90), 95, "first new ready pod"),
        (pods, 200, "objectives hold again"),
        (lambda s: pods(s) if s % 20 < 10 else 1, 40, "flapping"),
    ],
)
def test_a_limit_that_is_missed_fails(
    tmp_path: Path, ready: Pods, slow_for: int, name: str
) -> None:
    """Each by the check that names it."""
    verdict = judged(tmp_path, *seen(ready), slow_for=slow_for)
    assert verdict.outcome == "fail"
    assert check(verdict, name).outcome == "fail"


def test_a_load_that_does_not_provoke_is_inconclusive(tmp_path: Path) -> None:
    """No word on an autoscaler that had nothing to do."""
    limits = ScalingLimits(first_ready_s=None)
    verdict = judged(tmp_path, *seen(lambda s: 1, 0.8), slow_for=0, limits=limits)
    assert verdict.outcome == "inconclusive"
    assert "did not provoke" in verdict.reasons[0]


def test_an_autoscaler_that_sees_and_does_nothing_fails(tmp_path: Path) -> None:
    """Two minutes at twice the target."""
    verdict = judged(tmp_path, *seen(lambda s: 1), slow_for=0)
    assert verdict.outcome == "fail"
    assert "did not scale" in check(verdict, "scaled up").statement


def test_without_metrics_nothing_is_said(tmp_path: Path) -> None:
    """Unknown is unknown: no nought, no pass."""
    limits = ScalingLimits(first_ready_s=None, under_pod_s=10)
    blind = seen(lambda s: 1, None, usage=None, share=None)
    verdict = judged(tmp_path, *blind, slow_for=0, limits=limits)
    assert verdict.outcome == "inconclusive"
    assert check(verdict, "under-provisioned").measured is None


def test_a_generator_in_trouble_makes_it_invalid(tmp_path: Path) -> None:
    """Whatever the autoscaler did."""
    verdict = judged(tmp_path, *seen(), cpu=0.99)
    assert verdict.outcome == "invalid"
    assert verdict.exit_code == 4


def test_a_wait_that_was_cut_short_is_inconclusive(tmp_path: Path) -> None:
    """The limit was not reached when the watching ended."""
    limits = ScalingLimits(first_ready_s=None, holds_again_s=600)
    verdict = judged(tmp_path, *seen(), slow_for=300, limits=limits)
    assert check(verdict, "objectives hold again").outcome == "inconclusive"


def test_it_is_told_in_every_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The page is one file with its plot, the JSON has the exit code, the terminal every figure."""
    import json  # noqa: PLC0415
    import sys  # noqa: PLC0415

    record = made(tmp_path, *seen())
    verdict = judge_scaling(record, ScalingLimits(), HPA)
    page = render_html(record, verdict)
    assert page == render_html(record, verdict)
    assert "<svg" in page
    assert "needed" in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("http-equiv", "")
    assert json.loads(json_text(verdict.as_dict()))["exit_code"] == verdict.exit_code
    print_scaling(record, verdict, sys.stdout)
    said = capsys.readouterr().out
    assert all(each.name in said for each in verdict.checks)


def test_the_profile_rises_and_comes_back() -> None:
    """A fifth as base, and the autoscaler's own window watched at the end."""
    profile = scale_profile(ScaleOptions(peak=100), SCALER)
    assert [(each.phase, each.to_rate) for each in profile.segments] == [
        ("warmup", 20),
        ("ramp", 100),
        ("hold", 100),
        ("cooldown", 20),
    ]
    assert profile.segments[-1].duration_s == 90
    with pytest.raises(ProfileError, match="below the peak"):
        scale_profile(ScaleOptions(peak=10, base=20), SCALER)


def test_the_share_of_a_pod_is_what_the_metric_says() -> None:
    """Guard of the arithmetic in the comment above."""
    assert np.ceil(200 / (0.2 / (0.8 / 200))) == 4


def pressed(pressure: float, seconds: int) -> ScalingTrace:
    """An autoscaler that wants one pod whatever its metric says, for so many seconds of a peak."""
    series = np.full(seconds, pressure, dtype=np.float64)
    one = np.ones(seconds, dtype=np.float64)
    return ScalingTrace(
        rate=one, p95=one, broken=np.zeros(seconds, np.bool_), ready=one, desired=one,
        pressure=series, needed=None, per_replica=None, per_replica_from="", rise=0, fall=seconds,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("pressure", "seconds", "said"),
    [
        (1.09, 120, "inconclusive"),  # Kubernetes tolerates a tenth above the target
        (1.11, 120, "fail"),
        (2.0, 59, "inconclusive"),
        (2.0, 60, "fail"),
    ],
)
def test_an_autoscaler_is_at_fault_after_a_minute_a_tenth_above_its_target(
    pressure: float, seconds: int, said: str
) -> None:
    assert scaling._scaled(pressed(pressure, seconds), {"most": 5}, None).outcome == said


def test_an_autoscaler_that_is_at_its_maximum_already_is_not_at_fault() -> None:
    found = scaling._scaled(pressed(2.0, 120), {"most": 1}, None)
    assert found.outcome == "inconclusive"
    assert "at its maximum" in found.statement


@pytest.mark.parametrize(
    ("desired", "rose"), [([np.nan, 1.0, 2.0], True), ([2.0, 2.0, 1.0], False), ([np.nan], False)]
)
def test_wanted_pods_rose_where_more_were_wanted_than_at_first(
    desired: list[float], *, rose: bool
) -> None:
    assert scaling._rose(np.array(desired)) is rose


def test_pods_are_settled_twenty_seconds_after_their_last_change() -> None:
    ready = np.array([1.0] * 10 + [2.0] * 30)
    assert list(np.flatnonzero(scaling._settled(ready))) == list(range(30, 40))


@pytest.mark.parametrize(("seconds", "known"), [(4, None), (5, 50.0)])
def test_what_a_replica_carries_is_told_from_five_settled_seconds(
    seconds: int, known: float | None
) -> None:
    """0.8 for 200/s is 0.004 a request: a share of 0.2 carries 50/s."""
    usage, share, done = (np.full(30, value) for value in (0.8, 0.2, 200.0))
    settled = np.arange(30) < seconds
    assert scaling._per_replica(usage, share, done, settled) == (
        None if known is None else pytest.approx(known)
    )


def test_a_first_pod_may_take_one_minute_and_relief_two_where_nothing_else_is_asked() -> None:
    checks = scaling._checks(pressed(2.0, 120), ScalingLimits(), HPA)
    limits = {each.name: each.limit for each in checks}
    assert limits["first new ready pod"] == 60
    assert limits["objectives hold again"] == 120
    assert limits["flapping"] == 0


def test_a_second_breaks_an_objective_only_beyond_it() -> None:
    """P95 100 ms at most, one request of a thousand lost at most; a second without any is none."""
    series = SimpleNamespace(lost=np.array([0, 0, 0, 1, 2]), offered=np.array([1000] * 5))
    record: Any = SimpleNamespace(
        seconds=5,
        service=synthetic.service(),
        series=lambda axis: series,
        quantile_series=lambda q: np.array([0.1, 0.11, np.nan, 0.05, 0.05]),
    )
    assert list(scaling._broken(record)) == [False, True, False, False, True]
