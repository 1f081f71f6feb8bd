"""A game day from a list of experiments to a scorecard.

load all -> group by what the deployment must be -> for each: plan, run, judge, wait for the steady
state -> compare with the stored runs and with last time -> reports. It stops at the first
experiment that does not heal: what follows would be judged on a broken deployment.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from harness.catalog import project_root
from harness.chaos.experiment import at_rate, experiment_names, load_experiment
from harness.chaos.model import Experiment, Needs
from harness.chaos.plan import plan_experiment
from harness.chaos.run import ExperimentRun
from harness.chaos.running import registered
from harness.chaos.session import experiment_session
from harness.errors import ExperimentError, HarnessError, Interrupted, UsageError
from harness.events import ExperimentEvent
from harness.gameday.model import DIRECTORY, Entry, GameDay, GameDayOptions, entry_of, with_previous
from harness.gameday.steady import wait_steady
from harness.judge.experiment import ExperimentVerdict, judge_experiment, write_experiment
from harness.judge.faulted import FaultedStore, compare, faulted_run
from harness.messages import LoadMessage
from harness.platform.names import traits_of
from harness.record import RunRecord
from harness.session.options import RunOptions, Say
from harness.session.place import own_of
from harness.session.run import Session
from harness.units import NANOSECONDS, counted

Message = LoadMessage | ExperimentEvent

EXTENDED = "extended"
"""The tag of experiments whose lesson another one teaches too: a night has time for them."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told how it goes: lines for the user, and every message of the running experiment."""

    say: Say = lambda text: None
    begin: Callable[[int, int, Experiment], None] = lambda number, total, experiment: None
    hear: Callable[[Message], None] = lambda message: None
    end: Callable[[Entry], None] = lambda entry: None
    report: Callable[[GameDay, Path, Path], None] = lambda day, runs, directory: None


def run_gameday(options: GameDayOptions, listener: Listener | None = None) -> tuple[GameDay, Path]:
    """Run it; returns the scorecard and the directory of its reports.

    Raises HarnessError for what the user can mend, before anything starts; Interrupted after
    Ctrl-C, when everything is healed and what was done until then is reported.
    """
    own = own_of(options.run)
    root = own.root if own is not None else project_root()
    experiments = chosen(options, root)
    day = _Day(options, root, experiments, listener or Listener())
    try:
        with registered(f"game day of {counted(len(experiments), 'experiment')}"):
            place = options.run.platform if own is None else "own program"
            for group in grouped(experiments, place):
                day.run(group)
                if day.stopped is not None:
                    break
    except (Interrupted, KeyboardInterrupt) as stop:
        day.interrupted = True
        day.stopped = f"it was {day.halted or 'interrupted'}; everything is healed"
        _, directory = day.report()
        raise Interrupted(f"{stop}; {directory}" if str(stop) else str(directory)) from None
    return day.report()


class _Day:
    """A game day under way: its entries so far, and why it had to stop."""

    def __init__(
        self,
        options: GameDayOptions,
        root: Path,
        experiments: Sequence[Experiment],
        listener: Listener,
    ) -> None:
        self._options = options
        self._listener = listener
        self._root = root
        self._names = [each.name for each in experiments]
        self._began, self._clock = time.time_ns(), time.monotonic()
        self._entries: list[Entry] = []
        self.stopped: str | None = None
        self.halted: str | None = None
        self.interrupted = False

    def run(self, group: Sequence[Experiment]) -> None:
        """All experiments of one deployment, until one leaves it unfit."""
        options = _run_options(self._options, group)
        with experiment_session(group[0], options, self._listener.say) as ready:
            for experiment in group:
                number = len(self._entries) + 1
                self._listener.begin(number, len(self._names), experiment)
                entry = _one(ready, experiment, self._options, self._listener)
                self._entries.append(entry)
                self._listener.end(entry)
                if (who := ready.halted()) is not None:
                    self.halted = f"halted by {who}"
                    raise Interrupted(self.halted)
                self.stopped = _unfit(ready, experiment, entry, self._listener)
                if self.stopped is not None:
                    return

    def report(self) -> tuple[GameDay, Path]:
        """The scorecard, compared with last time and reported."""
        run = self._options.run
        done = {entry.experiment for entry in self._entries}
        stamp = f"{datetime.fromtimestamp(self._began / NANOSECONDS, UTC):%Y%m%dT%H%M%SZ}"
        day = GameDay(
            id=f"{stamp}-{secrets.token_hex(2)}",
            service=run.service,
            platform=run.platform,
            mutants=self._options.mutants,
            entries=tuple(self._entries),
            skipped=tuple(name for name in self._names if name not in done),
            stopped=self.stopped,
            began_unix_ns=self._began,
            duration_s=time.monotonic() - self._clock,
            interrupted=self.interrupted,
        )
        base = (run.results or self._root / "results") / run.service
        day = with_previous(day, base / DIRECTORY)
        directory = base / DIRECTORY / day.id
        self._listener.report(day, base, directory)
        return day, directory


