"""Making the runs a gate needs: candidates, more of them to settle a doubt, ABBA pairs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from harness.baseline import (
    AcceptedRun,
    Baseline,
    BaselineStore,
    conditions,
    measure,
    refuse_unfit,
    same_conditions,
)
from harness.errors import BaselineError, UsageError
from harness.gate.compare import compare_interleaved, compare_runs
from harness.gate.model import GateVerdict, Policy
from harness.record import RunRecord
from harness.run import RunOptions, session
from harness.stats.pairs import LEAST_PAIRS, abba_order

Say = Callable[[str], None]

MOST_INVALID = 3
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


def gate_runs(
    service: str, records: Sequence[RunRecord], store: BaselineStore, policy: Policy
) -> GateVerdict:
    """The verdict on runs that were made before.

    Raises BaselineError when a run is unfit or no baseline has their conditions, UsageError when
    a run is another service's or named twice.
    """
    if not records:
        raise UsageError("no run was named", "name one, or use --runs to make some")
    for at, record in enumerate(records):
        if record.service.name != service:
            raise UsageError(
                f"{record.id} is a run of {record.service.name}, not of {service}", "name its own"
            )
        if any(record.id == other.id for other in records[:at]):
            raise UsageError(f"{record.id} is named twice", "name each run once")
        refuse_unfit(record)
    same_conditions(records)
    primary = records[0].service.primary
    return _compare(store.matching(records[0]), [measure(r) for r in records], primary, policy)


def gate_live(options: GateOptions, store: BaselineStore, say: Say) -> GateVerdict:
    """Make the candidate runs, compare them, and settle a doubt within the budget.

    A doubt is settled by one batch of the runs it is said to need, as far as the budget goes,
    and one more comparison. Raises Invalid when the machine cannot measure, Interrupted after
    Ctrl-C.
    """
    baseline, primary = find_baseline(options.run, store)
    seeds = fresh_seeds(options.run, baseline)
    looks = 2 if options.settle_minutes > 0 else 1
    policy = replace(options.policy, looks=looks)
    runs = [measure(make_run(options.run, next(seeds), say)) for _ in range(options.runs)]
    verdict = _compare(baseline, runs, primary, policy)
    more = affordable(verdict, options.settle_minutes)
    if not more:
        return verdict
    say(f"in doubt: {verdict.reasons[0]}; {more} more runs")
    runs += [measure(make_run(options.run, next(seeds), say)) for _ in range(more)]
    return _compare(baseline, runs, primary, policy)


def affordable(verdict: GateVerdict, minutes: float) -> int:
    """How many further candidate runs an open verdict gets from a budget of minutes."""
    if verdict.outcome != "inconclusive" or not verdict.runs_needed:
        return 0
    return min(verdict.runs_needed, int(minutes / verdict.minutes_a_run))


def gate_interleaved(options: GateOptions, say: Say) -> GateVerdict:
    """Run the reference and the candidate alternately (ABBA) and compare the pairs.

    Both runs of a pair have the same seed, so they get the same arrivals.
    """
    if options.interleave is None or options.run.target is None:
        raise UsageError(
            "--interleave needs both sides", "give the candidate with --target, the old one here"
        )
    if options.runs < LEAST_PAIRS:
        raise UsageError(
            "one pair has no scatter", f"use --runs {LEAST_PAIRS} or more; 5 see more than 3"
        )
    sides = {"A": replace(options.run, target=options.interleave), "B": options.run}
    made: dict[str, list[RunRecord]] = {"A": [], "B": []}
    for at, side in enumerate(abba_order(options.runs)):
        seed = (options.run.seed or 1) + at // 2
        made[side].append(make_run(sides[side], seed, say, f"{side} "))
    first = made["A"][0]
    return compare_interleaved(
        first.service.name,
        first.plan.traffic.scenario,
        [measure(record) for record in made["A"]],
        [measure(record) for record in made["B"]],
        first.service.primary,
        options.policy,
    )


def find_baseline(options: RunOptions, store: BaselineStore) -> tuple[Baseline, str]:
    """The baseline that runs with these options will have, and the service's primary metric.

    Asked before any load is made. Raises BaselineError when there is none.
    """
    with session(options) as ready:
        wanted = conditions(ready.plan(ready.profile()), ready.environment())
        found = store.find(ready.service.name, ready.traffic.scenario, wanted)
        return found, ready.service.primary


def fresh_seeds(options: RunOptions, baseline: Baseline | None) -> Iterator[int]:
    """A seed for each run that no accepted run has: arrivals that repeat would vary too little."""
    used = max((run.seed for run in baseline.runs), default=0) if baseline else 0
    return itertools.count(used + 1 if options.seed is None else options.seed)


def make_run(options: RunOptions, seed: int, say: Say, side: str = "") -> RunRecord:
    """One run on a deployment of its own whose measurement can be trusted.

    A deployment has luck of its own (placement, memory layout), so runs that share one vary less
    than releases do. An invalid run is made again, but not for ever: raises Invalid.
    """
    for _ in range(MOST_INVALID):
        with session(replace(options, seed=seed)) as ready:
            outcome = ready.run(ready.profile())
        record = outcome.record
        if outcome.verdict.valid:
            say(f"{side}run {record.id}, seed {seed}: valid")
            return record
        say(f"{side}run {record.id}, seed {seed}: invalid, {outcome.verdict.reasons[0]}")
    last = outcome.verdict.reasons[0]
    raise Invalid(f"{MOST_INVALID} runs in a row were invalid; the last: {last}")


def _compare(
    baseline: Baseline, candidates: Sequence[AcceptedRun], primary: str, policy: Policy
) -> GateVerdict:
    fresh = {run.id for run in candidates}
    accepted = [run for run in baseline.runs if run.id not in fresh]
    if not accepted:
        raise BaselineError(
            "the baseline holds only the runs under test", "name runs that are not accepted"
        )
    return compare_runs(baseline.service, baseline.scenario, accepted, candidates, primary, policy)


def invalid_verdict(options: GateOptions, reason: str) -> GateVerdict:
    """The verdict of a gate that could not measure."""
    return GateVerdict(
        service=options.run.service,
        scenario=options.run.scenario or options.run.service,
        outcome="invalid",
        reasons=(reason,),
        rows=(),
        design="interleaved" if options.interleave else "baseline",
        before=(),
        after=(),
        runs_needed=None,
        baseline_runs_needed=None,
        minutes_needed=None,
        policy=options.policy,
    )
