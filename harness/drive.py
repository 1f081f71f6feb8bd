"""A load from its start to its end: what it says is recorded, and it is stopped where need be."""

from __future__ import annotations

import dataclasses
import queue
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

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

ABORT_NS = NANOSECONDS // 2
"""Between asking a load to stop and asking it to end at once: two signals in a row may be one."""


class Drive:
    """Drives one load to its end and keeps what it and the platform say.

    The first Ctrl-C asks the load to stop and drain, the second to end at once, the third kills
    it. `early` ends a run by itself; None never does.
    """

    def __init__(
        self, writer: RunWriter, listen: Listen | None = None, early: EarlyEnd | None = None
    ) -> None:
        self._writer = writer
        self._listen = listen or (lambda message: None)
        self._early = early
        self._abort_ns: int | None = None
        self._start_ns: int | None = None
        self._problem: str | None = None
        self._refused: HarnessError | None = None
        self._interrupts = 0
        self.reports: queue.SimpleQueue[Reported] = queue.SimpleQueue()
        """What the platform says meanwhile; another thread may put it there."""

    def run(self, watch: AbstractContextManager[object], load: LoadDriver) -> bool:
        """Run the load to its end and finish the record; whether the user interrupted it.

        Raises ScenarioError or NoAnswer where the scenario's set-up failed and nothing was sent.
        """
        with watch, load as child:
            while not child.ended:
                try:
                    self._turn(child)
                except KeyboardInterrupt:
                    self._interrupts += 1
                    child.stop() if self._interrupts <= MOST_INTERRUPTS else child.kill()
        self._keep_reports()
        if self._refused is not None:
            self._writer.finish("failed", problem=str(self._refused))
            raise self._refused
        if self._interrupts:
            self._writer.finish("interrupted")
        elif self._problem is not None:
            self._writer.finish("failed", problem=self._problem)
        else:
            self._writer.finish("complete")
        return bool(self._interrupts)

    def _turn(self, child: LoadDriver) -> None:
        self._keep_reports()
        for message in child.poll(POLL_S):
            self._take(message)
        now_ns = time.monotonic_ns()
        if self._early is not None and self._start_ns is not None:
            decision = self._early.decide((now_ns - self._start_ns) / NANOSECONDS)
            if decision is not None:
                self._early = None
                self._tell_end(decision)
                child.stop()
                if decision.rule == "no answer":  # what was never answered is not waited for
                    self._abort_ns = now_ns + ABORT_NS
        elif self._abort_ns is not None and now_ns >= self._abort_ns:
            self._abort_ns = None
            child.stop()

    def _take(self, message: LoadMessage) -> None:
        if message["type"] == "refused":
            kind = NoAnswer if message["no_answer"] else ScenarioError
            self._refused = kind(message["problem"], message["remedy"])
        elif message["type"] == "child_died":
            self._problem = f"the load child ended by itself: {message['stderr'] or 'mute'}"
        elif message["type"] == "start":
            self._start_ns = message["monotonic_ns"]
        elif message["type"] == "end":
            self._early = None
        if self._early is not None:
            self._early.add(message)
        self._writer.message(message)
        self._listen(message)

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

    def _keep_reports(self) -> None:
        """Put into the record what the platform has reported."""
        while not self.reports.empty():
            message = self.reports.get()
            fields = {k: v for k, v in message.items() if k not in {"type", "monotonic_ns"}}
            self._writer.seen(message["type"], message["monotonic_ns"], fields)
