"""An entry point shows a fault by slowness only beyond what chance puts into the seconds of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from harness.events import Canary
from harness.judge.effect import Effect, effect_of

INJECT, HEAL, END = 14.0, 18.0, 34.0


def answers(entry_points: int, slow: Callable[[float], bool]) -> Iterator[Canary]:
    """Five answers a second at each entry point; those of the first may be slow."""
    for entry_point in range(entry_points):
        for tick in range(int(END * 5)):
            t = tick / 5
            late = entry_point == 0 and slow(t)
            yield {"type": "canary", "t": t, "where": f"entry point {entry_point}",
                   "connection": "new", "ok": True, "error": None,
                   "latency_s": 0.2 if late else 0.02}  # fmt: skip


def seen(entry_points: int, slow: Callable[[float], bool], heal: float = HEAL) -> Effect:
    return effect_of(answers(entry_points, slow), (), INJECT, heal, END)


def test_one_stall_of_two_seconds_is_no_effect_of_a_fault_of_ten() -> None:
    """A fifth of the answers were slow, which was one once."""
    assert seen(1, lambda t: 16 <= t < 18, heal=24.0).began is None


def test_what_is_slow_for_as_long_as_the_fault_holds_is_its_effect() -> None:
    found = seen(1, lambda t: INJECT <= t < HEAL)
    assert (found.began, found.ended) == (INJECT, HEAL)
    assert found.observers[0].how == "slow"


def test_stalls_as_frequent_before_as_during_are_no_effect() -> None:
    assert seen(1, lambda t: t % 3 < 1, heal=26.0).began is None


@pytest.mark.parametrize(("entry_points", "is_seen"), [(15, True), (16, False)])
def test_the_chance_of_a_false_alarm_is_shared_by_all_entry_points(
    entry_points: int, *, is_seen: bool
) -> None:
    """All 4 s of 18: one way in 3,060."""
    found = seen(entry_points, lambda t: INJECT <= t < HEAL)
    assert (found.began is not None) is is_seen


def one(
    *,
    begin: float = 0.0,
    bad: Callable[[float], bool] = lambda t: False,
    slow: Callable[[float], bool] = lambda t: False,
    times: float = 10.0,
    heal: float = HEAL,
) -> Effect:
    """One entry point that is asked five times a second; where it fails, and where it is slow."""
    events: list[Canary] = [
        {"type": "canary", "t": tick / 5, "where": "entry point", "connection": "new",
         "ok": not bad(tick / 5),
         "error": "timeout" if bad(tick / 5) else None,
         "latency_s": 0.02 * times if slow(tick / 5) else 0.02}
        for tick in range(round(begin * 5), round(END * 5))
    ]  # fmt: skip
    return effect_of(events, (), INJECT, heal, END)


def during(t: float) -> bool:
    return INJECT <= t < HEAL


@pytest.mark.parametrize(("before", "is_seen"), [(9, False), (10, True)])
@pytest.mark.parametrize("how", ["bad", "slow"])
def test_an_entry_point_that_gave_fewer_than_ten_answers_before_shows_nothing(
    before: int, how: str, *, is_seen: bool
) -> None:
    begin, always = INJECT - before / 5, {how: lambda t: t >= INJECT}
    found = one(begin=begin, heal=33.0, **always)  # type: ignore[arg-type]
    assert (found.began is not None) is is_seen


@pytest.mark.parametrize(("wrong", "is_seen"), [(3, True), (4, False)])
def test_an_entry_point_that_failed_one_time_in_twenty_before_shows_nothing(
    wrong: int, *, is_seen: bool
) -> None:
    """70 answers came before."""
    found = one(bad=lambda t: t < wrong / 5 or during(t))
    assert (found.began is not None) is is_seen


@pytest.mark.parametrize(
    ("failed_before", "wrong", "is_seen"),
    [(False, 1, False), (False, 2, True), (True, 4, False), (True, 5, True)],
)
def test_two_wrong_answers_show_a_fault_only_where_none_was_wrong_before(
    wrong: int, *, failed_before: bool, is_seen: bool
) -> None:
    """Else it takes more of 25 answers than a ratio of one in 70 explains."""
    found = one(bad=lambda t: (failed_before and t == 0) or INJECT <= t < INJECT + wrong / 5)
    assert (found.began is not None) is is_seen


@pytest.mark.parametrize(("times", "is_seen"), [(1.45, False), (1.55, True)])
def test_an_answer_is_slow_at_half_as_much_again_as_before(times: float, *, is_seen: bool) -> None:
    assert (one(slow=during, times=times).began is not None) is is_seen


@pytest.mark.parametrize("how", ["bad", "slow"])
@pytest.mark.parametrize(("until", "has_ended"), [(END - 6, True), (END - 4, False)])
def test_a_fault_that_shows_in_the_last_six_seconds_has_not_ended(
    how: str, until: float, *, has_ended: bool
) -> None:
    found = one(**{how: lambda t: INJECT <= t < until})  # type: ignore[arg-type]
    assert (found.ended is not None) is has_ended


@pytest.mark.parametrize(
    ("how", "last", "has_ended"),
    [("bad", 3, True), ("bad", 4, False), ("slow", 2, True), ("slow", 3, False)],
)
def test_a_tenth_of_the_last_answers_may_be_wrong_and_less_than_that_slow(
    how: str, last: int, *, has_ended: bool
) -> None:
    """30 answers come in the last six seconds."""
    found = one(**{how: lambda t: during(t) or 30 <= t < 30 + last / 5})  # type: ignore[arg-type]
    assert (found.ended is not None) is has_ended


@pytest.mark.parametrize(
    ("apart", "wrong", "is_seen"), [(2.4, 2, True), (2.6, 2, False), (2.6, 3, True)]
)
def test_two_wrong_answers_far_apart_are_no_outage(
    apart: float, wrong: int, *, is_seen: bool
) -> None:
    times = [INJECT + number * apart for number in range(wrong)]
    found = one(bad=lambda t: any(abs(t - each) < 0.05 for each in times), heal=24.0)
    assert (found.began is not None) is is_seen


@pytest.mark.parametrize(("before", "is_seen"), [(0, True), (1, True), (2, False)])
def test_errors_as_frequent_as_before_at_all_entry_points_are_no_effect(
    before: int, *, is_seen: bool
) -> None:
    """Four wrong answers at one that gave none; the other gave some of 140 in all."""
    events: list[Canary] = [
        {"type": "canary", "t": tick / 5, "where": where, "connection": "new", "ok": not wrong,
         "error": "reset" if wrong else None, "latency_s": 0.02}
        for where in ("calm", "other")
        for tick in range(round(END * 5))
        for wrong in [tick < before if where == "other" else 0 <= tick / 5 - INJECT < 0.7]
    ]  # fmt: skip
    assert (effect_of(events, (), INJECT, HEAL, END).began is not None) is is_seen
