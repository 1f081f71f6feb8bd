"""What one load worker costs: the figures that docs/scaling.md multiplies.

`python -m benchmarks.worker_cost [requests] [reports]` prints two Markdown tables: the load child
(Locust, the engine, the histograms, the stream) at several rates against nginx on the other core,
and a master with several workers at a low rate, whose cost is that of reports, not of requests.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.servers import nginx
from harness.load.driver import LoadProcess
from harness.load.plan import LoadPlan
from harness.platform.model import Target
from harness.traffic import Request
from harness.traffic.model import LoadProfile, Segment, TrafficModel

RATES = (1_000, 5_000, 10_000, 20_000)
WORKERS = (2, 4, 8)
IDLE_RATE = 160
ROUNDS = 3
SECONDS = 10.0
ENDPOINTS = 5
SERVER_CORE, GENERATOR_CORE = 0, 1
SCENARIO = """
from harness.traffic import get
from harness.traffic.user import TrafficUser

class Cost(TrafficUser):
    service = "memorai"
    mix = [get("/a", name="a")]
"""


def plan(url: str, rate: float, source: Path, *, workers: int = 1) -> LoadPlan:
    """Five endpoints with a status check each, as a usual scenario has."""
    requests = tuple(
        Request(f"e{number}", "GET", f"/e{number}?id={{id}}",
                checks=({"kind": "status", "in": [200]},))
        for number in range(ENDPOINTS)
    )  # fmt: skip
    feeds = {"id": {"kind": "zipf", "n": 1000, "s": 1.1}}
    traffic = TrafficModel("memorai", "cost", str(source), requests, feeds=feeds)
    profile = LoadProfile("cost", (Segment("hold", SECONDS, rate, rate),))
    pinned = ("taskset", "-c", str(GENERATOR_CORE)) if workers == 1 else ()
    target = Target("memorai", (url.rstrip("/"),), "service", "nginx", exec_prefix=pinned)
    return LoadPlan(target, traffic, profile, workers=workers, probe=False, drain_s=2.0)


def measure(of: LoadPlan) -> dict[str, float]:
    """One run: cores, seconds of CPU, peak memory, bytes and lines of the process driven."""
    found = dict.fromkeys(("cpu_s", "rss", "lines", "line_bytes", "bytes", "worker_rss"), 0.0)
    begin = 0.0
    with LoadProcess(of) as child:
        process = psutil.Process(child.pid)
        while not child.ended:
            for message in child.poll(0.2):
                if message["type"] == "start":
                    begin = cpu_of(process)
                if message["type"] == "slice":
                    found["lines"] += 1
                    found["line_bytes"] += len(str(message))
                    if message["slice"]["axis"] == "due":
                        piece = message["slice"]
                        found["bytes"] += piece["bytes_in"] + piece["bytes_out"]
                if message["type"] == "tick":
                    found["cpu_s"] = cpu_of(process) - begin
                    found["rss"] = max(found["rss"], process.memory_info().rss)
                    workers = process.children()
                    sizes = [each.memory_info().rss for each in workers]
                    found["worker_rss"] = max(found["worker_rss"], *sizes, 0.0)
                if message["type"] == "end":
                    found |= {"completed": message["totals"]["completed"]}
                    found["conserved"] = float(message["conserved"])
        time.sleep(0.1)
    return found


def cpu_of(process: psutil.Process) -> float:
    """Seconds of processor time that a process has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


def rounds(of: LoadPlan) -> dict[str, float]:
    """The median of several runs."""
    runs = [measure(of) for _ in range(ROUNDS)]
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def requests(url: str, source: Path) -> str:
    """The load child at each rate."""
    rows = []
    for rate in RATES:
        got = rounds(plan(url, rate, source))
        done = max(got["completed"], 1.0)
        rows.append((
            f"{rate:,}/s", f"{done / SECONDS:,.0f}/s", f"{got['cpu_s'] / SECONDS:.2f}",
            f"{got['cpu_s'] / done * 1e6:.0f} us", f"{got['rss'] / 2**20:.0f} MiB",
            f"{got['bytes'] / done:.0f}", f"{got['line_bytes'] / SECONDS / 1024:.0f} KiB/s",
            "yes" if got["conserved"] else "NO",
        ))  # fmt: skip
    head = ("offered", "completed", "cores", "CPU a request", "memory",
            "body bytes a request", "stream", "conserved")  # fmt: skip
    return table(head, rows)


def reports(url: str, source: Path) -> str:
    """A master with each number of workers that send almost nothing."""
    rows = []
    for workers in WORKERS:
        got = rounds(plan(url, IDLE_RATE, source, workers=workers))
        rows.append((
            workers, f"{got['lines'] / SECONDS:.0f}/s", f"{got['cpu_s'] / SECONDS:.3f}",
            f"{got['cpu_s'] / max(got['lines'], 1) * 1e6:.0f} us",
            f"{got['rss'] / 2**20:.0f} MiB", f"{got['worker_rss'] / 2**20:.0f} MiB",
            f"{got['line_bytes'] / SECONDS / 1024:.0f} KiB/s",
        ))  # fmt: skip
    head = ("workers", "slices", "master's cores", "CPU a slice", "master's memory",
            "a worker's memory", "stream")  # fmt: skip
    return table(head, rows)


def main(words: Sequence[str]) -> None:
    """Print the tables asked for, or both."""
    made = {"requests": requests, "reports": reports}
    with tempfile.TemporaryDirectory() as directory, nginx(SERVER_CORE) as url:
        source = Path(directory) / "cost.py"
        source.write_text(SCENARIO, encoding="utf-8")
        for name in words or made:
            print(made[name](url, source) + "\n", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
