"""An ordinary Chaos Toolkit file, run as it is: its journal, and a verdict from that alone."""

import json
import os
import queue
import secrets
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from harness.chaos.alert import AlertGuard, Stop
from harness.chaos.model import Experiment
from harness.chaos.running import Asked, owner, registered
from harness.chaos.subprocesses import END_S, Child, Inbox, keep_log
from harness.errors import Interrupted
from harness.events import Activity, ChaosChild, ExperimentEvent
from harness.judge.experiment.execution import activities, judge_steady_state
from harness.judge.experiment.model import Check
from harness.judge.model import EXIT_CODES, PRIORITY, Outcome
from harness.storage import make_private, write_atomic, writing
from harness.toolkit import Document, Journal, journal_at, rollback_strategy

DIRECTORY = "experiments"
ACTIVITY_S = 600.0
"""What an activity without a `timeout` may take: no load waits for it, but a job of CI does."""

POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class PlainVerdict:
    """What the journal alone says: whether the steady state held, and all was carried out."""

    experiment: str
    outcome: Outcome
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 inconclusive."""
        return EXIT_CODES[self.outcome]

    def as_dict(self) -> dict[str, object]:
        """verdict.json: `schema`, `exit_code` and every field by its name."""
        return {"schema": 1, "exit_code": self.exit_code, **asdict(self)}


def run_plain(
    experiment: Experiment,
    results: Path,
    hear: Callable[[ExperimentEvent], None],
    guard: AlertGuard | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[PlainVerdict, Path]:
    """Run the file under Chaos Toolkit without load; returns the verdict and its directory.

    `environment` is what its process has besides that of this one. Raises Interrupted after Ctrl-C,
    when its rollbacks have run. What was halted is inconclusive, what the guard's alert ended has
    failed.
    """
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
    directory = results / DIRECTORY / f"{stamp}-{experiment.name}"
    with writing(directory.parent):
        make_private(directory)
    done = _carried_out(experiment, directory, hear, guard or AlertGuard(None), environment or {})
    path = directory / "journal.json"
    journal = journal_at(path)
    verdict = judge_journal(experiment.name, journal, done.events, done.last)
    if done.stop is not None:
        what, why = done.stop
        told = f"Aborted: {why}" if what == "abort" else f"The experiment was {why}"
        outcome: Outcome = "fail" if what == "abort" else "inconclusive"
        begun = any(e["type"] == "chaos_child" and e["what"] == "method" for e in done.events)
        then = "its rollbacks have run" if begun else "nothing was begun"
        verdict = replace(verdict, outcome=outcome, reasons=(f"{told}; {then}.",))
    text = json.dumps(verdict.as_dict(), indent=1, default=str)
    write_atomic(directory / "verdict.json", text + "\n")
    return verdict, directory


def judge_journal(
    name: str, journal: Journal, events: list[ExperimentEvent], last: str = ""
) -> PlainVerdict:
    """The verdict on a journal ({}: there is none) and on what was said meanwhile."""
    begun: list[Activity] = [e for e in events if e["type"] == "activity"]
    said: list[ChaosChild] = [e for e in events if e["type"] == "chaos_child"]
    outcome, measured, limit, statement = judge_steady_state(journal)
    word = None if outcome == "noisy" else outcome
    steady = Check("steady state", word, measured, limit, statement)
    found = activities(journal, begun, said)
    told: list[tuple[Outcome, str]] = []
    if not journal:
        told.append(
            ("inconclusive", f"Chaos Toolkit left no journal: {last or 'it wrote nothing'}.")
        )
    elif word is None:
        told.append(("inconclusive", f"{statement} Nothing says whether it held."))
    other = found.outcome == "inconclusive"
    told += [
        ("inconclusive" if other else check.outcome, check.statement)
        for check in (found, steady)
        if check.outcome is not None and check.outcome != "pass"
    ]
    for wanted in PRIORITY:
        reasons = tuple(text for each, text in told if each == wanted)
        if reasons:
            return PlainVerdict(name, wanted, reasons, (found, steady))
    return PlainVerdict(name, "pass", (statement,), (found, steady))


@dataclass(frozen=True, slots=True)
class _Done:
    """Every event of the process that ran the file, its last line, and why it was ended, if so."""

    events: list[ExperimentEvent]
    last: str
    stop: Stop | None


def _carried_out(
    experiment: Experiment,
    directory: Path,
    hear: Callable[[ExperimentEvent], None],
    guard: AlertGuard,
    environment: Mapping[str, str],
) -> _Done:
    inbox: Inbox = Inbox()
    events: list[ExperimentEvent] = []
    with tempfile.TemporaryDirectory(prefix="harness-chaos-") as scratch:
        document, log = Path(scratch, "experiment.json"), Path(scratch, "chaos.log")
        write_atomic(document, json.dumps(experiment.document, default=str))
        journal = directory / "journal.json"
        child = Child(
            "harness.chaos.toolkit_runner",
            [str(document), str(journal), *(2 * [f"{ACTIVITY_S:g}"])],
            inbox,
            environment={**os.environ, **environment, **owner()},
            log=log,
            grace_s=END_S,
        )
        interrupted, stop, rest = False, None, ""
        with registered(f"experiment {experiment.name}") as asked, guard, child:
            child.go()
            while not events or events[-1]["type"] != "child_ended":
                if stop is None and (stop := why_stop(asked, guard, events)) is not None:
                    child.close()
                try:
                    events.append(inbox.get(timeout=POLL_S))
                except queue.Empty:
                    continue
                except KeyboardInterrupt:
                    if interrupted:  # whoever asks twice does not wait for the rollbacks
                        raise
                    interrupted = True
                    child.close()
                    continue
                hear(events[-1])
            if not (journal.is_file() or interrupted or stop):
                rest = _roll_back(experiment.document, events, Path(scratch), hear)
        last = "" if journal.is_file() else keep_log(log, directory) or _end_of(events[-1])
        last += rest
    if interrupted:
        raise Interrupted(f"its rollbacks have run; the journal is in {directory}")
    return _Done(events, last, stop)


def _roll_back(
    document: Document,
    events: list[ExperimentEvent],
    scratch: Path,
    hear: Callable[[ExperimentEvent], None],
) -> str:
    """Run the rollbacks that a process which died has not begun; the end of a sentence on it."""
    from harness.chaos.rollbacks import left_of, only  # noqa: PLC0415 - slow to import

    said = [event["what"] if event["type"] == "chaos_child" else "" for event in events]
    since = said.index("rollbacks") if "rollbacks" in said else len(said)
    begun = [str(e.get("name")) for e in events[since:] if e["type"] == "activity"]
    strategy = rollback_strategy(document)
    left = left_of(document, list(dict.fromkeys(begun)))
    if "method" not in said or not left:
        return ""
    if strategy in {"never", "deviated"}:
        return "; no rollback has run"
    file, journal = scratch / "rollbacks.json", scratch / "rolled-back.json"
    write_atomic(file, json.dumps(only(document, left), default=str))
    inbox: Inbox = Inbox()
    with Child(
        "harness.chaos.toolkit_runner",
        [str(file), str(journal), *(2 * [f"{ACTIVITY_S:g}"])],
        inbox,
        environment={**os.environ, **owner()},
        log=scratch / "rollbacks.log",
        grace_s=END_S,
    ) as child:
        child.go()
        while (event := inbox.get())["type"] != "child_ended":
            hear(event)
    runs = journal_at(journal).get("rollbacks") or ()
    failed = [run for run in runs if run.get("status") != "succeeded"]
    whole = len(runs) == len(left) and not failed
    return "; its rollbacks have run" if whole else "; its rollbacks could not run"


def _end_of(event: ExperimentEvent) -> str:
    """How a process ended that wrote nothing."""
    return f"it ended with code {event['code']}" if event["type"] == "child_ended" else ""


def why_stop(asked: Asked, guard: AlertGuard, events: list[ExperimentEvent]) -> Stop | None:
    """Why a run must end, by what was said so far; None while it need not."""
    if (who := asked()) is not None:
        return "halt", f"halted by {who}"
    said = {event["what"] for event in events if event["type"] == "chaos_child"}
    return None if "end" in said else guard.stop(injected="method" in said)
