"""The engine inside a Locust process: started, polled once a second, stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import gevent
from locust.env import Environment

from harness._engine import Engine
from harness.load.engine_plan import to_engine_plan
from harness.load.failures import without_secrets
from harness.load.journeys import Journeys
from harness.load.plan import LoadPlan
from harness.load.statistics import feed
from harness.load.telemetry import Probe, Telemetry
from harness.load.users import Users
from harness.messages import FailureExample, SliceRow, Totals, WorkerMessage, Write
from harness.units import NANOSECONDS

PERIOD_S = 1.0
Emit = Callable[[WorkerMessage], None]


class Bridge:
    """One engine, one shard of the schedule.

    `emit` gets the messages of docs/contracts.md for this shard: slices in sequence, ticks,
    probes, clock jumps and, last, `done` with the shard's totals. With `feeds_locust`, Locust's
    own statistics get every slice too, for its CSV files and web UI.
    """

    def __init__(
        self,
        environment: Environment,
        plan: LoadPlan,
        emit: Emit,
        *,
        shard: int = 0,
        shards: int = 1,
        start_unix_ns: int = 0,
        feeds_locust: bool = False,
    ) -> None:
        self._environment = environment
        self._plan = plan
        self._emit = emit
        self._shard = shard
        self._start_unix_ns = start_unix_ns
        self._feeds_locust = feeds_locust
        self._sequence = 0
        self._methods = {request.name: request.method for request in plan.traffic.requests}
        self.engine = Engine(json.dumps(to_engine_plan(plan, shard, shards, start_unix_ns)))
        kind = Users if plan.traffic.locustfile else Journeys
        self._journeys = kind(environment, self.engine, plan)
        self._telemetry = Telemetry()
        self._probe: Probe | None = None
        self.finished = gevent.event.Event()

    def start(self) -> None:
        """Start the engine and the greenlet that looks after it."""
        if self._plan.probe and self._shard == 0:
            span = self._plan.profile.duration_s + self._plan.drain_s
            self._probe = Probe(span, self._start_unix_ns)
        self.engine.start()
        self._journeys.start()
        gevent.spawn(self._pump)

    def stop(self) -> None:
        """No new arrivals; what is under way may drain."""
        self._journeys.finish()

    def abort(self) -> None:
        """End now; what is under way stays unfinished."""
        self.engine.abort()

    def _pump(self) -> None:
        try:
            while not self.engine.snapshot()["finished"]:
                gevent.sleep(PERIOD_S)
                self._look()
            self._journeys.stop()
            self._look()
            self._finish()
        finally:
            if self._probe is not None:
                self._probe.stop()
            self.finished.set()

    def _look(self) -> None:
        """Pass on what has happened since the last look."""
        for line in self.engine.poll():
            piece: SliceRow = json.loads(line)  # of this process, by the engine
            self._emit(
                {"type": "slice", "worker": self._shard, "seq": self._sequence, "slice": piece}
            )
            self._sequence += 1
            if self._feeds_locust:
                self._feed(piece)
        for write in self._writes():
            self._emit(write)
        for example in self._failures():
            self._emit(example)
        jump = self._telemetry.clock_jump()
        if jump is not None:
            jump["worker"] = self._shard
            self._emit(jump)
        if self._probe is not None:
            for probe in self._probe.poll():
                self._emit(probe)
        tick = self._telemetry.tick(self.engine.snapshot())
        tick["worker"] = self._shard
        self._emit(tick)

    def _feed(self, piece: SliceRow) -> None:
        """Tell Locust what has ended; of journeys it knows already."""
        if piece["axis"] == "done" and piece["endpoint"] not in self._journeys.endpoints:
            feed(self._environment.stats, piece, self._methods, time.time())

    def _writes(self) -> Iterator[Write]:
        """One `write` message for each logged request that has ended since the last look."""
        audit = self._plan.traffic.audit
        for _, endpoint, due, sent, done, status, error, values in self.engine.take_log():
            yield {
                "type": "write",
                "worker": self._shard,
                "id": values.get(audit.id) if audit else None,
                "endpoint": endpoint,
                "due_s": due / NANOSECONDS,
                "sent_s": sent / NANOSECONDS if sent else None,
                "done_s": done / NANOSECONDS if done else None,
                "status": status or None,
                "error": error,
            }

    def _failures(self) -> Iterator[FailureExample]:
        """One `failure_example` message for each example since the last look, without secrets."""
        found: list[FailureExample] = self._journeys.failures.take()
        found += [json.loads(line) for line in self.engine.take_examples()]
        for example in found:
            kept: FailureExample = without_secrets(example)
            kept["type"], kept["worker"] = "failure_example", self._shard
            yield kept

    def _finish(self) -> None:
        snapshot = self.engine.snapshot()
        totals: Totals = {
            "offered": snapshot["offered"],
            "completed": snapshot["completed"],
            "failed": snapshot["failed"],
            "unfinished": snapshot["unfinished"],
            "clipped": snapshot["clipped"],
        }
        self._emit(
            {
                "type": "done",
                "worker": self._shard,
                "slices": self._sequence,
                "totals": totals,
                "conserved": snapshot.get("conserved"),
                "error": snapshot.get("error"),
            }
        )
