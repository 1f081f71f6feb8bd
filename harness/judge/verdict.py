"""The judgement: validity first, then each objective, then one word."""

from __future__ import annotations

from harness.catalog.model import Objective, Service
from harness.judge.model import PRIORITY, ObjectiveResult, Outcome, ValidityCheck, Verdict
from harness.judge.objectives import judge_objective
from harness.judge.validity import check_validity
from harness.record.run import RunRecord


def judge(record: RunRecord, service: Service | None = None) -> Verdict:
    """Judge a stored run against a service's objectives (default: those stored with it).

    Only the hold phase counts. The worst word wins: invalid, fail, inconclusive, pass; an
    objective that the run could not test has no word and blocks nothing, unless none was tested.
    """
    service = service or record.service
    validity = check_validity(record)
    objectives = tuple(_guarded(record, objective) for objective in service.objectives)
    outcome = _outcome(validity, objectives)
    return Verdict(
        run=record.id,
        service=service.name,
        outcome=outcome,
        reasons=_reasons(outcome, validity, objectives),
        objectives=objectives,
        validity=validity,
        hold=_hold(record),
    )


def _guarded(record: RunRecord, objective: Objective) -> ObjectiveResult:
    try:
        return judge_objective(record, objective)
    except Exception as error:  # noqa: BLE001 - a crash of a check must cost certainty, not the run
        return ObjectiveResult(
            objective, None, None, None, "inconclusive",
            f"{objective.name}: the check crashed: {type(error).__name__}: {error}.",
        )  # fmt: skip


def _outcome(
    validity: tuple[ValidityCheck, ...], objectives: tuple[ObjectiveResult, ...]
) -> Outcome:
    words: set[Outcome] = {check.costs for check in validity if check.ok is False}
    judged: set[Outcome] = {result.outcome for result in objectives if result.outcome is not None}
    words |= judged or {"inconclusive"}
    return next(word for word in PRIORITY if word in words)


def _reasons(
    outcome: Outcome,
    validity: tuple[ValidityCheck, ...],
    objectives: tuple[ObjectiveResult, ...],
) -> tuple[str, ...]:
    """What decided first, then what else a reader must know to believe it."""
    broken = [
        (check.costs, check.reason if not check.remedy else f"{check.reason} ({check.remedy})")
        for check in validity
        if check.ok is False
    ]
    results = [(result.outcome, result.statement) for result in objectives]
    told = [*broken, *results]
    ordered = [text for word in PRIORITY if word != "pass" for got, text in told if got == word]
    if outcome == "pass":
        ordered = [text for got, text in results if got == "pass"]
    elif not any(result.outcome for result in objectives):
        ordered.append("No objective could be tested by this run.")
    return (*ordered, *(text for got, text in results if got is None))


def _hold(record: RunRecord) -> tuple[float, float] | None:
    seconds = record.seconds_of("hold")
    return (float(seconds[0]), float(seconds[-1]) + 1) if len(seconds) else None
