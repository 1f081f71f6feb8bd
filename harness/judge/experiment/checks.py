"""What is judged of the service around a fault, one check for each thing asked for."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Literal

from harness.judge.experiment.execution import steady_state
from harness.judge.experiment.facts import Facts, budget_spent, lost_ratio
from harness.judge.experiment.loss import ERRORS_AFTER, SETTLED_S, after_recovery
from harness.judge.experiment.model import Check, Made, Word
from harness.judge.experiment.proof import proof_of_effect
from harness.judge.failover import crowded, own_delay_of, rerouted, unfelt_s
from harness.judge.validity import LAG_SHARE
from harness.record.run import RunRecord
from harness.stats.errors import excess_p
from harness.stats.recovery import Recovery
from harness.units import counted, format_duration, format_interval, format_ratio

RTO_S = 300.0
"""Application recovery objective of the platform: 5 minutes (facts of the platform)."""

MTTR_S = 900.0
"""Mean time to recovery must stay below 15 minutes; each recovery is held against it."""

RESPONSE_S = 300.0
"""Incident response: the platform or the alert must have noticed within 5 minutes."""

TAIL_TIMES = 1.5
"""The p99 after the recovery over the p99 before the fault: beyond it the service has come back
in the median only. Per-second p99s scatter by a quarter; those of ten seconds by a tenth."""


def run_checks(facts: Facts) -> tuple[Check, ...]:
    """Every check; one that crashes costs certainty only."""
    return tuple(_guarded(name, check, facts) for name, check in CHECKS)


def _guarded(name: str, check: Callable[[Facts], Made], facts: Facts) -> Check:
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
        crowd = crowded(facts.record)[int(facts.stages.inject) :].any()
        why = "other work had this machine's cores" if crowd else "this machine itself was late"
        told = f"{statement.removesuffix('.')}, or {why}: free it, run again."
        return Check(name, "inconclusive", measured, limit, told, noisy=True)
    return Check(name, outcome, measured, limit, statement)


def _impact(facts: Facts) -> Made:
    found, limit = facts.recovery, "felt" if facts.expect.impact else "any"
    if found.impact is None:
        word: Word | None = "pass"
        told = "No user felt it: no second left the band of before."
        if facts.expect.impact and rerouted(facts.record, facts.stages):
            told = "No second left the band of before: users were served by another region at once."
        elif facts.expect.impact:
            word = "inconclusive"
            told = "No user felt a fault that must be felt: it did not do what it stands for."
        return word, "none", limit, told
    if facts.at_best.impact is None:
        if facts.expect.impact:
            return "noisy", format_duration(found.impact), limit, "Users felt it."
        told = "Seconds left the band of before; this machine's own lateness would explain them."
        return None, format_duration(found.impact), limit, told
    ratio = lost_ratio(facts.record, facts.stages.inject, facts.stages.heal)
    failed = f"{format_ratio(ratio)} of the requests failed during it" if ratio else "none failed"
    return (
        "pass" if facts.expect.impact else None, format_duration(found.impact), limit,
        f"Users felt it after {format_duration(found.impact)}; {failed}.",
    )  # fmt: skip


def _recovered(facts: Facts) -> Made:
    """The recovery of each fault; the worst of them is the check's."""
    if not facts.faults:
        return _recovered_for_sure(facts)
    made = [
        _recovered_for_sure(replace(facts, stages=e.stages, recovery=e.recovery, sure=e.sure))
        for e in facts.faults
    ]
    order: tuple[Word | None, ...] = ("fail", "inconclusive", "pass", None)
    outcome = min((each[0] for each in made if each[0] != "noisy"), key=order.index)
    next_one = ["the next fault began"] * (len(made) - 1) + ["the experiment ended"]
    told = [
        f"Fault {number} ({fault.kind}): "
        f"{each[3].replace('the experiment ended', next_one[number - 1])}"
        for number, (fault, each) in enumerate(zip(facts.faults, made, strict=True), 1)
    ]
    return outcome, "; ".join(each[1] for each in made), made[0][2], " ".join(told)


def _recovered_for_sure(facts: Facts) -> Made:
    """The recovery; late only by seconds that noise may explain, it is in doubt."""
    made = _recovered_once(facts)
    if made[0] != "fail" or _recovered_once(replace(facts, recovery=facts.sure))[0] == "fail":
        return made
    doubt = f"{made[3].removesuffix('.')}: the noise before the fault may explain it."
    return "inconclusive", made[1], made[2], doubt


