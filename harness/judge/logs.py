"""What the replicas printed last: often the shortest way from a failed verdict to its cause."""

from harness.events import ProcessLog
from harness.judge.model import Outcome
from harness.record.run import RunRecord

MOST = 3
"""Replicas that are quoted; the record has the logs of all."""


def printed_last(record: RunRecord, outcome: Outcome) -> tuple[str, ...]:
    """A sentence with the last line of each replica that printed one; none for a pass."""
    if outcome == "pass":
        return ()
    found = {e["where"]: e["lines"] for e in record.of(ProcessLog) if e["lines"]}
    return tuple(f"{name} printed last: {lines[-1]}" for name, lines in [*found.items()][:MOST])
