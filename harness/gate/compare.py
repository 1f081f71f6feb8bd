"""From accepted runs and candidate runs to a verdict; pure functions, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.baseline.model import QUANTILES, TOTAL, AcceptedRun
from harness.errors import BaselineError
from harness.gate.model import GateOutcome, GateVerdict, Policy, Row, RowOutcome
from harness.gate.spread import shared_spread
from harness.stats.compare import Comparison, compare_metric
from harness.stats.errors import compare_ratios
from harness.stats.multiplicity import holm
from harness.stats.pairs import compare_pairs
from harness.stats.runs import Spread

FEW_RUNS = 8
"""Below so many baseline runs the scatter is pooled over endpoints (facts: Smyth 2004)."""

LEAST_SHARE = 0.02
"""An endpoint with less of the traffic is shown but does not gate: its quantiles rest on too
few requests to answer for a release."""

Values = tuple[list[float], list[float]]


@dataclass(frozen=True, slots=True)
class _Metric:
    """One comparison to be made: who, what, and which way is worse."""

    endpoint: str
    name: str
    gating: bool
    lower_is_better: bool = True


def compare_runs(
    service: str,
    scenario: str,
    baseline: Sequence[AcceptedRun],
    candidates: Sequence[AcceptedRun],
    primary: str = "p95",
    policy: Policy | None = None,
) -> GateVerdict:
    """Compare candidate runs with the accepted ones.

    `primary` (`p50`, `p95`, `p99`, `error_ratio`, `throughput`) of all endpoints together is
    tested at the full level, everything else that gates by Holm at the same level. Raises
    BaselineError without a run on either side.
    """
    policy = policy or Policy()
    if not baseline or not candidates:
        side = "baseline" if not baseline else "candidate"
        raise BaselineError(f"{service}: no {side} run to compare", "make and accept some runs")
    metrics = _metrics(baseline, candidates, primary)
    prior = _prior(metrics, baseline, candidates)
    rows = [
        row
        for metric in metrics
        if (row := _row(metric, baseline, candidates, policy, prior, primary)) is not None
    ]
    rows.append(_errors(baseline, candidates, policy, primary))
    return _verdict(service, scenario, rows, baseline, candidates, policy, "baseline")


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
    rows = [
        row
        for metric in _metrics(before, after, primary)
        if (row := _paired_row(metric, before, after, policy, primary)) is not None
    ]
    rows.append(_errors(before, after, policy, primary))
    return _verdict(service, scenario, rows, before, after, policy, "interleaved")


def _metrics(
    baseline: Sequence[AcceptedRun], candidates: Sequence[AcceptedRun], primary: str
) -> list[_Metric]:
    """Every endpoint that all runs have, times every quantile, and throughput."""
    runs = [*baseline, *candidates]
    shared = set.intersection(*(set(run.endpoints) for run in runs))
    total = sum(run.endpoints[TOTAL].offered for run in runs)
    metrics = [_Metric(TOTAL, "throughput", gating=True, lower_is_better=False)]
    for endpoint in sorted(shared):
        offered = sum(run.endpoints[endpoint].offered for run in runs)
        heavy = offered >= LEAST_SHARE * total
        # p99 of one run rests on a hundredth of its requests: shown, gating only as the primary.
        metrics += [
            _Metric(
                endpoint,
                name,
                heavy and (name != "p99" or (endpoint == TOTAL and name == primary)),
            )
            for name in QUANTILES
        ]
    return metrics


def _values(metric: _Metric, runs: Iterable[AcceptedRun]) -> list[float]:
    found = (run.values(metric.name, metric.endpoint) for run in runs)
    return [value for value in found if value is not None]


def _prior(
    metrics: Sequence[_Metric],
    baseline: Sequence[AcceptedRun],
    candidates: Sequence[AcceptedRun],
) -> Callable[[_Metric], Spread | None]:
    """The scatter that a quantile's endpoints share, for when there are few runs."""
    if len(baseline) >= FEW_RUNS:
        return lambda metric: None
    shared: dict[str, Spread | None] = {}
    for name in QUANTILES:
        of_name = [m for m in metrics if m.name == name and m.endpoint != TOTAL]
        sides = [[_values(m, runs) for m in of_name] for runs in (baseline, candidates)]
        shared[name] = shared_spread(*sides)
    return lambda metric: shared.get(metric.name)


