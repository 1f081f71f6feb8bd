"""Rows about endpoints that only one side has: gone, new, perhaps renamed."""

import difflib
import math
from collections.abc import Sequence

from harness.baseline.model import TOTAL, AcceptedRun
from harness.gate.findings import Finding, Subject, make_row, requests_a_run
from harness.gate.model import Policy
from harness.gate.rules import Terms, terms

BY_CHANCE = 0.001
"""The chance of no request at all below which an endpoint is gone and not merely rare."""

ALIKE = 0.6
"""Likeness of names (difflib's ratio) from which one may be the other's new name."""

SIMILAR_LOAD = 0.25
"""Relative difference of requests within which one may be the other's new name."""


def presence(
    before: Sequence[AcceptedRun], after: Sequence[AcceptedRun], policy: Policy
) -> list[Finding]:
    """One row for each endpoint that is gone, or new.

    Gone: most accepted runs have requests of it, at most half of the candidates; new: most
    candidates have, and no accepted run.
    """
    usual, now = _usual(before), _usual(after)
    gone = sorted(usual - now)
    new = sorted(now - _any(before))
    rows = []
    for name in gone:
        requests = requests_a_run(before, name)
        renamed = _renamed(name, requests, new, after)
        absent = sum(not _has(run, name) for run in after)
        rows.append(_row("gone", name, before, absent, policy, renamed))
    for name in new:
        requests = requests_a_run(after, name)
        renamed = _renamed(name, requests, gone, before)
        rows.append(_row("new", name, after, len(after), policy, renamed))
    return rows


def _row(
    outcome: str,
    endpoint: str,
    runs: Sequence[AcceptedRun],
    absent_runs: int,
    policy: Policy,
    renamed: str | None,
) -> Finding:
    requests = requests_a_run(runs, endpoint)
    asked = terms(endpoint, "presence", policy.rules, policy.margin, requests, requests)
    rare = outcome == "gone" and math.exp(-requests * absent_runs) > BY_CHANCE
    must = asked.role == "critical"
    role: Terms = asked
    subject = Subject(endpoint, "presence", primary=False, terms=role)
    if outcome == "gone":
        reason = f"no request in {absent_runs} candidate runs, {requests:,.0f} a run before"
        if rare:
            reason += "; so few that chance explains it"
        elif renamed:
            reason += f"; perhaps it is {renamed} now"
    else:
        reason = f"{requests:,.0f} requests a run, none in the baseline"
        if renamed:
            reason += f"; perhaps it was {renamed}"
    fails = outcome == "gone" and (must or (policy.missing == "fail" and not rare))
    row = make_row(
        subject,
        outcome=outcome,
        baseline=requests if outcome == "gone" else 0.0,
        candidate=requests if outcome == "new" else 0.0,
        relative=True,
        reason=reason,
    )
    return Finding(row, len(runs), len(runs), certain=fails and row.gating)


def _usual(runs: Sequence[AcceptedRun]) -> set[str]:
    """The endpoints that most runs have requests of."""
    return {name for name in _any(runs) if 2 * sum(_has(run, name) for run in runs) > len(runs)}


def _has(run: AcceptedRun, endpoint: str) -> bool:
    return endpoint in run.endpoints and run.endpoints[endpoint].offered > 0


def _any(runs: Sequence[AcceptedRun]) -> set[str]:
    found = {name for run in runs for name, one in run.endpoints.items() if one.offered > 0}
    return found - {TOTAL}


def _renamed(
    name: str, requests: float, others: Sequence[str], runs: Sequence[AcceptedRun]
) -> str | None:
    """The endpoint of the other side that this one may be, by its load or its name."""

    def likeness(other: str) -> float:
        load = requests_a_run(runs, other)
        similar = abs(load - requests) <= SIMILAR_LOAD * max(load, requests)
        return difflib.SequenceMatcher(None, name, other).ratio() + (ALIKE if similar else 0.0)

    best = max(others, key=likeness, default=None)
    return best if best is not None and likeness(best) >= ALIKE else None
