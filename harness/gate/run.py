"""Making the runs a gate needs: candidates, more of them to settle a doubt, ABBA pairs."""

import itertools
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

from harness import __version__
from harness.baseline import AcceptedRun, Baseline, BaselineStore, Conditions, measure
from harness.baseline.levels import level_warnings
from harness.baseline.measure import conditions, conditions_of
from harness.baseline.model import MACHINE
from harness.baseline.store import refuse_unfit, same_conditions
from harness.catalog.model import Service
from harness.errors import BaselineError, NoBaseline, UsageError
from harness.gate.compare import compare_interleaved, compare_runs, priced
from harness.gate.model import GateOutcome, GateVerdict, Policy, Provenance
from harness.gate.rules import parse_rule
from harness.judge.objectives import STREAMED
from harness.record import RunRecord
from harness.session.options import RunOptions, Say
from harness.session.run import session
from harness.stats.pairs import LEAST_PAIRS, abba_order

MOST_INVALID = 3
"""Invalid runs in a row after which the machine, not the service, is the trouble."""


@dataclass(frozen=True, slots=True)
class GateOptions:
    """What a gate is asked: `runs` candidates, and up to `settle_minutes` more where in doubt.

    `ignore` names conditions that may differ from the baseline's.
    """

    run: RunOptions
    runs: int = 3
    settle_minutes: float = 0.0
    interleave: str | None = None
    policy: Policy = field(default_factory=Policy)
    ignore: tuple[str, ...] = ()


class Invalid(Exception):  # noqa: N818 - a result, reported as such
    """The measurement could not be trusted; the message says why."""


def ignored_fields(names: Collection[str]) -> tuple[str, ...]:
    """The conditions that `--ignore` names; `machine` stands for all of the machine's."""
    return tuple(
        dict.fromkeys(
            each for name in names for each in (MACHINE if name == "machine" else (name,))
        )
    )


def gate_runs(
    service: str,
    records: Sequence[RunRecord],
    store: BaselineStore,
    policy: Policy,
    ignore: Collection[str] = (),
) -> GateVerdict:
    """The verdict on runs that were made before.

    Raises Invalid when the measurement of one cannot be trusted, NoBaseline when no accepted run
    has their conditions, BaselineError when they differ in their own, UsageError when a run is
    another service's or named twice.
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
        try:
            refuse_unfit(record)
        except BaselineError as error:
            raise Invalid(error.problem) from None
    wanted = same_conditions(records, ignore)
    scenario, tested = records[0].plan.traffic.scenario, records[0].service
    known = _known(store, tested, scenario, wanted, ignore, records[0].id)
    ordered = sorted((measure(r) for r in records), key=lambda run: (run.created, run.id))
    return _compare(known, ordered, _with_rules(tested.gate, policy))


@dataclass(frozen=True, slots=True)
class _Known:
    """What candidates are compared with, and on which conditions."""

    baseline: Baseline
    primary: str
    provenance: Provenance
    aside: tuple[str, ...] = ()
    """Objectives that no row is about."""


def gate_live(options: GateOptions, store: BaselineStore, say: Say) -> GateVerdict:
    """Make the candidate runs, compare them, and settle a doubt within the budget.

    A doubt is settled by one batch of the runs it is said to need, as far as the budget goes,
    and one more comparison. Raises NoBaseline before any load is made where nothing can be
    compared, Invalid when the machine cannot measure, Interrupted after Ctrl-C.
    """
    known, rules = _asked(options, store)
    seeds = fresh_seeds(options.run, known.baseline)
    looks = 2 if options.settle_minutes > 0 else 1
    policy = replace(_with_rules(rules, options.policy), looks=looks)
    made = _Batch(options.run, seeds, say)
    made.make(options.runs)
    verdict = priced(replace(_compare(known, made.runs, policy), seconds_a_run=made.seconds_a_run))
    more = affordable(verdict, options.settle_minutes)
    if not more:
        return verdict
    say(f"in doubt: {verdict.reasons[0]}; {more} more runs")
    made.make(more)
    return priced(replace(_compare(known, made.runs, policy), seconds_a_run=made.seconds_a_run))


@dataclass(slots=True)
class _Batch:
    """Candidate runs that are made one after the other, and what one takes."""

    options: RunOptions
    seeds: Iterator[int]
    say: Say
    runs: list[AcceptedRun] = field(default_factory=list)
    seconds_a_run: float = 0.0

    def make(self, count: int) -> None:
        """Make `count` more; raises Invalid with how far it came."""
        wanted = len(self.runs) + count
        while len(self.runs) < wanted:
            begin = time.monotonic()
            try:
                record = make_run(self.options, next(self.seeds), self.say)
            except Invalid as reason:
                count = len(self.runs)
                said = f"stopped after {count} valid run{'s' * (count != 1)} of {wanted}: {reason}"
                raise Invalid(said) from None
            self.runs.append(measure(record))
            self.seconds_a_run = max(self.seconds_a_run, time.monotonic() - begin)


def affordable(verdict: GateVerdict, minutes: float) -> int:
    """How many further candidate runs an open verdict gets from a budget of minutes."""
    if verdict.outcome != "inconclusive" or not verdict.runs_needed:
        return 0
    return min(verdict.runs_needed, int(minutes / verdict.minutes_a_run + 1e-9))


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
    return verdict_on_pairs(made["A"], made["B"], options.policy)


def verdict_on_pairs(
    before: Sequence[RunRecord], after: Sequence[RunRecord], policy: Policy
) -> GateVerdict:
    """The verdict on runs that were made alternately, pair by pair."""
    first = before[0]
    verdict = compare_interleaved(
        first.service.name,
        first.plan.traffic.scenario,
        [measure(record) for record in before],
        [measure(record) for record in after],
        first.service.primary,
        _with_rules(first.service.gate, policy),
    )
    warnings = (*aside(_of_streams(first.service)), *verdict.warnings)
    return replace(verdict, warnings=warnings, provenance=_provenance(conditions_of(after[0])))


def find_baseline(options: RunOptions, store: BaselineStore) -> tuple[Baseline, str]:
    """The baseline that runs with these options will have, and the service's primary metric.

    Asked before any load is made. Raises NoBaseline when there is none.
    """
    known, _ = _asked(GateOptions(options), store)
    return known.baseline, known.primary


def _asked(options: GateOptions, store: BaselineStore) -> tuple[_Known, tuple[str, ...]]:
    """What runs with these options will be compared with, and the catalogue's rules for rows."""
    with session(options.run) as ready:
        wanted = conditions(ready.plan(ready.profile()), ready.environment())
        service, scenario = ready.service, ready.traffic.scenario
        known = _known(store, service, scenario, wanted, options.ignore, "a run")
        return known, service.gate


