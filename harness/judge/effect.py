"""Whether a fault was in effect, by the canary's word: it must be seen to begin and to end.

The canary knows nothing of the load or of the fault. An entry point shows a fault by failing, or by
answering slower than it did nearly always before. What takes processor time from the service shows
it by the time that it took as well: a service may bear it without being slower.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.events import Canary, Proof
from harness.stats.errors import compare_ratios

FEWEST = 10
"""Answers of an entry point before the fault without which it shows nothing."""

BAD_SHARE = 0.1
"""Of an entry point's answers during the fault that must be wrong: far above what a sound one
gives."""

FEWEST_BAD = 2
"""Wrong answers within `TOGETHER_S` that make an observer of an entry point that gave none before:
a fail-over may take a second or two, and a canary waits up to one for each answer. Further apart
it takes one more: two errors that have nothing to do with each other are too frequent."""

TOGETHER_S = 2.5
"""From one wrong answer to the next of the same outage."""

SLOW_TIMES = 1.5
"""An answer is slow beyond this many times the 95th percentile of before."""

FALSE_ALARMS = 0.01
"""Of experiments without any effect, those that show one (benchmarks/stats): half by slowness, half
by errors as frequent as before, each shared by all that is asked."""

LAST_S = 6.0
"""The stretch at the end of the run in which a fault that has ended must not show."""


TAKEN = 0.5
"""Of the time of the service's cores, what a fault's own processes must take to be in effect by
that alone. Busy processes took 0.62 of the lab's core even where other programs had most of it;
stopped ones take nothing."""


@dataclass(frozen=True, slots=True)
class Observer:
    """One entry point and kind of connection that saw the fault; times from the start of the load.

    `how` is the error kind seen most, or `slow`; `ended` None: it never saw the end. `share` of the
    `answers` during the fault were wrong or slow.
    """

    where: str
    connection: str
    how: str
    began: float
    ended: float | None
    share: float
    answers: int


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer to the canary, `t` seconds after the start of the load."""

    t: float
    ok: bool
    error: str | None
    latency_s: float


@dataclass(frozen=True, slots=True)
class Effect:
    """What the canary saw and, apart from it, the platform's own proof."""

    observers: tuple[Observer, ...]
    platform_began: bool | None
    platform_ended: bool | None
    unmet: tuple[float, str] | None = None
    """When a target was first seen replaced by one that the fault does not meet, and which."""

    taken: float | None = None
    """The share of the service's cores that each fault's own processes took at least; None where
    any of the faults takes none, or nobody knows."""

    @property
    def presses(self) -> bool:
        """Whether the fault was in effect by the processor time that it took."""
        return self.taken is not None and self.taken >= TAKEN

    @property
    def began(self) -> float | None:
        """When the first entry point saw it."""
        return min((each.began for each in self.observers), default=None)

    @property
    def ended(self) -> float | None:
        """When the last entry point saw its end; None while one still sees it, or none ever did."""
        ends = [each.ended for each in self.observers]
        if not ends or any(end is None for end in ends):
            return None
        return max(end for end in ends if end is not None)

    @property
    def proven(self) -> bool:
        """Whether it was seen to begin and to end."""
        if self.began is None:
            return self.presses and self.platform_ended is True
        return self.ended is not None


def effect_of(
    canary: Iterable[Canary],
    proofs: Iterable[Proof],
    inject: float,
    heal: float,
    end: float,
    replaced: Mapping[str, float] | None = None,
) -> Effect:
    """Read the canary's answers and the platform's proofs around one fault.

    `replaced` maps replicas that are gone for good to when they went: an entry point to one of them
    can see a fault begin, and its end is the end of the replica.
    """
    asked: dict[tuple[str, str], list[_Answer]] = defaultdict(list)
    for event in canary:
        if (t := event.get("t")) is not None:
            asked[event["where"], event["connection"]].append(
                _Answer(t, event["ok"], event["error"], event["latency_s"])
            )
    slower, failing = _slower(asked, inject, heal), _failing(asked, inject, heal)
    found = [
        observer
        for (where, connection), answers in sorted(asked.items())
        if (observer := _observer(where, connection, answers, inject, heal, end)) is not None
        and where in (slower if observer.how == "slow" else failing)
    ]
    seen_to_end = any(each.ended is not None for each in found)
    gone = replaced or {}
    found = [
        replace(each, ended=gone[each.where.partition(" ")[0]])
        if each.ended is None and each.where.partition(" ")[0] in gone
        else each
        for each in found
    ]
    asked_platform = list(proofs)
    seen = [(t, e["in_effect"]) for e in asked_platform if (t := e.get("t")) is not None]
    during = [shown for t, shown in seen if shown is not None and inject <= t <= heal]
    after = [shown for t, shown in seen if shown is not None and t >= heal - 1e-3]
    undone = not after[-1] if after else None
    if undone and seen_to_end:
        # Slow at the end, at one of them: another saw it end, and the load judges the tail.
        found = [each for each in found if each.ended is not None or each.how != "slow"]
    unmet = [
        (t, e["statement"])
        for e in asked_platform
        if e.get("replaced") and (t := e.get("t")) is not None and inject <= t <= heal
    ]
    return Effect(
        tuple(found),
        any(during) if during else None,
        undone,
        min(unmet, default=None),
        _taken(asked_platform, inject, heal),
    )


