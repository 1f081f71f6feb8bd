"""The verdict on a stored experiment, from its checks and from whether it can be believed."""

from pathlib import Path

from harness.catalog.expectations import Expectations
from harness.errors import HarnessError, RecordError
from harness.events import Activity, Chaos, ChaosChild
from harness.judge.concentration import printed_last
from harness.judge.experiment.beside import beside_the_fault
from harness.judge.experiment.checks import NEVER_EXCUSED, run_checks, settled
from harness.judge.experiment.execution import activities, undone, unmet
from harness.judge.experiment.facts import (
    Facts,
    budget_spent,
    facts_of,
    journal_of,
    lost_ratio,
    was_healed,
)
from harness.judge.experiment.loss import SETTLED_S, AfterRecovery, after_recovery
from harness.judge.experiment.model import Check, ExperimentVerdict
from harness.judge.failover import stages_of
from harness.judge.model import CERTAINTY, PRIORITY, Outcome, ValidityCheck
from harness.judge.validity import check_validity
from harness.messages import End
from harness.record.run import RunRecord
from harness.storage import read_object, write_json


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
    checks = (*undone(record), *_activities(record), *checks)
    outcome, reasons = _outcome(record, validity, checks, problem, facts)
    reasons = (*reasons, *beside_the_fault(record, outcome), *printed_last(record, outcome))
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
        after=_after(facts, outcome) if facts else None,
    )


def _after(facts: Facts, outcome: Outcome) -> AfterRecovery | None:
    """What was asked after the recovery; None where it was short or says nothing for certain."""
    begin, end = settled(facts, facts.recovery), facts.stages.end
    if end - begin < SETTLED_S:
        return None
    found = after_recovery(facts.record, begin, end)
    return found if outcome in {"pass", "fail", found.outcome} else None


def write_experiment(verdict: ExperimentVerdict, directory: Path) -> None:
    """experiment.json, atomically."""
    write_json(directory / "experiment.json", verdict.as_dict(), finite=False)


def _prevented(record: RunRecord) -> str | None:
    """Why there is nothing to judge."""
    if (halted := _halted(record)) is not None:
        return f"The experiment was {halted}{'; everything was undone' * was_healed(record)}."
    if refused := _refused(record):
        return f"The fault could not be injected: {'; '.join(refused)}."
    if record.status == "interrupted":
        return "The experiment was interrupted; everything was healed."
    if stages_of(record) is None:
        return f"Nothing was injected: {_why_nothing(record)}."
    return None


def _refused(record: RunRecord) -> tuple[str, ...]:
    """Why faults could not be injected, each reason once."""
    failed = [e for e in record.of(Chaos) if e["what"] == "inject_failed"]
    return tuple(dict.fromkeys(str(e.get("detail")) for e in failed))


def _halted(record: RunRecord) -> str | None:
    """By whom it was halted; what was measured until then is no verdict on the service."""
    found = (str(e.get("detail")) for e in record.of(Chaos) if e["what"] == "halt")
    return next(found, None)


def _why_nothing(record: RunRecord) -> str:
    if not record.of(Chaos):
        return "no event of the experiment was recorded"
    journal = journal_of(record)
    before = (journal.get("steady_states") or {}).get("before")
    if before is not None and not before.get("steady_state_met"):
        return f"the steady state did not hold before: {unmet(before)[1]}"
    if not journal:
        return "Chaos Toolkit ended before it"
    return "the method ended before it did"


def _activities(record: RunRecord) -> tuple[Check, ...]:
    """How Chaos Toolkit carried out the rest of the file."""
    chaos = record.of(Chaos)
    if not chaos:
        return ()
    aborted = any(e["what"] in {"abort", "halt", "overrun"} for e in chaos)
    said = record.of(ChaosChild)
    journal, begun, refused = journal_of(record), record.of(Activity), _refused(record)
    found = activities(journal, begun, said, aborted=aborted, refused=refused)
    late = [str(e.get("detail")) for e in chaos if e["what"] == "overrun"]
    if not late:
        return (found,)
    rest = [found.statement] if found.outcome not in {"pass", None} else []
    texts = " ".join((*(f"{text}." for text in late), *rest))
    return (Check("activities", "inconclusive", "not ended", "all", texts),)


def _outcome(
    record: RunRecord,
    validity: tuple[ValidityCheck, ...],
    checks: tuple[Check, ...],
    problem: str | None,
    facts: Facts | None,
) -> tuple[Outcome, tuple[str, ...]]:
    broken = [c for c in validity if c.ok is False and not _only_unhealed(c, record)]
    broken = [] if _halted(record) else broken
    told: list[tuple[Outcome, str]] = [(c.costs, c.reason) for c in broken]
    if record.status != "interrupted":
        aborts = (e for e in record.of(Chaos) if e["what"] == "abort")
        told += [("fail", f"Aborted: {e.get('detail')}.") for e in aborts]
    if problem is not None:
        told.append(("inconclusive", problem))
    unproven = [c for c in checks if c.name == "proof of effect" and c.outcome == "inconclusive"]
    effect = facts.effect if facts is not None else None
    begun = effect is not None and effect.began is not None and effect.platform_began is not False
    if begun and effect is not None and effect.platform_ended and effect.unmet is None:
        unproven = []  # it was there and is undone: what does not come back is the service
    other = any(c.name == "activities" and c.outcome == "inconclusive" for c in checks)
    for check in checks:
        if check.outcome in {"fail", "inconclusive"}:
            # Without proof of effect, or with a method that went otherwise than written, no other
            # check says anything about the fault.
            sure = check.name == "undone" or not (unproven or other)
            told.append((check.outcome if sure else "inconclusive", check.statement))
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
    unhealed = any(e["what"] == "heal_failed" for e in record.of(Chaos))
    ends = record.of(End)
    return check.name == "ended" and unhealed and bool(ends) and not ends[-1]["errors"]
