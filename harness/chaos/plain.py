"""An ordinary Chaos Toolkit file, run as it is: its journal, and a verdict from that alone."""

from __future__ import annotations

import json
import os
import queue
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.chaos.model import Experiment
from harness.chaos.running import registered
from harness.chaos.subprocesses import END_S, Child, Inbox, Message
from harness.errors import Interrupted
from harness.judge.experiment.execution import activities, judge_steady_state
from harness.judge.experiment.model import Check
from harness.judge.model import EXIT_CODES, PRIORITY, Outcome
from harness.redact import redact
from harness.storage import make_directory, read_object, write_atomic

DIRECTORY = "experiments"
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

    def as_dict(self) -> dict[str, Any]:
        """verdict.json: `schema`, `exit_code` and every field by its name."""
        return {"schema": 1, "exit_code": self.exit_code, **asdict(self)}


def run_plain(
    experiment: Experiment, results: Path, hear: Callable[[Message], None]
) -> tuple[PlainVerdict, Path]:
    """Run the file under Chaos Toolkit without load; returns the verdict and its directory.

    Raises Interrupted after Ctrl-C, when its rollbacks have run. What was halted is inconclusive.
    """
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
    directory = results / DIRECTORY / f"{stamp}-{experiment.name}"
    make_directory(directory)
    events, log, halted = _carried_out(experiment, directory, hear)
    path = directory / "journal.json"
    journal = read_object(path) if path.is_file() else {}
    if not journal:
        write_atomic(directory / "chaos.log", log)
    verdict = judge_journal(experiment.name, journal, events, log)
    if halted is not None:
        reason = f"The experiment was halted by {halted}; its rollbacks have run."
        verdict = replace(verdict, outcome="inconclusive", reasons=(reason,))
    text = json.dumps(verdict.as_dict(), indent=1, default=str)
    write_atomic(directory / "verdict.json", text + "\n")
    return verdict, directory


def judge_journal(
    name: str, journal: dict[str, Any], events: list[Message], log: str = ""
) -> PlainVerdict:
    """The verdict on a journal ({}: there is none) and on what was said meanwhile."""
    begun = [e for e in events if e.get("type") == "activity"]
    said = [e for e in events if e.get("type") == "chaos_child"]
    outcome, measured, limit, statement = judge_steady_state(journal)
    word = None if outcome == "noisy" else outcome
    steady = Check("steady state", word, measured, limit, statement)
    found = activities(journal, begun, said)
    told: list[tuple[Outcome, str]] = []
    if not journal:
        last = log.strip().splitlines()[-1:] or ["it wrote nothing"]
        told.append(("inconclusive", f"Chaos Toolkit left no journal: {last[0]}."))
    elif word is None:
        told.append(("inconclusive", "There is no steady state: nothing says whether it held."))
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


def _carried_out(
    experiment: Experiment, directory: Path, hear: Callable[[Message], None]
) -> tuple[list[Message], str, str | None]:
    """Every event of the process that ran it, its log without secrets, and who halted it."""
    inbox: Inbox = Inbox()
    events: list[Message] = []
    with tempfile.TemporaryDirectory(prefix="harness-chaos-") as scratch:
        document, log = Path(scratch, "experiment.json"), Path(scratch, "chaos.log")
        write_atomic(document, json.dumps(experiment.document, default=str))
        limit = f"{experiment.timeline.limit_s:g}"
        arguments = [str(document), str(directory / "journal.json"), limit]
        child = Child(
            "harness.chaos.toolkit_runner",
            arguments,
            inbox,
            environment=os.environ,
            log=log,
            grace_s=END_S,
        )
        interrupted, halted = False, None
        with registered(f"experiment {experiment.name}") as asked, child:
            child.go()
            while True:
                if halted is None and (halted := asked()) is not None:
                    child.close()
                try:
                    message = inbox.get(timeout=POLL_S)
                except queue.Empty:
                    continue
                except KeyboardInterrupt:
                    interrupted = True
                    child.close()
                    continue
                events.append(message)
                hear(message)
                if message["type"] == "child_ended":
                    break
        text = str(redact(log.read_text(encoding="utf-8", errors="replace")))
    if interrupted:
        raise Interrupted(f"its rollbacks have run; the journal is in {directory}")
    return events, text, halted
