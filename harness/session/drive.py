"""A load from its start to its end: what it says is recorded, and it is stopped where need be.

Every run is driven here: `perf`, each step of a capacity search, a scaling test, the runs of a
gate, and an experiment. What they do beside the load is a `Companion`.
"""

import dataclasses
import queue
import time
from collections.abc import Callable
from typing import Protocol

from harness.errors import HarnessError, NoAnswer, ScenarioError
from harness.events import Reported
from harness.judge.early_end import EarlyDecision, EarlyEnd
from harness.load.driver import LoadDriver
from harness.messages import EarlyEnd as EarlyEndEvent
from harness.messages import LoadMessage
from harness.record import RunWriter
from harness.units import NANOSECONDS

Message = LoadMessage | EarlyEndEvent
"""What a listener of a run hears."""

Listen = Callable[[Message], None]

MOST_INTERRUPTS = 2
"""One for a drain, one for none; the next is a kill."""

POLL_S = 0.2
"""How long a run waits for the load before it looks at the clock and the user again."""

ABORT_S = 0.5
"""Between asking a load to stop and asking it to end at once: two signals in a row may be one."""


class Companion(Protocol):
    """What goes on beside a load, and may end it."""

    def hear(self, message: LoadMessage) -> None:
        """Take a message of the load, which is recorded afterwards."""
        ...

    def turn(self, load: LoadDriver, now_s: float | None) -> None:
        """Act, every `poll_s` at least; `now_s` is None before the load has started."""
        ...

    def interrupted(self, load: LoadDriver) -> None:
        """Act on Ctrl-C, which has stopped the load."""
        ...


class Drive:
    """Drives one load to its end and records it.

    The first Ctrl-C asks the load to stop and drain, the second to end at once, the third kills
    it. `problem` is what the record will say went wrong; the first one counts.
    """

    def __init__(self, writer: RunWriter, companion: Companion, poll_s: float = POLL_S) -> None:
        self._writer = writer
        self._companion = companion
        self._poll_s = poll_s
        self._refused: HarnessError | None = None
        self.start_ns: int | None = None
        self.interrupts = 0
        self.problem: str | None = None

    @property
    def now_s(self) -> float | None:
        """Seconds since the load has started; None before."""
        start = self.start_ns
        return None if start is None else (time.monotonic_ns() - start) / NANOSECONDS

    def run(self, load: LoadDriver) -> None:
        """Follow a load that was started until it has ended."""
        while not load.ended:
            try:
                for message in load.poll(self._poll_s):
                    self._take(message)
                self._companion.turn(load, self.now_s)
            except KeyboardInterrupt:
                self.interrupts += 1
                load.stop() if self.interrupts <= MOST_INTERRUPTS else load.kill()
                self._companion.interrupted(load)

    def _take(self, message: LoadMessage) -> None:
        if message["type"] == "refused":
            kind = NoAnswer if message["no_answer"] else ScenarioError
            self._refused = kind(message["problem"], message["remedy"])
        elif message["type"] == "child_died":
            self.fail(f"the load child ended by itself: {message['stderr'] or 'mute'}")
        elif message["type"] == "start":
            self.start_ns = message["monotonic_ns"]
        self._companion.hear(message)
        self._writer.message(message)

    def fail(self, problem: str) -> None:
        """Say what went wrong, unless something has already."""
        self.problem = self.problem or problem

    def finish(self, *, halted: bool = False) -> None:
        """Record how the run ended.

        Raises ScenarioError or NoAnswer where the scenario's set-up failed and nothing was sent.
        """
        if self._refused is not None:
            self._writer.finish("failed", problem=str(self._refused))
            raise self._refused
        if self.interrupts or halted:
            self._writer.finish("interrupted")
        elif self.problem is not None:
            self._writer.finish("failed", problem=self.problem)
        else:
            self._writer.finish("complete")


class Watched:
    """The companion of a run without faults: the platform's reports, and an early end.

    `early` ends a run by itself; None never does.
    """

    def __init__(
        self, writer: RunWriter, listen: Listen | None = None, early: EarlyEnd | None = None
    ) -> None:
        self._writer = writer
        self._listen = listen or (lambda message: None)
        self._early = early
        self._abort_s: float | None = None
        self.reports: queue.SimpleQueue[Reported] = queue.SimpleQueue()
        """What the platform says meanwhile; another thread may put it there."""

    def hear(self, message: LoadMessage) -> None:
        """Give the message to the early end and to the listener."""
        if message["type"] == "end":
            self._early = None
        if self._early is not None:
            self._early.add(message)
        self._listen(message)

    def turn(self, load: LoadDriver, now_s: float | None) -> None:
        """Record reports, and stop the load once its answer is certain."""
        self.keep_reports()
        if now_s is None:
            return
        if self._early is not None:
            if (decision := self._early.decide(now_s)) is not None:
                self._early = None
                self._tell_end(decision)
                load.stop()
                if decision.rule == "no answer":  # what was never answered is not waited for
                    self._abort_s = now_s + ABORT_S
        elif self._abort_s is not None and now_s >= self._abort_s:
            self._abort_s = None
            load.stop()

    def interrupted(self, load: LoadDriver) -> None:
        """Nothing: the load has been stopped."""

    def _tell_end(self, decision: EarlyDecision) -> None:
        self._writer.event("early_end", **dataclasses.asdict(decision))
        self._listen(
            {
                "type": "early_end",
                "rule": decision.rule,
                "second": decision.second,
                "reason": decision.reason,
            }
        )

    def keep_reports(self) -> None:
        """Put into the record what the platform has reported."""
        while not self.reports.empty():
            message = self.reports.get()
            fields = {k: v for k, v in message.items() if k not in {"type", "monotonic_ns"}}
            self._writer.seen(message["type"], message["monotonic_ns"], fields)
