"""How late the generator itself is in a journey: the interpreter's time, not the visitor's.

A step of a journey is due when the journey gets there. What a greenlet spends waiting (a pause, an
answer, a lock) is the journey's own; what it spends computing, and waiting for its turn once it
could go on, is the generator's lateness, as a pacer's delay is for a template. A greenlet could go
on at the latest when the event loop returned from its poll; where the poll found events at once,
they may have come since the one before, and count from there.
"""

import time
from dataclasses import dataclass
from typing import Any

import gevent
import greenlet

BLOCKED_NS = 500_000
"""A poll that took so long waited for its events; a shorter one may have found them waiting.

On a busy machine the system keeps a process for tens of microseconds and more in a poll that does
not wait, so a small value calls the generator's own queue the service's time. With this one and a
turn of the loop, what is wrongly called lag stays below the millisecond that no verdict looks at.
"""


@dataclass(slots=True)
class _Clock:
    """Of one greenlet: it has waited for `away_ns` since `mark_ns`, last from `left_ns` on.

    Of the waits since `begin`, `turns_ns` were for its turn.
    """

    mark_ns: int
    away_ns: int = 0
    left_ns: int = 0
    turns_ns: int = 0
    passing: bool = False
    """Whether it is only accounted for while its request is under way."""


@dataclass(slots=True)
class _Loop:
    """The event loop: when it last went to poll and came back, and since when events may wait."""

    polled_ns: int = 0
    back_ns: int = 0
    since_ns: int = 0

    def poll(self) -> None:
        self.polled_ns = time.monotonic_ns()

    def back(self) -> None:
        now = time.monotonic_ns()
        self.since_ns = now if now - self.polled_ns > BLOCKED_NS else self.back_ns
        self.back_ns = now


_clocks: dict[object, _Clock] = {}
_loop = _Loop()
_watchers: list[Any] = []


def install() -> None:
    """Begin to watch the event loop of this thread; any number of times."""
    if _watchers:
        return
    loop = gevent.get_hub().loop
    # After gevent's own callbacks, which run before the poll; before what the poll has found.
    _watchers.append(loop.prepare(ref=False, priority=loop.MINPRI))
    _watchers.append(loop.check(ref=False, priority=loop.MAXPRI))
    for watcher, heed in zip(_watchers, (_loop.poll, _loop.back), strict=True):
        watcher.start(heed)


def watch(late_ns: int = 0) -> None:
    """Begin to account for this greenlet's time; it is late by so much already."""
    _set(_Clock(time.monotonic_ns() - late_ns))


def unwatch() -> None:
    """Stop to account for this greenlet's time."""
    _clocks.pop(gevent.getcurrent(), None)
    if not _clocks:
        greenlet.settrace(None)


def begin() -> int:
    """A request begins; how late it is: the time since the last answer that was no pause.

    0 for a greenlet that is met for the first time: a step that a journey runs beside others.
    """
    clock = _clocks.get(gevent.getcurrent())
    if clock is None:
        _set(_Clock(time.monotonic_ns(), passing=True))
        return 0
    clock.turns_ns = 0
    return max(0, time.monotonic_ns() - clock.mark_ns - clock.away_ns)


def turns_ns() -> int:
    """How long the request under way has waited for its greenlet's turn."""
    clock = _clocks.get(gevent.getcurrent())
    return 0 if clock is None else clock.turns_ns


def rest() -> None:
    """An answer has come: from here on the time counts anew."""
    clock = _clocks.get(gevent.getcurrent())
    if clock is None:
        return
    if clock.passing:
        unwatch()
    else:
        clock.mark_ns, clock.away_ns = time.monotonic_ns(), 0


def _set(clock: _Clock) -> None:
    if not _clocks:
        greenlet.settrace(_trace)
    _clocks[gevent.getcurrent()] = clock


def _trace(event: str, pair: tuple[object, object]) -> None:
    if event not in {"switch", "throw"}:
        return
    clock = _clocks.get(pair[0])
    if clock is not None:
        clock.left_ns = time.monotonic_ns()
    clock = _clocks.get(pair[1])
    if clock is not None and clock.left_ns:
        now = time.monotonic_ns()
        late = now - max(clock.left_ns, _loop.since_ns)
        clock.turns_ns += late
        clock.away_ns += now - clock.left_ns - late
