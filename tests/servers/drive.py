"""Runs of the engine against the servers: the plan, the faults on their way, what came of it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from harness._engine import Engine, Histogram

END_LIMIT_S = 30.0
ITEM: dict[str, Any] = {"name": "item", "path": "/item?id={id}"}
IDS = {"id": {"kind": "sequence", "start": 0, "step": 1}}


@dataclass(frozen=True)
class Totals:
    """Counts of some requests; offered = completed + failed + unfinished."""

    offered: int
    completed: int
    failed: int
    unfinished: int
    connects: int
    bytes_in: int
    errors: Counter[str]


@dataclass(frozen=True)
class Act:
    """When an act was ordered and when it was known to be done (s); it took effect in between."""

    ordered: float
    done: float


@dataclass(frozen=True)
class Driven:
    """What the engine said of one run, and when each act on its way took place."""

    slices: tuple[dict[str, Any], ...]
    acts: tuple[Act, ...]

    def totals(
        self, endpoint: str | None = None, axis: str = "due", second: int | None = None
    ) -> Totals:
        """The sums, of one endpoint or one second only where asked."""
        chosen = [
            s
            for s in self.slices
            if s["axis"] == axis
            and endpoint in {None, s["endpoint"]}
            and second in {None, s["second"]}
        ]
        errors: Counter[str] = Counter()
        for one in chosen:
            errors.update(one["errors"])
        names = ("offered", "completed", "failed", "unfinished", "connects", "bytes_in")
        return Totals(**{name: sum(s[name] for s in chosen) for name in names}, errors=errors)

    def histogram(self, name: str, since: float = 0, until: float = 1e9) -> Histogram:
        """The times (ns) of requests due in the whole seconds of [since, until)."""
        total = Histogram()
        for one in self.slices:
            if one["axis"] == "due" and since <= one["second"] < until and name in one["hist"]:
                total.add(Histogram.decode(one["hist"][name]))
        return total


def plan(*targets: str, rate: float, duration_s: float, **fields: Any) -> dict[str, Any]:
    """A plan of constant arrivals of GET /item with ids 0, 1, 2, …; `fields` replace its own."""
    segment = {"duration_s": duration_s, "from_rate": rate, "to_rate": rate}
    return {
        "seed": 1,
        "arrivals": {"kind": "profile", "spacing": "constant", "segments": [segment]},
        "targets": list(targets),
        "requests": [ITEM],
        "feeds": IDS,
    } | fields


def drive(document: dict[str, Any], *acts: tuple[float, Callable[[], None]]) -> Driven:
    """Runs a plan to its end, doing each act at its second; every run must be conserved."""
    engine = Engine(json.dumps(document))
    engine.start()
    done = []
    try:
        for at, act in acts:
            time.sleep(max(0.0, at - engine.now_ns() / 1e9))
            ordered = engine.now_ns() / 1e9
            act()
            done.append(Act(ordered, engine.now_ns() / 1e9))
        assert engine.join(END_LIMIT_S), f"not finished: {engine.snapshot()}"
    finally:
        engine.abort()
    driven = Driven(tuple(json.loads(line) for line in engine.poll()), tuple(done))
    check_conserved(driven, engine)
    return driven


def check_conserved(driven: Driven, engine: Engine) -> None:
    """The snapshot and the lines of either axis agree, to the last request."""
    snapshot = engine.snapshot()
    assert snapshot["error"] is None
    assert snapshot["conserved"] is True
    assert snapshot["in_flight"] == 0
    for axis in ("due", "done"):
        sums = driven.totals(axis=axis)
        counts = (sums.offered, sums.completed, sums.failed, sums.unfinished)
        names = ("offered", "completed", "failed", "unfinished")
        assert counts == tuple(snapshot[name] for name in names)  # type: ignore[literal-required]
        assert sums.offered == sums.completed + sums.failed + sums.unfinished
        assert sums.failed == sums.errors.total()


def weighted(paths: Sequence[str], **fields: Any) -> list[dict[str, Any]]:
    """One request of equal weight for each path, named by it."""
    return [{"name": path, "path": path} | fields for path in paths]
