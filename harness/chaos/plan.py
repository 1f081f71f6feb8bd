"""The plan of an experiment: what exactly it would hit, whether it may, what it may cost."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from harness.catalog import load_catalog, project_root
from harness.catalog.dependencies import felt_sentence
from harness.catalog.model import Service
from harness.chaos.confirmed import new_fault_id, share_of, taken, too_wide
from harness.chaos.guards import error_objective
from harness.chaos.model import Experiment, ExperimentPlan, Hit, Step
from harness.errors import CapabilityMissing, ExperimentError, PlatformError
from harness.faults.draw import Among
from harness.faults.registry import kind_of
from harness.judge.experiment.execution import acts_alone, who_undoes
from harness.judge.experiment.loss import what_it_shows
from harness.platform.model import Fault, Platform, Replica
from harness.platform.names import traits_of
from harness.stats.burn import budget
from harness.stats.recovery import WINDOW

WARMUP_S = 3.0
SLACK_S = 3.0
"""Seconds beyond the stages: an injection and a heal take their time."""


def plan_experiment(experiment: Experiment, service: Service, platform: Platform) -> ExperimentPlan:
    """Resolve an experiment against what runs now, touching nothing; raises PlatformError."""
    replicas = platform.replicas(service)
    capable = platform.capabilities()
    found_weak = (
        w for fault in experiment.faults for w in platform.preflight_failures(service, fault)
    )
    weak = tuple(dict.fromkeys(found_weak))
    missing = _needs(experiment, service, platform, weak)
    refusals: list[str] = []
    hits: list[Hit] = []
    ready = [each for each in replicas if each.health == "ready"]
    names = tuple(each.id for each in ready)
    share = 0.0
    method = experiment.method
    for together in method.together if method.faults == experiment.faults else [experiment.faults]:
        found = _Resolving(service, platform, capable, missing, refusals).hits(together, replicas)
        down = {name for hit in found for name in _taken(hit, replicas)}
        share = max(share, share_of(down, names))
        refusals += too_wide(experiment.blast_radius, down, names, ready)
        hits += found
    return ExperimentPlan(
        experiment=experiment.name,
        service=service.name,
        platform=platform.name,
        hits=tuple(hits),
        share=share,
        timeline=timeline(experiment),
        refusals=tuple(dict.fromkeys(refusals)),
        missing=tuple(dict.fromkeys(missing)),
        weaknesses=() if missing else weak,
        budget_cost=_cost(experiment, service, share),
        notes=(
            *platform.notes(service),
            *_notes(hits, ready),
            *_felt(service.name),
            what_it_shows(experiment.load.rate, experiment.timeline.after_s, service),
            *_short(experiment),
            *_not_ours(experiment),
        ),
        handle=platform.handle(),
        ready=names,
    )


@dataclass(frozen=True, slots=True)
class _Resolving:
    """Faults being resolved; what cannot be is added to `missing` or `refusals`."""

    service: Service
    platform: Platform
    capable: Mapping[str, str | None]
    missing: list[str]
    refusals: list[str]

    def hits(self, faults: Sequence[Fault], replicas: Sequence[Replica]) -> list[Hit]:
        """What faults that hold together hit: one draws nobody whom one before it has stopped."""
        found: list[Hit] = []
        held: set[str] = set()
        for fault in faults:
            hit = self._hit(fault, Among(held=frozenset(held)))
            if hit is not None:
                found.append(hit)
                held |= _taken(hit, replicas) if kind_of(fault.kind).stops else set()
        return found

    def _hit(self, fault: Fault, among: Among) -> Hit | None:
        reason = self.capable.get(fault.kind, f"{self.platform.name} does not know it")
        if reason is not None:
            self.missing.append(f"{fault.kind}: {reason}")
            return None
        try:
            heal = self.platform.plan_heal(self.service, fault, new_fault_id(fault), among)
        except CapabilityMissing as problem:
            self.missing.append(str(problem))
            return None
        except PlatformError as problem:
            self.refusals.append(str(problem))
            return None
        return Hit(fault, heal.targets, heal)


def _taken(hit: Hit, replicas: Sequence[Replica]) -> set[str]:
    return taken(hit.fault.kind, hit.fault.arguments, hit.targets, replicas)


def _notes(hits: Sequence[Hit], ready: Sequence[Replica]) -> tuple[str, ...]:
    """What is not as the file says, and which cut the canary has no entry point across."""
    found = [note for hit in hits if hit.heal for note in hit.heal.notes]
    pairs = [pair for hit in hits if (pair := hit.fault.arguments.get("regions"))]
    served = {each.region for each in ready}
    return (
        *found,
        *(
            f"no entry point of the canary leads across {one}|{other}, for nothing in {other} is "
            "ready: where users feel nothing, the run stays inconclusive"
            for one, other in pairs
            if other not in served
        ),
    )


@cache
def _felt(service: str) -> tuple[str, ...]:
    """Who feels it besides, as the catalogue has it."""
    directory = project_root() / "services"
    if not directory.is_dir():
        return ()
    catalog = load_catalog(directory)
    if service not in catalog.names():
        return ()
    found = felt_sentence(catalog.services(), service)
    return () if found is None else (found,)


def _not_ours(experiment: Experiment) -> list[str]:
    """Which steps break things that no ledger knows of."""
    who = who_undoes(experiment.document)
    return [f"{who} what is done by {each}" for each in _alone(experiment)]


def _short(experiment: Experiment) -> list[str]:
    """Whether too little is left after a heal to show a recovery that comes with it."""
    pairs = itertools.pairwise(experiment.method.acts)
    gaps = [b.at_s - a.at_s for a, b in pairs if a.fault is None and b.fault is not None]
    least = min(experiment.timeline.after_s, *gaps, WINDOW)
    if least >= WINDOW or experiment.expect.recovery_s is None:
        return []
    told = f"{least:g} s after a heal are too few: a recovery shows by {WINDOW} s"
    return [f"{told}, so one that comes with the heal stays in doubt; give {WINDOW} or more"]


def _alone(experiment: Experiment) -> list[str]:
    found = [acts_alone(step) for step in experiment.document["method"]]
    return [each for each in found if each]


def timeline(experiment: Experiment) -> tuple[Step, ...]:
    """When what will happen, in seconds from the start of the load."""
    stages, load = experiment.timeline, experiment.load
    begin = WARMUP_S + stages.before_s
    injected = begin + stages.lead_s
    steps = [
        Step(0.0, f"load begins: {load.rate:g} requests/s through {load.through}"),
        Step(WARMUP_S, "before: what is usual is measured"),
    ]
    for act in experiment.method.acts:
        what = "heal" if act.fault is None else f"inject {act.fault.kind} {_words(act.fault)}"
        steps.append(Step(begin + act.at_s, what.rstrip()))
    last = steps[-1].what
    if last != "heal":
        what = "heal" if experiment.faults else "the method ends"
        steps.append(Step(injected + stages.during_s, what))
    if load.spike is not None:
        at = injected + load.spike.at_s
        steps.append(Step(at, f"load times {load.spike.factor:g} for {load.spike.duration_s:g} s"))
    end = injected + stages.during_s + stages.after_s + SLACK_S
    steps.append(Step(end, "load ends; writes are read back"))
    return tuple(sorted(steps, key=lambda step: step.at_s))


def check(plan: ExperimentPlan) -> None:
    """Raise ExperimentError when the plan may not or cannot be carried out."""
    if plan.missing:
        raise ExperimentError(
            f"{plan.experiment}: not applicable on {plan.platform}: {plan.missing[0]}",
            "see `harness experiment plan`",
        )
    if plan.weaknesses:
        raise ExperimentError(
            f"{plan.experiment}: {plan.service} fails as it is: {plan.weaknesses[0]}",
            "mend it; nothing was touched",
        )
    if plan.refusals:
        raise ExperimentError(
            f"{plan.experiment}: refused: {plan.refusals[0]}",
            "narrow the fault or widen blast_radius in the experiment's file",
        )


def _words(fault: Fault) -> str:
    return " ".join(f"{key}={value}" for key, value in fault.arguments.items())


def _needs(
    experiment: Experiment, service: Service, platform: Platform, weak: Sequence[str]
) -> list[str]:
    """What the deployment lacks for the experiment, but for what is its own weakness."""
    missing = []
    regions = len(platform.regions(service))
    if platform.name not in experiment.platforms:
        missing.append(f"it is written for {', '.join(experiment.platforms)}")
    if traits_of(platform.name).disposable:
        missing += [
            f"{each} acts on a cluster, which the lab is not"
            for each in _alone(experiment)
            if "(chaosk8s." in each
        ]
    if (reason := platform.lacks(experiment.needs.replication)) is not None:
        missing.append(reason)
    if regions < experiment.needs.regions and not weak:
        missing.append(f"it needs {experiment.needs.regions} regions, there are {regions}")
    return missing


def _cost(experiment: Experiment, service: Service, share: float) -> float | None:
    """The share of the 30-day error budget that failing for the expected recovery time costs.

    Taken as the worst the expectations allow: every request that the hit replicas would have
    answered fails until the recovery that is expected.
    """
    objective = error_objective(service)
    allowed = experiment.expect.recovery_s
    if objective is None or allowed is None:
        return None
    wide = experiment.timeline.during_s if experiment.expect.recovery_from == "heal" else 0.0
    seconds = allowed + wide
    spent = budget(share * seconds, seconds, 1 - objective, seconds)
    return None if spent is None else spent.spent
