"""An entry point shows a fault by slowness only beyond what chance puts into the seconds of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.judge.effect import Effect, effect_of

INJECT, HEAL, END = 14.0, 18.0, 34.0


def answers(entry_points: int, slow: Callable[[float], bool]) -> Iterator[dict[str, Any]]:
    """Five answers a second at each entry point; those of the first may be slow."""
    for entry_point in range(entry_points):
        for tick in range(int(END * 5)):
            t = tick / 5
            late = entry_point == 0 and slow(t)
            yield {"t": t, "where": f"entry point {entry_point}", "connection": "new", "ok": True,
                   "error": None, "latency_s": 0.2 if late else 0.02}  # fmt: skip


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


@pytest.mark.parametrize(("entry_points", "is_seen"), [(16, True), (31, False)])
def test_the_chance_of_a_false_alarm_is_shared_by_all_entry_points(
    entry_points: int, *, is_seen: bool
) -> None:
    """All 4 s of 18: one way in 3,060."""
    found = seen(entry_points, lambda t: INJECT <= t < HEAL)
    assert (found.began is not None) is is_seen
