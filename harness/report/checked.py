"""A verdict that is made of checks on a terminal."""

from typing import TextIO

from harness.judge.checked import Checked
from harness.judge.model import Judged
from harness.report.summary import Summary, Table
from harness.report.terminal import print_summary


def summary(verdict: Checked, subject: str, title: str, measured: str) -> Summary:
    """The verdict in text, a row a check; `measured` heads the column of what was seen."""
    rows = [(c.name, c.limit, c.measured, str(c.outcome)) for c in verdict.checks]
    return Summary(
        subject=subject,
        service=verdict.service,
        title=title,
        outcome=verdict.outcome,
        reasons=tuple(c.statement for c in verdict.checks if c.outcome != "pass"),
        judged=tuple(Judged(c.name, c.outcome, c.statement) for c in verdict.checks),
        tables=(Table(("check", "wanted", measured, "verdict"), tuple(rows)),),
    )


def print_checked(
    verdict: Checked, stream: TextIO, subject: str, title: str, measured: str = "measured"
) -> None:
    """The verdict and why."""
    print_summary(summary(verdict, subject, title, measured), stream)
