"""What streamed answers were, under the names that AIPerf gives its metrics."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from harness.record.distribution import Distribution
from harness.record.run import RunRecord
from harness.record.series import Kind
from harness.report import figures
from harness.report.summary import Table
from harness.traffic.endpoints import stream_endpoints
from harness.units import format_rate

TIMES: Mapping[str, Kind] = {
    "time_to_first_byte": "ttfb",
    "time_to_first_token": "ttft",
    "inter_token_latency": "itl",
    "inter_chunk_latency": "gap",
    "request_latency": "response",
}
"""AIPerf's names (https://github.com/ai-dynamo/aiperf), each with its histogram of the record. All
but the two between tokens count from the instant at which the request was due."""

TOKEN_S = 1e-3
"""The histogram of lengths holds a token as a millisecond."""

QUANTILES = (0.5, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True, eq=False)
class StreamFigures:
    """One endpoint's streams in the hold of `seconds`; counts of requests but for `tokens`.

    `times` are in seconds by AIPerf's name, `lengths` in tokens; both of completed streams, but for
    `inter_chunk_latency`, which holds every gap. `coalesced` are events that came together with
    the one before, whose gap counts as none.
    """

    name: str
    seconds: int
    offered: int
    completed: int
    broken: int
    good: int
    tokens: int
    events: int
    coalesced: int
    times: Mapping[str, Distribution]
    lengths: Distribution


def stream_figures(record: RunRecord) -> tuple[StreamFigures, ...]:
    """Each endpoint with streams, and all of these together last where there are several."""
    known = set(record.endpoints)
    names = tuple(name for name in stream_endpoints(record.plan.traffic) if name in known)
    found = [_figures(record, name, (name,)) for name in names]
    return (*found, *([_figures(record, figures.ALL, names)] if len(names) > 1 else ()))


def _figures(record: RunRecord, title: str, names: tuple[str, ...]) -> StreamFigures:
    seconds = record.seconds_of("hold")
    series = [record.series("due", name) for name in names]

    def total(counter: str) -> int:
        return sum(int(getattr(each, counter)[seconds].sum()) for each in series)

    def times(kind: Kind) -> Distribution:
        return Distribution.merge(record.distribution(kind, endpoint=name) for name in names)

    lengths = times("length")
    return StreamFigures(
        name=title,
        seconds=len(seconds),
        offered=total("offered"),
        completed=total("completed"),
        broken=sum(
            int(each.errors["broken_stream"][seconds].sum())
            for each in series
            if "broken_stream" in each.errors
        ),
        good=total("good"),
        tokens=total("tokens"),
        events=total("events"),
        coalesced=total("coalesced"),
        times={name: times(kind) for name, kind in TIMES.items()},
        lengths=Distribution(np.divide(lengths.values, TOKEN_S, dtype=np.float64), lengths.counts),
    )


def streams_table(record: RunRecord) -> Table | None:
    """The streams of the hold; None where there were none."""
    found = stream_figures(record)
    if not found:
        return None
    header = (
        "streams (hold)", "TTFT p50", "TTFT p95", "TTFT p99", "ITL p50", "ITL p95", "ITL p99",
        "gap p99", "tokens/s", "length", "broken", "goodput",
    )  # fmt: skip
    needs = {"TTFT p99": 110, "ITL p99": 110, "gap p99": 100, "length": 100}
    return Table(
        header, tuple(_row(each) for each in found), header[1:], needs, folded="Streams in the hold"
    )


def _row(each: StreamFigures) -> tuple[str, ...]:
    first, between = each.times["time_to_first_token"], each.times["inter_token_latency"]
    seconds = max(each.seconds, 1)
    length = each.lengths.mean
    return (
        each.name,
        *(figures.duration(first.quantile(q)) for q in (0.5, 0.95, 0.99)),
        *(figures.duration(between.quantile(q)) for q in (0.5, 0.95, 0.99)),
        figures.duration(each.times["inter_chunk_latency"].quantile(0.99)),
        format_rate(each.tokens / seconds).removesuffix("/s"),
        figures.UNKNOWN if length is None else f"{length:,.0f}",
        f"{each.broken:,}",
        f"{format_rate(each.good / seconds)} ({each.good / max(each.offered, 1) * 100:.4g} %)",
    )


def streams_json(record: RunRecord) -> dict[str, dict[str, object]] | None:
    """`endpoint` -> AIPerf's name -> `unit` and figures; None where there were no streams."""
    found = {each.name: _json(each) for each in stream_figures(record)}
    return found or None


def _json(each: StreamFigures) -> dict[str, object]:
    seconds = max(each.seconds, 1)
    rates: Iterable[tuple[str, str, float]] = (
        ("output_token_throughput", "tokens/sec", each.tokens / seconds),
        ("request_throughput", "requests/sec", each.completed / seconds),
        ("goodput", "requests/sec", each.good / seconds),
    )
    counts = {
        "request_count": each.offered, "good_request_count": each.good,
        "broken_stream_count": each.broken, "total_output_tokens": each.tokens,
        "chunk_count": each.events, "coalesced_chunk_count": each.coalesced,
    }  # fmt: skip
    return {
        **{name: _spread("ms", found, 1e3) for name, found in each.times.items()},
        "output_sequence_length": _spread("tokens", each.lengths, 1.0),
        **{name: {"unit": unit, "avg": rate} for name, unit, rate in rates},
        **{name: {"unit": "count", "avg": count} for name, count in counts.items()},
    }


def _spread(unit: str, found: Distribution, scale: float) -> dict[str, object]:
    """Mean, quantiles and extremes; None of nothing."""
    low = float(found.values[0]) if found.count else None
    values = {
        "avg": found.mean,
        **{f"p{q * 100:g}": found.quantile(q) for q in QUANTILES},
        "min": low,
        "max": found.maximum,
    }
    return {
        "unit": unit,
        "count": found.count,
        **{name: None if value is None else value * scale for name, value in values.items()},
    }
