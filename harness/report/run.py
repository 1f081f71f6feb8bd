"""The report of one run: in text, on a terminal, and its files."""

from datetime import UTC, datetime
from typing import Any, TextIO

from harness.judge.model import Verdict
from harness.platform.connection import USUAL, describe
from harness.record.run import RunRecord
from harness.report import answers, figures
from harness.report.chains import chains_json, chains_table
from harness.report.platform_events import events_in
from harness.report.service_metrics import service_metrics
from harness.report.streams import streams_json, streams_table
from harness.report.summary import Summary
from harness.report.terminal import print_summary
from harness.units import NANOSECONDS


def summary(record: RunRecord, verdict: Verdict) -> Summary:
    """A run's verdict in text."""
    errors = ", ".join(f"{kind} {count:,}" for kind, count in figures.error_counts(record))
    server = service_metrics(record)
    parts = (chains_table(record), streams_table(record))
    commit = record.environment.get("commit") or "unknown"
    how = describe(record.plan.target)
    return Summary(
        subject=f"{verdict.service} {record.plan.profile.name}",
        service=verdict.service,
        title=figures.title(record),
        outcome=figures.word(verdict),
        reasons=verdict.reasons,
        judged=(
            *map(figures.objective, verdict.objectives),
            *map(figures.stage, verdict.stages),
            *(
                figures.check(found, decides=verdict.outcome != "pass")
                for found in verdict.validity
            ),
        ),
        tables=(
            *([figures.objectives_table(verdict)] if verdict.objectives else ()),
            *([figures.stages_table(verdict)] if verdict.stages else ()),
            *([figures.endpoints_table(record)] if record.endpoints else ()),
            *(table for table in parts if table is not None),
            *([server.table] if server is not None and server.rows else ()),
        ),
        notes=tuple(f"{note}." for note in server.notes) if server is not None else (),
        lines=(
            *((("model", model),) if (model := figures.closed(record)) else ()),
            *((("transport", how),) if how != USUAL else ()),
            ("requests", figures.conservation(record)),
            *((("statuses", seen),) if (seen := answers.statuses(record)) else ()),
            *((("endpoints", many),) if (many := figures.many_names(record)) else ()),
            *((("retried", again),) if (again := answers.retried(record)) else ()),
            ("errors", errors or "none"),
            *((("throttled", limited),) if (limited := answers.throttled(record)) else ()),
            *(("", f"{kind}: {text}") for kind, text in answers.failures(record)),
            ("validity", figures.validity_line(verdict)),
        ),
        provenance=(
            f"run {record.id}, seed {record.plan.profile.seed}, commit {commit}",
            *((how,) if how != USUAL else ()),
        ),
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
    server = service_metrics(record)
    return {
        "connection": describe(record.plan.target),
        "platform_events": list(events_in(record)),
        "happened": list(events_in(record)),  # the older name, for one release
        "prometheus": None if server is None else server.as_dict(),
        "streams": streams_json(record),
        "chains": chains_json(record),
    }
