"""Chains as units in the hold: how many began, completed and failed, and how long they took."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from harness.record.run import RunRecord
from harness.report.figures import QUANTILES, duration
from harness.report.summary import Table


@dataclass(frozen=True, slots=True)
class ChainFigures:
    """One chain in the hold.

    `response_s` has the quantiles of QUANTILES by name, of all its requests together, each from
    the instant due: no think time. None where none completed.
    """

    name: str
    begun: int
    completed: int
    failed: int
    response_s: dict[str, float | None]


def chain_figures(record: RunRecord) -> Iterator[ChainFigures]:
    """Every chain of every population."""
    seconds = record.seconds_of("hold")
    models = (record.plan.traffic, *record.plan.traffic.others)
    for name in (each.name for model in models for each in model.chains):
        series = record.series("chain", name)
        took = record.distribution("response", endpoint=name, axis="chain")
        yield ChainFigures(
            name,
            begun=int(series.offered[seconds].sum()),
            completed=int(series.completed[seconds].sum()),
            failed=int(series.failed[seconds].sum()),
            response_s={f"p{q * 100:g}": took.quantile(q) for q in QUANTILES},
        )


def chains_table(record: RunRecord) -> Table | None:
    """A row for each chain; None where there is none."""
    rows = tuple(
        (
            each.name, f"{each.begun:,}", f"{each.completed:,}", f"{each.failed:,}",
            *map(duration, each.response_s.values()),
        )
        for each in chain_figures(record)
    )  # fmt: skip
    quantiles = (f"p{q * 100:g}" for q in QUANTILES)
    header = ("chain (hold)", "begun", "completed", "failed", *quantiles)
    needs = {"p99.9": 100}
    return Table(header, rows, header[1:], needs, folded="Chains in the hold") if rows else None


def chains_json(record: RunRecord) -> dict[str, dict[str, object]] | None:
    """The same by the chain's name, quantiles in seconds; None where there is none."""
    rows = map(asdict, chain_figures(record))
    return {row.pop("name"): row for row in rows} or None
