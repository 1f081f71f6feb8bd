"""What a run costs on the lab: CPU time a request of every part, beside peers on one replica.

`python -m benchmarks.lab_cost [--rate 10000] [--seconds 30] [--rounds 3]` writes two tables to
RESULTS.md; words that it does not know go to `harness perf`. The first is a real `harness perf
memorai`, CPU seconds (user and system) of each process read from /proc until it ends, divided by
the requests it offered. The second drives one replica without a database with wrk, hey and oha,
where they are installed: what it costs when it is full.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import psutil

from benchmarks.run import machine, table, write
from harness.record import RunRecord
from tests.platform.replica import started

TITLE = "4b. What a run on the lab costs"
EVERY_S = 0.25
SATURATED_S = 5
PARTS = {
    "harness.platform.lab.service": "replicas",
    "harness.platform.lab.database": "store",
    "harness.platform.lab.supervisor": "supervisor",
    "harness.load": "load",
    "locust": "load",
    "envoy": "edges",
}
LAB = ("replicas", "store", "edges", "supervisor")
ROWS = ("replicas", "store", "edges", "supervisor", "load", "command")
PEERS: Mapping[str, tuple[str, ...]] = {
    "wrk": ("wrk", "-t1", "-c32", "-d{seconds}s", "{url}"),
    "hey": ("hey", "-c", "32", "-z", "{seconds}s", "-cpus", "1", "{url}"),
    "oha": ("oha", "--no-tui", "-c", "32", "-z", "{seconds}s", "{url}"),
}
ITEM = "/api/memory/1"


def part(process: psutil.Process) -> str:
    """Which part of the run a process is."""
    words = " ".join(process.cmdline())
    return next((name for mark, name in PARTS.items() if mark in words), "command")


def watch(process: subprocess.Popen[bytes]) -> dict[str, float]:
    """CPU seconds by part, of a process and all that it started, until it ends.

    What a process uses in the last quarter of a second before its end is not seen.
    """
    root = psutil.Process(process.pid)
    seen: dict[int, tuple[str, float]] = {}
    while process.poll() is None:
        for each in [root, *root.children(recursive=True)]:
            try:
                name = seen[each.pid][0] if each.pid in seen else ""
                name = part(each) if name in {"", "command"} else name
                times = each.cpu_times()
            except psutil.Error:
                continue
            seen[each.pid] = name, times.user + times.system
        time.sleep(EVERY_S)
    found: dict[str, float] = defaultdict(float)
    for name, seconds in seen.values():
        found[name] += seconds
    return found


def run(rate: float, seconds: int, words: Sequence[str]) -> dict[str, float]:
    """One run: microseconds of CPU a request by part."""
    with tempfile.TemporaryDirectory() as results:
        command = [sys.executable, "-m", "harness", "perf", "memorai", "--quiet"]
        command += [f"--rate={rate:g}", f"--duration={seconds}s", f"--results={results}", *words]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        found = watch(process)
        (directory,) = (path.parent for path in Path(results).rglob("run.json"))
        offered = int(RunRecord.load(directory).series("due").offered.sum())
    return {name: found.get(name, 0.0) / offered * 1e6 for name in ROWS}


def saturated(peer: str, seconds: int) -> tuple[float, float] | None:
    """(requests a second, microseconds of CPU of the replica a request) of a full replica."""
    if shutil.which(peer) is None:
        return None
    with started() as (base, process):
        replica, url = psutil.Process(process.pid), base + ITEM
        words = [word.format(seconds=seconds, url=url) for word in PEERS[peer]]
        begin, before = time.monotonic(), replica.cpu_times()
        subprocess.run(words, check=True, capture_output=True)
        took, after = time.monotonic() - begin, replica.cpu_times()
        text = httpx.get(f"{base}/metrics", trust_env=False).text
    line = next(each for each in text.splitlines() if "_duration_seconds_count" in each)
    count = int(line.rpartition(" ")[2])
    cpu = after.user + after.system - before.user - before.system
    return count / took, cpu / count * 1e6


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=10_000)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="the figures of each round instead")
    options, words = parser.parse_known_args()
    rounds = [run(options.rate, options.seconds, words) for _ in range(options.rounds)]
    if options.json:
        print(json.dumps(rounds))
        return
    middle = {name: statistics.median(each[name] for each in rounds) for name in ROWS}
    rows = [[name, f"{middle[name]:.1f}"] for name in ROWS if middle[name]]
    rows.append(["**the lab**", f"**{sum(middle[name] for name in LAB):.1f}**"])
    rows.append(["**all**", f"**{sum(middle.values()):.1f}**"])
    about = (
        f"`harness perf memorai` at {options.rate:,.0f}/s for {options.seconds} s, median of "
        f"{options.rounds}: CPU time, user and system, of each process by the requests offered."
    )
    text = f"{machine()}\n\n{about}\n\n" + table(("part", "CPU a request, us"), rows)
    peers = {peer: saturated(peer, SATURATED_S) for peer in PEERS}
    full = [[p, f"{f[0]:,.0f}", f"{f[1]:.1f}"] for p, f in peers.items() if f is not None]
    if full:
        about = f"One replica without a database, kept full by 32 connections (GET {ITEM})."
        header = ("by", "requests/s", "CPU of the replica a request, us")
        text += f"\n\n{about}\n\n" + table(header, full)
    print(text)
    write(TITLE, text)


if __name__ == "__main__":
    main()
