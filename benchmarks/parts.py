"""What each part of a run costs, and what punctuality costs the pacer (figures of benchmarks.run).

A process's cost is its processor time, user and system, over the requests of the run; it is read
from the processes themselves, so a busy machine makes it noisy but not unknown.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.servers import nginx, plain_server

SERVER_CORE, GENERATOR_CORE = 0, 1
RATE = 10_000
SCENARIO = Path(__file__).with_name("plain_scenario.py")
LOOK_S = 0.1

ROLES = (
    ("harness.load", "load process"),
    ("harness.traffic", "scenario, read once"),
    ("harness.platform.lab.supervisor", "lab: supervisor"),
    ("harness.platform.lab.database", "lab: database"),
    ("harness.platform.lab", "lab: replicas"),
    ("envoy", "lab: edge"),
)
"""(part of a command line, role): the first that fits; what fits none is the command itself."""

SETTINGS: tuple[tuple[str, str], ...] = (
    ("0", "0"), ("0", "5e-6"), ("0", "2e-5"), ("0", "1e-4"),
    ("5e-5", "5e-6"), ("1e-4", "5e-6"), ("2e-4", "5e-6"), ("5e-4", "5e-6"),
)  # fmt: skip
"""(slack_s, spin_s) of the engine's pacer."""


@dataclass
class Costs:
    """Processor seconds by role of one run, and what the record says of it."""

    requests: int
    lag: dict[str, float]
    seconds: dict[str, float] = field(default_factory=dict)

    def per_request(self, *roles: str) -> float:
        """Seconds of processor time for each request."""
        return sum(self.seconds.get(role, 0.0) for role in roles) / self.requests


def run(words: Sequence[str]) -> Costs:
    """`harness perf memorai` with these words, watched until it ends."""
    from harness.record import RunRecord  # noqa: PLC0415 - built by make setup

    with tempfile.TemporaryDirectory() as results:
        command = [sys.executable, "-m", "harness", "perf", "memorai", "--quiet"]
        words = [*command, "--results", results, *words]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as started:
            used = _watch(psutil.Process(started.pid))
            said = started.stderr.read().decode() if started.stderr else ""
        found = list(Path(results).glob("memorai/*/run.json"))
        if not found:
            raise SystemExit(f"no record was made: {said.strip()}")
        record = RunRecord.load(found[0].parent)
        lag = record.distribution("lag")
        quantiles = {name: lag.quantile(q) or 0.0 for name, q in (("p50", 0.5), ("p99", 0.99))}
        return Costs(int((record.totals or {}).get("offered", 0)), quantiles, used)


def _watch(command: psutil.Process) -> dict[str, float]:
    """Processor seconds by role, of the command and all its descendants, until it ends."""
    last: dict[tuple[int, float], tuple[str, float]] = {}
    while command.status() != psutil.STATUS_ZOMBIE:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in [command, *command.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    times = process.cpu_times()
                    role = "command and report" if process == command else _role(process)
                    key = process.pid, process.create_time()
                    last[key] = role, times.user + times.system
        time.sleep(LOOK_S)
    used: dict[str, float] = {}
    for role, seconds in last.values():
        used[role] = used.get(role, 0.0) + seconds
    return used


def _role(process: psutil.Process) -> str:
    words = " ".join(process.cmdline())
    return next((role for part, role in ROLES if part in words), "command and report")


def parts(rounds: int, seconds: int) -> list[list[str]]:
    """(part, CPU a request, CPU seconds a run) with a server of its own, and in the lab."""
    words = ["--rate", str(RATE), "--duration", f"{seconds}s"]
    with plain_server() as url:
        plain = [*words, "--target", url, "--scenario", str(SCENARIO)]
        alone = [run(plain) for _ in range(rounds)]
    lab = [run(words) for _ in range(rounds)]
    rows = []
    for title, runs in (("a plain server", alone), ("the lab", lab)):
        roles = sorted({role for each in runs for role in each.seconds})
        for role in roles:
            spent = statistics.median(each.seconds.get(role, 0.0) for each in runs)
            share = statistics.median(each.per_request(role) for each in runs)
            rows.append([title, role, f"{share * 1e6:.1f} us", f"{spent:.2f} s"])
        mine = statistics.median(
            each.per_request("load process", "command and report", "scenario, read once")
            for each in runs
        )
        lag = statistics.median(each.lag["p99"] for each in runs)
        rows.append([title, "**load process and command**", f"**{mine * 1e6:.1f} us**", ""])
        rows.append([title, "lag p99", f"{lag * 1e6:,.0f} us", ""])
    return rows


def pacing(rounds: int, seconds: int) -> list[list[str]]:
    """(slack, spin, CPU a request, lag p50, p99, p99.9, response p50) of the engine alone."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {setting: [] for setting in SETTINGS}
    with nginx(SERVER_CORE) as url:
        for _ in range(rounds):
            for slack, spin in SETTINGS:
                found[slack, spin].append(_paced(url, seconds, slack, spin))
    rows = []
    for (slack, spin), runs in found.items():
        cpu = statistics.median(each["cpu_s"] / each["requests"] for each in runs)
        figures = [
            statistics.median(each[name] for each in runs)
            for name in ("lag_p50", "lag_p99", "lag_p999", "response_p50")
        ]
        settings = [f"{float(value) * 1e6:.0f} us" for value in (slack, spin)]
        shown = [f"{value * 1e6:,.0f} us" for value in figures]
        rows.append([*settings, f"{cpu * 1e6:.1f} us", *shown])
    return rows


def _paced(url: str, seconds: int, slack: str, spin: str) -> dict[str, Any]:
    given = [f"slack_s={slack}", f"spin_s={spin}", "poisson"]
    words = ["benchmarks.drive", "engine", "open", url, str(RATE), str(seconds), *given]
    done = subprocess.run(
        ["taskset", "-c", str(GENERATOR_CORE), sys.executable, "-m", *words],
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
