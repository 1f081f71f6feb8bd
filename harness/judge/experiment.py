"""The verdict on an experiment: is it proven, did the service fail over, what did it cost?

The order is the order of trust: a measurement that cannot be believed is invalid; a fault that
was not seen to begin and to end proves nothing (inconclusive); then each expectation is judged.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from harness.chaos.model import Expectations
from harness.errors import HarnessError, RecordError
from harness.judge.doors import diverged, one_read_a_stage
from harness.judge.effect import Effect, effect_of
from harness.judge.failover import (
    Backlog,
    Milestones,
    Stages,
    backlog_of,
    errors_allowed,
    milestones_of,
    own_delay_of,
    recovery_of,
    stages_of,
    unfelt_s,
)
from harness.judge.lost_writes import LostWrites, lost_writes, reads_of, writes_of
from harness.judge.model import CERTAINTY, EXIT_CODES, PRIORITY, Outcome, ValidityCheck
from harness.judge.validity import LAG_SHARE, check_validity
from harness.record.run import RunRecord
from harness.record.storage import read_object, write_atomic
from harness.stats.burn import budget
from harness.stats.errors import excess_p
from harness.stats.recovery import Recovery
from harness.units import counted, format_duration, format_interval, format_ratio

SCHEMA = 1

RTO_S = 300.0
"""Application recovery objective of the platform: 5 minutes (facts of the platform)."""

MTTR_S = 900.0
"""Mean time to recovery must stay below 15 minutes; each recovery is held against it."""

RESPONSE_S = 300.0
"""Incident response: the platform or the alert must have noticed within 5 minutes."""

TAIL_TIMES = 1.5
"""The p99 after the recovery over the p99 before the fault: beyond it the service has come back
in the median only. Per-second p99s scatter by a quarter; those of ten seconds by a tenth."""

ERRORS_AFTER = 0.0005
"""The chance that a service within its objective fails as many requests after the recovery: at
0.05 % background errors fewer than 0.07 % of experiments fail by it (benchmarks/stats)."""

ERRORS_UNPROMISED = 0.01
"""The error ratio that is allowed after the recovery where the service promises none."""

SETTLED_S = 3.0
"""Left out after the recovery before the tail is looked at."""

Word = Literal["pass", "fail", "inconclusive"]
_Made = tuple[Word | Literal["noisy"] | None, str, str, str]
"""Outcome, measured, limit, statement. `noisy`: it failed, unless this machine itself was late."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing judged; `outcome` None: it was not asked for, or there was nothing to judge.

    `noisy`: it is in doubt only since this machine itself was late.
    """

    name: str
    outcome: Word | None
    measured: str
    limit: str
    statement: str
    noisy: bool = False


@dataclass(frozen=True, slots=True)
class ExperimentVerdict:
    """The answer to one experiment; `reasons` are sentences, the weightiest first.

    `healed` False: something of the fault may still be there, and a game day must stop.
    """

    run: str
    service: str
    experiment: str
    outcome: Outcome
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    validity: tuple[ValidityCheck, ...]
    stages: Stages | None
    milestones: Milestones | None
    recovery: Recovery | None
    effect: Effect | None
    backlog: Backlog | None
    writes: LostWrites | None
    lacking: Mapping[str, int]
    budget_spent: float | None
    error_ratio: float | None
    healed: bool

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 inconclusive, 4 invalid."""
        return EXIT_CODES[self.outcome]

    @property
    def spoilt(self) -> str | None:
        """Why it should be measured again: this machine, not the service, decided; else None."""
        if self.outcome == "invalid":
            return self.reasons[0]
        noisy = (check.statement for check in self.checks if check.noisy)
        return next(noisy, None) if self.outcome == "inconclusive" else None

    def as_dict(self) -> dict[str, Any]:
        """experiment.json: `schema`, `exit_code` and every field by its name."""
        return {"schema": SCHEMA, "exit_code": self.exit_code, **asdict(self)}


