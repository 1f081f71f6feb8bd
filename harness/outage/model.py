"""Who should suffer from an outage by the catalogue, and what was seen of each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.catalog.dependencies import check_dependencies, felt_by, suffers
from harness.catalog.model import Service
from harness.judge.checked import Checked
from harness.judge.experiment import Check
from harness.units import format_ratio

Stage = Literal["before", "during", "after"]
STAGES: tuple[Stage, ...] = ("before", "during", "after")

UNHARMED = 0.01
"""The share of failed requests up to which a caller has not suffered: one of a hundred, where a
caller that needs the service fails all."""

LEAST = 10
"""Answers of each stage without which a caller is not judged."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A service that is asked throughout; `distance` 0 is the one that fails.

    `suffers` is what the catalogue declares: that it cannot answer. `distance` None: no chain of
    calls leads to the failing one, so that it must not feel anything.
    """

    service: str
    distance: int | None
    suffers: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer of a service, at an instant of the machine's monotonic clock."""

    service: str
    at_ns: int
    ok: bool


@dataclass(frozen=True, slots=True)
class OutageVerdict(Checked):
    """A check for each service, and how far the outage went: the distance of the farthest."""

    spread: int


def plan_outage(services: Sequence[Service], name: str) -> tuple[Caller, ...]:
    """The service, all that call it in any number of steps, and one that never does.

    Raises CatalogError for dependencies that cannot be.
    """
    check_dependencies(services)
    direct, further = felt_by(services, name)
    bad = suffers(services, name)
    found = [Caller(name, 0, suffers=True)]
    reached, distance = {name}, 0
    while len(found) < 1 + len(direct) + len(further):
        distance += 1
        new = [s for s in services if s.name not in reached and reached & set(s.depends_on)]
        found += [Caller(s.name, distance, suffers=s.name in bad) for s in new]
        reached |= {s.name for s in new}
    away = next((s.name for s in services if s.name not in reached), None)
    return (*found, *([Caller(away, None, suffers=False)] if away else []))


def judge_outage(
    callers: Sequence[Caller], answers: Iterable[Answered], fault_ns: int, healed_ns: int
) -> OutageVerdict:
    """Judge what each service answered before, during and after the outage."""
    shares = _shares(answers, fault_ns, healed_ns)
    checks = tuple(_check(each, shares.get(each.service, {})) for each in callers)
    felt = [
        each.distance or 0
        for each in callers
        if (during := shares.get(each.service, {}).get("during")) and _bad(during) > UNHARMED
    ]
    return OutageVerdict(callers[0].service, checks, max(felt, default=0))


Counts = tuple[int, int]
"""Failed requests, and all."""


def _shares(
    answers: Iterable[Answered], fault_ns: int, healed_ns: int
) -> dict[str, dict[Stage, Counts]]:
    found: dict[str, dict[Stage, Counts]] = {}
    for each in answers:
        stage: Stage = "before" if each.at_ns < fault_ns else "during"
        stage = "after" if each.at_ns >= healed_ns else stage
        failed, total = found.setdefault(each.service, {}).get(stage, (0, 0))
        found[each.service][stage] = failed + (not each.ok), total + 1
    return found


def _bad(counts: Counts) -> float:
    return counts[0] / counts[1]


def _check(caller: Caller, stages: Mapping[Stage, Counts]) -> Check:
    """Whether a service felt what it should, and nothing before and after it."""
    name = caller.service
    wanted = "suffers" if caller.suffers else "answers"
    if any(stages.get(stage, (0, 0))[1] < LEAST for stage in STAGES):
        return Check(name, "inconclusive", "too few answers", wanted, f"{name}: too few answers.")
    before, during, after = (_bad(stages[stage]) for stage in STAGES)
    shown = " / ".join(format_ratio(share) for share in (before, during, after))
    text = f"{name} failed {shown} of its requests before, during and after"
    if before > UNHARMED:
        return Check(name, "inconclusive", shown, wanted, f"{text}: it was not well before.")
    if after > UNHARMED:
        return Check(name, "fail", shown, wanted, f"{text}: it has not recovered.")
    if caller.suffers or during <= UNHARMED:
        felt = (
            "" if (during > UNHARMED) == caller.suffers else ": it answers, though none declares it"
        )
        return Check(name, "pass", shown, wanted, f"{text}{felt}.")
    why = (
        "no call leads to the service: a dependency is not declared"
        if caller.distance is None
        else "it is declared to answer without it"
    )
    return Check(name, "fail", shown, wanted, f"{text}: {why}.")
