"""Rows about failed requests: error ratios by counts, as far as the runs agree on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.baseline.model import AcceptedRun
from harness.gate.findings import Finding, Levels, Subject, make_row, no_data
from harness.gate.model import Policy, RowOutcome
from harness.gate.rules import LEAST_TAIL
from harness.stats.errors import RatioComparison, compare_ratios
from harness.stats.planning import AFFORDABLE_RUNS

DOUBT = 10.0
"""Times the tolerance: a rise that may be this large is in doubt, 0.1 % where nothing else was
asked, which is what the platform's objectives allow."""

DOUBT_SHARE = 0.5
"""Of the baseline's own ratio: a service that fails 2 % is in doubt where it may fail 3 %."""


@dataclass(frozen=True, slots=True)
class _Side:
    """(failed, offered) of each run that was offered a request."""

    runs: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, runs: Sequence[AcceptedRun], endpoint: str) -> _Side:
        figures = [run.endpoints[endpoint] for run in runs if endpoint in run.endpoints]
        return cls(tuple((f.offered - f.completed, f.offered) for f in figures if f.offered))

    @property
    def failed(self) -> int:
        return sum(failed for failed, _ in self.runs)

    @property
    def offered(self) -> int:
        return sum(offered for _, offered in self.runs)

    @property
    def wholly(self) -> bool:
        """Every request of every run failed, and they are more than one request's luck."""
        return self.offered >= LEAST_TAIL and self.failed == self.offered


def failures(
    subject: Subject,
    before: Sequence[AcceptedRun],
    after: Sequence[AcceptedRun],
    policy: Policy,
    levels: Levels,
) -> Finding:
    """The error ratio of one endpoint, or of all together.

    Most runs have no error, so their scatter says nothing; counts do. Where the runs of a side
    differ by more than counts do, the counts are divided by that dispersion (McCullagh & Nelder
    1989, section 4.5). An endpoint whose every request failed needs no inference.
    """
    a, b = _Side.of(before, subject.endpoint), _Side.of(after, subject.endpoint)
    if not a.runs or not b.runs:
        return no_data(subject, [], [])
    spread = dispersion((a.runs, b.runs))
    found = _compare(a, b, spread, policy, len(b.runs))
    outcome, in_doubt = _outcome(found, b.failed, subject, policy)
    certain = b.wholly and not a.wholly and found.baseline.estimate < DOUBT_SHARE
    needed: int | None = 0
    if outcome in {"regression", "inconclusive"} and not certain:
        needed = _runs_needed(a, b, spread, subject, policy, levels)
    row = make_row(
        subject,
        outcome="regression" if certain else outcome,
        baseline=found.baseline.estimate,
        candidate=found.candidate.estimate,
        relative=False,
        shift=found.difference,
        low=found.low,
        high=found.high,
        runs_needed=needed,
        p_value=found.p_worse,
        reason=_reason(a, b, spread, certain=certain),
    )
    return Finding(row, len(b.runs), len(a.runs), not_worse=not in_doubt, certain=certain)


def dispersion(sides: Sequence[Sequence[tuple[int, int]]]) -> float:
    """How much more the runs' counts differ than independent requests make them; at least 1.

    Pearson's chi-square over its degrees of freedom, of the sides that say anything (one with no
    failure, or nothing else, does not). `sides` hold (failed, offered) of each run.
    """
    square, freedom = 0.0, 0
    for side in sides:
        failed, offered = sum(f for f, _ in side), sum(n for _, n in side)
        if not 0 < failed < offered or len(side) < 2:  # noqa: PLR2004 - one run has no scatter
            continue
        rate = failed / offered
        square += sum((f - n * rate) ** 2 / (n * rate * (1 - rate)) for f, n in side)
        freedom += len(side) - 1
    return max(1.0, square / freedom) if freedom else 1.0


def _compare(a: _Side, b: _Side, spread: float, policy: Policy, runs: int) -> RatioComparison:
    """As if the candidate had made so many runs like those it made."""
    share = runs / len(b.runs) / spread
    return compare_ratios(
        round(a.failed / spread),
        max(round(a.offered / spread), 1),
        round(b.failed * share),
        max(round(b.offered * share), 1),
        confidence=1 - 2 * policy.tail,
    )


def _outcome(
    found: RatioComparison, failed: int, subject: Subject, policy: Policy
) -> tuple[RowOutcome, bool]:
    """The word of the row alone, and whether it is in doubt."""
    tolerance = subject.terms.tolerance
    if found.p_worse <= policy.tail:
        return ("regression" if found.difference >= tolerance else "trivial"), False
    limit = max(DOUBT * tolerance, DOUBT_SHARE * found.baseline.estimate)
    if failed >= LEAST_TAIL and found.difference > 0 and found.high > limit:
        return "inconclusive", True
    return "no-change", False


def _runs_needed(
    a: _Side, b: _Side, spread: float, subject: Subject, policy: Policy, levels: Levels
) -> int | None:
    """Further runs after which the row would be settled, were they like those made."""
    have = len(b.runs)
    for more in range(1, AFFORDABLE_RUNS + 1):
        found = _compare(a, b, spread, policy, have + more)
        word = _outcome(found, b.failed * (have + more), subject, policy)[0]
        claimed = word == "regression" and found.p_worse <= levels.of(subject)
        if claimed or word in {"no-change", "trivial"}:
            return more
    return None


def _reason(a: _Side, b: _Side, spread: float, *, certain: bool) -> str:
    counts = f"{b.failed} of {b.offered} failed, {a.failed} of {a.offered} before"
    if certain:
        return f"no request was answered well: {counts}"
    if spread > 2:  # noqa: PLR2004 - what a reader would see
        return f"{counts}; the runs differ {spread:.0f} times as much as chance makes them"
    return counts
