"""A fleet from a list of services to a scorecard: each service in a process of its own.

What one service does to its run (a crash, a hang) costs that entry and no other. After each entry
the scorecard is on disk, so that an interrupted fleet goes on where it was.
"""

import contextlib
import json
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.catalog.model import Service
from harness.errors import EXIT_CODES, Interrupted, UsageError
from harness.fleet.model import Entry, Fleet, FleetOptions, in_order, latest
from harness.judge.model import EXIT_CODES as OF_OUTCOMES
from harness.judge.model import Outcome

GRACE_S = 15.0
"""What a run beyond its budget has to end by itself, its deployment included."""

INTERRUPTED = 130

REASONS = 3
"""Of a run that did not pass, on the scorecard: the cause, and what was missed."""

Say = Callable[[str], None]


def run_fleet(
    services: Sequence[Service],
    options: FleetOptions,
    root: Path,
    say: Say = lambda text: None,
    *,
    resume: bool = False,
) -> Fleet:
    """Run what is left to run; returns the scorecard, which is below `root` at every moment.

    `resume` takes up the newest fleet that is not done, with the options it had. Raises UsageError
    where there is none, Interrupted after Ctrl-C.
    """
    fleet = _unfinished(root) if resume else _new(services, options)
    fleet.keep(root)
    total = len(fleet.entries)
    for entry in fleet.rest:
        done = total - len(fleet.rest) + 1
        say(f"[{done}/{total}] {entry.service}")
        try:
            made = _one(entry, fleet.options)
        except KeyboardInterrupt:
            raise Interrupted("go on with: harness fleet --resume") from None
        fleet = fleet.with_entry(made)
        fleet.keep(root)
        say(f"    {made.outcome.upper()}{f': {made.reason}' if made.outcome != 'pass' else ''}")
    return fleet


def _new(services: Sequence[Service], options: FleetOptions) -> Fleet:
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    drawn = in_order(services, options.seed)
    entries = tuple(Entry(each.name, each.tier, "not run", "not run yet") for each in drawn)
    names = tuple(each.name for each in drawn)
    return Fleet(f"{stamp}-{secrets.token_hex(2)}", replace(options, services=names), entries)


def _unfinished(root: Path) -> Fleet:
    found = latest(root)
    if found is None or not found.rest:
        raise UsageError("no fleet is left to be resumed", "start one: harness fleet")
    return found


def _one(entry: Entry, options: FleetOptions) -> Entry:
    """One service within its budget."""
    began = time.monotonic()
    code, told, said = _ran(("perf", entry.service, "--quiet", *options.words), options.budget_s)
    made = _read(entry, code, told, said)
    left = options.budget_s - (time.monotonic() - began)
    if options.capacity and made.outcome == "pass" and left > 0:
        budget = ("--time-budget", f"{left:.0f}s")
        _, found, _ = _ran(("capacity", entry.service, *budget), left + GRACE_S)
        capacity = found.get("capacity")
        made = replace(made, capacity=capacity if isinstance(capacity, int | float) else None)
    return replace(made, took_s=round(time.monotonic() - began, 1), ended_unix_s=time.time())


def _ran(words: Sequence[str], within_s: float) -> tuple[int | None, Mapping[str, Any], str]:
    """Exit code (None: it did not end in time), what it printed as JSON, its last words."""
    child = subprocess.Popen(
        [sys.executable, "-m", "harness", *words, "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    code: int | None = None
    try:
        out, err = child.communicate(timeout=within_s)
        code = child.returncode
    except subprocess.TimeoutExpired:
        out, err = _ended(child)
    except KeyboardInterrupt:  # the terminal has told the child as well
        _ended(child)
        raise
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    told: Any = None
    with contextlib.suppress(ValueError):
        told = json.loads(out)
    lines = [line.strip() for line in err.splitlines() if line.strip()]
    return code, told if isinstance(told, dict) else {}, lines[-1] if lines else ""


def _ended(child: subprocess.Popen[str]) -> tuple[str, str]:
    """End a run as Ctrl-C does, and at last without asking."""
    child.send_signal(signal.SIGINT)
    try:
        return child.communicate(timeout=GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.communicate()


def _read(entry: Entry, code: int | None, told: Mapping[str, Any], said: str) -> Entry:
    """The entry of a run by its exit code and its verdict."""
    outcomes: dict[int, Outcome] = {number: word for word, number in OF_OUTCOMES.items()}
    if code is None:
        return replace(entry, outcome="inconclusive", reason="it took longer than its budget")
    if code not in outcomes:
        reason = said.removeprefix("harness: ") or EXIT_CODES.get(code, f"exit code {code}")
        return replace(entry, outcome="inconclusive", reason=f"it could not be run: {reason}")
    rows = {row["objective"]["name"]: row for row in told.get("objectives", ())}
    figures = {row["objective"]["indicator"]: row.get("estimate") for row in rows.values()}
    reasons = [str(reason) for reason in told.get("reasons") or [said]]
    return replace(
        entry,
        outcome=outcomes[code],
        reason=" ".join(reasons[:REASONS] if code else reasons[:1]),
        p95_s=figures.get("latency"),
        error_ratio=figures.get("error_ratio"),
        record=told.get("record") or told.get("run"),
    )