@dataclass(frozen=True, slots=True)
class _Facts:
    """Everything that the checks look at."""

    record: RunRecord
    expect: Expectations
    stages: Stages
    effect: Effect
    milestones: Milestones
    recovery: Recovery
    at_best: Recovery
    """The same if all that this machine may have added to a latency was its own."""

    backlog: Backlog
    writes: LostWrites | None
    lacking: Mapping[str, int]
    journal: Mapping[str, Any]


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
    healed = _healed(record)
    facts, problem = None, _prevented(record)
    if stages is not None and problem is None:
        try:
            facts = _facts(record, expect, stages, [t for hit in hits for t in hit["targets"]])
        except HarnessError as error:
            problem = f"The record cannot be judged: {error}."
    checks = _checks(facts) if facts is not None else ()
    checks = (*_undone(record), *checks)
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
        budget_spent=_spent(facts) if facts else None,
        error_ratio=_ratio(record, stages.inject, stages.end) if stages else None,
        healed=healed,
    )


def write_experiment(verdict: ExperimentVerdict, directory: Path) -> None:
    """experiment.json, atomically."""
    text = json.dumps(verdict.as_dict(), indent=1, default=str)
    write_atomic(directory / "experiment.json", text + "\n")


# -- what happened ---------------------------------------------------------------------------


def _facts(record: RunRecord, expect: Expectations, stages: Stages, targets: list[str]) -> _Facts:
    found = recovery_of(record, stages)
    backlog = backlog_of(record, stages)
    effect = effect_of(
        record.events_of("canary"),
        record.events_of("proof"),
        stages.inject,
        stages.heal,
        stages.end,
        _replaced(record),
    )
    journal = record.directory / "journal.json"
    writes, lacking = _audit(record, stages)
    return _Facts(
        record=record,
        expect=expect,
        stages=stages,
        effect=effect,
        milestones=milestones_of(record, stages, found, backlog, targets),
        recovery=found,
        at_best=recovery_of(record, stages, own_delay=own_delay_of(record, stages, 0.95)),
        backlog=backlog,
        writes=writes,
        lacking=lacking,
        journal=read_object(journal) if journal.is_file() else {},
    )


def _replaced(record: RunRecord) -> dict[str, float]:
    """When a replica went for good, or left its address: the door to it leads nowhere since."""
    last: dict[str, tuple[float, object]] = {}
    for event in record.events_of("health"):
        if isinstance(event.get("t"), float):
            last[str(event["id"])] = event["t"], event.get("now")
    gone = {name: at for name, (at, word) in last.items() if word is None}
    moves = [e for e in record.events_of("service_pod") if e.get("what") == "moved"]
    moved = {str(e["pod"]): e["t"] for e in reversed(moves) if isinstance(e.get("t"), float)}
    return moved | gone


def _audit(record: RunRecord, stages: Stages) -> tuple[LostWrites | None, dict[str, int]]:
    """The writes' fate over all doors, and how many each door lacks at the end."""
    writes = writes_of(record.events_of("write"))
    if not writes:
        return None, {}
    events = [event for event in record.events_of("read") if "begin_s" in event]
    reads = reads_of(one_read_a_stage(events))
    acknowledged = {write.id for write in writes if write.acknowledged}
    lacking = diverged(event for event in events if event["id"] in acknowledged)
    return lost_writes(writes, reads, stages.inject), lacking


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


def _healed(record: RunRecord) -> bool:
    """Whether every fault that was begun was undone with proof."""
    begun = {e["fault_id"] for e in record.events_of("chaos") if e["what"] == "inject"}
    undone = {e["fault_id"] for e in record.events_of("chaos") if e["what"] == "healed"}
    return begun <= undone


def _ratio(record: RunRecord, begin: float, end: float) -> float | None:
    series = record.series("due")
    part = slice(int(begin), int(end))
    offered = int(series.offered[part].sum())
    return float(series.lost[part].sum() / offered) if offered else None


