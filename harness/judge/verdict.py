"""The judgement: what was measured, what can be trusted of it, and one word."""

from collections.abc import Sequence
from dataclasses import replace

from harness.catalog.model import Objective, Service
from harness.judge.changes import describe_changes
from harness.judge.concentration import concentrations, printed_last
from harness.judge.model import (
    CERTAINTY,
    ObjectiveResult,
    Outcome,
    ResultWord,
    StageResult,
    ValidityCheck,
    Verdict,
)
from harness.judge.objectives import Stretch, judge_objective
from harness.judge.stages import judge_stages, stage_stretches
from harness.judge.validity import check_validity
from harness.record.run import RunRecord


def judge(record: RunRecord, service: Service | None = None) -> Verdict:
    """Judge a stored run against a service's objectives (default: those stored with it).

    Only the hold phase counts, and each of its stages where the profile has several. A failure
    that nothing but the service explains outweighs what the generator spoilt; a lost worker or
    requests that are not accounted for make everything invalid. The run passes when nothing failed
    or is open and something was judged, latency among it where there is an objective for it.
    """
    service = service or record.service
    validity = check_validity(record)
    seconds = record.seconds_of("hold")
    hold = Stretch(record, seconds)
    stages = stage_stretches(record)
    objectives = tuple(_result(hold, stages, objective) for objective in service.objectives)
    told = _guarded_stages(record, service, stages)
    outcome = _outcome(validity, objectives)
    said = printed_last(record, outcome) if objectives else ()
    return Verdict(
        run=record.id,
        service=service.name,
        outcome=outcome,
        reasons=(*_reasons(record, outcome, validity, objectives), *said),
        objectives=objectives,
        validity=validity,
        hold=(float(seconds[0]), float(seconds[-1]) + 1) if len(seconds) else None,
        stages=told,
    )


def _result(
    hold: Stretch, stages: Sequence[tuple[str, Stretch]], objective: Objective
) -> ObjectiveResult:
    """The result on the whole hold, or the worst of its stages where there are several."""
    try:
        whole = judge_objective(hold, objective)
        if not stages or objective.indicator == "availability":
            return whole
        parts = [(name, judge_objective(stretch, objective)) for name, stretch in stages]
        return _worst(whole, parts)
    except Exception as error:  # noqa: BLE001 - a crash of a check must cost certainty, not the run
        return ObjectiveResult(
            objective, None, None, None, "inconclusive",
            f"{objective.name}: the check crashed: {type(error).__name__}: {error}.",
        )  # fmt: skip


def _worst(whole: ObjectiveResult, parts: Sequence[tuple[str, ObjectiveResult]]) -> ObjectiveResult:
    """The stage that decides: the first with the weightiest word, else the best that was judged."""
    for word in CERTAINTY:
        for name, part in parts:
            if part.outcome == word:
                statement = f"In stage {name}: {part.statement}"
                return replace(part, statement=statement)
    return whole


def _guarded_stages(
    record: RunRecord, service: Service, stages: Sequence[tuple[str, Stretch]]
) -> tuple[StageResult, ...]:
    try:
        return judge_stages(record, service, stages)
    except Exception:  # noqa: BLE001 - the objectives say what crashed
        return ()


def _broken(validity: Sequence[ValidityCheck]) -> list[tuple[Outcome, str, str]]:
    """(what it costs, the figures it makes worthless, its reason with the remedy)."""
    return [
        (c.costs, c.figures, c.reason if not c.remedy else f"{c.reason} ({c.remedy})")
        for c in validity
        if c.ok is False
    ]


def _outcome(validity: Sequence[ValidityCheck], objectives: Sequence[ObjectiveResult]) -> Outcome:
    broken = _broken(validity)
    if any(costs == "invalid" and figures == "all" for costs, figures, _ in broken):
        return "invalid"
    words: set[ResultWord] = {result.outcome for result in objectives}
    # What the generator explains of a latency is in the latency's own result.
    words |= {costs for costs, figures, _ in broken if figures != "latency"}
    if not _judged(objectives):
        words.add("inconclusive")
    return next(word for word in CERTAINTY if word in words)


def _judged(objectives: Sequence[ObjectiveResult]) -> bool:
    """Whether something was judged, and latency where there is an objective for it."""
    latency = [r for r in objectives if r.objective.indicator == "latency"]
    return any(r.outcome is not None for r in (latency or objectives))


def _reasons(
    record: RunRecord,
    outcome: Outcome,
    validity: Sequence[ValidityCheck],
    objectives: Sequence[ObjectiveResult],
) -> tuple[str, ...]:
    """What decided first, then what else a reader must know to believe it."""
    broken = _broken(validity)
    results = [(result.outcome, result.statement) for result in objectives]
    early = [str(e["reason"]) for e in record.events_of("early_end") if e.get("reason")]
    spoilt = [(costs, text) for costs, figures, text in broken if figures != "latency"]
    told: list[tuple[ResultWord, str]] = [*spoilt, *results]
    order = ("invalid", *CERTAINTY) if outcome == "invalid" else CERTAINTY
    ordered = [text for word in order if word != "pass" for got, text in told if got == word]
    if outcome == "pass":
        ordered = [text for got, text in results if got == "pass"]
    elif objectives and not _judged(objectives):
        ordered.append("No objective could be tested by this run.")
    late = [text for _, figures, text in broken if figures == "latency"]
    unjudged = [text for got, text in results if got is None]
    where = () if outcome == "pass" else concentrations(record)
    changes = describe_changes(record)
    return tuple(dict.fromkeys([*where, *early, *changes, *ordered, *late, *unjudged]))
