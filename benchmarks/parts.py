"""What each part of a run costs, and what punctuality costs the pacer (figures of benchmarks.run).

A process's cost is its processor time, user and system, over the requests of the run; it is read
from the processes themselves, so a busy machine makes it noisy but not unknown.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.servers import nginx, plain_server

SERVER_CORE, GENERATOR_CORE = 0, 1
RATE = 10_000
LAGS = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
SCENARIO = Path(__file__).with_name("plain_scenario.py")

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
    from benchmarks.lab_cost import watch  # noqa: PLC0415 - it imports benchmarks.run
    from harness.record import RunRecord  # noqa: PLC0415 - built by make setup

    with tempfile.TemporaryDirectory() as results:
        command = [sys.executable, "-m", "harness", "perf", "memorai", "--quiet"]
        words = [*command, "--results", results, *words]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL) as started:
            used = watch(started)
        found = list(Path(results).glob("memorai/*/run.json"))
        if not found:
            raise SystemExit("no record was made: see the lines above")
        record = RunRecord.load(found[0].parent)
        lag = record.distribution("lag")
        quantiles = {name: lag.quantile(q) or 0.0 for name, q in LAGS.items()}
        return Costs(int((record.totals or {}).get("offered", 0)), quantiles, used)


def parts(rounds: int, seconds: int) -> list[list[str]]:
    """(part, CPU a request, CPU seconds a run) of the harness against a server of its own."""
    words = ["--rate", str(RATE), "--duration", f"{seconds}s", "--scenario", str(SCENARIO)]
    with plain_server() as url:
        runs = [run([*words, "--target", url]) for _ in range(rounds)]
    rows = []
    for role in ("load", "command"):
        spent = statistics.median(each.seconds.get(role, 0.0) for each in runs)
        share = statistics.median(each.per_request(role) for each in runs)
        rows.append([role, f"{share * 1e6:.1f} us", f"{spent:.2f} s"])
    both = statistics.median(each.per_request("load", "command") for each in runs)
    rows.append(["**both**", f"**{both * 1e6:.1f} us**", ""])
    lags = [f"{1e6 * statistics.median(each.lag[q] for each in runs):,.0f} us" for q in LAGS]
    rows.append([f"lag {', '.join(LAGS)}", ", ".join(lags), ""])
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
