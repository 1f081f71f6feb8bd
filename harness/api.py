"""The harness as a Python library: make runs, read records, judge and compare them.

The command line does the same with these functions. For what the caller can mend each raises a
HarnessError, which has the problem and a remedy; docs/howto/python.md shows them in use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError, UsageError
from harness.judge.experiment import ExperimentVerdict
from harness.judge.model import Verdict
from harness.judge.stored import RecordVerdict, judge_anew, stored_verdict
from harness.record import RunRecord, find_run
from harness.report.run_files import write_reports
from harness.session.drive import Message
from harness.session.options import RunOptions
from harness.session.run import Outcome, Session
from harness.session.run import session as _session

if TYPE_CHECKING:
    from harness.gate.model import GateVerdict, Policy

__all__ = [
    "HarnessError",
    "Outcome",
    "RunOptions",
    "RunRecord",
    "Session",
    "compare",
    "judge",
    "read",
    "reporting",
    "run",
    "session",
    "verdict_of",
]


def reporting(options: RunOptions) -> RunOptions:
    """The options with reports beside each record, unless they have a `report` of their own."""
    return options if options.report else replace(options, report=write_reports)


def session(
    options: RunOptions, say: Callable[[str], None] = lambda text: None
) -> AbstractContextManager[Session]:
    """A deployment for several runs; `say` gets a line a step. HarnessError before any start."""
    return _session(reporting(options), say)


def run(
    options: RunOptions,
    say: Callable[[str], None] = lambda text: None,
    listen: Callable[[Message], None] | None = None,
) -> Outcome:
    """Make one run: deploy what it needs, drive the load, record, judge, and clean up.

    `say` gets a line for each step, `listen` every message of the load. Several runs of one
    deployment are made within `session`. Raises Interrupted after Ctrl-C; the record is kept.
    """
    with session(options, say) as ready:
        return ready.run(ready.profile(), listen)


def read(run: str | Path = "latest", results: Path | str = "results") -> RunRecord:
    """A stored run: its id, a unique prefix, a path, `latest` or `SERVICE/latest`.

    Raises RecordError where there is none, or where it is damaged.
    """
    return RunRecord.load(find_run(Path(results), str(run)))


def judge(record: RunRecord) -> Verdict | ExperimentVerdict:
    """The verdict by the rules of this version, not stored; UsageError for a scaling test."""
    return judge_anew(record)


def verdict_of(record: RunRecord) -> RecordVerdict:
    """The verdict that was reached when the run was made; without one, today's."""
    return stored_verdict(record.directory) or judge_anew(record)


def compare(
    before: Sequence[RunRecord], after: Sequence[RunRecord], policy: Policy | None = None
) -> GateVerdict:
    """Whether the service has become worse from these runs to those, as the gate says it.

    Raises BaselineError where a run cannot be trusted or where their conditions differ.
    """
    from harness.baseline.measure import measure  # noqa: PLC0415 - only who compares pays for it
    from harness.baseline.store import refuse_unfit, same_conditions  # noqa: PLC0415
    from harness.gate.compare import compare_runs  # noqa: PLC0415

    if not before or not after:
        raise UsageError("nothing to compare", "give runs of both sides")
    for record in (*before, *after):
        refuse_unfit(record)
    same_conditions([*before, *after])
    was, now = (
        sorted(map(measure, side), key=lambda each: each.created) for side in (before, after)
    )
    service, scenario = after[-1].service, after[-1].plan.traffic.scenario
    return compare_runs(service.name, scenario, was, now, service.primary, policy)
