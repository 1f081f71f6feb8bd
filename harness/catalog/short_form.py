"""Objectives as people type them: `p95 < 100ms`, `errors < 0.1%`, `recall: p99 < 50ms`."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from harness.catalog.model import Indicator, Objective, Service
from harness.errors import UsageError, did_you_mean
from harness.units import parse_duration, parse_rate, parse_ratio

_FORM = re.compile(
    r"(?:(?P<endpoints>.*\S)\s*:\s)?\s*(?:(?P<of>ttft|itl)\s+)?"
    r"(?P<metric>[a-z]+|p\d+(?:\.\d+)?)\s*"
    r"(?P<op><=|>=|<|>)\s*(?P<value>\S+(?: %)?)\s*"
)
FORMS = (
    "write p95 < 100ms, errors < 0.1%, throughput >= 2000/s, availability >= 99.9%,"
    " ttft p95 < 300ms, itl p95 < 50ms, goodput >= 95% or recall: p99 < 50ms"
)
_TIMES: dict[str | None, Indicator] = {
    None: "latency",
    "ttft": "time_to_first_token",
    "itl": "inter_token_latency",
}
_SHARES: tuple[Indicator, ...] = ("availability", "goodput")
_MOST_NINES = 99.999


def parse_objective(text: str) -> Objective:
    """One objective, endpoints before a colon; raises ValueError with the accepted forms."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no objective; {FORMS}")
    endpoints = tuple(
        name.strip() for name in (match["endpoints"] or "").split(",") if name.strip()
    )
    metric, upper = match["metric"], match["op"].startswith("<")
    value = match["value"].replace(" ", "")
    if metric[0] == "p" and metric[1:2].isdigit():
        quantile, limit = float(metric[1:]) / 100, parse_duration(value)
        if not 0 < quantile <= _MOST_NINES / 100 or limit <= 0 or not upper:
            raise ValueError(f"{text!r} is no latency objective; write p95 < 100ms")
        name = metric if match["of"] is None else f"{match['of']} {metric}"
        return Objective(name, _TIMES[match["of"]], limit, quantile, endpoints)
    if match["of"] is not None:
        raise ValueError(f"{text!r} is no objective; {FORMS}")
    if metric == "errors" and upper and 0 < (share := parse_ratio(value)) < 1:
        return Objective("errors", "error_ratio", share, endpoints=endpoints)
    if metric == "throughput" and not upper and (rate := parse_rate(value)) > 0:
        return Objective("throughput", "throughput", rate, endpoints=endpoints)
    for share_of in _SHARES:
        if metric == share_of and not upper and 0 < (share := parse_ratio(value)) < 1:
            return Objective(metric, share_of, share, endpoints=endpoints)
    raise ValueError(f"{text!r} is no objective; {FORMS}")


def with_objectives(service: Service, extra: Sequence[Objective]) -> Service:
    """The service with these objectives; each replaces one that is about the same thing."""
    about = {_subject(objective) for objective in extra}
    kept = [objective for objective in service.objectives if _subject(objective) not in about]
    return replace(service, objectives=(*kept, *extra)) if extra else service


def _subject(objective: Objective) -> tuple[str, float | None, tuple[str, ...]]:
    return objective.indicator, objective.quantile, objective.endpoints


def check_endpoints(objectives: Iterable[Objective], known: Sequence[str]) -> None:
    """Raise UsageError for an objective whose endpoints the scenario does not have."""
    for objective in objectives:
        for pattern in objective.endpoints:
            if not any(fnmatchcase(name, pattern) for name in known):
                raise UsageError(
                    f"objective {objective.name}: no endpoint {pattern!r} in the scenario",
                    f"{did_you_mean(pattern, known)}it has {', '.join(known)}",
                )
