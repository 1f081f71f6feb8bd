"""Figures out of the records of game days: accuracy of the timeline, cost, duration.

`python -m benchmarks.chaos.figures results/memorai` reads every experiment's record there and
every game day's scorecard, and writes three sections of RESULTS.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.run import machine, table, write
from harness.errors import HarnessError
from harness.gameday.model import DIRECTORY, FILE
from harness.judge.experiment import ExperimentVerdict, judge_experiment
from harness.record.run import RunRecord
from harness.storage import read_object
from harness.units import NANOSECONDS, format_duration

FAILOVER = ("fail-region", "isolate-region", "pause-edge", "kill-edge")
"""Kinds that end for the users when the global edge gives the region up, by what it reports."""

DIRECT = ("delay-requests", "abort-requests", "slow-replicas")
"""Kinds that hurt from the moment of the act to the moment of the heal."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One experiment's record with its verdict."""

    name: str
    record: RunRecord
    verdict: ExperimentVerdict


def experiments(directory: Path) -> Iterator[Measured]:
    """Every judgeable experiment of a directory of records of sound labs."""
    for path in sorted(directory.glob("*/plan.json")):
        try:
            record = RunRecord.load(path.parent)
            if (record.environment.get("target") or {}).get("mutants"):
                continue
            verdict = judge_experiment(record)
        except HarnessError:
            continue
        if verdict.milestones is not None and verdict.outcome in {"pass", "fail"}:
            yield Measured(verdict.experiment, record, verdict)


def truth(found: Measured) -> tuple[float | None, float | None]:
    """(first impact, recovery) as the lab itself knows them, s from the start of the load.

    The act of a fault lies between `inject` and `injected`; its middle is taken. A failover ends
    when the global edge itself marks the region as failed; other faults when they are healed.
    """
    chaos = {event["what"]: event for event in found.record.events_of("chaos")}
    kind = str(chaos.get("inject", {}).get("kind"))
    if kind not in {*FAILOVER, *DIRECT} or "injected" not in chaos:
        return None, None
    begun = (chaos["inject"]["t"] + chaos["injected"]["t"]) / 2
    if kind in DIRECT:
        return begun, (chaos["heal"]["t"] + chaos["healed"]["t"]) / 2
    given_up = [
        event["t"]
        for event in found.record.events_of("health")
        if event.get("now") == "failed"
        and str(event["id"]).startswith("edge-memorai-global>")
        and event["t"] > begun
    ]
    return begun, given_up[0] if given_up else None


def accuracy(found: list[Measured]) -> str:
    """The error of first impact and of recovery, in seconds."""
    impacts: list[float] = []
    recoveries: list[float] = []
    rows = []
    for each in found:
        begun, over = truth(each)
        marks = each.verdict.milestones
        if begun is None or marks is None or marks.impact is None:
            continue
        impacts.append(marks.impact - begun)
        row = [each.name, f"{impacts[-1]:+.2f} s", "-"]
        if over is not None and marks.recovered is not None:
            recoveries.append(marks.recovered - over)
            row[2] = f"{recoveries[-1]:+.2f} s"
        rows.append(row)
    summary = ", ".join(
        f"{word} {statistics.median(map(abs, values)):.2f} s (worst {max(map(abs, values)):.2f} s,"
        f" n = {len(values)})"
        for word, values in (("first impact", impacts), ("recovery", recoveries))
        if values
    )
    return (
        f"Median absolute error: {summary}. Truth: the instant of the act; for a failover the "
        "instant at which the global edge itself marks the region as failed, else that of the "
        "heal. What is measured comes in whole seconds.\n\n"
        + table(["experiment", "first impact", "recovery"], rows)
    )


def cost(found: list[Measured]) -> str:
    """What an experiment's own parts cost the base load, against validity's limits."""
    rows = []
    for each in found:
        checks = {check.name: check for check in each.verdict.validity}
        lag, cpu = checks["generator lag"], checks["generator cpu"]
        before = each.record.histogram("lag")
        ok = "yes" if all(check.ok is not False for check in checks.values()) else "NO"
        p99 = (before.quantile(0.99) or 0) / NANOSECONDS
        rows.append([each.name, format_duration(p99), lag.limit, cpu.measured, ok])
    valid = sum(row[-1] == "yes" for row in rows)
    return (
        f"{valid} of {len(rows)} experiments kept the generator within validity, with the canary, "
        "the observer, the audit and Chaos Toolkit beside it.\n\n"
        + table(["experiment", "lag p99", "allowed", "generator's CPU (a core)", "valid"], rows)
    )


def whole_days(directory: Path) -> Iterator[Mapping[str, Any]]:
    """Every game day of a sound lab that nobody ended, as its scorecard."""
    for path in sorted((directory / DIRECTORY).glob(f"*/{FILE}")):
        day = read_object(path)
        if not day["mutants"] and not day.get("interrupted"):
            yield day


def days(directory: Path, note: str) -> str:
    """How whole game days ended, what kept each from passing, and how long they took."""
    rows, notes = [], []
    for day in whole_days(directory):
        words = [entry["outcome"] for entry in day["entries"]]
        counts = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
        took, each = day["duration_s"], day["duration_s"] / max(len(words), 1)
        rows.append(
            [str(len(words)), day["outcome"], format_duration(took), format_duration(each), counts]
        )
        notes += [f"\n- stopped: {day['stopped']}"] * bool(day["stopped"])
        notes += [
            f"\n- {entry['experiment']}: {entry['outcome']}: {entry['reasons'][0]}"
            for entry in day["entries"]
            if entry["outcome"] not in {"pass", "not applicable"} and entry["reasons"]
        ]
    passed = sum(row[1] == "pass" for row in rows)
    shown = table(["experiments", "outcome", "took", "each", "verdicts"], rows)
    return f"{passed} of {len(rows)} game days passed.{note}\n\n{shown}\n{''.join(notes)}".rstrip()


def main() -> int:
    """Write the sections for what the directory holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    write_sections(parser.parse_args().directory)
    return 0


def write_sections(directory: Path, note: str = "") -> None:
    """Sections 6, 8 and 9 of RESULTS.md; `note` is said of the game days."""
    found = list(experiments(directory))
    for title, text in (
        ("8. The timeline of an experiment against the lab's own truth", accuracy(found)),
        ("9. What an experiment costs the base load", cost(found)),
        ("6. Game days on the lab", days(directory, note)),
    ):
        print(f"== {title}\n{text}\n")
        write(title, f"{machine()}\n\n{text}")


if __name__ == "__main__":
    sys.exit(main())
