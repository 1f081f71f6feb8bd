"""Chaos Toolkit in a process of its own: `python -m harness.chaos.child EXPERIMENT JOURNAL`.

It gets ready, says `ready`, waits for a line on standard input, runs the experiment and writes
the journal. When standard input ends, or on SIGTERM, it ends through its rollbacks, which heal.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from chaoslib.experiment import run_experiment
from chaoslib.run import RunEventHandler
from chaoslib.types import Schedule, Strategy

from harness.chaos.events import take_over_stdout, tell
from harness.record.storage import write_atomic

SETTINGS = {"runtime": {"rollbacks": {"strategy": "always"}}}
"""Never the user's own: by default a signal would leave the faults where they are."""

FREQUENCY_S = 1.0


class _Events(RunEventHandler):  # type: ignore[misc]
    """Tells what Chaos Toolkit is doing."""

    def start_activity(self, activity: dict[str, Any]) -> None:
        if activity.get("type") == "action":
            tell("activity", name=activity.get("name"), what="begin")

    def activity_completed(self, activity: dict[str, Any], run: dict[str, Any]) -> None:
        if activity.get("type") == "action":
            error = run.get("exception")
            detail = error[-1].strip() if isinstance(error, list) and error else None
            tell(
                "activity",
                name=activity.get("name"),
                what="end",
                status=run.get("status", "interrupted"),
                detail=detail,
            )


def main(experiment: Path, journal_path: Path) -> int:
    """Run one experiment; 0 when Chaos Toolkit came to its end, whatever it found."""
    take_over_stdout()
    document = json.loads(experiment.read_text(encoding="utf-8"))
    tell("chaos_child", what="ready", pid=os.getpid())
    if not sys.stdin.readline():
        return 1
    threading.Thread(target=_end_with_owner, daemon=True).start()
    schedule = Schedule(continuous_hypothesis_frequency=FREQUENCY_S)
    with contextlib.suppress(ValueError):  # a signal of ours comes back as a handler's ValueError
        journal = run_experiment(
            document,
            settings=SETTINGS,
            strategy=Strategy.CONTINUOUS,
            schedule=schedule,
            event_handlers=[_Events()],
        )
        text = json.dumps(journal, indent=1, default=str) + "\n"
        write_atomic(journal_path, text)
        tell("chaos_child", what="end", status=journal["status"], deviated=journal["deviated"])
    return 0


def _end_with_owner() -> None:
    """Treat the end of standard input as SIGTERM: the rollbacks run."""
    while sys.stdin.readline():
        continue
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
