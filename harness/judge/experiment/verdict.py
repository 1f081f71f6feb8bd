"""The verdict on a stored experiment, from its checks and from whether it can be believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.catalog.expectations import Expectations
from harness.errors import HarnessError, RecordError
from harness.judge.experiment.checks import NEVER_EXCUSED, run_checks
from harness.judge.experiment.execution import undone
from harness.judge.experiment.facts import Facts, budget_spent, facts_of, lost_ratio, was_healed
from harness.judge.experiment.model import Check, ExperimentVerdict
from harness.judge.failover import stages_of
from harness.judge.model import CERTAINTY, PRIORITY, Outcome, ValidityCheck
from harness.judge.validity import check_validity
from harness.record.run import RunRecord
from harness.record.storage import read_object, write_atomic


def judge_experiment(record: RunRecord) -> ExperimentVerdict:
    """Judge a stored experiment; raises RecordError when the record is none."""
    plan = read_object(record.directory / "plan.json")
    try:
        experiment, hits = plan["experiment"], plan["plan"]["hits"]
        expect = Expectations(**experiment["expect"])
        name = str(experiment["name"])
    except (KeyError, TypeError) as error:
        path = record.directory / "plan.json"
        raise RecordError(
            f"{path}: not an experiment's plan ({error})", "name another run"
        ) from None
    validity = check_validity(record)
    stages = stages_of(record)
    healed = was_healed(record)
    facts, problem = None, _prevented(record)
    if stages is not None and problem is None:
        try:
            facts = facts_of(record, expect, stages, [t for hit in hits for t in hit["targets"]])
        except HarnessError as error:
            problem = f"The record cannot be judged: {error}."
    checks = run_checks(facts) if facts is not None else ()
    checks = (*undone(record), *checks)
    outcome, reasons = _outcome(record, validity, checks, problem, facts)
    return ExperimentVerdict(
        run=record.id,
        service=record.service.name,
        experiment=name,
        outcome=outcome,
        reasons=reasons,
        checks=checks,
        validity=validity,
        stages=stages,
        milestones=facts.milestones if facts else None,
        recovery=facts.recovery if facts else None,
        effect=facts.effect if facts else None,
        backlog=facts.backlog if facts else None,
        writes=facts.writes if facts else None,
        lacking=facts.lacking if facts else {},
        budget_spent=budget_spent(facts) if facts else None,
        error_ratio=lost_ratio(record, stages.inject, stages.end) if stages else None,
        healed=healed,
    )


def write_experiment(verdict: ExperimentVerdict, directory: Path) -> None:
    """experiment.json, atomically."""
    text = json.dumps(verdict.as_dict(), indent=1, default=str)
    write_atomic(directory / "experiment.json", text + "\n")


def _prevented(record: RunRecord) -> str | None:
    """Why there is nothing to judge."""
    for event in record.events_of("chaos"):
        if event["what"] == "inject_failed":
            return f"The fault could not be injected: {event['detail']}."
    if record.status == "interrupted":
        return "The experiment was interrupted; everything was healed."
    if stages_of(record) is None:
        steady = "" if record.events_of("chaos") else "no word of the experiment was recorded"
        return f"Nothing was injected: {steady or 'the steady state did not hold before'}."
    return None


def _outcome(
    record: RunRecord,
    validity: tuple[ValidityCheck, ...],
    checks: tuple[Check, ...],
    problem: str | None,
    facts: Facts | None,
) -> tuple[Outcome, tuple[str, ...]]:
    broken = [c for c in validity if c.ok is False and not _only_unhealed(c, record)]
    told: list[tuple[Outcome, str]] = [(c.costs, c.reason) for c in broken]
    told += [("fail", f"Aborted: {e['detail']}.") for e in _aborts(record)]
    if problem is not None:
        told.append(("inconclusive", problem))
    unproven = [c for c in checks if c.name == "proof of effect" and c.outcome == "inconclusive"]
    effect = facts.effect if facts is not None else None
    begun = effect is not None and effect.began is not None and effect.platform_began is not False
    if begun and effect is not None and effect.platform_ended:
        unproven = []  # it was there and is undone: what does not come back is the service
    for check in checks:
        if check.outcome in {"fail", "inconclusive"}:
            # Without proof of effect no other check says anything about the fault.
            word = check.outcome if not unproven or check.name == "undone" else "inconclusive"
            told.append((word, check.statement))
    excusable = any(c.figures == "all" and c.costs == "invalid" for c in broken) or bool(unproven)
    certain = [c for c in checks if c.name in NEVER_EXCUSED and c.outcome == "fail"]
    if certain and not excusable:
        told = [("fail", check.statement) for check in certain] + told
    priority = CERTAINTY if certain and not excusable else PRIORITY
    ordered = [(word, text) for wanted in priority for word, text in told if word == wanted]
    if ordered:
        if unproven and ordered[0][0] == "inconclusive":
            ordered.insert(0, ("inconclusive", unproven[0].statement))
        return ordered[0][0], tuple(dict.fromkeys(text for _, text in ordered))
    passed = tuple(c.statement for c in checks if c.outcome == "pass")
    return ("pass", passed) if facts is not None else ("inconclusive", ("Nothing was judged.",))


def _only_unhealed(check: ValidityCheck, record: RunRecord) -> bool:
    """Whether a run counts as failed for its heal only: the load itself came to its end."""
    unhealed = any(e["what"] == "heal_failed" for e in record.events_of("chaos"))
    ends = record.events_of("end")
    return check.name == "ended" and unhealed and bool(ends) and not ends[-1].get("errors")


def _aborts(record: RunRecord) -> list[dict[str, Any]]:
    if record.status == "interrupted":
        return []
    return [e for e in record.events_of("chaos") if e["what"] == "abort"]
