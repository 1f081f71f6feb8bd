"""The engine inside a Locust process: started, polled once a second, stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import gevent
from locust.env import Environment

from harness._engine import Engine
from harness.load.engine_plan import to_engine_plan
from harness.load.failures import without_secrets
from harness.load.journeys import Journeys
from harness.load.plan import LoadPlan, plans_of
from harness.load.setup import Values
from harness.load.statistics import feed
from harness.load.telemetry import Probe, Telemetry
from harness.load.users import Users
from harness.messages import (
    AddressTotals,
    FailingValue,
    FailureExample,
    SliceRow,
    Totals,
    WorkerMessage,
    Write,
)
from harness.redact import register
from harness.traffic.endpoints import shown_as
from harness.units import NANOSECONDS

if TYPE_CHECKING:
    from harness._engine import Snapshot

PERIOD_S = 1.0
DRAWN = frozenset({"zipf", "uniform", "sequence", "uuid"})
Emit = Callable[[WorkerMessage], None]


@dataclass(frozen=True, slots=True)
class _Population:
    """One population: its part of the plan, its engine, and its Python side."""

    plan: LoadPlan
    engine: Engine
    journeys: Journeys | Users

    def give(self, feeds: dict[str, list[str]]) -> None:
        for name, texts in feeds.items():
            self.engine.set_values(name, texts)
        self.journeys.give(feeds)

    def writes(self, worker: int) -> Iterator[Write]:
        """One `write` message for each logged request that has ended since the last look."""
        audit = self.plan.traffic.audit
        for _, endpoint, due, sent, done, status, error, values in self.engine.take_log():
            yield {
                "type": "write",
                "worker": worker,
                "id": values.get(audit.id) if audit else None,
                "endpoint": endpoint,
                "due_s": due / NANOSECONDS,
                "sent_s": sent / NANOSECONDS if sent else None,
                "done_s": done / NANOSECONDS if done else None,
                "status": status or None,
                "error": error,
            }


class Bridge:
    """One shard of the schedule: an engine for each population.

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
        self._populations = [
            self._population(each, shard, shards, start_unix_ns) for each in plans_of(plan)
        ]
        self._shown = shown_as(plan.traffic)
        self._methods = {
            self._shown[request.name]: request.method
            for each in self._populations
            for request in each.plan.traffic.templates
        }
        self._telemetry = Telemetry()
        self._probe: Probe | None = None
        self.finished = gevent.event.Event()

    def _population(self, plan: LoadPlan, shard: int, shards: int, start_ns: int) -> _Population:
        engine = Engine(json.dumps(to_engine_plan(plan, shard, shards, start_ns)))
        kind = Users if plan.traffic.locustfile else Journeys
        return _Population(plan, engine, kind(self._environment, engine, plan))

    def give(self, values: Values) -> None:
        """Values of set-up hooks, for requests that are offered from now on.

        Raises ValueError for one that a header cannot hold.
        """
        register(text for feeds in values.values() for texts in feeds.values() for text in texts)
        for each in self._populations:
            each.give(values.get(each.plan.traffic.population, {}))

    def start(self) -> None:
        """Start the engines and the greenlet that looks after them."""
        if self._plan.probe and self._shard == 0:
            span = self._plan.profile.duration_s + self._plan.drain_s
            self._probe = Probe(span, self._start_unix_ns)
        for each in self._populations:
            each.engine.start()
            each.journeys.start()
        gevent.spawn(self._pump)

    def stop(self) -> None:
        """No new arrivals; what is under way may drain."""
        for each in self._populations:
            each.journeys.finish()

    def abort(self) -> None:
        """End now; what is under way stays unfinished."""
        for each in self._populations:
            each.engine.abort()

    def _pump(self) -> None:
        try:
            while not self._snapshot()["finished"]:
                gevent.sleep(PERIOD_S)
                self._look()
            for each in self._populations:
                each.journeys.stop()
            self._look()
            self._finish()
        finally:
            if self._probe is not None:
                self._probe.stop()
            self.finished.set()

    def _look(self) -> None:
        """Pass on what has happened since the last look."""
        for each in self._populations:
            for piece in self._slices(each):
                self._emit(
                    {"type": "slice", "worker": self._shard, "seq": self._sequence, "slice": piece}
                )
                self._sequence += 1
                if self._feeds_locust:
                    self._feed(piece, each)
        for each in self._populations:
            for write in each.writes(self._shard):
                self._emit(write)
            for example in self._failures(each):
                self._emit(example)
        jump = self._telemetry.clock_jump()
        if jump is not None:
            jump["worker"] = self._shard
            self._emit(jump)
        if self._probe is not None:
            for probe in self._probe.poll():
                self._emit(probe)
        tick = self._telemetry.tick(self._snapshot())
        tick["worker"] = self._shard
        self._emit(tick)

    def _slices(self, of: _Population) -> Iterator[SliceRow]:
        for line in of.engine.poll():
            piece: SliceRow = json.loads(line)  # of this process, by the engine
            if piece["axis"] != "chain":
                piece["endpoint"] = self._shown.get(piece["endpoint"], piece["endpoint"])
            yield piece

    def _feed(self, piece: SliceRow, of: _Population) -> None:
        """Tell Locust what has ended; of journeys it knows already."""
        if piece["axis"] == "done" and piece["endpoint"] not in of.journeys.endpoints:
            feed(self._environment.stats, piece, self._methods, time.time())

    def _failures(self, of: _Population) -> Iterator[FailureExample]:
        """One `failure_example` message for each example since the last look, without secrets."""
        found: list[FailureExample] = of.journeys.failures.take()
        found += [json.loads(line) for line in of.engine.take_examples()]
        for example in found:
            shown = self._shown.get(example["endpoint"], example["endpoint"])
            kept: FailureExample = without_secrets({**example, "endpoint": shown})
            kept["type"], kept["worker"] = "failure_example", self._shard
            yield kept

    def _snapshot(self) -> Snapshot:
        return merged([each.engine.snapshot() for each in self._populations])

    def _whereabouts(self, of: _Population) -> Iterator[WorkerMessage]:
        """Where requests went and failed; of feeds that are drawn: others may hold secrets."""
        addresses, values = of.engine.whereabouts()
        for line in addresses:
            totals: AddressTotals = json.loads(line)
            totals["type"], totals["worker"] = "address", self._shard
            yield totals
        for line in values:
            value: FailingValue = json.loads(line)
            if of.plan.traffic.feeds.get(value["feed"], {}).get("kind") in DRAWN:
                value["type"], value["worker"] = "failing_value", self._shard
                yield value

    def _finish(self) -> None:
        for each in self._populations:
            for message in self._whereabouts(each):
                self._emit(message)
        snapshot = self._snapshot()
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


