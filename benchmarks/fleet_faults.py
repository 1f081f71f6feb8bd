"""Whether a fleet finds a fault that was planted in a service, and its cause, in each tier.

`python -m benchmarks.fleet_faults [TIER]...`: of each tier one service, sound and with each fault.
The lab's replicas are changed while `harness fleet` drives them. A sound one must pass, a faulty
one must fail for the reason that the fault gives. Every row is kept in the directory; the last of
each case stands in RESULTS.md, which `--report` writes without a run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import get_args

import psutil

from benchmarks.chaos.crash_matrix import keep, rows
from benchmarks.run import machine, write
from harness.catalog import load_catalog
from harness.catalog.model import Service, Tier
from harness.platform.lab import runtime
from harness.platform.lab.platform import Lab

START_S = 120.0
TITLE = "16. A fleet on services with a planted fault, in each tier"


@dataclass(frozen=True)
class Plant:
    """A fault: `behaviour` of `replicas` (None: all) from `after_s` of the run on."""

    name: str
    cause: str
    behaviour: Mapping[str, object] = field(default_factory=dict)
    replicas: int | None = None
    after_s: float = 1.0
    words: tuple[str, ...] = ("--duration", "12s")


SOUND = Plant("sound", "")
FAULTS = (
    Plant("slow after 20 s", "was not steady", {"latency_add_s": 0.3}, after_s=27.0, words=()),
    Plant("one bad replica", "failed requests went to", {"error_ratio": 0.3}, 1),
    Plant("one slow replica", "beyond 100 ms went to", {"latency_add_s": 0.3}, 1),
    Plant("errors for one key", "failed requests had", {"failing_id": "1"}),
)


@dataclass(frozen=True)
class Found:
    """What the scorecard said of one service."""

    outcome: str
    reason: str

    def right(self, plant: Plant) -> bool:
        """Whether it is the truth."""
        wanted = "fail" if plant.behaviour else "pass"
        return self.outcome == wanted and plant.cause in self.reason


def drive(service: str, plant: Plant, words: Sequence[str] = ()) -> Found:
    """Run a fleet of one service, and plant the fault in its lab."""
    with tempfile.TemporaryDirectory() as results:
        child = subprocess.Popen(
            [sys.executable, "-m", "harness", "fleet", service, "--replicas", "2", "--json",
             "--results", results, *plant.words, *words],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        try:
            if plant.behaviour:
                change(lab_of(service, child), plant)
            told, _ = child.communicate(timeout=180)
        finally:
            child.terminate()
            child.wait()
    (entry,) = json.loads(told)["entries"]
    return Found(entry["outcome"], entry["reason"])


def lab_of(service: str, child: subprocess.Popen[str]) -> Lab:
    """The lab that the child has started, once its replicas are ready."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and child.poll() is None:
        for each in runtime.running():
            theirs = each.plan["services"] == [service] and each.plan["ttl_s"] is None
            if theirs and each.pid in _descendants(child.pid):
                lab = Lab.attach(each)
                lab.wait_ready()
                return lab
        time.sleep(0.1)
    raise SystemExit(f"no lab of {service} came up")


def _descendants(pid: int) -> set[int]:
    return {each.pid for each in psutil.Process(pid).children(recursive=True)}


def change(lab: Lab, plant: Plant) -> None:
    """Plant the fault when it is time."""
    time.sleep(plant.after_s)
    replicas = [place.id for place in lab.places if place.kind == "replica"][: plant.replicas]
    lab.behave(replicas, {**lab.options.behaviour.document(), **plant.behaviour})


def chosen(tiers: Sequence[str]) -> list[Service]:
    """The first service of each tier."""
    services = load_catalog().services()
    return [next(each for each in services if each.tier == tier) for tier in tiers]


@dataclass(frozen=True)
class Row:
    """One service with one fault, and whether what was found is the truth."""

    tier: str
    service: str
    fault: str
    outcome: str
    right: bool
    reason: str


def report(log: Path) -> str:
    """A line for each fault, and the reasons of one tier."""
    found = {(each["tier"], each["fault"]): Row(**each) for each in rows(log)}
    lines = ["| planted | tiers | found with its cause | else |", "|---|---|---|---|"]
    for plant in (SOUND, *FAULTS):
        mine = [row for row in found.values() if row.fault == plant.name]
        wrong = [f"{row.service}: {row.outcome}: {row.reason}" for row in mine if not row.right]
        right = len(mine) - len(wrong)
        lines.append(f"| {plant.name} | {len(mine)} | {right} | {'<br>'.join(wrong)} |")
    first = next(iter(found.values()), None)
    shown = [row for row in found.values() if first and row.tier == first.tier]
    return "\n".join([*lines, "", "| service | planted | verdict | reasons |", "|---|---|---|---|",
        *(f"| {r.service} | {r.fault} | {r.outcome} | {r.reason} |" for r in shown)])  # fmt: skip


def main() -> int:
    """Make and print a row for each run; 1 where one of them is not the truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tiers", nargs="*", metavar="TIER", help="default: all")
    parser.add_argument("--directory", type=Path, default=Path("results/proof-fleet"))
    parser.add_argument("--report", action="store_true", help="write RESULTS.md from what is there")
    asked = parser.parse_args()
    log = asked.directory / "rows.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    wrong = 0
    for service in [] if asked.report else chosen(asked.tiers or get_args(Tier)):
        for plant in (SOUND, *FAULTS):
            found = drive(service.name, plant)
            right = found.right(plant)
            wrong += not right
            row = Row(service.tier, service.name, plant.name, found.outcome, right, found.reason)
            keep(log, asdict(row))
    write(TITLE, f"{machine()}\n\n{report(log)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
