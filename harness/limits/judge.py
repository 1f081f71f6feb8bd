"""What the answers show of a rate limit: five checks, each against what is declared.

What they find and what they let pass is held by services of known truth
(`tests/limits/test_limits.py`; on the lab `benchmarks.limits`).
"""

import math
from collections.abc import Callable, Sequence
from http import HTTPStatus

from harness.catalog.model import RateLimit
from harness.errors import UsageError
from harness.judge.experiment import Check
from harness.limits.client import seconds_of
from harness.limits.model import Answer, LimitVerdict, Measured
from harness.units import counted, format_duration

GOODPUT = 0.95
"""Of the limit that must be carried out when twice as much is asked for: the last requests of a
window may come after its end."""

REFUSED = HTTPStatus.TOO_MANY_REQUESTS
BURST_SHARE = 0.5
"""Of a window: a burst that takes longer meets its end too often to count."""


def judge_limit(service: str, limit: RateLimit, found: Measured) -> LimitVerdict:
    """Judge the answers. Raises UsageError where the very first request was not carried out."""
    first = found.bursts[0][0]
    if not first.admitted:
        what = f"status {first.status}" if first.status else f"nothing ({first.error})"
        raise UsageError(
            f"the first request was answered with {what}",
            "name a path that answers GET with 200: --path; real keys: --keys FILE",
        )
    checks: Sequence[Callable[[RateLimit, Measured], Check]] = (
        _size, _retry_after, _others, _goodput, _recovery,
    )  # fmt: skip
    return LimitVerdict(service, tuple(check(limit, found) for check in checks), limit)


def _check(
    name: str, wanted: str, *, ok: bool, measured: str, statement: str, odd: Sequence[Answer] = ()
) -> Check:
    """A check; `odd` are the answers that it names."""
    if words := sorted({str(a.status or a.error) for a in odd}):
        statement += f" Some were answered with {', '.join(words)}."
    return Check(name, "pass" if ok else "fail", measured, wanted, statement)


def _size(limit: RateLimit, found: Measured) -> Check:
    admitted = [
        next((i for i, answer in enumerate(burst) if not answer.admitted), len(burst))
        for burst in found.bursts
    ]
    least, wanted = min(admitted), f"exactly {limit.requests}"
    longest = max(burst[-1].at_s - burst[0].at_s for burst in found.bursts)
    if longest > BURST_SHARE * limit.window_s:
        text = (
            f"A burst took {format_duration(longest)} of a window of"
            f" {format_duration(limit.window_s)}: too slow to count the limit."
        )
        return Check("limit", "inconclusive", "too slow", wanted, text)
    broken = [a for burst in found.bursts for a in burst if not a.admitted and a.status != REFUSED]
    shown = f"at least {least}" if least == len(found.bursts[0]) else str(least)
    text = (
        f"{shown.capitalize()} requests of a key were carried out before it was refused"
        f" ({', '.join(map(str, admitted))} of {counted(len(admitted), 'key')});"
        f" {limit.requests} are declared."
    )
    ok = least == limit.requests and not broken
    return _check("limit", wanted, ok=ok, measured=shown, statement=text, odd=broken)


def _retry_after(limit: RateLimit, found: Measured) -> Check:
    parts = (*found.bursts, found.overload, found.others, found.recovery[:1])
    refusals = [a for part in parts for a in part if a.status == REFUSED]
    said = [seconds_of(a.retry_after) for a in refusals]
    longest = math.ceil(limit.window_s)
    wrong = sum(each is None or not 1 <= each <= longest for each in said)
    known = [each for each in said if each is not None]
    shown = f"{min(known):g} to {max(known):g} s" if known else "none"
    if not refusals:
        return Check("Retry-After", "fail", "no 429", "on each 429", "No request was refused.")
    text = (
        f"{wrong:,} of {len(refusals):,} refusals have no Retry-After of 1 to {longest} s."
        if wrong
        else f"Each of {len(refusals):,} refusals says when to ask again ({shown})."
    )
    wanted = f"1 to {longest} s"
    return _check("Retry-After", wanted, ok=not wrong, measured=shown, statement=text)


def _others(limit: RateLimit, found: Measured) -> Check:
    harmed = [a for a in found.others if not a.admitted]
    shown = f"{len(harmed)} of {len(found.others)} failed"
    text = (
        f"{shown[:1].upper()}{shown[1:]} that other keys sent within their limit, while one key"
        " sent twice its own."
    )
    return _check(
        "other keys", "none fails", ok=not harmed, measured=shown, statement=text, odd=harmed
    )


def _goodput(limit: RateLimit, found: Measured) -> Check:
    good = sum(a.admitted for a in found.overload)
    low = GOODPUT * limit.requests
    broken = [a for a in found.overload if not a.admitted and a.status != REFUSED]
    text = (
        f"Of {len(found.overload):,} requests in {format_duration(found.span_s)}, twice the limit,"
        f" {good:,} were carried out; {limit.requests:,} in"
        f" {format_duration(limit.window_s)} are declared."
    )
    ok = good >= low and not broken
    wanted = f"at least {low:g}"
    return _check("goodput at twice", wanted, ok=ok, measured=str(good), statement=text, odd=broken)


def _recovery(limit: RateLimit, found: Measured) -> Check:
    refusal, again = found.recovery
    wanted = "carried out after Retry-After"
    if refusal.admitted:
        text = "The overloaded key was not refused in the end."
        return Check("recovery", "inconclusive", "not refused", wanted, text)
    waited = seconds_of(refusal.retry_after)
    after = format_duration(limit.window_s if waited is None else waited)
    how = "carried out" if again.admitted else f"answered with {again.status or again.error}"
    text = f"The overloaded key's first request after {after} was {how}."
    return _check("recovery", wanted, ok=again.admitted, measured=how, statement=text)
