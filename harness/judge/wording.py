"""The sentences of a result: the numbers that decided, and what would settle what they did not."""

import math
from collections.abc import Mapping, Sequence

from harness.catalog.model import Indicator, Objective
from harness.judge.evidence import Evidence
from harness.judge.model import ResultWord
from harness.record.run import RunRecord
from harness.stats.shares import ShareFinding, Stall, clean_requests
from harness.units import counted, format_duration, format_rate, format_ratio

Bounds = tuple[float | None, float | None, float | None]
"""Low, estimate and high of a quantile in seconds."""


def closed(names: Sequence[str] = ()) -> str:
    """What is to be known of times in a closed model, of these populations or of all."""
    of = f" ({', '.join(names)})" if names else ""
    return f"Closed model{of}: from the actual start; no arrival rate is offered."


MOST_STALLS = 3
"""Stalls that a sentence lists one by one."""


_TIMES: Mapping[Indicator, tuple[str, str]] = {
    "latency": ("", "of the requests were not answered within"),
    "time_to_first_token": ("TTFT ", "of the streams did not bring a token within"),
    "inter_token_latency": ("ITL ", "of the streams broke or took longer for a token than"),
}


def latency(
    evidence: Evidence,
    objective: Objective,
    found: ShareFinding,
    outcome: ResultWord,
    bounds: Bounds,
) -> str:
    """One sentence on an objective for a time."""
    q = objective.quantile if objective.quantile is not None else 0.95
    limit = format_duration(objective.threshold)
    what, slow = _TIMES[objective.indicator]
    shown = f"{what}p{q * 100:g} {_bounded(bounds)}"
    slow = f"{_share(found)} {slow} {limit}"
    allowed = f"{(1 - q) * 100:.3g} % may be"
    match outcome:
        case _ if not evidence.completed.sum():
            return "No request was answered well in the hold."
        case "pass":
            return f"{shown} is below {limit}: {slow}, {allowed}{_stalls(found, evidence)}."
        case "fail" if found.why == "sustained":
            return (
                f"{shown} is not below {limit}: {_sustained(found, evidence)}; {slow}, {allowed}."
            )
        case "fail":
            return f"{shown} is not below {limit}: {slow}, {allowed}{_stalls(found, evidence)}."
        case "invalid":
            return (
                f"{shown} may owe its miss of {limit} to the generator or its machine, which"
                f" explain up to {format_duration(evidence.explained_s())}."
            )
        case _:
            return _open_latency(
                found, evidence, f"{what}p{q * 100:g} < {limit}", shown, slow, allowed
            )


def _open_latency(
    found: ShareFinding, evidence: Evidence, wanted: str, shown: str, slow: str, allowed: str
) -> str:
    if found.outcome is None:
        return f"{shown}: {_too_few(found, evidence)}."
    if found.why == "stalls":
        return (
            f"{_upper_stalls(found, evidence)}: one more like it would miss {wanted};"
            f" {price(found.more_s)}."
        )
    return f"{shown} may lie on either side of {wanted}: {slow}, {allowed}; {price(found.more_s)}."


def _sustained(found: ShareFinding, evidence: Evidence) -> str:
    bad = sum(stall.end - stall.begin for stall in found.stalls)
    seconds = counted(len(evidence.seconds), "second")
    return f"{bad} of {seconds} missed it, {_missed(found, evidence)}"


def _missed(found: ShareFinding, evidence: Evidence) -> str:
    longest = max(found.stalls, key=lambda stall: stall.end - stall.begin)
    length = counted(longest.end - longest.begin, "second")
    return f"{length} in a row from second {evidence.seconds[longest.begin]}"


def errors(
    evidence: Evidence, objective: Objective, found: ShareFinding, outcome: ResultWord
) -> str:
    """One sentence on an error objective."""
    n, bad = int(evidence.offered.sum()), int(evidence.lost.sum())
    limit = f"{objective.threshold * 100:.6g} %"
    failed = f"{bad:,} of {n:,} requests failed"
    shown = f"error ratio {_share(found)}"
    match outcome:
        case "pass":
            return upper(f"{shown} is below {limit}.")
        case "fail":
            long = found.why == "sustained"
            where = f", {_missed(found, evidence)}" if long else _stalls(found, evidence)
            return upper(f"{shown} is not below {limit}: {failed}{where}.")
        case "invalid":
            own = int(evidence.own.sum())
            return upper(f"{shown} of {limit}: {own:,} requests failed at the generator itself.")
        case None:
            return f"{failed}; {_too_few(found, evidence)}."
        case _ if found.why == "stalls":
            return (
                f"{_upper_stalls(found, evidence)}: {failed}, {format_ratio(found.share)} where"
                f" {limit} is allowed; {price(found.more_s)}."
            )
        case _:
            return upper(f"{shown} may lie on either side of {limit}; {price(found.more_s)}.")


def goodput(
    evidence: Evidence, objective: Objective, found: ShareFinding, outcome: ResultWord, rate: float
) -> str:
    """One sentence on a goodput objective."""
    share, low, high = (f"{(1 - p) * 100:.4g} %" for p in (found.share, found.high, found.low))
    shown = (
        f"Goodput {format_rate(rate)}, {share} ({low} to {high}) of the"
        f" streams were within all limits"
    )
    wanted = f"{objective.threshold * 100:.6g} %"
    match outcome:
        case "pass":
            return f"{shown}; {wanted} is reached{_stalls(found, evidence)}."
        case "fail":
            long = found.why == "sustained"
            where = f", {_missed(found, evidence)}" if long else _stalls(found, evidence)
            return f"{shown}; {wanted} is not reached{where}."
        case "invalid":
            return f"{shown}: the generator or its machine may have decided that {wanted} is not."
        case None:
            return f"{shown}; {_too_few(found, evidence)}."
        case _:
            return f"{shown}, too close to {wanted} to tell; {price(found.more_s)}."