def _row(
    metric: _Metric,
    baseline: Sequence[AcceptedRun],
    candidates: Sequence[AcceptedRun],
    policy: Policy,
    prior: Callable[[_Metric], Spread | None],
    primary: str,
) -> Row | None:
    before, after = _values(metric, baseline), _values(metric, candidates)
    if not before or not after:
        return None
    spread = prior(metric)
    borrowed = {}
    if spread is not None and spread.variance > 0:
        borrowed = {"prior_sd": spread.sd, "prior_df": min(spread.df, 1e6)}
    found: Comparison = compare_metric(
        before,
        after,
        policy.margin,
        policy.tail,
        lower_is_better=metric.lower_is_better,
        **borrowed,
    )
    return Row(
        endpoint=metric.endpoint,
        metric=metric.name,
        primary=metric.endpoint == TOTAL and metric.name == primary,
        gating=metric.gating,
        outcome=found.verdict,
        baseline=float(np.mean(before)),
        candidate=float(np.mean(after)),
        relative=found.scale == "ratio",
        shift=found.shift,
        low=found.low,
        high=found.high,
        detectable=found.detectable,
        runs_needed=found.runs_needed,
        baseline_runs_needed=found.baseline_runs_needed,
        p_value=found.p_value,
        adjusted=None,
        reason=found.reason,
    )


def _paired_row(
    metric: _Metric,
    before: Sequence[AcceptedRun],
    after: Sequence[AcceptedRun],
    policy: Policy,
    primary: str,
) -> Row | None:
    a, b = _values(metric, before), _values(metric, after)
    if len(a) != len(b) or len(a) < 2 or min(*a, *b) <= 0:  # noqa: PLR2004 - a pair has no scatter
        return None
    found = compare_pairs(a, b, policy.margin, policy.tail, lower_is_better=metric.lower_is_better)
    worse = found.p_worse if metric.lower_is_better else 1 - found.p_worse
    return Row(
        endpoint=metric.endpoint,
        metric=metric.name,
        primary=metric.endpoint == TOTAL and metric.name == primary,
        gating=metric.gating,
        outcome=found.verdict,
        baseline=float(np.mean(a)),
        candidate=float(np.mean(b)),
        relative=True,
        shift=found.shift,
        low=found.low,
        high=found.high,
        detectable=found.detectable,
        runs_needed=_pairs_needed(found.sd, policy.margin, found.pairs, found.verdict),
        baseline_runs_needed=0,
        p_value=worse,
        adjusted=None,
        reason=f"{found.pairs} interleaved pairs, scatter {found.sd:.2%}",
    )


def _pairs_needed(sd: float, margin: float, pairs: int, verdict: str) -> int | None:
    """More pairs until the 90 % interval is no wider than the margin (normal approximation)."""
    if verdict != "inconclusive" or sd <= 0 or margin <= 0:
        return 0 if verdict != "inconclusive" else None
    wanted = int(np.ceil((2 * 1.645 * sd / margin) ** 2)) + 2
    return max(1, wanted - pairs)


def _errors(
    baseline: Sequence[AcceptedRun],
    candidates: Sequence[AcceptedRun],
    policy: Policy,
    primary: str,
) -> Row:
    """The error ratio, by counts: most runs have none, so a run-level scatter says nothing."""
    sides = []
    for runs in (baseline, candidates):
        figures = [run.endpoints[TOTAL] for run in runs]
        offered = sum(one.offered for one in figures)
        sides.append((offered - sum(one.completed for one in figures), max(offered, 1)))
    found = compare_ratios(*sides[0], *sides[1], confidence=1 - 2 * policy.tail)
    outcome: RowOutcome = "no-change"
    if found.p_worse <= policy.tail:
        outcome = "regression" if found.difference >= policy.error_margin else "trivial"
    elif found.high > policy.error_margin and found.difference > 0:
        outcome = "inconclusive"
    return Row(
        endpoint=TOTAL,
        metric="error_ratio",
        primary=primary == "error_ratio",
        gating=True,
        outcome=outcome,
        baseline=found.baseline.estimate,
        candidate=found.candidate.estimate,
        relative=False,
        shift=found.difference,
        low=found.low,
        high=found.high,
        detectable=None,
        runs_needed=1 if outcome == "inconclusive" else 0,
        baseline_runs_needed=0,
        p_value=found.p_worse,
        adjusted=None,
        reason=f"{sides[1][0]} of {sides[1][1]} failed, {sides[0][0]} of {sides[0][1]} before",
    )


