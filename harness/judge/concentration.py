"""Where the bad requests of a run are concentrated: at one address, or at one value of a feed.

A service behind several addresses that is slow or fails at one of them, or for one record only,
misses its objectives as any other does. What these requests have in common is the shortest way to
the cause. The sentences state shares of this run; they decide nothing.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness._engine import Histogram
from harness.events import ProcessLog
from harness.judge.model import Outcome
from harness.messages import AddressTotals, FailingValue
from harness.record.run import RunRecord
from harness.units import format_duration, format_ratio

LEAST = 20
"""Bad requests below which nothing is said: of fewer, two equal addresses show nine in ten at one
of them too often (Binomial(20, 1/2): in 1 run of 2,500)."""

SHARE = 0.9
"""Of the bad requests that one address or value must have; the rest are stragglers."""

MOST_USUAL = 0.6
"""Of all requests: an address or value that has more of them has most of the bad ones anyhow. Of
two addresses in turn each has half."""


def concentrations(record: RunRecord) -> tuple[str, ...]:
    """A sentence on each place where nine in ten of the failed or the slow requests are."""
    return tuple(
        text for text in (_failed(record), _slow(record), *_values(record)) if text is not None
    )


@dataclass(frozen=True, slots=True)
class _Counts:
    """Requests by address: the bad ones, and all that have ended."""

    bad: Mapping[str, int]
    all: Mapping[str, int]

    def sentence(self, what: str) -> str | None:
        total = sum(self.bad.values())
        if len(self.all) < 2 or total < LEAST:  # noqa: PLR2004 - one address has everything
            return None
        worst = max(self.bad, key=lambda each: self.bad[each])
        usual = self.all[worst] / sum(self.all.values())
        if self.bad[worst] < SHARE * total or usual > MOST_USUAL:
            return None
        return (
            f"{_of(self.bad[worst], total, what)} went to {worst}, one of {len(self.all)} addresses"
            f" with {format_ratio(usual)} of the requests."
        )


def _of(part: int, total: int, what: str) -> str:
    share = "All" if part == total else f"{format_ratio(part / total)} of"
    return f"{share} {total:,} {what}"


def _failed(record: RunRecord) -> str | None:
    bad: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    for each in record.of(AddressTotals):
        bad[each["address"]] += each["failed"]
        ended[each["address"]] += each["failed"] + each["completed"]
    return _Counts(bad, ended).sentence("failed requests")


def _slow(record: RunRecord) -> str | None:
    limits = [o for o in record.service.objectives if o.indicator == "latency" and not o.endpoints]
    if not limits:
        return None
    limit = limits[0].threshold
    bad: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    for each in record.of(AddressTotals):
        values, counts = Histogram.decode(each["response"]).buckets()
        slow = int(counts[np.asarray(values) > limit * 1e9].sum())
        bad[each["address"]] += slow
        ended[each["address"]] += each["completed"]
    return _Counts(bad, ended).sentence(f"requests beyond {format_duration(limit)}")


def _values(record: RunRecord) -> list[str | None]:
    traffic = record.plan.traffic
    feeds = {name: feed for each in (traffic, *traffic.others) for name, feed in each.feeds.items()}
    failed: dict[str, Counter[str]] = {}
    of: dict[tuple[int, str], int] = {}
    for each in record.of(FailingValue):
        failed.setdefault(each["feed"], Counter())[each["value"]] += each["failed"]
        of[each.get("worker", 0), each["feed"]] = each["of"]
    lost = sum(each["failed"] for each in record.of(AddressTotals))
    found = []
    for feed, counts in failed.items():
        (value, most) = counts.most_common(1)[0]
        total = sum(number for (_, name), number in of.items() if name == feed)
        concerns_all = total >= max(LEAST, SHARE * lost)
        if concerns_all and most >= SHARE * total and most_likely(feeds[feed]) <= MOST_USUAL:
            found.append(f"{_of(most, total, 'failed requests')} had {feed} = {value}.")
    return [*found]


def most_likely(feed: Mapping[str, object]) -> float:
    """The probability of the likeliest value of a feed; 1 where its law is not known."""
    match feed:
        case {"kind": "zipf", "n": int(n), "s": float() | int() as s}:
            return float(1 / (np.arange(1, n + 1, dtype=np.float64) ** -float(s)).sum())
        case {"kind": "uniform", "low": int(low), "high": int(high)}:
            return 1 / (high - low + 1)
        case {"kind": "sequence" | "uuid"}:
            return 0.0
        case _:
            return 1.0


MOST = 3
"""Replicas that are quoted; the record has the logs of all."""


def printed_last(record: RunRecord, outcome: Outcome) -> tuple[str, ...]:
    """A sentence with the last line of each replica that printed one; none for a pass."""
    if outcome == "pass":
        return ()
    found = {e["where"]: e["lines"] for e in record.of(ProcessLog) if e["lines"]}
    return tuple(f"{name} printed last: {lines[-1]}" for name, lines in [*found.items()][:MOST])