def _recovered_once(facts: Facts) -> Made:
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
    span = format_interval(found.low - shift, found.high - shift, measured)
    words = f"{format_duration(measured)} ({span})"
    told = f"9 of 10 seconds were in the band again {words} after the {since}."
    if measured <= expect.recovery_s:
        return "pass", words, limit, told
    if found.low - shift < expect.recovery_s:  # a second is not looked into
        return "inconclusive", words, limit, f"{told.removesuffix('.')}: it may have been in time."
    return "fail", words, limit, told


def _recovery_words(found: Recovery) -> str:
    if found.impact is None:
        return "no impact"
    return "never" if found.recovery is None else format_duration(found.recovery)


def _tail(facts: Facts) -> Made:
    """Whether it came back at p99 and without errors, not in the median only."""
    stages, record = facts.stages, facts.record
    since = settled(facts, facts.recovery)
    lost = after_recovery(record, since, stages.end)
    limit = f"{TAIL_TIMES:g} times before, errors <= {format_ratio(lost.allowed)}"
    if stages.end - since < SETTLED_S:
        enough = stages.end - settled(facts, facts.at_best) >= SETTLED_S
        outcome: Literal["pass", "fail", "noisy", "inconclusive"]
        outcome = "noisy" if enough else "inconclusive"
        return outcome, "too short", limit, "Too little was left after it to see the tail."
    before = _p99(record, _whole(stages.before, stages.inject))
    late = _whole(since, min(stages.end, record.seconds))
    after = _p99(record, late)
    if before is None or after is None:
        return "inconclusive", "unknown", limit, "No request tells of the tail."
    words = f"p99 {format_duration(after)}, errors {format_ratio(lost.ratio)}"
    told = f"After it the p99 was {format_duration(after)}, before it {format_duration(before)}; "
    told += f"{format_ratio(lost.ratio)} of the requests failed."
    if lost.outcome == "fail":
        return "fail", words, limit, told
    most = TAIL_TIMES * max(before, unfelt_s(record))
    if after > most:
        outcome, doubt = _late_tail(facts, late, most, before, after)
    elif lost.outcome == "inconclusive":
        outcome, doubt = "inconclusive", ": more than allowed, which is hardly chance."
    elif (least := lost.detectable) is not None:
        outcome, doubt = "pass", f"; {format_ratio(least)} would have shown in 9 of 10 runs."
    else:
        outcome, doubt = "pass", "."
    return outcome, words, limit, told.removesuffix(".") + doubt


def _late_tail(
    facts: Facts, late: Sequence[int], most: float, before: float, after: float
) -> tuple[Literal["pass", "fail", "noisy", "inconclusive"], str]:
    """What a p99 above its limit says, and the end of the statement."""
    record = facts.record
    stalls = stalled(_above(record, [second], most)[0] for second in late)
    calm = _p99(record, [second for n, second in enumerate(late) if n not in stalls])
    if calm is not None and calm <= most:
        slow = f"{len(stalls)} of {counted(len(late), 'second')}"
        return "pass", f"; without the slowest {slow} it was {format_duration(calm)}."
    if excess_p(*_above(record, late, most), 0.01) >= ERRORS_AFTER:
        return "inconclusive", ": too few requests to tell."
    own = own_delay_of(record, facts.stages, 0.99)
    floor = LAG_SHARE * max(before, unfelt_s(record))
    quiet = _p99(record, [second for second in late if own[second] <= floor])
    explained = after - max(own[second] for second in late) <= most
    return ("noisy" if explained and (quiet is None or quiet <= most) else "fail"), "."


def stalled(slow: Iterable[int]) -> frozenset[int]:
    """The tenth of the seconds, rounded up, with most slow answers, by their numbers.

    Nodes stall and collect garbage without a fault; nine of ten seconds are a recovery, too.
    """
    worst = sorted(enumerate(slow), key=lambda each: -each[1])
    return frozenset(number for number, _ in worst[: math.ceil(len(worst) / 10)])


def settled(facts: Facts, found: Recovery) -> float:
    """When the tail begins."""
    back = facts.stages.inject + (found.recovery or 0.0)
    return max(facts.stages.heal, back) + SETTLED_S


def _whole(begin: float, end: float) -> Sequence[int]:
    """The seconds that lie wholly between the two."""
    return range(math.ceil(begin), int(end))


def _above(record: RunRecord, seconds: Sequence[int], limit_s: float) -> tuple[int, int]:
    """How many answers of some seconds took longer, and of how many."""
    parts = [part for second in seconds if (part := record.distributions("response")[second])]
    return sum(part.above(limit_s) for part in parts), sum(part.count for part in parts)