def _spent(facts: _Facts) -> float | None:
    """The share of the 30-day error budget that the fault cost, from the injection to the end."""
    objective = next(
        (o.threshold for o in facts.record.service.objectives if o.indicator == "error_ratio"), None
    )
    ratio = _ratio(facts.record, facts.stages.inject, facts.stages.end)
    if objective is None or ratio is None:
        return None
    seconds = facts.stages.end - facts.stages.inject
    found = budget(ratio * seconds, seconds, 1 - objective, seconds)
    return None if found is None else found.spent


# -- the checks ------------------------------------------------------------------------------


def _checks(facts: _Facts) -> tuple[Check, ...]:
    return tuple(_guarded(name, check, facts) for name, check in _CHECKS)


def _guarded(name: str, check: Callable[[_Facts], _Made], facts: _Facts) -> Check:
    try:
        outcome, measured, limit, statement = check(facts)
    except Exception as error:  # noqa: BLE001 - a crash of a check must cost certainty only
        return Check(
            name,
            "inconclusive",
            "unknown",
            "",
            f"The check crashed: {type(error).__name__}: {error}.",
        )
    if outcome == "noisy":
        told = (
            f"{statement.removesuffix('.')}, or this machine itself was late: free it, run again."
        )
        return Check(name, "inconclusive", measured, limit, told, noisy=True)
    return Check(name, outcome, measured, limit, statement)


def _undone(record: RunRecord) -> tuple[Check, ...]:
    failed = [e for e in record.events_of("chaos") if e["what"] == "heal_failed"]
    if not _healed(record) or failed:
        why = str(failed[-1].get("detail")) if failed else "no heal was recorded"
        if _healed(record):
            why = f"only after another try: {why}"
        return (
            Check("undone", "fail", "not at once", "undone", f"The heal did not undo it: {why}."),
        )
    if not record.events_of("stage"):
        return ()
    return (Check("undone", "pass", "proven", "undone", "The fault was undone, with proof."),)


def _proof(facts: _Facts) -> _Made:
    effect, stages = facts.effect, facts.stages
    if effect.platform_began is False:
        return (
            "inconclusive", "not in effect", "seen",
            "The injection came back, but the platform shows no fault in effect.",
        )  # fmt: skip
    if effect.began is None:
        return (
            "inconclusive", "not seen", "seen to begin",
            "The canary did not see the fault begin: nothing is proven.",
        )  # fmt: skip
    first = min(effect.witnesses, key=lambda each: each.began)
    begun = f"{first.where} ({first.connection} connection: {first.how})"
    if effect.ended is None:
        open_ = next(each for each in effect.witnesses if each.ended is None)
        failing = effect.platform_ended and open_.how != "slow"
        word: Word = "fail" if failing or effect.platform_ended is False else "inconclusive"
        return (
            word, "no end seen", "seen to end",
            f"The canary saw the fault begin at {begun}, but not end at {open_.where}.",
        )  # fmt: skip
    after = format_duration(max(first.began - stages.inject, 0.0))
    return (
        "pass", counted(len(effect.witnesses), "observer"), "seen to begin and end",
        f"The canary saw it begin after {after} at {begun}, and end.",
    )  # fmt: skip


def _steady(facts: _Facts) -> _Made:
    """Chaos Toolkit's own hypothesis before and after, by what its probes said."""
    states = facts.journal.get("steady_states") or {}
    before = (states.get("before") or {}).get("steady_state_met")
    after = (states.get("after") or {}).get("steady_state_met")
    during = [state.get("steady_state_met") for state in states.get("during") or ()]
    share = f"{sum(met is True for met in during)} of {len(during)} times during"
    if before is None:
        return None, "unknown", "met", "Chaos Toolkit left no word on the steady state."
    if not before:
        return (
            "inconclusive",
            "not before",
            "met",
            "The steady state did not hold before the fault.",
        )
    if after is False:
        return (
            "fail",
            "not after",
            "met",
            f"The steady state did not hold after the heal ({share}).",
        )
    return "pass", "met", "met", f"The steady state held before and after the fault ({share})."