def _known(
    store: BaselineStore,
    service: Service,
    scenario: str,
    wanted: Conditions,
    ignore: Collection[str],
    what: str,
) -> _Known:
    found = store.comparable(service.name, scenario, wanted, ignore, what)
    used = [
        group.conditions
        for group in store.load(service.name, scenario)
        if not wanted.differences(group.conditions, ignore)
    ]
    unknown = dict.fromkeys(name for each in used for name in wanted.unknown(each))
    differing = dict.fromkeys(text for each in used for text in wanted.differences(each))
    provenance = _provenance(wanted, tuple(unknown), tuple(differing))
    return _Known(found, service.primary, provenance, _of_streams(service))


def _of_streams(service: Service) -> tuple[str, ...]:
    """The objectives for streams: a baseline keeps no such figures."""
    return tuple(each.name for each in service.objectives if each.indicator in STREAMED)


def aside(names: Sequence[str]) -> list[str]:
    """That the gate compares nothing for these objectives."""
    said = "objectives for streams are not compared; harness perf judges them"
    return [f"{', '.join(names)}: {said}"] if names else []


def _provenance(known: Conditions | None = None, *more: tuple[str, ...]) -> Provenance:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Provenance(now, __version__, asdict(known) if known else {}, *more)


def _with_rules(texts: Sequence[str], policy: Policy) -> Policy:
    """The policy with the catalogue's rules before those of the command line, which win."""
    rules = tuple(parse_rule(text, "the catalogue's gate") for text in texts)
    return replace(policy, rules=(*rules, *policy.rules))


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
        say(f"{side}run {record.id}, seed {seed}: invalid, {outcome.verdict.spoilt}")
    last = outcome.verdict.spoilt
    raise Invalid(f"{MOST_INVALID} runs in a row were invalid; the last: {last}")


def _compare(known: _Known, candidates: Sequence[AcceptedRun], policy: Policy) -> GateVerdict:
    baseline, provenance = known.baseline, known.provenance
    fresh = {run.id for run in candidates}
    accepted = [run for run in baseline.runs if run.id not in fresh]
    if not baseline.runs:
        raise NoBaseline(f"{baseline.service}: the baseline has no run left", "accept some")
    if not accepted:
        raise BaselineError(
            "the baseline holds only the runs under test", "name runs that are not accepted"
        )
    found = compare_runs(
        baseline.service, baseline.scenario, accepted, candidates, known.primary, policy
    )
    warnings = [f"compared although they differ (--ignore): {each}" for each in provenance.ignored]
    if provenance.unknown:
        warnings.append(
            f"the baseline does not say its {', '.join(provenance.unknown)}: taken for the same"
        )
    warnings += aside(known.aside)
    warnings += level_warnings(baseline, candidates, known.primary, policy.margin)
    return replace(found, warnings=(*warnings, *found.warnings), provenance=provenance)


def unjudged(options: GateOptions, outcome: GateOutcome, reason: str) -> GateVerdict:
    """The verdict of a gate that compared nothing: `invalid`, `no-baseline` or `error`."""
    return GateVerdict(
        service=options.run.service,
        scenario=options.run.scenario or options.run.service,
        outcome=outcome,
        reasons=(reason,),
        design="interleaved" if options.interleave else "baseline",
        policy=options.policy,
        provenance=_provenance(),
    )