def throughput(
    estimate: str, objective: Objective, outcome: ResultWord, found: ShareFinding
) -> str:
    """One sentence on a throughput objective that was tested."""
    wanted = format_rate(objective.threshold)
    match outcome:
        case "pass":
            return upper(f"{estimate}; {wanted} is reached.")
        case "fail":
            return upper(f"{estimate}; {wanted} is not reached.")
        case "invalid":
            return upper(f"{estimate}: the generator itself lost what misses {wanted}.")
        case None:
            return upper(f"{estimate}: too few requests to tell.")
        case _:
            return upper(f"{estimate}, too close to {wanted} to tell; {price(found.more_s)}.")


def _too_few(found: ShareFinding, evidence: Evidence) -> str:
    n = int(evidence.offered.sum())
    needed = clean_requests(found.limit)
    if found.share:
        more = "" if found.more_s is None else f"; {price(found.more_s)}"
        return f"{n:,} requests are too few to tell{more}"
    rate = n / len(evidence.seconds)
    length = format_duration(math.ceil(needed / rate))
    return f"{needed:,} without a bad one would show it: {length} at this rate"


def _bounded(bounds: Bounds) -> str:
    low, value, high = bounds
    if value is None:
        return "beyond every answer"  # a share that none was given to has no quantile
    if low is None or high is None:
        return format_duration(value)
    return f"{format_duration(value)} ({format_duration(low)} to {format_duration(high)})"


def _share(found: ShareFinding) -> str:
    low, high = format_ratio(found.low), format_ratio(found.high)
    return f"{format_ratio(found.share)} ({low} to {high})"


def _stalls(found: ShareFinding, evidence: Evidence) -> str:
    return f"; {describe_stalls(found.stalls, evidence)}" if found.stalls else ""


def _upper_stalls(found: ShareFinding, evidence: Evidence) -> str:
    return upper(describe_stalls(found.stalls, evidence))


def describe_stalls(stalls: tuple[Stall, ...], evidence: Evidence) -> str:
    """`a stall of 1 s at second 15 (3.3 % of the requests)`, or how many there were."""
    n = int(evidence.offered.sum())
    bad = format_ratio(sum(stall.bad for stall in stalls) / n)
    if len(stalls) == 1:
        length = format_duration(stalls[0].end - stalls[0].begin)
        second = evidence.seconds[stalls[0].begin]
        return f"a stall of {length} at second {second} ({bad} of the requests)"
    places = [str(evidence.seconds[stall.begin]) for stall in stalls[:MOST_STALLS]]
    more = ", …" if len(stalls) > MOST_STALLS else ""
    return f"{len(stalls)} stalls at seconds {', '.join(places)}{more} ({bad} of the requests)"


def method(found: ShareFinding, evidence: Evidence) -> str:
    """How the interval was made, or why there is none."""
    if found.why == "sustained":
        longest = max(found.stalls, key=lambda stall: stall.end - stall.begin)
        place = longest.begin or min(longest.end, len(evidence.seconds) - 1)
        whole = longest.end - longest.begin == len(evidence.seconds)
        return "no interval: " + (
            "every second missed it"
            if whole
            else f"not steady: see second {evidence.seconds[place]}"
        )
    if found.effect == 1:
        return "exact binomial (Clopper-Pearson) of the requests beyond the limit"
    return (
        f"Wilson's interval of the requests beyond the limit, in clusters (design effect"
        f" {found.effect:.1f})"
    )


def not_tested(record: RunRecord, wanted: str, rate: float) -> str:
    """Why a throughput objective was not tested."""
    if record.plan.profile.model == "closed":
        users = counted(record.plan.profile.users, "user")
        return (
            f"Not tested at {wanted}: {users} in a closed loop asked for only {format_rate(rate)}"
        )
    return f"Not tested at {wanted}: the profile offered only {format_rate(rate)}"


def slices(bad: int, total: int, window_s: float) -> str:
    """`60 of 60 slices of 1 m were good`."""
    length = format_duration(window_s).replace("1m 00s", "1 minute")
    verb = "was" if total == 1 else "were"
    return f"{total - bad} of {counted(total, 'slice')} of {length} {verb} good"


def price(more_s: float | None) -> str:
    """What a longer hold would take, or that none of a reasonable length tells."""
    if more_s is None:
        return "no hold of a reasonable length would tell"
    if more_s < 120:  # noqa: PLR2004 - two minutes
        return f"a hold about {max(10, math.ceil(more_s / 10) * 10)} s longer would tell"
    if more_s < 7200:  # noqa: PLR2004 - two hours
        return f"a hold about {math.ceil(more_s / 60)} minutes longer would tell"
    return f"a hold about {math.ceil(more_s / 3600)} hours longer would tell"


def upper(sentence: str) -> str:
    """The sentence with a capital, except before a quantile such as p95."""
    quantile = sentence[:1] == "p" and sentence[1:2].isdigit()
    return sentence if quantile else sentence[:1].upper() + sentence[1:]