def _verdict(
    service: str,
    scenario: str,
    rows: list[Row],
    baseline: Sequence[AcceptedRun],
    candidates: Sequence[AcceptedRun],
    policy: Policy,
    design: str,
) -> GateVerdict:
    rows = _claim(rows, policy)
    rows.sort(key=lambda row: (not row.primary, not row.gating, row.endpoint, row.metric))
    outcome, reasons = _decide(rows)
    more, back = _price([row for row in rows if _is_open(row)])
    verdict = GateVerdict(
        service=service,
        scenario=scenario,
        outcome=outcome,
        reasons=reasons,
        rows=tuple(rows),
        design="interleaved" if design == "interleaved" else "baseline",
        before=tuple(baseline),
        after=tuple(candidates),
        runs_needed=more,
        baseline_runs_needed=back,
        minutes_needed=None,
        policy=policy,
    )
    if not more:
        return verdict
    runs = more + (more if design == "interleaved" else back or 0)
    return replace(verdict, minutes_needed=runs * verdict.minutes_a_run)


def _price(rows: Sequence[Row]) -> tuple[int | None, int | None]:
    """Further runs (candidate, baseline) after which every open row is settled."""
    candidate = [row.runs_needed for row in rows]
    baseline = [row.baseline_runs_needed for row in rows]
    if None in candidate or None in baseline:
        return None, None
    return max((n or 0 for n in candidate), default=0), max((n or 0 for n in baseline), default=0)


def _claim(rows: list[Row], policy: Policy) -> list[Row]:
    """Turn regressions that do not reach the alarm level into suspicions.

    Half of the level is the primary's, half that of all others (Holm): together they keep it.
    """
    others = [i for i, row in enumerate(rows) if row.gating and not row.primary]
    adjusted: dict[int, float] = {
        i: row.p_value for i, row in enumerate(rows) if row.primary and row.p_value is not None
    }
    tested = [i for i in others if rows[i].p_value is not None]
    if tested:
        for i, p in zip(tested, holm([rows[i].p_value or 0.0 for i in tested]), strict=True):
            adjusted[i] = float(p)
    claimed = []
    for i, row in enumerate(rows):
        outcome = row.outcome
        p = adjusted.get(i)
        if outcome == "regression" and (p is None or p > policy.level / 2):
            outcome = "suspected"
        needed = max(1, row.runs_needed or 0) if outcome == "suspected" else row.runs_needed
        claimed.append(replace(row, outcome=outcome, adjusted=p, runs_needed=needed))
    return claimed


def _is_open(row: Row) -> bool:
    return (row.gating and row.outcome == "suspected") or (
        row.primary and row.outcome == "inconclusive"
    )


def _decide(rows: Sequence[Row]) -> tuple[GateOutcome, tuple[str, ...]]:
    """Fail on a claimed regression; open on a suspicion or an undecided primary; else pass."""
    failed = [row for row in rows if row.gating and row.outcome == "regression"]
    if failed:
        return "fail", tuple(_sentence(row) for row in failed)
    undecided = [row for row in rows if _is_open(row)]
    if undecided:
        return "inconclusive", tuple(_sentence(row) for row in undecided)
    primary = next((row for row in rows if row.primary), None)
    if primary is None:
        return "inconclusive", ("the primary metric was not measured on both sides",)
    return "pass", (_sentence(primary),)


def _sentence(row: Row) -> str:
    where = "all endpoints" if row.endpoint == TOTAL else row.endpoint
    size = f"{row.shift:+.1%}" if row.relative else f"{row.shift:+.3%}"
    span = ""
    if row.low is not None and row.high is not None:
        span = f" [{row.low:+.1%}, {row.high:+.1%}]" if row.relative else ""
    return f"{row.metric} of {where}: {size}{span}, {row.outcome}: {row.reason}"
