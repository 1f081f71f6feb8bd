"""What the runs say about one row, before the rows are weighed against each other."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from harness.baseline.model import QUANTILES, TOTAL, AcceptedRun
from harness.gate.model import Policy, Row
from harness.gate.rules import ALL_TOGETHER, ANY, METRICS, Terms, terms
from harness.gate.spread import shared_spread
from harness.stats.compare import Comparison, compare_metric
from harness.stats.outliers import outliers, runs_beyond_outliers, without
from harness.stats.pairs import LEAST_PAIRS, compare_pairs
from harness.stats.runs import Spread

DOUBT = 2.0
"""Times its tolerance: where one endpoint may be worse by so much, its doubt is the gate's. With
once the tolerance a third of unchanged releases with ten rows would end in doubt (6 accepted
runs, 3 new ones, 2 % run-to-run scatter); the rows of all endpoints together, and critical ones,
are held to once."""

LEAST_RUNS = 2
"""Of either side: run means have longer tails than Student's t allows for, and one run alone gave
5 to 10 times the false alarms that were promised, so that it is at most suspected."""

FEW_RUNS = 8
"""Below so many baseline runs the scatter is pooled over endpoints (facts: Smyth 2004)."""


Known = list[tuple[str, float]]
"""Runs by their id, with the value that each has."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One row to be judged: which metric of which endpoint, and what holds for it."""

    endpoint: str
    metric: str
    primary: bool
    terms: Terms


@dataclass(frozen=True, slots=True)
class Finding:
    """A row as it looks alone.

    It rests on `runs` candidate runs and `known` accepted ones. `chance` is the chance that
    outliers alone make it (every candidate run one of them), `least` the candidate runs where
    that is small enough to claim it. `not_worse`: all of its interval is less than what would
    matter. `certain`: no inference is needed, as where every request failed. `warnings` are
    about the order of its runs.
    """

    row: Row
    runs: int
    known: int
    chance: float = 0.0
    least: int = 0
    not_worse: bool = False
    certain: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Levels:
    """The one-sided levels at which a regression is claimed: the primary's, and another row's."""

    primary: float
    other: float

    def of(self, subject: Subject) -> float:
        """The level of one row."""
        return self.primary if subject.primary else self.other


def subjects(
    before: Sequence[AcceptedRun], after: Sequence[AcceptedRun], primary: str, policy: Policy
) -> list[Subject]:
    """Every metric of every endpoint that both sides have, or that must have data and has none."""
    sides = [set().union(*(run.endpoints for run in runs)) for runs in (before, after)]
    must = {rule.endpoint for rule in policy.rules if rule.role == "critical"}
    shared = {TOTAL} | (sides[0] & sides[1]) | (must & unknown_endpoints(policy, before, after))
    everything = requests_a_run([*before, *after], TOTAL)
    return [
        Subject(
            endpoint,
            metric,
            endpoint == TOTAL and metric == primary,
            terms(
                endpoint,
                metric,
                policy.rules,
                policy.error_margin if metric == "error_ratio" else policy.margin,
                requests_a_run([*before, *after], endpoint),
                everything,
            ),
        )
        for endpoint in sorted(shared)
        for metric in METRICS
    ]


def unknown_endpoints(
    policy: Policy, before: Sequence[AcceptedRun], after: Sequence[AcceptedRun]
) -> set[str]:
    """The endpoints that rules name and no run of either side has."""
    named = {rule.endpoint for rule in policy.rules} - {ANY, ALL_TOGETHER, TOTAL}
    return named.difference(*(run.endpoints for run in (*before, *after)))


def requests_a_run(runs: Sequence[AcceptedRun], endpoint: str) -> float:
    """How many requests an average run offers to an endpoint."""
    figures = (run.endpoints.get(endpoint) for run in runs)
    return sum(one.offered for one in figures if one is not None) / max(len(runs), 1)


def values(subject: Subject, runs: Iterable[AcceptedRun]) -> list[float]:
    """The values of the runs that have one."""
    return [value for _, value in _known(subject, runs)]


def _known(subject: Subject, runs: Iterable[AcceptedRun]) -> Known:
    found = ((run.id, run.values(subject.metric, subject.endpoint)) for run in runs)
    return [(name, value) for name, value in found if value is not None]


def priors(
    wanted: Sequence[Subject], before: Sequence[AcceptedRun], after: Sequence[AcceptedRun]
) -> dict[str, Spread]:
    """The scatter that a quantile's endpoints share, for when there are few baseline runs.

    Runs that are outliers of any endpoint lend nothing.
    """
    if len(before) >= FEW_RUNS:
        return {}
    shared = {}
    for name in QUANTILES:
        of_name = [s for s in wanted if s.metric == name and s.endpoint != TOTAL]
        sides = [_columns(of_name, runs) for runs in (before, after)]
        found = shared_spread(*sides)
        if found is not None:
            shared[name] = found
    return shared


def _columns(wanted: Sequence[Subject], runs: Sequence[AcceptedRun]) -> list[list[float]]:
    columns = [values(each, runs) for each in wanted]
    whole = [np.asarray(c) for c in columns if len(c) == len(runs) and c and min(c) > 0]
    odd = sorted({at for column in whole for at in outliers(np.log(column))})
    return [
        list(without(np.asarray(c), tuple(odd))) if len(c) == len(runs) else [] for c in columns
    ]


