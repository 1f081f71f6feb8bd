"""summary.md: a comment for a pull request."""

from __future__ import annotations

import re

from harness.judge.model import Verdict
from harness.record.run import RunRecord
from harness.report import facts

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")
_MARKS = {"pass": "✅", "fail": "❌", "inconclusive": "❔", "invalid": "⚠️"}


def render_markdown(record: RunRecord, verdict: Verdict) -> str:
    """Verdict, objectives, endpoints and where the rest is, in GitHub's Markdown."""
    mark = _MARKS[verdict.outcome]
    lines = [f"### {mark} {verdict.outcome.upper()}: {_escape(facts.title(record))}", ""]
    lines += [f"- {_escape(reason)}" for reason in verdict.reasons]
    rows = [facts.objective_row(result) for result in verdict.objectives]
    lines += ["", *_table(
        ("objective", "wanted", "measured", f"{verdict.confidence * 100:g} % interval", "verdict"),
        [(row.name, row.wanted, row.measured, row.interval, row.word) for row in rows],
    )]  # fmt: skip
    if verdict.stages:
        lines += ["", *_table(facts.STAGE_HEADER, [facts.stage_row(s) for s in verdict.stages])]
    quantiles = [f"p{q * 100:g}" for q in facts.QUANTILES]
    lines += ["", "<details><summary>Endpoints in the hold</summary>", "", *_table(
        ("endpoint", "offered", "completed", "failed", *quantiles, "service p95", "lag p99"),
        [
            (
                row.name, f"{row.offered:,}", f"{row.completed:,}",
                f"{row.failed + row.unfinished:,}", *map(facts.duration, row.response),
                facts.duration(row.service_p95), facts.duration(row.lag_p99),
            )
            for row in facts.endpoint_figures(record)
        ],
    ), "", "</details>", ""]  # fmt: skip
    errors = ", ".join(f"{kind} {count:,}" for kind, count in facts.error_counts(record))
    lines += [
        (
            f"{facts.conservation(record)}. Errors: {_escape(errors or 'none')}."
            f" Validity: {_escape(facts.validity_line(verdict))}."
        ),
        "",
        (
            f"Run `{record.id}`, seed {record.plan.profile.seed},"
            f" commit {_escape(str(record.environment.get('commit') or 'unknown'))}."
        ),
        "",
    ]
    return "\n".join(lines)


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    lines = [header, tuple("---" for _ in header), *(tuple(map(_escape, row)) for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def _escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