_Counted = Literal[
    "offered", "completed", "failed", "unfinished", "in_flight", "clipped", "journeys_offered",
    "journeys_done", "journeys_open", "log_lost",
]  # fmt: skip


def merged(found: Sequence[Snapshot]) -> Snapshot:
    """The totals of several engines: sums, the worst lag, the first error."""

    def total(name: _Counted) -> int:
        return sum(each[name] for each in found)

    lags = [lag for each in found if (lag := each["lag_p99_ns"]) is not None]
    cpus = [cpu for each in found if (cpu := each["cpu_ns"]) is not None]
    finished = all(each["finished"] for each in found)
    return {
        "offered": total("offered"),
        "completed": total("completed"),
        "failed": total("failed"),
        "unfinished": total("unfinished"),
        "in_flight": total("in_flight"),
        "lag_p99_ns": max(lags, default=None),
        "clipped": total("clipped"),
        "finished": finished,
        "conserved": all(each["conserved"] for each in found) if finished else None,
        "error": next((each["error"] for each in found if each["error"]), None),
        "cpu_ns": sum(cpus) if cpus else None,
        "journeys_offered": total("journeys_offered"),
        "journeys_done": total("journeys_done"),
        "journeys_open": total("journeys_open"),
        "log_lost": total("log_lost"),
    }