def _impact(facts: _Facts) -> _Made:
    found, limit = facts.recovery, "felt" if facts.expect.impact else "any"
    if found.impact is None:
        word: Word | None = "inconclusive" if facts.expect.impact else "pass"
        told = "No user felt it: no second left the band of before."
        if facts.expect.impact:
            told = "No user felt a fault that must be felt: it did not do what it stands for."
        return word, "none", limit, told
    if facts.at_best.impact is None:
        if facts.expect.impact:
            return "noisy", format_duration(found.impact), limit, "Users felt it."
        told = "Seconds left the band of before; this machine's own lateness would explain them."
        return None, format_duration(found.impact), limit, told
    ratio = _ratio(facts.record, facts.stages.inject, facts.stages.heal)
    failed = f"{format_ratio(ratio)} of the requests failed during it" if ratio else "none failed"
    return (
        "pass" if facts.expect.impact else None, format_duration(found.impact), limit,
        f"Users felt it after {format_duration(found.impact)}; {failed}.",
    )  # fmt: skip


def _recovered(facts: _Facts) -> _Made:
    found, expect = facts.recovery, facts.expect
    if expect.recovery_s is None:
        return None, _recovery_words(found), "not asked", "No recovery time was asked for."
    since = "injection" if expect.recovery_from == "inject" else "heal"
    limit = f"{format_duration(expect.recovery_s)} from the {since}"
    if found.impact is None:
        return "pass", "no impact", limit, "It never left the range before the fault."
    shift = facts.stages.heal - facts.stages.inject if expect.recovery_from == "heal" else 0.0
    if found.censored or found.recovery is None or found.low is None or found.high is None:
        bad = found.low or 0.0
        waited, last = facts.stages.end - facts.stages.inject, format_duration(bad)
        word: Word = "fail" if bad - shift > expect.recovery_s else "inconclusive"
        told = f"It had not recovered {format_duration(waited)} after the injection, when the "
        told += f"experiment ended; the last bad second ended {last} after it."
        return word, f"> {last}", limit, told
    measured = max(found.recovery - shift, 0.0)
    low, high = max(found.low - shift, 0.0), max(found.high - shift, 0.0)
    words = f"{format_duration(measured)} ({format_interval(low, high, measured)})"
    word = "pass" if measured <= expect.recovery_s else "fail"
    return (
        word, words, limit,
        f"9 of 10 seconds were in the band again {words} after the {since}.",
    )  # fmt: skip


def _recovery_words(found: Recovery) -> str:
    if found.impact is None:
        return "no impact"
    return "never" if found.recovery is None else format_duration(found.recovery)


def _tail(facts: _Facts) -> _Made:
    """Whether it came back at p99 and without errors, not in the median only."""
    stages, record = facts.stages, facts.record
    since = _settled(facts, facts.recovery)
    allowed = errors_allowed(record) or ERRORS_UNPROMISED
    limit = f"{TAIL_TIMES:g} times before, errors <= {format_ratio(allowed)}"
    if stages.end - since < SETTLED_S:
        enough = stages.end - _settled(facts, facts.at_best) >= SETTLED_S
        word: Literal["noisy", "inconclusive"] = "noisy" if enough else "inconclusive"
        return word, "too short", limit, "Too little was left after it to see the tail."
    before = _p99(record, _whole(stages.before, stages.inject))
    late = _whole(since, min(stages.end, record.seconds))
    after = _p99(record, late)
    errors = _ratio(record, since, stages.end) or 0.0
    if before is None or after is None:
        return "inconclusive", "unknown", limit, "No request tells of the tail."
    words = f"p99 {format_duration(after)}, errors {format_ratio(errors)}"
    told = f"After it the p99 was {format_duration(after)}, before it {format_duration(before)}; "
    told += f"{format_ratio(errors)} of the requests failed."
    most = TAIL_TIMES * max(before, unfelt_s(record))
    if _beyond(record, since, stages.end, allowed):
        return "fail", words, limit, told
    if after <= most:
        return "pass", words, limit, told
    own = own_delay_of(record, stages, 0.99)
    floor = LAG_SHARE * max(before, unfelt_s(record))
    quiet = _p99(record, [second for second in late if own[second] <= floor])
    explained = after - max(own[second] for second in late) <= most
    noisy = explained and (quiet is None or quiet <= most)
    return ("noisy" if noisy else "fail"), words, limit, told


