"""What a report says, whatever was judged: an exporter renders a summary and knows no more."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.judge.model import Judged

FILES_ONLY = 1_000_000
"""A width that no terminal has."""


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text below their header; the first column names the row.

    `numbers` are the columns set right. `needs` is the width of a terminal from which a column is
    shown. `folded` is the heading below which a comment hides the table.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[str, ...] = ()
    needs: Mapping[str, int] = field(default_factory=dict)
    folded: str | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """A verdict in text: why, on what it rests, and each thing that was judged.

    `subject` names the suite of a CI server, `service` is the prefix of its cases. `notes` are
    sentences below the tables, `lines` pairs of a name and a text below these, `provenance` is the
    small print of files. `began` is an instant in UTC (ISO 8601), `seconds` how long it took.
    """

    subject: str
    service: str
    title: str
    outcome: str
    reasons: tuple[str, ...] = ()
    judged: tuple[Judged, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    lines: tuple[tuple[str, str], ...] = ()
    provenance: tuple[str, ...] = ()
    began: str | None = None
    seconds: float | None = None


def word_of(judged: Judged) -> str:
    """The word that stands for its outcome."""
    return judged.label or judged.outcome or "not judged"
