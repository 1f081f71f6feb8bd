"""Chains as units in the hold: how many began, completed and failed, and how long they took."""

from dataclasses import dataclass

from harness.record.run import RunRecord
from harness.report.figures import QUANTILES, duration
from harness.report.summary import Table

_NAMES = tuple(f"p{q * 100:g}" for q in QUANTILES)


@dataclass(frozen=True, slots=True)
class ChainFigures:
    """One chain in the hold.

    `response` has the quantiles of QUANTILES in seconds, of all its requests together, each from
    the instant due: no think time. None where none completed.
    """

    name: str
    begun: int
    completed: int
    failed: int
    response: tuple[float | None, ...]


def chain_figures(record: RunRecord) -> tuple[ChainFigures, ...]:
    """Every chain of every population."""
    models = (record.plan.traffic, *record.plan.traffic.others)
    return tuple(_figures(record, each.name) for model in models for each in model.chains)


def _figures(record: RunRecord, name: str) -> ChainFigures:
    seconds = record.seconds_of("hold")
    series = record.series("chain", name)
    took = record.distribution("response", endpoint=name, axis="chain")
    return ChainFigures(
        name,
        begun=int(series.offered[seconds].sum()),
        completed=int(series.completed[seconds].sum()),
        failed=int(series.failed[seconds].sum()),
        response=tuple(map(took.quantile, QUANTILES)),
    )


def chains_table(record: RunRecord) -> Table | None:
    """A row for each chain; None where there is none."""
    rows = tuple(
        (
            each.name, f"{each.begun:,}", f"{each.completed:,}", f"{each.failed:,}",
            *map(duration, each.response),
        )
        for each in chain_figures(record)
    )  # fmt: skip
    header = ("chain (hold)", "begun", "completed", "failed", *_NAMES)
    needs = {"p99.9": 100}
    return Table(header, rows, header[1:], needs, folded="Chains in the hold") if rows else None


def chains_json(record: RunRecord) -> dict[str, dict[str, object]] | None:
    """The same by the chain's name, quantiles in seconds; None where there is none."""
    found: dict[str, dict[str, object]] = {
        each.name: {
            "begun": each.begun,
            "completed": each.completed,
            "failed": each.failed,
            "response_s": dict(zip(_NAMES, each.response, strict=True)),
        }
        for each in chain_figures(record)
    }
    return found or None
