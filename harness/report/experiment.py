"""One experiment's verdict for a person at a terminal, and the words that all reports share."""

from harness.judge.experiment import Check, ExperimentVerdict
from harness.judge.failover import Milestones
from harness.judge.model import Judged
from harness.report.summary import Summary, Table
from harness.units import format_duration

MILESTONES: tuple[tuple[str, str], ...] = (
    ("injected", "injected"),
    ("impact", "first impact"),
    ("detected", "health check saw it"),
    ("alerted", "alert fired"),
    ("failed_over", "failed over"),
    ("recovered", "recovered"),
    ("healed", "healed"),
    ("failed_back", "failed back"),
    ("drained", "backlog drained"),
)
"""Field of `Milestones` -> its word, in the order in which they usually happen."""

NOT_JUDGED = "-"
HEADER = ("check", "measured", "limit", "verdict")


def after(seconds: float) -> str:
    """`+1.2 s`; what is measured in whole seconds may seem to lie a moment before."""
    return f"+{format_duration(seconds)}" if seconds > 0 else "+0 s"


def milestone_rows(marks: Milestones) -> list[tuple[str, str, str]]:
    """(what, second of the run, time after the injection), in the order of time."""
    found = [(word, at) for name, word in MILESTONES if (at := getattr(marks, name)) is not None]
    return [
        (word, f"{at:.1f} s", "" if word == "injected" else after(at - marks.injected))
        for word, at in sorted(found, key=lambda row: row[1])
    ]


def check_row(check: Check) -> tuple[str, str, str, str]:
    """A check as text, in the order of HEADER."""
    return check.name, check.measured, check.limit, check.outcome or NOT_JUDGED


def judged(check: Check) -> Judged:
    """A check as every report shows it."""
    return Judged(
        check.name, check.outcome, check.statement, wanted=check.limit, measured=check.measured,
        group="checks", label=check.outcome or NOT_JUDGED,
    )  # fmt: skip


def summary(verdict: ExperimentVerdict) -> Summary:
    """One experiment's verdict in text: the timeline and every check."""
    marks = verdict.milestones
    header = ("timeline", "at", "after the injection")
    timeline = (Table(header, tuple(milestone_rows(marks))),) if marks is not None else ()
    return Summary(
        subject=f"{verdict.service} {verdict.experiment}",
        service=verdict.service,
        title=f"{verdict.service}: {verdict.experiment}",
        outcome=verdict.outcome,
        reasons=verdict.reasons if verdict.outcome != "pass" else (),
        judged=tuple(map(judged, verdict.checks)),
        tables=(*timeline, Table(HEADER, tuple(map(check_row, verdict.checks)))),
    )