def compared(
    subject: Subject,
    before: Sequence[AcceptedRun],
    after: Sequence[AcceptedRun],
    policy: Policy,
    levels: Levels,
    prior: Spread | None,
) -> Finding:
    """One quantile or throughput of candidate runs against accepted ones.

    All requests together scatter less than any endpoint: what they lend is too much for the
    interval, and doubt is told without it. A claim is made with it, whose error is on the safe
    side and whose degrees of freedom find more at a strict level.
    """
    a, b = _known(subject, before), _known(subject, after)
    if not a or not b:
        return no_data(subject, a, b)
    borrowed = {}
    if prior is not None and _positive(a, b):
        borrowed = {"prior_sd": prior.sd, "prior_df": min(prior.df, 1e6)}
    found = _compare(compare_metric, subject, (a, b), policy, levels, **borrowed)
    if borrowed and subject.endpoint == TOTAL and min(len(a), len(b)) >= LEAST_RUNS:
        own = _compare(compare_metric, subject, (a, b), policy, levels)
        found = replace(own, p_value=found.p_value, detectable=found.detectable)
    odd = [a[at][0] for at in found.baseline_outliers]
    odd += [b[at][0] for at in found.candidate_outliers]
    return _finding(subject, (a, b), found, policy, odd)


def paired(
    subject: Subject,
    before: Sequence[AcceptedRun],
    after: Sequence[AcceptedRun],
    policy: Policy,
    levels: Levels,
) -> Finding:
    """One quantile or throughput of pairs of runs that were made alternately.

    Values of zero have no ratio: their sides are compared as if the runs were no pairs.
    """
    sides = zip(before, after, strict=True)
    both = [(_known(subject, [x]), _known(subject, [y])) for x, y in sides]
    whole = [(*x, *y) for x, y in both if x and y]
    if len(whole) < LEAST_PAIRS:
        return no_data(subject, _known(subject, before), _known(subject, after))
    a, b = [x for x, _ in whole], [y for _, y in whole]
    compare = compare_pairs if _positive(a, b) else compare_metric
    found = _compare(compare, subject, (a, b), policy, levels)
    odd = [b[at][0] for at in found.candidate_outliers]
    return _finding(subject, (a, b), found, policy, odd)


def _positive(*sides: Known) -> bool:
    """Whether every value has a logarithm."""
    return all(value > 0 for side in sides for _, value in side)


def _compare(
    compare: Callable[..., Comparison],
    subject: Subject,
    sides: tuple[Known, Known],
    policy: Policy,
    levels: Levels,
    **borrowed: float,
) -> Comparison:
    """What a comparison says of two sides' values, asked with the terms of this row."""
    a, b = ([value for _, value in side] for side in sides)
    terms = subject.terms
    return compare(
        a,
        b,
        terms.tolerance,
        policy.tail,
        lower_is_better=terms.lower_is_better,
        level=levels.of(subject),
        doubt=_doubt(subject),
        **borrowed,
    )


def _doubt(subject: Subject) -> float:
    """Up to how many tolerances an interval may reach before its doubt is the gate's."""
    held = subject.endpoint == TOTAL or subject.terms.role == "critical"
    return 1.0 if held else DOUBT


def _finding(
    subject: Subject,
    sides: tuple[Known, Known],
    found: Comparison,
    policy: Policy,
    odd: Sequence[str],
) -> Finding:
    before, after = ([value for _, value in side] for side in sides)
    named, k, n = len(found.baseline_outliers), len(before), len(after)
    row = make_row(
        subject,
        outcome=found.verdict,
        baseline=median(before),
        candidate=median(after),
        relative=found.scale == "ratio",
        shift=found.shift,
        low=found.low,
        high=found.high,
        detectable=found.detectable if min(k, n) >= LEAST_RUNS else None,
        runs_needed=found.runs_needed,
        baseline_runs_needed=found.baseline_runs_needed,
        p_value=found.p_value,
        reason=found.reason,
        outliers=tuple(odd),
    )
    return Finding(
        row,
        n,
        k,
        found.outlier_chance,
        runs_beyond_outliers(named, k, policy.level),
        found.not_worse,
        warnings=found.warnings,
    )


def no_data(subject: Subject, before: Known, after: Known) -> Finding:
    """A row without a value on one side, or too few: it fails only where data is a must."""
    side = "the baseline" if not before else "the candidate" if not after else "one side"
    must = subject.terms.role == "critical"
    row = make_row(
        subject,
        outcome="no-data",
        baseline=median(v for _, v in before) if before else None,
        candidate=median(v for _, v in after) if after else None,
        relative=True,
        reason=f"no figures of {side} to compare" + (", which it must have" if must else ""),
    )
    return Finding(row, len(after), len(before), certain=must)


def make_row(subject: Subject, **fields: object) -> Row:
    """A row of this subject; what is not given is unknown."""
    found: dict[str, object] = dict.fromkeys(
        ("shift", "low", "high", "detectable", "p_value", "adjusted")
    )
    found |= {"runs_needed": 0, "baseline_runs_needed": 0, "outliers": ()} | fields
    role = "gates" if subject.primary and subject.terms.role == "shown" else subject.terms.role
    return Row(
        endpoint=subject.endpoint,
        metric=subject.metric,
        primary=subject.primary,
        gating=role != "shown",
        role=role,
        tolerance=subject.terms.tolerance,
        thin=subject.terms.thin and not subject.primary,
        **found,  # type: ignore[arg-type]
    )
