"""The long proofs, one after another: `make proofs`; `make proofs ARGS="--list"` names them.

Each writes its own section of RESULTS.md or prints its table. CI runs a small version of each as a
test. Those of the lab and of the cluster need root on Linux.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Proof:
    """Commands that are run in order; what is in `after` is run whatever became of them."""

    shows: str
    minutes: int
    commands: tuple[str, ...]
    after: tuple[str, ...] = ()


PROOFS = {
    "stats": Proof("false alarms, power and coverage of the statistics", 6, ("benchmarks.stats",)),
    "verdicts": Proof(
        "verdicts on services of known truth, both ways", 40, ("benchmarks.verdicts",)
    ),
    "early-end": Proof(
        "runs that end early, and those that must not", 10, ("benchmarks.early_end",)
    ),
    "streams": Proof(
        "streams of known truth, and what a token costs", 1, ("benchmarks.streams --write",)
    ),
    "capacity": Proof("the search on every kind of service", 20, ("benchmarks.capacity",)),
    "fleet": Proof(
        "a fleet on services with a planted fault, in each tier", 20, ("benchmarks.fleet_faults",)
    ),
    "limits": Proof(
        "rate limits that are sound, and that are broken in known ways", 2, ("benchmarks.limits",)
    ),
    "corpus": Proof(
        "2,000 generated options, names and files: crashes, and what is wrongly taken",
        4,
        ("benchmarks.corpus",),
    ),
    "hostile": Proof("memory against hostile servers", 3, ("benchmarks.hostile",)),
    "mutants": Proof(
        "edits of the judging code that no test notices", 60, ("benchmarks.mutants --write",)
    ),
    "gate": Proof("the whole gate: false alarms and power", 20, ("benchmarks.gate",)),
    "gate-on-the-lab": Proof(
        "the gate's false alarms and power on the lab",
        30,
        ("harness gate memorai --self-test --runs 12",),
    ),
    "gamedays": Proof(
        "twenty game days on a sound lab, of which nineteen pass; goes on where it was stopped",
        270,
        ("benchmarks.chaos.gamedays --days 20",),
    ),
    "silent-mutants": Proof(
        "a silent action, a lossy recovery, a fault that returns: each is caught on the lab",
        5,
        ("pytest -m proof tests/gameday",),
    ),
    "crashes": Proof(
        "what remains on the lab after 200 kills of the harness",
        150,
        ("benchmarks.chaos.crash_matrix --kills 200", "benchmarks.chaos.crash_matrix --report"),
    ),
    "cluster-gamedays": Proof(
        "the whole game day on a cluster, and short ones on services of other kinds",
        30,
        ("pytest -m proof tests/kubernetes",),
    ),
    "cluster-not-calm": Proof(
        "50 experiments through an API server that refuses and breaks requests at random",
        65,
        (
            "benchmarks.chaos.rough_api --small 4 --kills 50",
            "tests.kubernetes.cluster up",
            "benchmarks.chaos.rough_api --kills 50",
            "benchmarks.chaos.rough_api --report",
        ),
        after=("tests.kubernetes.cluster down",),
    ),
    "cluster-crashes": Proof(
        "what remains on a cluster after 50 kills of the harness",
        60,
        (
            "tests.kubernetes.cluster up",
            "benchmarks.chaos.cluster_crashes --kills 50",
            "benchmarks.chaos.cluster_crashes --report",
        ),
        after=("tests.kubernetes.cluster down",),
    ),
}


def run_module(words: str) -> int:
    """`python -m` with these words; its exit code."""
    return subprocess.run([sys.executable, "-m", *words.split()], check=False).returncode


def prove(proof: Proof, run: Callable[[str], int]) -> str | None:
    """Run one proof; returns the command that failed, None where none did."""
    try:
        return next((each for each in proof.commands if run(each)), None)
    finally:
        for each in proof.after:
            run(each)


def main(words: Sequence[str] | None = None, run: Callable[[str], int] = run_module) -> int:
    """Run the proofs that are named, or all; returns 1 when one failed."""
    parser = argparse.ArgumentParser(prog="benchmarks.proofs", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*PROOFS, []], help="default: all")
    parser.add_argument("--list", action="store_true", help="name them, and how long each takes")
    options = parser.parse_args(words)
    if options.list:
        for name, proof in PROOFS.items():
            print(f"{name:<18}{proof.minutes:>4} min  {proof.shows}")
        return 0
    failed = []
    for name in options.names or PROOFS:
        print(f"\n== {name}: {PROOFS[name].shows} ({PROOFS[name].minutes} min)", flush=True)
        began = time.monotonic()
        if (command := prove(PROOFS[name], run)) is not None:
            failed.append(f"{name}: python -m {command}")
        print(f"== {name}: {(time.monotonic() - began) / 60:.0f} min", flush=True)
    for each in failed:
        print(f"failed: {each}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
