"""The scorecard of a game day: one line for each experiment, one word for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import RecordError
from harness.judge.experiment import Check, ExperimentVerdict
from harness.judge.experiment.loss import AfterRecovery, together
from harness.judge.model import CERTAINTY, EXIT_CODES, Outcome
from harness.storage import read_object

if TYPE_CHECKING:  # a scorecard that is read runs nothing
    from harness.session.options import RunOptions

SCHEMA = 1
DIRECTORY = "gamedays"
FILE = "gameday.json"

Word = Outcome | Literal["not applicable"]


@dataclass(frozen=True, slots=True)
class GameDayOptions:
    """What to run: experiments by name, on which deployment, how often each.

    Without names all are run but those with the tag `extended`, unless `extended` is set.
    `parameters` override the experiments' own configuration; `retries` is how often a measurement
    that is invalid, or in doubt for this machine's own delays, is made again at most.
    """

    run: RunOptions
    experiments: tuple[str, ...] = ()
    extended: bool = False
    repeat: int = 1
    retries: int = 2
    mutants: tuple[str, ...] = ()
    parameters: Mapping[str, str] | None = None
    baselines: Path | None = None
    accept: bool = False


@dataclass(frozen=True, slots=True)
class Previous:
    """What the same experiment said last time."""

    gameday: str
    outcome: Word
    recovery_s: float | None
    budget_spent: float | None
    lost_writes: int | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One experiment's line. Times in seconds from the injection; None is unknown or not seen.

    `recovery_s` 0 is "no impact"; `censored` says that it had not recovered after `recovery_low`.
    `runs` are the ids of the records, one for each repetition. `against` are the comparisons with
    the stored runs, `after` is what was asked after the recoveries of all repetitions.
    """

    experiment: str
    title: str
    outcome: Word
    reasons: tuple[str, ...]
    runs: tuple[str, ...] = ()
    impact_s: float | None = None
    detected_s: float | None = None
    failed_over_s: float | None = None
    recovery_s: float | None = None
    recovery_low: float | None = None
    recovery_high: float | None = None
    censored: bool = False
    error_ratio: float | None = None
    budget_spent: float | None = None
    lost_writes: int | None = None
    acknowledged: int | None = None
    rpo_s: float | None = None
    healed: bool = True
    duration_s: float = 0.0
    against: tuple[Check, ...] = ()
    previous: Previous | None = None
    after: AfterRecovery | None = None

    @property
    def judged(self) -> bool:
        """Whether it was run and counts towards the outcome."""
        return self.outcome != "not applicable"


@dataclass(frozen=True, slots=True)
class GameDay:
    """All entries; `stopped` says why it ended early, None when it did not.

    `interrupted` tells an end that somebody asked for from a deployment that was unfit to go on.
    """

    id: str
    service: str
    platform: str
    mutants: tuple[str, ...]
    entries: tuple[Entry, ...]
    skipped: tuple[str, ...]
    stopped: str | None
    began_unix_ns: int
    duration_s: float
    interrupted: bool = False

    @property
    def recoveries(self) -> AfterRecovery | None:
        """What was asked after all recoveries of the day as one sample, which shows less loss."""
        return together(entry.after for entry in self.entries)

    @property
    def outcome(self) -> Outcome:
        """The worst word of all entries; what ended early is no pass, and no fail by itself."""
        words: set[Word] = {entry.outcome for entry in self.entries if entry.judged}
        if self.recoveries is not None:
            words.add(self.recoveries.outcome)
        if self.stopped is not None:
            words.add("inconclusive" if self.interrupted else "fail")
        return next((word for word in CERTAINTY if word in words), "inconclusive")

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 inconclusive, 4 invalid."""
        return EXIT_CODES[self.outcome]

    def count(self, word: Word) -> int:
        """How many entries have this outcome."""
        return sum(entry.outcome == word for entry in self.entries)

    def as_dict(self) -> dict[str, object]:
        """gameday.json: `schema`, `outcome`, `exit_code` and every field by its name."""
        return {
            "schema": SCHEMA,
            "outcome": self.outcome,
            "exit_code": self.exit_code,
            "recoveries": self.recoveries and asdict(self.recoveries),
            **asdict(self),
        }


def entry_of(title: str, verdicts: tuple[ExperimentVerdict, ...], duration_s: float) -> Entry:
    """One line out of the verdicts of all repetitions: the worst word, the slowest recovery."""
    worst = min(verdicts, key=lambda each: CERTAINTY.index(each.outcome))
    slowest = max(verdicts, key=_slowness)
    marks, found = slowest.milestones, slowest.recovery
    injected = marks.injected if marks else 0.0
    lost = [len(each.writes.lost) for each in verdicts if each.writes is not None]
    rpos = [each.writes.rpo_s for each in verdicts if each.writes and each.writes.rpo_s is not None]
    no_impact = found is not None and found.impact is None

    def since(at: float | None) -> float | None:
        return None if at is None else max(at - injected, 0.0)

    return Entry(
        experiment=worst.experiment,
        title=title,
        outcome=worst.outcome,
        reasons=worst.reasons,
        runs=tuple(each.run for each in verdicts),
        impact_s=found.impact if found else None,
        detected_s=since(marks.detected) if marks else None,
        failed_over_s=since(marks.failed_over) if marks else None,
        recovery_s=0.0 if no_impact else (found.recovery if found else None),
        recovery_low=0.0 if no_impact else (found.low if found else None),
        recovery_high=0.0 if no_impact else (found.high if found else None),
        censored=bool(found and found.censored),
        error_ratio=_most([each.error_ratio for each in verdicts]),
        budget_spent=_most([each.budget_spent for each in verdicts]),
        lost_writes=max(lost, default=None),
        acknowledged=sum(each.writes.acknowledged for each in verdicts if each.writes) or None,
        rpo_s=max(rpos, default=None),
        healed=all(each.healed for each in verdicts),
        duration_s=duration_s,
        after=together(each.after for each in verdicts),
    )


def _slowness(verdict: ExperimentVerdict) -> float:
    found = verdict.recovery
    if found is None or found.impact is None:
        return -1.0
    return float("inf") if found.recovery is None else found.recovery


def _most(values: list[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def with_previous(day: GameDay, root: Path) -> GameDay:
    """The scorecard with what each experiment said last time on the same kind of deployment."""
    last = _latest(root, day)
    if last is None:
        return day
    rows = {row["experiment"]: row for row in last["entries"]}
    entries = tuple(
        replace(entry, previous=_previous(str(last["id"]), rows[entry.experiment]))
        if entry.experiment in rows
        else entry
        for entry in day.entries
    )
    return replace(day, entries=entries)


def _previous(name: str, row: Mapping[str, Any]) -> Previous:
    return Previous(
        name, row["outcome"], row.get("recovery_s"), row.get("budget_spent"), row.get("lost_writes")
    )


def _latest(root: Path, day: GameDay) -> dict[str, Any] | None:
    for path in sorted(root.glob(f"*/{FILE}"), reverse=True):
        if path.parent.name >= day.id:
            continue
        try:
            found = read_object(path)
        except RecordError:
            continue
        same = (found.get("platform"), tuple(found.get("mutants") or ())) == (
            day.platform,
            day.mutants,
        )
        if found.get("schema") == SCHEMA and same:
            return found
    return None