def _beyond(record: RunRecord, begin: float, end: float, allowed: float) -> bool:
    """Whether more requests failed than a service that keeps its ratio would lose by chance."""
    part = slice(int(begin), int(end))
    series = record.series("due")
    offered, lost = int(series.offered[part].sum()), int(series.lost[part].sum())
    return lost > allowed * offered and excess_p(lost, offered, allowed) < ERRORS_AFTER


def _settled(facts: _Facts, found: Recovery) -> float:
    """When the tail begins."""
    back = facts.stages.inject + (found.recovery or 0.0)
    return max(facts.stages.heal, back) + SETTLED_S


def _whole(begin: float, end: float) -> Sequence[int]:
    """The seconds that lie wholly between the two."""
    return range(math.ceil(begin), int(end))


def _p99(record: RunRecord, seconds: Sequence[int]) -> float | None:
    from harness.record.distribution import Distribution, stack  # noqa: PLC0415 - numpy's price

    if not seconds:
        return None
    parts = record.distributions("response")
    values, counts = stack([parts[second] for second in seconds])
    return Distribution(values, counts.sum(axis=0)).quantile(0.99)


def _fail_back(facts: _Facts) -> _Made:
    limit_s, marks = facts.expect.fail_back_s, facts.milestones
    if limit_s is None:
        return None, "-", "not asked", "No fail-back was asked for."
    limit = f"{format_duration(limit_s)} from the heal"
    if marks.failed_over is None:
        return "fail", "no failover", limit, "Traffic never went to another region."
    if marks.failed_back is None:
        return "fail", "never", limit, "Traffic had not come back when the experiment ended."
    took = max(marks.failed_back - marks.healed, 0.0)
    word: Word = "pass" if took <= limit_s else "fail"
    words = format_duration(took)
    return word, words, limit, f"Traffic was back {words} after the heal."


def _detection(facts: _Facts) -> _Made:
    """Who noticed it, and how fast; what ended by itself before anybody had to is not judged."""
    marks = facts.milestones
    told = [t for t in (marks.detected, marks.alerted) if t is not None]
    limit = f"< {format_duration(RESPONSE_S)}"
    if not told:
        quiet = "Neither a health check nor the alert rule noticed it"
        if facts.recovery.impact is None:
            return None, "not seen", limit, f"{quiet}."
        if facts.recovery.recovery is not None and facts.recovery.recovery < RESPONSE_S:
            return None, "not seen", limit, f"{quiet}, and it ended by itself."
        return "inconclusive", "not seen", limit, f"{quiet}."
    took = max(min(told) - marks.injected, 0.0)
    who = "a health check" if min(told) == marks.detected else "the burn-rate alert"
    return (
        "pass" if took < RESPONSE_S else "fail", format_duration(took), limit,
        f"{who} noticed it after {format_duration(took)}.".capitalize(),
    )  # fmt: skip


def _objectives(facts: _Facts) -> _Made:
    found = facts.recovery
    limit = f"RTO {format_duration(RTO_S)}, MTTR {format_duration(MTTR_S)}"
    if found.impact is None:
        return "pass", "no impact", limit, "The recovery objectives hold: users felt nothing."
    if found.recovery is None:
        return (
            "inconclusive", f"> {format_duration(found.low or 0.0)}", limit,
            "Not recovered when the experiment ended; the objectives allow longer.",
        )  # fmt: skip
    word: Word = "pass" if found.recovery < min(RTO_S, MTTR_S) else "fail"
    words = format_duration(found.recovery)
    return word, words, limit, f"It was back {words} after the injection."


