"""The canary: asks every entry point five times a second, apart from the load and from the fault.

`python -m harness.chaos.canary PLAN.json`, started where the entry points can be reached. Each
has two askers: one keeps its connection for as long as it lives, one opens a new one each time; a
cut that spares established connections shows in the second only. It ends with its standard input.
"""

import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.chaos.events import send, take_over_stdout
from harness.chaos.probe_client import Answer, Endpoint, ask
from harness.typed import adapter

INTERVAL_S = 0.2
TIMEOUT_S = 1.0
"""Longer than any sound answer, short enough to tell a hanging entry point within a second."""

Connection = Literal["kept", "new"]


@dataclass(frozen=True, slots=True)
class CanaryPlan:
    """What to ask of which entry points; `expected` must stand in a right answer."""

    entry_points: tuple[Endpoint, ...]
    path: str
    expected: str | None = None
    interval_s: float = INTERVAL_S
    timeout_s: float = TIMEOUT_S


def main(path: Path) -> int:
    """Ask until standard input ends."""
    take_over_stdout()
    plan = adapter(CanaryPlan).validate_json(path.read_text(encoding="utf-8"))
    connections: tuple[Connection, ...] = ("kept", "new")
    for entry_point in plan.entry_points:
        for connection in connections:
            threading.Thread(
                target=_asker, args=(plan, entry_point, connection), daemon=True
            ).start()
    where = [entry_point.where for entry_point in plan.entry_points]
    send({"type": "canary_child", "what": "ready", "entry_points": where})
    while sys.stdin.readline():
        continue
    return 0


def _asker(plan: CanaryPlan, entry_point: Endpoint, kind: Connection) -> None:
    connection = entry_point.connect(plan.timeout_s)
    due = time.monotonic()
    while True:
        if kind == "new":
            connection.close()
            connection = entry_point.connect(plan.timeout_s)
        answer = ask(
            connection, entry_point, entry_point.path or plan.path, {"accept": "application/json"}
        )
        error = verdict(answer, entry_point.expected if entry_point.path else plan.expected)
        send(
            {
                "type": "canary",
                "where": entry_point.where,
                "connection": kind,
                "ok": error is None,
                "error": error,
                "latency_s": round(answer.latency_s, 6),
                "region": answer.region,
            }
        )
        due = max(due + plan.interval_s, time.monotonic())
        time.sleep(max(due - time.monotonic(), 0.0))


def verdict(answer: Answer, expected: str | None) -> str | None:
    """None for a right answer, else the kind of error."""
    if answer.error is not None:
        return answer.error
    if not answer.ok:
        return f"status_{(answer.status or 0) // 100}xx"
    if expected is not None and expected not in answer.body.decode(errors="replace"):
        return "check"
    return None


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
