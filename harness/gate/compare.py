"""From accepted runs and candidate runs to a verdict; pure functions, no I/O."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

from harness.baseline.model import TOTAL, AcceptedRun
from harness.errors import BaselineError
from harness.gate.decide import decide, levels
from harness.gate.failures import failures
from harness.gate.findings import (
    Finding,
    Levels,
    Subject,
    compared,
    paired,
    priors,
    subjects,
    unknown_endpoints,
    values,
)
from harness.gate.model import GateVerdict, Policy, Row
from harness.gate.presence import presence

Design = Literal["baseline", "interleaved"]
Judge = Callable[[Subject, Levels], Finding]


def compare_runs(
    service: str,
    scenario: str,
    baseline: Sequence[AcceptedRun],
    candidates: Sequence[AcceptedRun],
    primary: str = "p95",
    policy: Policy | None = None,
) -> GateVerdict:
    """Compare candidate runs with the accepted ones, both in the order of time.

    `primary` (`p50`, `p95`, `p99`, `error_ratio`, `throughput`) of all endpoints together is
    tested at half of the level, everything else that gates by Holm at the other half. Raises
    BaselineError without a run on either side.
    """
    policy = policy or Policy()
    if not baseline or not candidates:
        side = "baseline" if not baseline else "candidate"
        raise BaselineError(f"{service}: no {side} run to compare", "make and accept some runs")
    wanted = subjects(baseline, candidates, primary, policy)
    prior = priors(wanted, baseline, candidates)

    def judge(subject: Subject, at: Levels) -> Finding:
        lent = prior.get(subject.metric)
        return compared(subject, baseline, candidates, policy, at, lent)

    return _verdict(service, scenario, wanted, judge, baseline, candidates, policy, "baseline")


def compare_interleaved(
    service: str,
    scenario: str,
    before: Sequence[AcceptedRun],
    after: Sequence[AcceptedRun],
    primary: str = "p95",
    policy: Policy | None = None,
) -> GateVerdict:
    """Compare pairs of runs made alternately (ABBA): drift of the machine hits both alike."""
    policy = policy or Policy()
    wanted = subjects(before, after, primary, policy)

    def judge(subject: Subject, at: Levels) -> Finding:
        return paired(subject, before, after, policy, at)

    return _verdict(service, scenario, wanted, judge, before, after, policy, "interleaved")


def _verdict(
    service: str,
    scenario: str,
    wanted: Sequence[Subject],
    judge: Judge,
    before: Sequence[AcceptedRun],
    after: Sequence[AcceptedRun],
    policy: Policy,
    design: Design,
) -> GateVerdict:
    at = levels(policy, _others(wanted, before, after))
    findings = [
        failures(one, before, after, policy, at) if one.metric == "error_ratio" else judge(one, at)
        for one in wanted
    ]
    findings += presence(before, after, policy)
    found = decide([f for f in findings if _worth_showing(f)], policy)
    verdict = GateVerdict(
        service=service,
        scenario=scenario,
        outcome=found.outcome,
        reasons=found.reasons,
        rows=found.rows,
        design=design,
        before=tuple(before),
        after=tuple(after),
        runs_needed=found.runs_needed,
        baseline_runs_needed=found.baseline_runs_needed,
        policy=policy,
        warnings=(
            *_misnamed(policy, before, after),
            *_outliers(found.rows, design),
            *next((f.warnings for f in findings if f.row.primary), ()),
            *_gain(found.rows, design),
            *_hosts(before, after),
        ),
    )
    return priced(verdict)


def priced(verdict: GateVerdict) -> GateVerdict:
    """The verdict with the minutes that its further runs would take."""
    more, back = verdict.runs_needed, verdict.baseline_runs_needed
    if not more:
        return verdict
    runs = more + (more if verdict.design == "interleaved" else back or 0)
    return replace(verdict, minutes_needed=runs * verdict.minutes_a_run)


def _others(
    wanted: Sequence[Subject], before: Sequence[AcceptedRun], after: Sequence[AcceptedRun]
) -> int:
    """How many rows share the other half of the level."""
    return sum(
        one.terms.role != "shown"
        and not one.primary
        and bool(values(one, before))
        and bool(values(one, after))
        for one in wanted
    )


def _worth_showing(finding: Finding) -> bool:
    """All but what neither side can have, such as a quantile of an endpoint that never answers."""
    row = finding.row
    return (
        finding.certain
        or row.outcome != "no-data"
        or row.baseline is not None
        or row.candidate is not None
    )


def _misnamed(
    policy: Policy, before: Sequence[AcceptedRun], after: Sequence[AcceptedRun]
) -> Iterator[str]:
    """One sentence for each endpoint that only a rule knows."""
    known = sorted({name for run in (*before, *after) for name in run.endpoints} - {TOTAL})
    for name in sorted(unknown_endpoints(policy, before, after)):
        alike = difflib.get_close_matches(name, known, 1) or known[:5]
        yield f"a rule names the endpoint {name!r}, which no run has; there is {', '.join(alike)}"


def _outliers(rows: Sequence[Row], design: Design) -> tuple[str, ...]:
    """One sentence for each run that some row had to set aside."""
    what = "run" if design == "baseline" else "the pair of run"
    places: dict[str, list[str]] = {}
    for row in rows:
        for run in row.outliers:
            where = "all endpoints" if row.endpoint == TOTAL else row.endpoint
            places.setdefault(run, []).append(f"{row.metric} of {where}")
    return tuple(
        f"{what} {run} is an outlier and was set aside in {', '.join(where[:3])}"
        + (f" and {len(where) - 3} more rows" if len(where) > 3 else "")  # noqa: PLR2004 - a line
        for run, where in places.items()
    )


def _gain(rows: Sequence[Row], design: Design) -> tuple[str, ...]:
    """What is not accepted can be lost again unnoticed."""
    if design == "baseline" and any(row.primary and row.outcome == "improvement" for row in rows):
        return ("better than the baseline: accept these runs, or later gates let the gain be lost",)
    return ()


def _hosts(before: Sequence[AcceptedRun], after: Sequence[AcceptedRun]) -> tuple[str, ...]:
    """Machines of one kind are comparable, and still not the same machine."""
    sides = [sorted({run.host for run in runs if run.host}) for runs in (before, after)]
    if not all(sides) or set(sides[1]) <= set(sides[0]):
        return ()
    text = (
        f"the candidate ran on {', '.join(sides[1])}, the baseline on {', '.join(sides[0])}: "
        "machines of the same kind, which may differ by some percent"
    )
    return (text,)