def chosen(options: GameDayOptions, root: Path) -> list[Experiment]:
    """The experiments by name, each once, in the order given; without names see the options.

    Raises UsageError when there is none, ExperimentError for one that cannot be loaded.
    """
    names = tuple(dict.fromkeys(options.experiments)) or experiment_names(root)
    if not options.experiments and not options.extended:
        tags = {name: load_experiment(name, root).document.get("tags") or () for name in names}
        names = tuple(name for name in names if EXTENDED not in tags[name])
    if not names:
        raise UsageError("experiments/ holds no experiment", "write one; see docs/gameday.md")
    parameters = options.parameters or {}
    unknown = set(parameters)
    found = []
    for name in names:
        known = load_experiment(name, root).document.get("configuration") or {}
        own = {key: value for key, value in parameters.items() if key in known}
        unknown -= set(own)
        loaded = load_experiment(name, root, own, options.run.platform)
        found.append(at_rate(loaded, options.run.rate))
    if unknown:
        raise UsageError(
            f"no experiment has the parameter {', '.join(sorted(unknown))}",
            "`harness experiment show NAME` lists an experiment's own",
        )
    return found


def grouped(experiments: Sequence[Experiment], platform: str) -> Iterator[list[Experiment]]:
    """Experiments that one deployment can serve: in the lab they cannot share how it replicates.

    Each group's first experiment carries the needs of all, so that the deployment has them. What is
    not the lab is as it is and serves all, held from the first to the last.
    """
    apart = traits_of(platform).disposable
    modes = [("async",), ("sync",)] if apart else [("async", "sync")]
    for shared in modes:
        group = [each for each in experiments if each.needs.replication in shared]
        if not group:
            continue
        needs = Needs(
            regions=max(each.needs.regions for each in group),
            edges=any(each.needs.edges for each in group),
            replicas=max(each.needs.replicas for each in group),
            replication=group[0].needs.replication,
        )
        yield [replace(group[0], needs=needs), *group[1:]]


def _run_options(options: GameDayOptions, group: Sequence[Experiment]) -> RunOptions:
    run = options.run
    through = group[0].load.through
    lab = dict(run.lab) | ({"mutants": options.mutants} if options.mutants else {})
    return replace(run, through=through, lab=lab)


def _one(
    ready: Session, experiment: Experiment, options: GameDayOptions, listener: Listener
) -> Entry:
    """Plan, run, judge and compare one experiment; a defect of it is an entry, not the end."""
    clock = time.monotonic()
    try:
        plan = plan_experiment(experiment, ready.service, ready.platform)
        if plan.missing:
            return Entry(experiment.name, experiment.title, "not applicable", plan.missing)
        if plan.weaknesses:
            reasons = tuple(f"It fails as it is: {each}." for each in plan.weaknesses)
            return Entry(experiment.name, experiment.title, "fail", reasons)
        if plan.refusals:
            reasons = tuple(f"Refused: {reason}" for reason in plan.refusals)
            return Entry(experiment.name, experiment.title, "inconclusive", reasons)
        pairs = _repeated(ready, experiment, options, listener)
    except HarnessError as problem:
        took = time.monotonic() - clock
        reasons = (f"It could not be run: {problem}",)
        return Entry(experiment.name, experiment.title, "inconclusive", reasons, duration_s=took)
    entry = entry_of(
        experiment.title, tuple(verdict for _, verdict in pairs), time.monotonic() - clock
    )
    try:
        entry = _against(ready, options, entry, pairs)
    finally:
        _keep_verdicts(entry, pairs)
    return entry


