"""Making the runs a gate needs: candidates, more of them to settle a doubt, ABBA pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from harness.baseline import (
    AcceptedRun,
    Baseline,
    BaselineStore,
    measure,
    refuse_unfit,
    same_conditions,
)
from harness.errors import BaselineError, UsageError
from harness.gate.compare import compare_interleaved, compare_runs
from harness.gate.model import GateVerdict, Policy
from harness.record import RunRecord
from harness.run import Message, Outcome, RunOptions, Session, session
from harness.stats.pairs import abba_order

Say = Callable[[str], None]
Listen = Callable[[Session], Callable[[Message], None]]

MOST_INVALID = 2
"""Invalid runs in a row after which the machine, not the service, is the trouble."""


@dataclass(frozen=True, slots=True)
class GateOptions:
    """What a gate is asked: `runs` candidates, and up to `settle_minutes` more where in doubt."""

    run: RunOptions
    runs: int = 3
    settle_minutes: float = 0.0
    interleave: str | None = None
    policy: Policy = field(default_factory=Policy)


class Invalid(Exception):  # noqa: N818 - a result, told as such
    """The measurement could not be trusted; the message says why."""


def gate_runs(records: Sequence[RunRecord], store: BaselineStore, policy: Policy) -> GateVerdict:
    """The verdict on runs that were made before.

    Raises BaselineError when a run is unfit or no baseline has their conditions.
    """
    if not records:
        raise UsageError("no run was named", "name one, or use --runs to make some")
    for record in records:
        refuse_unfit(record)
    same_conditions(records)
    return _compare(store.matching(records[0]), [measure(r) for r in records], records[0], policy)


def gate_live(options: GateOptions, store: BaselineStore, say: Say) -> GateVerdict:
    """Make the candidate runs, compare them, and settle a doubt within the budget.

    Raises Invalid when the machine cannot measure, Interrupted after Ctrl-C.
    """
    spent = 0.0
    with session(options.run, say) as ready:
        outcomes = [_valid_run(ready, say) for _ in range(options.runs)]
        baseline = store.matching(outcomes[0].record)
        candidates = [measure(outcome.record) for outcome in outcomes]
        while True:
            verdict = _compare(baseline, candidates, outcomes[0].record, options.policy)
            cost = verdict.minutes_needed
            if verdict.outcome != "inconclusive" or cost is None or not verdict.runs_needed:
                return verdict
            each = cost / verdict.runs_needed
            if spent + each > options.settle_minutes:
                return verdict
            say(f"in doubt: {verdict.reasons[0]}; one more run (about {each:.1f} min)")
            candidates.append(measure(_valid_run(ready, say).record))
            spent += each


def gate_interleaved(options: GateOptions, say: Say) -> GateVerdict:
    """Run the reference and the candidate alternately (ABBA) and compare the pairs."""
    if options.interleave is None or options.run.target is None:
        raise UsageError(
            "--interleave needs both sides", "give the candidate with --target, the old one here"
        )
    sides: dict[str, list[AcceptedRun]] = {"A": [], "B": []}
    with ExitStack() as stack:
        reference = replace(options.run, target=options.interleave)
        open_sessions = {
            "A": stack.enter_context(session(reference, say)),
            "B": stack.enter_context(session(options.run, say)),
        }
        first: RunRecord | None = None
        for side in abba_order(options.runs):
            outcome = _valid_run(open_sessions[side], say)
            first = first or outcome.record
            sides[side].append(measure(outcome.record))
    if first is None:
        raise UsageError("no pairs were asked for", "use --runs 3 or more")
    return compare_interleaved(
        first.service.name,
        first.plan.traffic.scenario,
        sides["A"],
        sides["B"],
        first.service.primary,
        options.policy,
    )


def _valid_run(ready: Session, say: Say) -> Outcome:
    """One run whose measurement can be trusted; a bad one is made again, but not for ever."""
    for _ in range(MOST_INVALID):
        outcome = ready.run(ready.profile())
        if outcome.verdict.valid:
            say(f"run {outcome.record.id}: {outcome.verdict.outcome}")
            return outcome
        say(f"run {outcome.record.id}: invalid, {outcome.verdict.reasons[0]}")
    raise Invalid(outcome.verdict.reasons[0])


def _compare(
    baseline: Baseline, candidates: Sequence[AcceptedRun], record: RunRecord, policy: Policy
) -> GateVerdict:
    fresh = {run.id for run in candidates}
    accepted = [run for run in baseline.runs if run.id not in fresh]
    if not accepted:
        raise BaselineError(
            "the baseline holds only the runs under test", "name runs that are not accepted"
        )
    return compare_runs(
        record.service.name,
        record.plan.traffic.scenario,
        accepted,
        candidates,
        record.service.primary,
        policy,
    )


def invalid_verdict(options: GateOptions, reason: str) -> GateVerdict:
    """The verdict of a gate that could not measure."""
    return GateVerdict(
        service=options.run.service,
        scenario=options.run.scenario or options.run.service,
        outcome="invalid",
        reasons=(reason,),
        rows=(),
        design="interleaved" if options.interleave else "baseline",
        baseline_runs=(),
        candidate_runs=(),
        runs_needed=None,
        minutes_needed=None,
        policy=options.policy,
    )