def _p99(record: RunRecord, seconds: Sequence[int]) -> float | None:
    from harness.record.distribution import Distribution, stack  # noqa: PLC0415 - numpy's price

    if not seconds:
        return None
    parts = record.distributions("response")
    values, counts = stack([parts[second] for second in seconds])
    return Distribution(values, counts.sum(axis=0)).quantile(0.99)


def _fail_back(facts: Facts) -> Made:
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


def _detection(facts: Facts) -> Made:
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


def _objectives(facts: Facts) -> Made:
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


def _budget(facts: Facts) -> Made:
    spent, limit = budget_spent(facts), facts.expect.error_budget
    if limit is None:
        known = "-" if spent is None else format_ratio(spent)
        return None, known, "not asked", "No limit was set."
    if not any(o.indicator == "error_ratio" for o in facts.record.service.objectives):
        return None, "-", format_ratio(limit), "Without an objective for errors there is no budget."
    if spent is None:
        return "inconclusive", "unknown", format_ratio(limit), "The budget's cost is unknown."
    word: Word = "pass" if spent <= limit else "fail"
    return (
        word, format_ratio(spent), f"<= {format_ratio(limit)}",
        f"It spent {format_ratio(spent)} of the 30-day error budget.",
    )  # fmt: skip


def _errors(facts: Facts) -> Made:
    limit = facts.expect.error_ratio
    ratio = lost_ratio(facts.record, facts.stages.inject, facts.stages.heal)
    if limit is None or ratio is None:
        return (
            None,
            "-" if ratio is None else format_ratio(ratio),
            "not asked",
            "No limit was set.",
        )
    word: Word = "pass" if ratio <= limit else "fail"
    return (
        word, format_ratio(ratio), f"<= {format_ratio(limit)}",
        f"{format_ratio(ratio)} of the requests failed while it lasted.",
    )  # fmt: skip


def _writes(facts: Facts) -> Made:
    expect, found = facts.expect, facts.writes
    if expect.lost_writes is None and expect.rpo_s is None:
        return None, "-", "not asked", "Lost writes were not asked for."
    limit = "none lost" if expect.lost_writes == 0 else f"<= {expect.lost_writes} lost"
    if expect.lost_writes is None:
        limit = f"RPO {format_duration(expect.rpo_s or 0.0)}"
    if found is None or not found.acknowledged:
        foreign = found is None and "program" in facts.record.plan.target.environment
        word: Word | None = None if foreign else "inconclusive"
        return word, "unknown", limit, "No acknowledged write was recorded."
    lost, lacking = len(found.lost), max(facts.lacking.values(), default=0)
    rpo = f", the oldest {format_duration(found.rpo_s or 0.0)} before the fault" if lost else ""
    words = f"{lost} of {found.acknowledged:,} lost"
    told = (
        f"{words}{rpo}; {lacking} missing at an entry point that others have, "
        f"{found.never_read} unread."
    )
    over = expect.lost_writes is not None and lost > expect.lost_writes
    old = expect.rpo_s is not None and (found.rpo_s or 0.0) > expect.rpo_s
    if over or old:
        return "fail", words, limit, told
    if lacking or found.duplicated or found.corrupt:
        return "fail", words, limit, f"The regions differ at the end or a value is wrong: {told}"
    if found.never_read:
        return "inconclusive", f"{found.never_read} unread", limit, told
    return "pass", words, limit, told


def _backlog(facts: Facts) -> Made:
    most, drained = facts.backlog.most, facts.backlog.drained
    if drained is None:
        return None, f"{most:,} requests", "shown", f"At most {most:,} requests waited at a time."
    took = format_duration(max(drained - facts.stages.inject, 0.0))
    return (
        None, f"{most:,} requests", "shown",
        f"Up to {most:,} requests waited at a time; the queue was gone {took} after the injection.",
    )  # fmt: skip


def _or_noise(check: Callable[[Facts], Made]) -> Callable[[Facts], Made]:
    """The check, in doubt where only this machine's own delays keep it from passing."""

    def checked(facts: Facts) -> Made:
        made = check(facts)
        if made[0] in {"pass", None}:
            return made
        faults = tuple(replace(each, recovery=each.at_best) for each in facts.faults)
        at_best = check(replace(facts, recovery=facts.at_best, faults=faults))
        return ("noisy", *made[1:]) if at_best[0] in {"pass", None} else made

    return checked


NEVER_EXCUSED = frozenset({"errors during", "writes"})
"""Checks of what the service answered and kept: no lateness of the generator explains them."""

CHECKS: tuple[tuple[str, Callable[[Facts], Made]], ...] = (
    ("proof of effect", proof_of_effect),
    ("steady state", steady_state),
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
