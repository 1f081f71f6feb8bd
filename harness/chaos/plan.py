"""The plan of an experiment: what exactly it would hit, whether it may, what it may cost."""

from __future__ import annotations

from collections.abc import Sequence

from harness.catalog.model import Service
from harness.chaos.guards import error_objective
from harness.chaos.model import Experiment, ExperimentPlan, Hit, Step
from harness.errors import CapabilityMissing, ExperimentError, PlatformError
from harness.platform.model import Fault, Platform, Replica
from harness.stats.burn import budget
from harness.units import format_ratio

WARMUP_S = 3.0
SLACK_S = 3.0
"""Seconds beyond the stages: an injection and a heal take their time."""

REGION_KINDS = ("fail-region", "isolate-region", "fail-zone")
"""Faults that take a whole region from the users; they may not hit the last healthy one."""


def plan_experiment(experiment: Experiment, service: Service, platform: Platform) -> ExperimentPlan:
    """Resolve an experiment against what runs now; nothing is touched.

    Raises PlatformError where the platform cannot be asked.
    """
    replicas = platform.replicas(service)
    capable = platform.capabilities()
    weak = _weaknesses(experiment, service, platform)
    missing = _needs(experiment, service, platform, weak)
    refusals: list[str] = []
    hits: list[Hit] = []
    for fault in experiment.faults:
        reason = capable.get(fault.kind, f"{platform.name} does not know it")
        if reason is not None:
            missing.append(f"{fault.kind}: {reason}")
            continue
        try:
            heal = platform.plan_heal(service, fault, f"plan-{fault.kind}")
        except CapabilityMissing as problem:
            missing.append(str(problem))
            continue
        except PlatformError as problem:
            refusals.append(str(problem))
            continue
        hits.append(Hit(fault, tuple(heal.arguments.get("targets", ())), heal))
    down = {name for hit in hits for name in _stopped(hit, replicas)}
    ready = [each for each in replicas if each.health == "ready"]
    share = len([each for each in ready if each.id in down]) / len(ready) if ready else 0.0
    refusals += _too_wide(experiment, hits, ready, down, share)
    return ExperimentPlan(
        experiment=experiment.name,
        service=service.name,
        platform=platform.name,
        hits=tuple(hits),
        share=share,
        timeline=timeline(experiment),
        refusals=tuple(refusals),
        missing=tuple(missing),
        weaknesses=() if missing else weak,
        budget_cost=_cost(experiment, service, share),
        notes=(*platform.notes(service), *_notes(hits, ready)),
        handle=platform.handle(),
    )


def _notes(hits: Sequence[Hit], ready: Sequence[Replica]) -> tuple[str, ...]:
    """What is not as the file says, and which cut the canary has no door across."""
    found = [str(note) for hit in hits if hit.heal for note in hit.heal.arguments.get("notes", ())]
    pairs = [pair for hit in hits if (pair := hit.fault.arguments.get("regions"))]
    served = {each.region for each in ready}
    return (
        *found,
        *(
            f"no door of the canary leads across {one}|{other}, for nothing in {other} is ready: "
            "where users feel nothing, the run stays inconclusive"
            for one, other in pairs
            if other not in served
        ),
    )


def timeline(experiment: Experiment) -> tuple[Step, ...]:
    """When what will happen, in seconds from the start of the load."""
    stages, load = experiment.timeline, experiment.load
    begin = WARMUP_S + stages.before_s
    steps = [
        Step(0.0, f"load begins: {load.rate:g} requests/s through {load.through}"),
        Step(WARMUP_S, "before: what is usual is measured"),
        *(
            Step(begin, f"inject {fault.kind} {_words(fault)}".rstrip())
            for fault in experiment.faults
        ),
    ]
    if load.spike is not None:
        at = begin + load.spike.at_s
        steps.append(Step(at, f"load times {load.spike.factor:g} for {load.spike.duration_s:g} s"))
    steps += [
        Step(begin + stages.during_s, "heal"),
        Step(begin + stages.during_s + stages.after_s + SLACK_S, "load ends; writes are read back"),
    ]
    return tuple(steps)


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


def _weaknesses(experiment: Experiment, service: Service, platform: Platform) -> tuple[str, ...]:
    found = [each for fault in experiment.faults for each in platform.weaknesses(service, fault)]
    return tuple(dict.fromkeys(found))


def _needs(
    experiment: Experiment, service: Service, platform: Platform, weak: Sequence[str]
) -> list[str]:
    """What the deployment lacks for the experiment, but for what is its own weakness."""
    missing = []
    regions = len(platform.regions(service))
    if platform.name not in experiment.platforms:
        missing.append(f"it is written for {', '.join(experiment.platforms)}")
    if regions < experiment.needs.regions and not weak:
        missing.append(f"it needs {experiment.needs.regions} regions, there are {regions}")
    return missing


def _stopped(hit: Hit, replicas: Sequence[Replica]) -> set[str]:
    """The replicas that a fault takes from the users, by what it was resolved to."""
    named = set(hit.targets)
    found = {each.id for each in replicas if each.id in named}
    if hit.fault.kind in REGION_KINDS:
        region = hit.fault.arguments.get("region")
        found |= {each.id for each in replicas if each.region == region}
    return found


def _too_wide(
    experiment: Experiment,
    hits: Sequence[Hit],
    ready: Sequence[Replica],
    down: set[str],
    share: float,
) -> list[str]:
    limit = experiment.blast_radius
    found = []
    if hits and share > limit.share + 1e-9:
        found.append(
            f"it would hit {format_ratio(share)} of the ready replicas, "
            f"more than {format_ratio(limit.share)}"
        )
    left = {each.region for each in ready if each.id not in down}
    if ready and down and not left and not limit.last_region:
        found.append("it would hit the last healthy region")
    return found


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
