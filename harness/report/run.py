"""The report of one run in text, and on a terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TextIO

from harness.judge.model import Verdict
from harness.record.run import RunRecord
from harness.report import facts
from harness.report.happened import told_in
from harness.report.own_word import own_word
from harness.report.summary import Summary
from harness.report.terminal import print_summary
from harness.units import NANOSECONDS


def summary(record: RunRecord, verdict: Verdict) -> Summary:
    """A run's verdict in text."""
    errors = ", ".join(f"{kind} {count:,}" for kind, count in facts.error_counts(record))
    server = own_word(record)
    commit = record.environment.get("commit") or "unknown"
    return Summary(
        subject=f"{verdict.service} {record.plan.profile.name}",
        service=verdict.service,
        title=facts.title(record),
        outcome=verdict.outcome,
        reasons=verdict.reasons,
        judged=(
            *map(facts.objective, verdict.objectives),
            *map(facts.stage, verdict.stages),
            *(facts.check(found, decides=verdict.outcome != "pass") for found in verdict.validity),
        ),
        tables=(
            facts.objectives_table(verdict),
            *([facts.stages_table(verdict)] if verdict.stages else ()),
            *([facts.endpoints_table(record)] if record.endpoints else ()),
            *([server.table] if server is not None and server.rows else ()),
        ),
        notes=tuple(f"{note}." for note in server.notes) if server is not None else (),
        lines=(
            ("requests", facts.conservation(record)),
            ("errors", errors or "none"),
            ("validity", facts.validity_line(verdict)),
        ),
        provenance=(f"run {record.id}, seed {record.plan.profile.seed}, commit {commit}",),
        began=_began(record),
        seconds=record.seconds,
    )


def _began(record: RunRecord) -> str | None:
    if record.start_wall_ns is None:
        return None
    began = datetime.fromtimestamp(record.start_wall_ns // NANOSECONDS, UTC)
    return began.strftime("%Y-%m-%dT%H:%M:%S")


def print_report(
    record: RunRecord, verdict: Verdict, stream: TextIO, *, width: int | None = None
) -> None:
    """Verdict, objectives, endpoints, conservation, errors, validity and the record's place."""
    state = f" ({record.status})" if record.truncated or record.status != "complete" else ""
    place = ("record", f"{record.directory}{state}")
    print_summary(summary(record, verdict), stream, [place], width=width)


def beside(record: RunRecord) -> dict[str, Any]:
    """What `--json` shows beside a verdict: seen during the run, and no part of the verdict."""
    server = own_word(record)
    return {
        "happened": list(told_in(record)),
        "prometheus": None if server is None else server.as_dict(),
    }
