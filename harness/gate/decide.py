"""From findings about single rows to the verdict on all of them together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.baseline.model import TOTAL
from harness.gate.findings import LEAST_RUNS, Finding, Levels
from harness.gate.model import GateOutcome, Policy, Row
from harness.stats.multiplicity import holm
from harness.stats.planning import AFFORDABLE_RUNS


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome, why, and what would settle it where it is open."""

    outcome: GateOutcome
    reasons: tuple[str, ...]
    rows: tuple[Row, ...]
    runs_needed: int | None
    baseline_runs_needed: int | None


def levels(policy: Policy, others: int) -> Levels:
    """Half of the gate's level is the primary's, half is shared by the others (Holm's first)."""
    return Levels(policy.level / 2, policy.level / 2 / max(others, 1))


def decide(findings: Sequence[Finding], policy: Policy) -> Decision:
    """Fail on a claimed regression or a lack of what must be there; open on a doubt; else pass."""
    rows = sorted(
        _weighed(findings, policy),
        key=lambda row: (not row.primary, not row.gating, row.endpoint != TOTAL, row.endpoint,
                         row.metric),
    )  # fmt: skip
    failed = [row for row in rows if row.failing]
    doubtful = [row for row in rows if row.open]
    primary = next((row for row in rows if row.primary), None)
    if primary is None or primary.outcome == "no-data":
        undecided = "the primary metric was not measured on both sides"
        reasons = (undecided, *map(sentence, failed), *map(sentence, doubtful))
        outcome: GateOutcome = "fail" if failed else "inconclusive"
        return Decision(outcome, reasons, tuple(rows), None, None)
    if failed:
        suspected = [row for row in doubtful if row.outcome == "suspected"]
        reasons = tuple(map(sentence, [*failed, *suspected]))
        return Decision("fail", reasons, tuple(rows), 0, 0)
    if doubtful:
        doubtful.sort(key=lambda row: row.outcome != "suspected")
        more, back = _price(doubtful)
        return Decision("inconclusive", tuple(map(sentence, doubtful)), tuple(rows), more, back)
    absent = [row for row in rows if row.gating and row.outcome in {"gone", "new"}]
    return Decision("pass", tuple(map(sentence, [primary, *absent])), tuple(rows), 0, 0)


def _weighed(findings: Sequence[Finding], policy: Policy) -> list[Row]:
    """The rows with what all of them together allow to claim.

    Holm over all rows that gate but the primary keeps half of the level; the primary has the
    other half. The same at `alpha` tells what is suspected: of unchanged software at most alpha
    of gates suspect anything.
    """
    others = [f for f in findings if f.row.gating and not f.row.primary and not f.certain]
    tested = [f for f in others if f.row.p_value is not None]
    adjusted = {
        id(f): f.row.p_value for f in findings if f.row.primary and f.row.p_value is not None
    }
    if tested:
        holms = holm([f.row.p_value or 0.0 for f in tested])
        adjusted |= {id(f): float(p) for f, p in zip(tested, holms, strict=True)}
    return [_claimed(f, adjusted.get(id(f)), policy) for f in findings]


def _claimed(finding: Finding, adjusted: float | None, policy: Policy) -> Row:
    row = finding.row
    if finding.certain:
        return replace(row, adjusted=0.0, failing=row.gating)
    outcome, reason = row.outcome, row.reason
    needed, back = row.runs_needed, row.baseline_runs_needed
    if outcome == "regression":
        shown = adjusted is not None and adjusted <= policy.level / 2
        runs, known = finding.runs, finding.known
        if not shown or known < LEAST_RUNS or runs < max(finding.least, LEAST_RUNS):
            likely = adjusted is not None and adjusted <= policy.tail / 2
            outcome = "suspected" if likely else "inconclusive"
            needed, back = _needed(finding)
            reason = f"{row.reason}; {_why(finding, policy, likely=likely)}"
    if row.p_value is not None and adjusted is not None:
        adjusted = max(adjusted, finding.chance)
    doubt = outcome == "suspected" or (
        outcome == "inconclusive" and not finding.not_worse and not row.thin
    )
    return replace(
        row,
        outcome=outcome,
        reason=reason,
        adjusted=adjusted,
        runs_needed=needed,
        baseline_runs_needed=back,
        failing=row.gating and outcome == "regression",
        open=row.gating and doubt,
    )


def _why(finding: Finding, policy: Policy, *, likely: bool) -> str:
    """Why what looks like a regression is not claimed."""
    if finding.runs < LEAST_RUNS:
        return "one run claims nothing"
    if finding.known < LEAST_RUNS:
        return "one accepted run claims nothing"
    if not likely:
        return "one of so many rows shows as much by chance"
    if finding.runs < finding.least:
        return f"{finding.runs} runs may all be outliers"
    return f"not beyond the gate's level of {policy.level:.2g}"


def _needed(finding: Finding) -> tuple[int | None, int | None]:
    """Further runs that the row's own test needs, and without which it claims nothing."""
    own, back = finding.row.runs_needed, finding.row.baseline_runs_needed
    if own is None or back is None:
        return None, None
    least = max(finding.least, LEAST_RUNS)
    back = max(back, LEAST_RUNS - finding.known)
    return max(own, least - finding.runs, 0 if back else 1), back


def _price(rows: Sequence[Row]) -> tuple[int | None, int | None]:
    """Further runs (candidate, baseline) after which the gate is probably settled.

    One claimed row fails it, so the suspected row that needs fewest counts; without one, all open
    rows must be closed. None where there is no such number, or nobody would pay for it.
    """
    prices = [(row.runs_needed, row.baseline_runs_needed) for row in rows]
    suspected = [
        price for row, price in zip(rows, prices, strict=True) if row.outcome == "suspected"
    ]
    known = [
        (more, back) for more, back in suspected or prices if more is not None and back is not None
    ]
    if suspected and known:
        more, back = min(known, key=sum)
    elif len(known) == len(prices):
        more, back = max(more for more, _ in known), max(back for _, back in known)
    else:
        return None, None
    return (None, None) if max(more, back) > AFFORDABLE_RUNS else (max(more, 1), back)


def _absolute(row: Row, shift: float) -> str:
    """A shift of values that have no ratio, since one of them is 0."""
    if row.metric == "error_ratio":
        return f"{shift * 100:+.3f} pp"
    return f"{shift:+,.0f}/s" if row.metric == "throughput" else f"{shift * 1e3:+.3f} ms"


def sentence(row: Row) -> str:
    """`p95 of recall: +10.2% [+8.0%, +12.5%], regression: …`."""
    where = "all endpoints" if row.endpoint == TOTAL else row.endpoint
    if row.metric == "presence":
        return f"{where}: {row.outcome}: {row.reason}"
    if row.shift is None:
        return f"{row.metric} of {where}: {row.outcome}: {row.reason}"
    size = f"{row.shift:+.1%}" if row.relative else _absolute(row, row.shift)
    span = ""
    if row.low is not None and row.high is not None and row.relative:
        span = f" [{row.low:+.1%}, {row.high:+.1%}]"
    return f"{row.metric} of {where}: {size}{span}, {row.outcome}: {row.reason}"