def _repeated(
    ready: Session, experiment: Experiment, options: GameDayOptions, listener: Listener
) -> list[tuple[RunRecord, ExperimentVerdict]]:
    """Every repetition's record and verdict, which the caller stores once it is compared."""
    found: list[tuple[RunRecord, ExperimentVerdict]] = []
    try:
        for _ in range(options.repeat):
            if found and _steady(ready, listener) is not None:
                break
            found.append(_measured(ready, experiment, options, listener))
            if not found[-1][1].healed or ready.halted() is not None:
                break
    except BaseException:  # an interruption too: what was measured until then is judged
        for record, verdict in found:
            write_experiment(verdict, record.directory)
        raise
    return found


def _measured(
    ready: Session, experiment: Experiment, options: GameDayOptions, listener: Listener
) -> tuple[RunRecord, ExperimentVerdict]:
    """One run and its verdict; what this machine spoilt is measured again, once all is as before.

    What cannot be measured again keeps the verdict that it has.
    """
    record = ExperimentRun(ready, experiment, listener.hear).run()
    verdict = judge_experiment(record)
    for _ in range(options.retries):
        if verdict.again is None or not verdict.healed or ready.halted() is not None:
            break
        write_experiment(verdict, record.directory)
        listener.say(f"{verdict.outcome}, again: {verdict.again}")
        if (problem := _steady(ready, listener)) is not None:
            listener.say(f"not measured again: {problem}")
            break
        try:
            record = ExperimentRun(ready, experiment, listener.hear).run()
        except ExperimentError as refused:
            listener.say(f"not measured again: {refused}")
            break
        verdict = judge_experiment(record)
    return record, verdict


def _against(
    ready: Session,
    options: GameDayOptions,
    entry: Entry,
    pairs: Sequence[tuple[RunRecord, ExperimentVerdict]],
) -> Entry:
    """The entry with its comparison with the stored runs; `accept` stores the passing ones."""
    store = FaultedStore(options.baselines or ready.root / "baselines")
    fresh = [run for record, verdict in pairs if (run := faulted_run(record, verdict)) is not None]
    checks = compare(store.load(ready.service.name, entry.experiment), fresh)
    failed = tuple(check.statement for check in checks if check.outcome == "fail")
    if failed and entry.outcome in {"pass", "inconclusive"}:
        entry = replace(entry, outcome="fail", reasons=(*failed, *entry.reasons))
    if options.accept and entry.outcome == "pass":
        store.accept(ready.service.name, entry.experiment, fresh)
    return replace(entry, against=checks)


def _keep_verdicts(entry: Entry, pairs: Sequence[tuple[RunRecord, ExperimentVerdict]]) -> None:
    """Each record's verdict, with the comparison: the record says what the scorecard says of it."""
    failed = tuple(check.statement for check in entry.against if check.outcome == "fail")
    for record, verdict in pairs:
        outcome, reasons = verdict.outcome, verdict.reasons
        if failed and outcome in {"pass", "inconclusive"}:
            outcome, reasons = "fail", (*failed, *reasons)
        whole = replace(
            verdict, outcome=outcome, reasons=reasons, checks=(*verdict.checks, *entry.against)
        )
        write_experiment(whole, record.directory)


def _unfit(ready: Session, experiment: Experiment, entry: Entry, listener: Listener) -> str | None:
    """Why nothing more may be run on this deployment; None when it is sound again."""
    if not entry.judged:
        return None
    if not entry.healed:
        return f"{experiment.name} did not heal: {entry.reasons[0]}"
    left = ready.platform.residual_faults()
    if left:
        return f"after {experiment.name} something remains: {left[0]}"
    problem = _steady(ready, listener)
    if problem is not None:
        return f"the steady state did not come back after {experiment.name}: {problem}"
    listener.say("steady again")
    return None


def _steady(ready: Session, listener: Listener) -> str | None:
    """Wait until all is as before, restored where need be; why it is not, None when it is."""
    problem = wait_steady(ready.platform, ready.service, ready.target)
    if problem is None and (done := ready.platform.rebalance(ready.service)) is not None:
        listener.say(done)
        problem = wait_steady(ready.platform, ready.service, ready.target)
    return problem
