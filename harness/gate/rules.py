"""Which row may decide, by how much it may be worse, and which way is worse."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.baseline.model import QUANTILES, TOTAL
from harness.errors import UsageError
from harness.units import parse_ratio

Role = Literal["critical", "gates", "shown"]
ROLES: Mapping[str, Role] = {"critical": "critical", "gates": "gates", "shown": "shown"}
METRICS = (*QUANTILES, "error_ratio", "throughput")
PRESENCE = "presence"
"""The row that says whether an endpoint is there at all."""

ANY = "*"
ALL_TOGETHER = "total"
SYNTAX = "write ENDPOINT:METRIC=WORDS, e.g. pay:p95=critical,10%"

LEAST_TAIL = 5.0
"""Requests beyond a quantile, in an average run, below which doubt about it is no doubt of the
gate: one request more or less moves it by a tenth or more."""

MOST_TOLERANCE = 1.0
"""Twice as slow matters, however few the requests."""


@dataclass(frozen=True, slots=True)
class RowRule:
    """What one rule says of the rows it names; None leaves the default.

    `endpoint` is a name, `total` (all endpoints together) or `*` (each of them and the total);
    `metric` is a name or `*`. `tolerance` is a share, of an error ratio the absolute difference.
    """

    endpoint: str
    metric: str
    role: Role | None = None
    tolerance: float | None = None
    lower_is_better: bool | None = None

    def names(self, endpoint: str, metric: str) -> bool:
        """Whether the rule is about this row."""
        together = self.endpoint == ALL_TOGETHER and endpoint == TOTAL
        return (together or self.endpoint in {ANY, endpoint}) and self.metric in {ANY, metric}


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for one row; `tolerance` as in RowRule. `thin`: see LEAST_TAIL."""

    role: Role
    tolerance: float
    lower_is_better: bool
    thin: bool


def parse_rule(text: str, where: str = "--row") -> RowRule:
    """A rule from `ENDPOINT:METRIC=WORDS`, words separated by commas.

    A word is a role (`critical`, `gates`, `shown`), a tolerance (`10%`), or which way is better
    (`lower`, `higher`). Raises UsageError that names `where` and the word.
    """
    name, equals, words = text.rpartition("=")
    endpoint, colon, metric = name.rpartition(":")
    if not (equals and colon and endpoint and words):
        raise UsageError(f"{where}: {text!r} is no rule for a row", SYNTAX)
    if metric not in {ANY, PRESENCE, *METRICS}:
        raise UsageError(f"{where}: {text!r}: no metric {metric!r}", f"one of {', '.join(METRICS)}")
    role: Role | None = None
    tolerance: float | None = None
    lower: bool | None = None
    for word in (each.strip() for each in words.split(",")):
        if word in {"lower", "higher"}:
            lower = word == "lower"
        elif word in ROLES:
            role = ROLES[word]
        else:
            tolerance = _tolerance(word, text, where)
    return RowRule(endpoint, metric, role, tolerance, lower)


def _tolerance(word: str, text: str, where: str) -> float:
    try:
        found = parse_ratio(word)
    except ValueError:
        raise UsageError(
            f"{where}: {text!r}: {word!r} is no role, tolerance or direction",
            "use critical, gates, shown, a share such as 10%, lower or higher",
        ) from None
    if not (math.isfinite(found) and found > 0):
        raise UsageError(f"{where}: {text!r}: the tolerance is {word}", "take one above 0")
    return found


def terms(
    endpoint: str,
    metric: str,
    rules: Sequence[RowRule],
    margin: float,
    requests: float,
    all_requests: float,
) -> Terms:
    """What holds for one row: the defaults, changed by the rules that name it, later ones last.

    `requests` are this endpoint's in an average run, `all_requests` those of all endpoints. By
    default everything gates but an endpoint's throughput, which follows the mix. The tolerance
    is `margin` where as many requests lie beyond the quantile as beyond the total's p95, and
    grows with one over the root of their number, as a quantile's own scatter does.
    """
    role: Role = "shown" if metric == "throughput" and endpoint != TOTAL else "gates"
    tail = tail_requests(metric, requests)
    reference = tail_requests("p95", all_requests)
    tolerance = margin
    if metric in QUANTILES:
        wider = math.sqrt(reference / tail) if tail > 0 else math.inf
        tolerance = max(margin, min(margin * max(1.0, wider), MOST_TOLERANCE))
    lower = metric != "throughput"
    for rule in rules:
        if rule.names(endpoint, metric):
            role = rule.role or role
            tolerance = tolerance if rule.tolerance is None else rule.tolerance
            lower = lower if rule.lower_is_better is None else rule.lower_is_better
    thin = metric in QUANTILES and tail < LEAST_TAIL and role != "critical"
    return Terms(role, tolerance, lower, thin)


def tail_requests(metric: str, requests: float) -> float:
    """How many of an average run's requests lie beyond the quantile; all for other metrics."""
    return requests * (1 - QUANTILES[metric]) if metric in QUANTILES else requests