def _taken(proofs: Iterable[Proof], inject: float, heal: float) -> float | None:
    """The least share of the cores that a fault's own processes took from proof to proof of it.

    What ended too early has taken nothing since.
    """
    asked: dict[str, list[float]] = {}
    taken: dict[str, list[float]] = {}
    for event in proofs:
        if (t := event.get("t")) is not None and inject <= t <= heal:
            asked.setdefault(event["fault_id"], []).append(t)
            known = taken.setdefault(event["fault_id"], [])
            known.append(event.get("taken_s", max(known, default=math.nan)))
    shares = [
        (taken[fault][-1] - taken[fault][0]) / (times[-1] - times[0])
        for fault, times in asked.items()
        if times[-1] > times[0]
    ]
    if len(shares) < len(asked) or any(map(math.isnan, shares)):
        return None
    return min(shares, default=None)


def _slower(
    asked: Mapping[tuple[str, str], Sequence[_Answer]], inject: float, heal: float
) -> frozenset[str]:
    """The entry points with more slow seconds during the fault than chance puts there.

    A second is slow where an answer is: one hiccup of a few answers counts once. Seconds before
    and during are exchangeable where nothing happened (Fisher's exact test, one-sided, Bonferroni
    over the entry points).
    """
    pooled: dict[str, list[_Answer]] = defaultdict(list)
    for (where, _), answers in asked.items():
        pooled[where] += [e for e in answers if e.ok and e.t < heal]
    found = set()
    for where, answers in pooled.items():
        before = [e.latency_s for e in answers if e.t < inject]
        if len(before) < FEWEST:
            continue
        limit = SLOW_TIMES * float(np.quantile(before, 0.95))
        slow: dict[int, bool] = {}
        for event in answers:
            second = math.floor(event.t - inject)
            slow[second] = slow.get(second, False) or event.latency_s > limit
        during = [each for second, each in slow.items() if second >= 0]
        if _by_chance(sum(during), len(during), sum(slow.values()), len(slow)) < (
            FALSE_ALARMS / 2 / len(pooled)
        ):
            found.add(where)
    return frozenset(found)


def _failing(
    asked: Mapping[tuple[str, str], Sequence[_Answer]], inject: float, heal: float
) -> frozenset[str]:
    """The entry points with more errors during the fault than those before explain.

    Compared with all that was asked before, whose ratio is no better known than its few errors
    tell (Fisher's exact test, one-sided, Bonferroni over the entry points). All, where none failed.
    """
    before = [each.ok for answers in asked.values() for each in answers if each.t < inject]
    during: dict[str, list[bool]] = defaultdict(list)
    for (where, _), answers in asked.items():
        during[where] += [each.ok for each in answers if inject <= each.t < heal + 1.0]
    usual, level = before.count(False), FALSE_ALARMS / 2 / max(len(during), 1)
    return frozenset(
        where
        for where, found in during.items()
        if not usual
        or (
            found
            and compare_ratios(usual, len(before), found.count(False), len(found)).p_worse < level
        )
    )


def _by_chance(inside: int, seconds: int, slow: int, total: int) -> float:
    """The chance that of `slow` among `total` seconds, `inside` or more fall on `seconds`."""
    most = min(slow, seconds)
    ways = sum(
        math.comb(seconds, n) * math.comb(total - seconds, slow - n)
        for n in range(inside, most + 1)
    )
    return ways / math.comb(total, slow)


def _observer(
    where: str, connection: str, answers: Sequence[_Answer], inject: float, heal: float, end: float
) -> Observer | None:
    before = [e for e in answers if e.t < inject]
    during = [e for e in answers if inject <= e.t < heal + 1.0]
    after = [e for e in answers if e.t >= heal]
    good = [e.latency_s for e in before if e.ok]
    if len(good) < FEWEST or len(good) < (1 - BAD_SHARE / 2) * len(before) or not during:
        return None
    last = [e for e in answers if e.t >= end - LAST_S]
    bad = [e for e in during if not e.ok]
    few = FEWEST_BAD if len(good) == len(before) else BAD_SHARE * len(during)
    if len(bad) == FEWEST_BAD and bad[-1].t - bad[0].t > TOGETHER_S:
        few = max(few, FEWEST_BAD + 1)
    if len(bad) >= few:
        kinds = [e.error or "" for e in bad]
        how = max(sorted(set(kinds)), key=kinds.count)
        over = bool(last) and sum(not e.ok for e in last) <= BAD_SHARE * len(last)
        ended = _first_good(after, bad, heal) if over else None
        share = len(bad) / len(during)
        return Observer(where, connection, how, bad[0].t, ended, share, len(during))
    limit = SLOW_TIMES * float(np.quantile(good, 0.95))
    slow = [e for e in during if e.latency_s > limit]
    if len(slow) < BAD_SHARE * len(during):
        return None
    over = bool(last) and sum(e.latency_s > limit for e in last) < BAD_SHARE * len(last)
    ended = next((e.t for e in after if e.latency_s <= limit), None) if over else None
    share = len(slow) / len(during)
    return Observer(where, connection, "slow", slow[0].t, ended, share, len(during))


def _first_good(after: Sequence[_Answer], bad: Sequence[_Answer], heal: float) -> float | None:
    """The first good answer that no bad one follows; a fault may end before its heal."""
    worst = [e.t for e in after if not e.ok]
    since = max([*worst, bad[-1].t]) if bad else heal
    return next((e.t for e in after if e.ok and e.t > since), None)
