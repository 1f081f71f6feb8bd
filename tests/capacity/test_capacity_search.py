"""The search for a capacity: its answer is what was measured, and no more."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from harness.capacity import CapacityResult, Progress, Search, find_capacity
from harness.capacity.evidence import Limit, Observation, least_hold, limits_of
from harness.catalog.model import Objective
from harness.cli.capacity import _line, _summary
from harness.errors import UsageError
from harness.units import format_duration

LIMITS = (Limit("p95", 0.05, 0.1), Limit("errors", 0.001, None))
Share = Callable[[float, float], float | None]


@dataclass
class Made:
    """A service whose share of slow requests is a function of (rate, now); None: a spoilt step.

    `failing` requests fail in each step; the median latency moves by `wave`
    radians a second; from `down_from` on nothing is answered.
    """

    share: Share
    service: str = "memorai"
    limits: tuple[Limit, ...] = LIMITS
    failing: int = 0
    wave: float = 0.0
    down_from: float = math.inf
    clock: float = 0.0
    asked: list[tuple[float, float, int]] = field(default_factory=list)

    def now(self) -> float:
        """Virtual seconds."""
        return self.clock

    def pause(self, seconds: float) -> None:
        """Let them pass."""
        self.clock += seconds

    def observe(self, rate: float, hold_s: float, lead_s: float, seed: int) -> Observation:
        """A step with that share of slow requests in each second."""
        self.asked.append((rate, hold_s, seed))
        share, down = self.share(rate, self.clock), self.clock >= self.down_from
        self.clock += hold_s + lead_s + 5
        offered = np.full(round(hold_s), round(rate), np.int64)
        bad = np.round(offered * (share or 0.0)).astype(np.int64)
        lost = offered if down else 0 * bad
        lost[0] += 0 if down else self.failing
        bad = np.maximum(bad, lost)
        return Observation(
            run=f"run-{seed}", rate=rate, allowed=(0.05, 0.001), offered=offered,
            asked=np.array([offered] * 2), bad=np.array([bad, lost]), lost=lost, refused=0 * bad,
            medians=0.01 * (1 + 0.2 * np.sin(self.wave * np.arange(len(bad)))),
            pending=np.full(len(bad), 10),
            completed_rate=0.0 if down else rate, p95=0.05, concurrency=rate / 100,
            waited=False, cpu=0.1,
            trouble=None if share is not None else "the generator was late",
        )  # fmt: skip


def _below(limit: float) -> Share:
    return lambda rate, now: 0.0 if rate < limit else 0.5


def _find(share: Share, **search: Any) -> tuple[CapacityResult, Made]:
    made = Made(share)
    asked = {"start": 100.0, "max_rate": 10_000.0} | search
    return find_capacity(made, Search(**asked)), made


@pytest.mark.parametrize(
    ("confirm", "price"),
    [(40.0, "--confirm 5m, about 7 min longer"), (300.0, "--confirm 15m, about 15 min longer")],
)
def test_every_answer_says_what_it_has_not_looked_for_and_what_that_costs(
    confirm: float, price: str
) -> None:
    found, _ = _find(_below(700), confirm_s=confirm, budget_s=3_600.0)
    assert found.answered
    (horizon,) = [f.statement for f in found.findings if f.kind == "horizon"]
    assert f"less often than every {format_duration(confirm)} " in horizon
    assert f"more than {format_duration(float(round(found.seconds)))} of load" in horizon
    assert price in horizon
    assert horizon in _summary(found)


def test_what_is_not_answered_has_no_horizon() -> None:
    found, _ = _find(_below(math.inf), max_rate=900.0)
    assert "horizon" not in {finding.kind for finding in found.findings}


def test_a_longer_confirmation_finds_what_misses_every_ninety_seconds() -> None:
    """Eight seconds of each ninety: a hold of 40 s falls between them, one of 300 s does not."""

    def found(confirm: float) -> CapacityResult:
        made = Made(_below(700))
        short = made.observe

        def observe(rate: float, hold_s: float, lead_s: float, seed: int) -> Observation:
            seen = short(rate, hold_s, lead_s, seed)
            if 600 < rate < 700 and hold_s > 90:
                late = np.arange(len(seen.offered)) % 90 >= 82
                seen.bad[0, late] = seen.offered[late]
            return seen

        made.observe = observe  # type: ignore[method-assign]
        return find_capacity(made, Search(start=400.0, confirm_s=confirm, budget_s=3_600.0))

    short, long = found(40.0), found(300.0)
    assert short.low is not None
    assert long.low is not None
    assert (short.low > 600, long.low > 600) == (True, False)


@pytest.mark.parametrize("start", [100.0, 700.0, 5_000.0])
def test_the_capacity_lies_between_what_held_and_what_missed(start: float) -> None:
    found, _ = _find(_below(700), start=start)
    assert found.answered
    assert found.low is not None
    assert found.high is not None
    assert found.low < 700 <= found.high <= 1.1 * found.low
    assert found.limit.startswith("the service: p95")


def test_the_highest_rate_is_tried_exactly() -> None:
    found, made = _find(_below(950), start=100.0, max_rate=900.0)
    assert max(rate for rate, _, _ in made.asked) == 900.0
    assert (found.low, found.high) == (900.0, None)
    assert "--max-rate" in found.limit


def test_a_step_lasts_as_long_as_the_error_objective_needs() -> None:
    _, made = _find(_below(700), start=100.0)
    first_rate, first_hold, _ = made.asked[0]
    assert first_hold == pytest.approx(least_hold(LIMITS, first_rate), abs=1)
    assert 3_689 <= first_rate * first_hold <= 4_200


def test_a_rate_that_could_not_decide_within_the_budget_is_refused_with_its_remedy() -> None:
    with pytest.raises(UsageError, match="time-budget"):
        _find(_below(700), start=1.0)


def test_the_lower_end_is_confirmed_in_one_long_hold_and_the_upper_tried_again() -> None:
    found, _ = _find(_below(700))
    confirmed = [s for s in found.steps if (s.outcome, s.purpose) == ("held", "confirm")]
    assert [step.hold_s >= 40 for step in confirmed] == [True]
    assert found.low == pytest.approx(confirmed[0].rate, rel=0.02)
    after = found.steps[found.steps.index(confirmed[0]) :]
    assert found.high in {step.rate for step in after if step.outcome == "missed"} | {
        step.rate for step in found.steps if step.outcome == "missed" and step.hold_s >= 40
    }


def test_the_lower_end_is_below_what_held_by_what_chance_may_have_offered() -> None:
    found, _ = _find(_below(700))
    confirmed = next(s for s in found.steps if (s.outcome, s.purpose) == ("held", "confirm"))
    assert found.low is not None
    assert found.high is not None
    share = 1.96 / (confirmed.rate * confirmed.hold_s) ** 0.5
    assert 0.3 * share < 1 - found.low / confirmed.rate < 1.3 * share
    assert found.high <= 1.1 * found.low


def test_recovery_is_shown_by_the_next_rate_that_holds() -> None:
    found, _ = _find(_below(950), start=500.0)
    assert "recovery" not in {step.purpose for step in found.steps}


def test_a_capacity_that_falls_during_the_search_is_named_and_not_answered() -> None:
    found, _ = _find(
        lambda rate, now: 0.0 if rate < (900 if now < 45 else 660) else 0.5, start=800.0
    )
    assert "unsteady" in {finding.kind for finding in found.findings}
    assert not found.answered


def test_an_overload_in_which_nothing_is_answered_in_time_does_not_end_the_search() -> None:
    made = Made(_below(700))
    answered = made.observe

    def observe(rate: float, hold_s: float, lead_s: float, seed: int) -> Observation:
        made.down_from = 0.0 if rate > 700 else math.inf
        return answered(rate, hold_s, lead_s, seed)

    made.observe = observe  # type: ignore[method-assign]
    found = find_capacity(made, Search(start=400.0))
    assert found.answered


@pytest.mark.parametrize(("wave", "looks"), [(0.0, 1), (0.5, 2)])
def test_a_latency_that_moves_is_looked_at_once_more_and_longer(wave: float, looks: int) -> None:
    found = find_capacity(Made(_below(700), wave=wave), Search(start=400.0))
    assert [s.hold_s for s in found.steps if s.purpose == "calm"] == [49.0, 60.0][:looks]
    assert ("unsteady" in {finding.kind for finding in found.findings}) is (looks == 2)


@pytest.mark.parametrize(
    ("start", "calm"), [(500.0, [500.0]), (640.0, [512.0, 640.0]), (740.0, [388.0, 592.0])]
)
def test_the_first_rate_that_held_is_tried_again_at_the_end(
    start: float, calm: list[float]
) -> None:
    """Up to 92 % of what was confirmed; one below 75 % is looked at in any case."""
    found, _ = _find(_below(800), start=start)
    assert [s.rate for s in found.steps if s.purpose == "calm"] == calm


@pytest.mark.parametrize("start", [400.0, 640.0])
def test_a_short_search_watches_the_service_for_100_seconds_in_all(start: float) -> None:
    found, _ = _find(_below(800), start=start)
    held = [step.hold_s for step in found.steps if step.outcome in {"held", "unknown"}]
    calm = [step.hold_s for step in found.steps if step.purpose == "calm"]
    assert sum(held) - sum(calm[1:]) == 100
    assert calm[1:] == [20.0] * (len(calm) - 1)


def test_a_speed_that_may_move_is_looked_at_far_below_the_capacity() -> None:
    found = find_capacity(Made(_below(800), wave=0.5), Search(start=740.0))
    assert [s.rate for s in found.steps if s.purpose == "calm"] == [388.0, 592.0, 388.0]


def test_a_rate_missed_then_held_then_missed_makes_the_search_look_longer() -> None:
    made = Made(_below(950))
    answered = made.observe

    def observe(rate: float, hold_s: float, lead_s: float, seed: int) -> Observation:
        seen = answered(rate, hold_s, lead_s, seed)
        if rate >= 950 and hold_s < 40 and any(hold >= 40 for _, hold, _ in made.asked[:-1]):
            seen.bad[:] = 0
        return seen

    made.observe = observe  # type: ignore[method-assign]
    found = find_capacity(made, Search(start=500.0))
    assert [(s.outcome, s.hold_s) for s in found.steps if s.purpose == "recheck"] == [
        ("held", 10.0), ("missed", 40.0),
    ]  # fmt: skip
    assert [s.hold_s for s in found.steps if s.purpose == "calm"] == [40.0, 60.0]
    assert found.answered


@pytest.mark.parametrize(("first", "missed"), [(5, True), (4, False)])
def test_an_upper_end_left_open_twice_is_missed_if_far_beyond_its_limit(
    first: int, *, missed: bool
) -> None:
    """Of the first and the second run so many and four seconds are bad: 2.2 or 1.9 times."""
    made = Made(_below(math.inf))
    answered = made.observe

    def observe(rate: float, hold_s: float, lead_s: float, seed: int) -> Observation:
        seen = answered(rate, hold_s, lead_s, seed)
        if rate >= 800:
            bad = 4 if sum(asked == rate for asked, *_ in made.asked) % 2 == 0 else first
            seen.bad[0, :bad] = round(0.24 * rate)
        return seen

    made.observe = observe  # type: ignore[method-assign]
    found = find_capacity(made, Search(start=400.0))
    assert (found.high == 800.0) is missed


def test_a_search_from_above_has_shown_that_the_service_recovers() -> None:
    found, _ = _find(_below(300), start=1_000.0)
    assert "recovery" not in {step.purpose for step in found.steps}
    found, _ = _find(_below(300), start=100.0)
    assert "recovery" in {step.purpose for step in found.steps}


def test_a_service_that_has_gone_ends_the_search_with_its_reason() -> None:
    made = Made(_below(700), down_from=60.0)
    found = find_capacity(made, Search(start=400.0))
    assert not found.answered
    assert "no answer" in {finding.kind for finding in found.findings}
    assert found.limit == "the service: nothing answers"
    assert made.clock < 400


def test_noise_of_the_generator_delays_and_does_not_cap() -> None:
    spoilt = iter([True, True, False, True, False] * 20)

    def share(rate: float, now: float) -> float | None:
        return None if next(spoilt) else _below(700)(rate, now)

    found, _ = _find(share, budget_s=3_600.0)
    assert found.answered
    assert found.high is not None
    assert found.high < 800


def test_a_generator_that_is_the_limit_is_named_and_bounds_no_service() -> None:
    found, _ = _find(lambda rate, now: 0.0 if rate < 700 else None, budget_s=7_200.0)
    assert found.low is not None
    assert 600 < found.low < 700
    assert found.high is None
    assert found.limit == "the load generator: the generator was late"
    assert "or more" in _summary(found)


def test_a_service_that_missed_and_then_holds_has_two_capacities() -> None:
    def share(rate: float, now: float) -> float:
        return 0.0 if rate < (500 if now < 60 else 1_500) else 0.5

    found, _ = _find(share, start=500.0, budget_s=1_800.0)
    assert found.low is not None
    assert 1_300 < found.low < 1_500
    assert found.spike_high is not None
    assert found.spike_high <= 700
    assert "scaling" in {finding.kind for finding in found.findings}


def test_a_service_that_never_recovers_is_named_and_not_answered() -> None:
    broken: list[float] = []

    def share(rate: float, now: float) -> float:
        if rate > 900:
            broken.append(rate)
        return 0.5 if rate > (200 if broken else 900) else 0.0

    found, _ = _find(share, start=400.0)
    assert [finding.kind for finding in found.findings] == ["no recovery"]
    assert not found.answered
    assert (found.low, found.high) == (800.0, 1_600.0)


@pytest.mark.parametrize(("share", "outcome"), [(0.49, "unknown"), (0.51, "missed")])
def test_stalls_that_miss_a_limit_by_little_may_be_those_of_a_queue(
    share: float, outcome: str
) -> None:
    """Three stalls in twenty seconds: 1.47 and 1.53 times the limit."""
    made = Made(_below(math.inf))
    answered = made.observe

    def observe(rate: float, hold_s: float, lead_s: float, seed: int) -> Observation:
        seen = answered(rate, hold_s, lead_s, seed)
        for second in (5, 10, 15):
            seen.bad[0, second] = round(share * seen.offered[second])
        return seen

    made.observe = observe  # type: ignore[method-assign]
    found = find_capacity(made, Search(start=400.0, hold_s=20.0))
    assert found.steps[0].outcome == outcome


def test_two_lower_rates_missed_after_the_first_miss_ask_whether_the_service_recovers() -> None:
    broken: list[float] = []

    def share(rate: float, now: float) -> float:
        if rate > 900:
            broken.append(rate)
        return 0.5 if broken else 0.0

    found, _ = _find(share, start=400.0)
    first = next(k for k, step in enumerate(found.steps) if step.purpose == "recovery")
    before = [step.outcome for step in found.steps[:first]]
    assert before == ["held", "held", "missed", "missed", "missed"]


def test_a_share_that_the_rate_does_not_change_is_named() -> None:
    found, _ = _find(lambda rate, now: 0.05, start=400.0)
    assert "not about rate" in {finding.kind for finding in found.findings}
    assert not found.answered


def test_what_holds_for_ten_seconds_and_not_for_forty_is_not_the_answer() -> None:
    made = Made(lambda rate, now: 0.0)
    short = made.observe

    def observe(rate: float, hold_s: float, lead_s: float, seed: int) -> Observation:
        made.share = _below(500 if hold_s >= 40 else 700)
        return short(rate, hold_s, lead_s, seed)

    made.observe = observe  # type: ignore[method-assign]
    found = find_capacity(made, Search(start=400.0, budget_s=3_600.0))
    assert found.low is not None
    assert found.low < 500


def test_the_budget_ends_a_search_with_what_it_knows() -> None:
    found, made = _find(_below(700), budget_s=90.0, start=400.0)
    assert made.clock <= 90
    assert not found.answered
    assert "time" in {finding.kind for finding in found.findings}


def test_a_budget_that_ends_after_the_confirmation_says_so() -> None:
    found, _ = _find(_below(950), budget_s=110.0, start=500.0)
    assert found.confirmed
    assert [f.statement for f in found.findings if "before the last steps" in f.statement]


def test_steps_and_time_are_announced_and_counted_down() -> None:
    told: list[Progress] = []
    find_capacity(Made(_below(700)), Search(start=400.0), told.append)
    assert told[0].step is None
    assert "in all" in _line(told[0])
    assert told[-1].left < told[0].left
    assert told[-1].left_s < told[0].left_s


def test_a_service_without_an_objective_has_no_capacity() -> None:
    with pytest.raises(UsageError, match="no latency or error objective"):
        limits_of([Objective("rate", "throughput", 100.0)])
