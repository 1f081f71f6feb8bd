"""What the generator says of itself while it loads: CPU, clock jumps, the control probe."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import psutil

from harness import messages
from harness._engine import Engine, Histogram, NullServer
from harness.messages import ClockJump, Tick
from harness.units import NANOSECONDS

if TYPE_CHECKING:
    from harness._engine import Snapshot

JUMP_S = 0.05
"""A wall clock that moves this much against the monotonic one was set, or the machine slept."""

PROBE_RATE = 50.0
"""Requests/s of the control probe: enough for a p99 each few seconds, too few to be a load."""


class Telemetry:
    """Reads the process's own state once a second; each method gives messages of the contract."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._threads = self._thread_times()
        self._read = time.monotonic()
        self._offset = time.time() - time.monotonic()

    def tick(self, snapshot: Snapshot) -> Tick:
        """The `tick` message; `cpu` is the busiest thread's share of one core."""
        now = time.monotonic()
        elapsed = max(now - self._read, 1e-9)
        threads = self._thread_times()
        busiest = max(
            (used - self._threads.get(thread, 0.0) for thread, used in threads.items()), default=0.0
        )
        total = sum(threads.values()) - sum(self._threads.values())
        self._threads, self._read = threads, now
        return {
            "type": "tick",
            "offered": snapshot["offered"],
            "completed": snapshot["completed"],
            "failed": snapshot["failed"],
            "unfinished": snapshot["unfinished"],
            "in_flight": snapshot["in_flight"],
            "lag_p99_ns": snapshot["lag_p99_ns"],
            "cpu": round(busiest / elapsed, 4),
            "cpu_process": round(max(total, 0.0) / elapsed, 4),
        }

    def clock_jump(self) -> ClockJump | None:
        """A `clock_jump` message when the wall clock was moved since the last look."""
        offset = time.time() - time.monotonic()
        moved, self._offset = offset - self._offset, offset
        if abs(moved) < JUMP_S:
            return None
        return {"type": "clock_jump", "seconds": round(moved, 6)}

    def _thread_times(self) -> dict[int, float]:
        try:
            return {t.id: t.user_time + t.system_time for t in self._process.threads()}
        except psutil.Error:
            return {}


class Probe:
    """A second, tiny engine against a null server in this process: the generator's own noise.

    What it measures has no service in it, so whatever it shows is the generator's and the
    machine's.
    """

    def __init__(self, duration_s: float, start_unix_ns: int) -> None:
        self._server = NullServer("127.0.0.1:0")
        self._engine = Engine(
            json.dumps(
                {
                    "seed": 0,
                    "shard": 0,
                    "shards": 1,
                    "threads": 1,
                    "arrivals": {
                        "kind": "profile",
                        "spacing": "constant",
                        "segments": [
                            {
                                "duration_s": duration_s,
                                "from_rate": PROBE_RATE,
                                "to_rate": PROBE_RATE,
                            }
                        ],
                    },
                    "start_unix_ns": start_unix_ns,
                    "targets": [f"http://127.0.0.1:{self._server.port}"],
                    "connections_per_target": 2,
                    "drain_s": 1.0,
                    "requests": [{"name": "probe", "weight": 1.0, "method": "GET", "path": "/"}],
                }
            )
        )
        self._engine.start()

    def poll(self) -> list[messages.Probe]:
        """One `probe` message for each second that has ended since the last call."""
        found: list[messages.Probe] = []
        for line in self._engine.poll():
            piece = json.loads(line)
            text = piece["hist"].get("response")
            if piece["axis"] == "done" and text is not None:
                histogram = Histogram.decode(text)
                found.append(
                    {
                        "type": "probe",
                        "second": piece["second"],
                        "p50_ns": histogram.quantile(0.5),
                        "p95_ns": histogram.quantile(0.95),
                        "p99_ns": histogram.quantile(0.99),
                        "max_ns": histogram.max,
                    }
                )
        return found

    def stop(self) -> None:
        """End the probe and its server."""
        self._engine.abort()
        self._engine.join(1.0)
        self._server.stop()


def unix_now_ns() -> int:
    """Unix time in nanoseconds."""
    return time.time_ns()


def seconds_from_now(seconds: float) -> int:
    """A Unix time in nanoseconds, `seconds` ahead."""
    return unix_now_ns() + round(seconds * NANOSECONDS)