def _budget(facts: _Facts) -> _Made:
    spent, limit = _spent(facts), facts.expect.error_budget
    if limit is None:
        return None, "-" if spent is None else format_ratio(spent), "not asked", "No limit was set."
    if spent is None:
        return "inconclusive", "unknown", format_ratio(limit), "The budget's cost is unknown."
    word: Word = "pass" if spent <= limit else "fail"
    return (
        word, format_ratio(spent), f"<= {format_ratio(limit)}",
        f"It spent {format_ratio(spent)} of the 30-day error budget.",
    )  # fmt: skip


def _errors(facts: _Facts) -> _Made:
    limit = facts.expect.error_ratio
    ratio = _ratio(facts.record, facts.stages.inject, facts.stages.heal)
    if limit is None or ratio is None:
        return None, "-" if ratio is None else format_ratio(ratio), "not asked", "No limit was set."
    word: Word = "pass" if ratio <= limit else "fail"
    return (
        word, format_ratio(ratio), f"<= {format_ratio(limit)}",
        f"{format_ratio(ratio)} of the requests failed while it lasted.",
    )  # fmt: skip


def _writes(facts: _Facts) -> _Made:
    expect, found = facts.expect, facts.writes
    if expect.lost_writes is None and expect.rpo_s is None:
        return None, "-", "not asked", "Lost writes were not asked for."
    limit = "none lost" if expect.lost_writes == 0 else f"<= {expect.lost_writes} lost"
    if expect.lost_writes is None:
        limit = f"RPO {format_duration(expect.rpo_s or 0.0)}"
    if found is None or not found.acknowledged:
        return "inconclusive", "unknown", limit, "No acknowledged write was recorded."
    lost, lacking = len(found.lost), max(facts.lacking.values(), default=0)
    rpo = f", the oldest {format_duration(found.rpo_s or 0.0)} before the fault" if lost else ""
    words = f"{lost} of {found.acknowledged:,} lost"
    told = f"{words}{rpo}; {lacking} missing at a door that others have, {found.never_read} unread."
    over = expect.lost_writes is not None and lost > expect.lost_writes
    old = expect.rpo_s is not None and (found.rpo_s or 0.0) > expect.rpo_s
    if over or old:
        return "fail", words, limit, told
    if lacking or found.duplicated or found.corrupt:
        return "fail", words, limit, f"The regions differ at the end or a value is wrong: {told}"
    if found.never_read:
        return "inconclusive", f"{found.never_read} unread", limit, told
    return "pass", words, limit, told


def _backlog(facts: _Facts) -> _Made:
    most, drained = facts.backlog.most, facts.backlog.drained
    if drained is None:
        return None, f"{most:,} requests", "shown", f"At most {most:,} requests waited at a time."
    took = format_duration(max(drained - facts.stages.inject, 0.0))
    return (
        None, f"{most:,} requests", "shown",
        f"Up to {most:,} requests waited at a time; the queue was gone {took} after the injection.",
    )  # fmt: skip


def _or_noise(check: Callable[[_Facts], _Made]) -> Callable[[_Facts], _Made]:
    """The check, in doubt where only this machine's own delays keep it from passing."""

    def checked(facts: _Facts) -> _Made:
        made = check(facts)
        if made[0] in {"pass", None}:
            return made
        at_best = check(replace(facts, recovery=facts.at_best))
        return ("noisy", *made[1:]) if at_best[0] in {"pass", None} else made

    return checked


NEVER_EXCUSED = frozenset({"errors during", "writes"})
"""Checks of what the service answered and kept: no lateness of the generator explains them."""

_CHECKS: tuple[tuple[str, Callable[[_Facts], _Made]], ...] = (
    ("proof of effect", _proof),
    ("steady state", _steady),
    ("impact", _impact),
    ("detection", _or_noise(_detection)),
    ("recovery", _or_noise(_recovered)),
    ("recovery objectives", _or_noise(_objectives)),
    ("tail after", _tail),
    ("fail-back", _fail_back),
    ("error budget", _budget),
    ("errors during", _errors),
    ("writes", _writes),
    ("backlog", _backlog),
)


def _outcome(
    record: RunRecord,
    validity: tuple[ValidityCheck, ...],
    checks: tuple[Check, ...],
    problem: str | None,
    facts: _Facts | None,
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
