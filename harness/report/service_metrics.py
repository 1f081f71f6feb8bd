"""Service metrics, as Prometheus has it, beside the harness's figures for the same hold."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import fmean, median
from typing import Any

from harness.errors import RecordError
from harness.prometheus import FILE, QUANTILES, kept
from harness.record.run import RunRecord
from harness.report import figures
from harness.report.summary import Table
from harness.units import format_rate, format_ratio

HEADER = ("figure (hold)", "service metrics", "harness")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure twice: as the service counted it, and as it was measured from outside.

    Seconds, requests a second, shares, cores or a count; None where nobody knows.
    """

    name: str
    own: float | None
    measured: float | None
    own_text: str
    measured_text: str


@dataclass(frozen=True, slots=True)
class ServiceMetrics:
    """All figures; `notes` say what could not be had and why."""

    url: str
    window_s: int
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    @property
    def table(self) -> Table:
        """Both figures side by side, as text."""
        rows = tuple((row.name, row.own_text, row.measured_text) for row in self.rows)
        return Table(HEADER, rows, numbers=HEADER[1:])

    def as_dict(self) -> dict[str, object]:
        """Every field by its name."""
        return asdict(self)


def service_metrics(record: RunRecord) -> ServiceMetrics | None:
    """What prometheus.json of the record says; None where nobody was asked."""
    stored = kept(record)
    if stored is None:
        return None
    try:
        series = {name: found["points"] for name, found in stored["series"].items()}
        rows = tuple(_rows(record, series)) if series else ()
        return ServiceMetrics(stored["url"], stored["window_s"], rows, tuple(stored["notes"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        path = record.directory / FILE
        raise RecordError(f"{path}: {error!r}", "remove it: it is no part of the verdict") from None


def _rows(record: RunRecord, series: Mapping[str, Sequence[Sequence[float]]]) -> list[Row]:
    """Means over the hold, the median of the windows' quantiles, the restarts of the whole run."""
    whole = figures.endpoint_figures(record)[-1]
    seconds = len(record.seconds_of("hold"))
    answered = whole.completed + whole.failed
    measured = {
        "request_rate": answered / seconds if seconds else None,
        "error_ratio": (whole.failed + whole.unfinished) / whole.offered if whole.offered else None,
        **dict(zip(QUANTILES, whole.response, strict=False)),
    }
    held = {name: _in_hold(record, points) for name, points in series.items()}
    found = []
    for name, own in (
        ("request_rate", _of(fmean, held, "request_rate")),
        ("error_ratio", _of(fmean, held, "error_ratio")),
        *((name, _of(median, held, name)) for name in QUANTILES),
        ("cpu", _of(fmean, held, "cpu")),
        ("restarts", _rises(series.get("restarts"))),
    ):
        ours = measured.get(name)
        if own is not None or ours is not None:
            found.append(Row(_WORDS[name], own, ours, _text(name, own), _text(name, ours)))
    return found


def _in_hold(record: RunRecord, points: Sequence[Sequence[float]]) -> list[float]:
    held = [(begin, end) for phase, begin, end in record.plan.profile.phases() if phase == "hold"]
    return [number for at, number in points if any(begin <= at <= end for begin, end in held)]


def _of(how: Any, held: Mapping[str, list[float]], name: str) -> float | None:
    numbers = held.get(name)
    return float(how(numbers)) if numbers else None


def _rises(points: Sequence[Sequence[float]] | None) -> float | None:
    """How often a counter rose; it falls when a pod goes with its count."""
    if not points:
        return None
    return sum(max(0.0, after[1] - before[1]) for before, after in pairwise(points))


_WORDS = {
    "request_rate": "answered requests",
    "error_ratio": "error ratio",
    **{name: f"{name} latency" for name in QUANTILES},
    "cpu": "CPU, all pods",
    "restarts": "restarts in the run",
}


def _text(name: str, number: float | None) -> str:
    if number is None:
        return figures.UNKNOWN
    if name == "request_rate":
        return format_rate(number)
    if name == "error_ratio":
        return format_ratio(number)
    if name in QUANTILES:
        return figures.duration(number)
    return f"{number:.2f} cores" if name == "cpu" else f"{number:.0f}"
