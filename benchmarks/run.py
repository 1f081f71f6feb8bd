"""`make bench`: every figure beside its peers, in one run, written to RESULTS.md.

Absolute numbers belong to the machine; the ratios are what is claimed. Server and generator are
pinned to a core each. `python -m benchmarks.run --seconds 10 --rounds 3` is a thorough run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import parts, peers
from benchmarks.servers import nginx, truth_server

SERVER_CORE, GENERATOR_CORE = 0, 1
CONNECTIONS = 32
PEERS = ("wrk", "hey", "oha", "vegeta")
AGPL_PEERS = ("k6",)
"""Under the AGPL: installed and run only where they are asked for (`--agpl-peers`)."""

LAGS = ("p50", "p99", "p999")
TARGET = Path(__file__).with_name("RESULTS.md")
MINE = "this engine"


@dataclass(frozen=True, slots=True)
class Bench:
    """How long and how often each measurement is made."""

    seconds: int
    rounds: int
    peers: tuple[str, ...] = PEERS


def drive(words: Sequence[str], core: int = GENERATOR_CORE) -> tuple[dict[str, Any], float]:
    """Our engine or Locust in a pinned process: its figures and the CPU seconds of all of it."""
    text, cpu = peers.run_pinned([sys.executable, "-m", "benchmarks.drive", *words], core, 120)
    line = next((row for row in reversed(text.splitlines()) if row.startswith("{")), "{}")
    found: dict[str, Any] = json.loads(line)
    return found, cpu


def median(values: Sequence[float | None]) -> float | None:
    """The median of what is known."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def show(value: float | None, form: str = "{:,.0f}") -> str:
    """A figure, or a dash where the tool does not say."""
    return "-" if value is None else form.format(value)


def micro(value: float | None) -> str:
    """Seconds as microseconds."""
    return show(None if value is None else value * 1e6, "{:,.0f} us")


def closed_loop(bench: Bench) -> str:
    """Figure 1."""
    rates: dict[str, list[float | None]] = {name: [] for name in (*bench.peers, "Locust", MINE)}
    cpus: dict[str, list[float | None]] = {name: [] for name in rates}
    with nginx(SERVER_CORE) as url:
        for _ in range(bench.rounds):
            for name in bench.peers:
                found = peers.closed(name, url, CONNECTIONS, bench.seconds, GENERATOR_CORE)
                rates[name].append(found.rate if found else None)
                cpus[name].append(found.cpu_per_request if found else None)
            mine, _ = drive(["engine", "closed", url, str(CONNECTIONS), str(bench.seconds)])
            rates[MINE].append(mine.get("rate"))
            cpus[MINE].append(mine["cpu_s"] / mine["requests"])
            plain, cpu = drive(["locust", url, str(CONNECTIONS), str(bench.seconds)])
            rates["Locust"].append(plain.get("rate"))
            cpus["Locust"].append(cpu / plain["requests"])
    reference = median(rates["wrk"])
    rows = []
    for name, values in rates.items():
        rate = median(values)
        ratio = rate / reference if rate and reference else None
        rows.append([name, show(rate), show(ratio, "{:.2f}"), micro(median(cpus[name]))])
    rows.sort(key=lambda row: -float(row[2]) if row[2] != "-" else 0.0)
    return (
        f"Closed loop, {CONNECTIONS} keep-alive connections, nginx returning 187 bytes; "
        f"medians of {bench.rounds} rounds of {bench.seconds} s.\n\n"
        + table(["generator", "requests/s", "x wrk", "CPU per request"], rows)
    )


def open_loop(bench: Bench) -> str:
    """Figure 2."""
    rows = []
    seconds = str(bench.seconds)
    with nginx(SERVER_CORE) as url:
        for label, words in ((MINE, []), (f"{MINE}, busy Python thread beside it", ["busy"])):
            runs = [
                drive(["engine", "open", url, "10000", seconds, *words])[0]
                for _ in range(bench.rounds)
            ]
            cpu = median([run["cpu_s"] / run["requests"] for run in runs])
            lags = [
                micro(median([run[f"lag_{q}"] for run in runs])) for q in ("p50", "p99", "p999")
            ]
            rows.append([label, show(median([r["rate"] for r in runs])), micro(cpu), *lags])
        for name in bench.peers[1:]:
            found = [
                peers.opened(name, url, 10_000, bench.seconds, GENERATOR_CORE)
                for _ in range(bench.rounds)
            ]
            known = [one for one in found if one]
            rows.append(
                [
                    name,
                    show(median([one.rate for one in known])),
                    micro(median([one.cpu_per_request for one in known])),
                    *["not reported"] * 3,
                ]
            )
    return (
        "10,000 requests/s offered to nginx. Lag is ready - due, of the pacer alone; no peer "
        "reports its own.\n\n"
        + table(
            ["generator", "achieved/s", "CPU per request", "lag p50", "lag p99", "lag p99.9"], rows
        )
    )


def truth(bench: Bench) -> str:
    """Figure 3."""
    parts = []
    seconds = max(bench.seconds, 10)  # at least two stalls
    for rate in (2_000, 10_000):
        rows = []
        errors: dict[str, list[str]] = {}
        runs: list[tuple[str, Callable[[str], dict[str, float | None]]]] = [
            (MINE, lambda url, rate=rate: _mine(url, rate, seconds))  # type: ignore[misc]
        ]
        runs += [
            (name, lambda url, name=name, rate=rate: _peer(name, url, rate, seconds))  # type: ignore[misc]
            for name in bench.peers[1:]
        ]
        for name, run in runs:
            with truth_server(SERVER_CORE) as (url, told):
                found = run(url)
            actual = _quantiles(told[0])
            errors[name] = [_error(found.get(q), actual[q]) for q in actual]
            cells = [
                f"{micro(found.get(q))} ({e})" for q, e in zip(actual, errors[name], strict=True)
            ]
            rows.append([name, *cells])
        parts.append(
            f"At {rate:,}/s:\n\n" + table(["generator", "p50", "p95", "p99", "p99.9"], rows)
        )
    return (
        "A server of known latency: seeded lognormal, median 5 ms, p99 30 ms, and a stall of "
        "100 ms every 5 s. In brackets: error against the delays that the server really imposed "
        "in that run, measured by the server itself (head read to answer written).\n\n"
        + "\n\n".join(parts)
    )


def _mine(url: str, rate: int, seconds: int) -> dict[str, float | None]:
    found, _ = drive(["engine", "open", url, str(rate), str(seconds)])
    return {q: found.get(f"response_{q}") for q in ("p50", "p95", "p99", "p999")}


def _peer(name: str, url: str, rate: int, seconds: int) -> dict[str, float | None]:
    found = peers.opened(name, url, rate, seconds, GENERATOR_CORE)
    if found is None:
        return {}
    return {"p50": found.p50, "p95": found.p95, "p99": found.p99, "p999": found.p999}


def _quantiles(text: str) -> dict[str, float]:
    from harness._engine import Histogram  # noqa: PLC0415 - built by make setup

    histogram = Histogram.decode(text)
    at = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999}
    return {name: (histogram.quantile(q) or 0) / 1e9 for name, q in at.items()}


def _error(found: float | None, actual: float) -> str:
    return "-" if found is None else f"{(found / actual - 1):+.1%}"


def cost(bench: Bench) -> str:
    """Figure 4."""
    started = [_timed(["-m", "harness", "--help"]) for _ in range(5)]
    python = [_timed(["-c", "pass"]) for _ in range(5)]
    record, bytes_on_disk, memory = _one_run(bench)
    minutes = 60 / record
    ratio = statistics.median(started) / statistics.median(python)
    start = f"{statistics.median(started) * 1e3:.0f} ms ({ratio:.1f} x an empty Python)"
    return table(
        ["what", "figure"],
        [
            ["`harness --help`", start],
            ["record on disk, 5 endpoints, per minute", f"{bytes_on_disk * minutes / 1e6:.1f} MB"],
            ["memory of the load child, one worker", f"{memory[0] / 1e6:.0f} MB"],
            ["each further worker", f"{memory[1] / 1e6:.0f} MB"],
        ],
    )


def _timed(words: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    return time.perf_counter() - begin


def _one_run(bench: Bench) -> tuple[float, int, tuple[int, int]]:
    """Seconds, bytes on disk, and memory of the load child with one worker and of one more."""
    import psutil  # noqa: PLC0415 - only here

    from harness.session.options import RunOptions  # noqa: PLC0415
    from harness.session.run import session  # noqa: PLC0415

    peak = {1: 0, 2: 0}
    size, seconds = 0, 1.0
    for workers in (1, 2):
        options = RunOptions("memorai", rate=1000, duration_s=float(bench.seconds), workers=workers)
        with session(options) as ready:
            profile = ready.profile()

            def listen(message: Mapping[str, Any], workers: int = workers) -> None:
                if message["type"] == "tick":
                    total = sum(
                        process.memory_info().rss
                        for process in psutil.Process().children(recursive=True)
                        if "harness.load" in process.cmdline()
                    )
                    peak[workers] = max(peak[workers], total)

            outcome = ready.run(profile, listen)
        directory = outcome.record.directory
        size = sum((directory / name).stat().st_size for name in ("slices.jsonl", "events.jsonl"))
        seconds = profile.duration_s
    # Two workers are a master and two; the master of one worker is the worker itself.
    return seconds, size, (peak[1], (peak[2] - peak[1]) // 2)


def pacing(bench: Bench) -> str:
    """Figure 2a."""
    header = ["slack", "spin", "CPU per request", "lag p50", "lag p99", "lag p99.9", "response p50"]
    return (
        "This engine alone, 10,000 requests/s (Poisson) offered to nginx, by the settings of its "
        "pacer (`pacing` in docs/contracts.md).\n\n"
        + table(header, parts.pacing(bench.rounds, bench.seconds))
        + PACING
    )


PACING = """

With slack, an arrival waits for the next answer or the next arrival to wake the thread with it. \
What it waits is lag, and lag is part of its response time: the median of a fast service would be \
the pacer's. The default is therefore no slack, whatever it saves. The table is worth something on \
an idle machine only: where the thread queues for its core, arrivals keep each other company \
anyway."""


def cost_by_part(bench: Bench) -> str:
    """Figure 4a."""
    seconds = max(30, bench.seconds)
    return (
        f"`harness perf memorai --rate 10k --duration {seconds}s` against a server of its own that "
        f"answers everything at once; medians of {bench.rounds} runs. The command has the report "
        "and the reading of the scenario in it. `python -m benchmarks.lab_cost` measures the parts "
        "of the lab.\n\n"
        + table(["part", "CPU per request", "CPU per run"], parts.parts(bench.rounds, seconds))
    )


FIGURES: dict[str, tuple[str, Callable[[Bench], str]]] = {
    "closed": ("1. Closed loop beside other generators", closed_loop),
    "open": ("2. Open loop at 10,000/s", open_loop),
    "pacing": ("2a. Pacing: processor time against punctuality", pacing),
    "truth": ("3. Truth: a server of known latency", truth),
    "cost": ("4. Cost", cost),
    "parts": ("4a. Cost by part at 10,000/s", cost_by_part),
}


def main() -> None:
    """Measure and write RESULTS.md; figures left out keep their old text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", nargs="*", choices=[*FIGURES, []], help="default: all")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--agpl-peers", action="store_true", help="k6 as well (AGPL-3.0)")
    options = parser.parse_args()
    every = (*PEERS, *AGPL_PEERS) if options.agpl_peers else PEERS
    bench = Bench(options.seconds, options.rounds, every)
    for name in options.figures or FIGURES:
        title, figure = FIGURES[name]
        print(f"== {title}", flush=True)
        text = figure(bench)
        print(text, flush=True)
        write(title, f"{machine()}\n\n{text}")


def machine() -> str:
    """One line about where this was measured."""
    model = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    day = datetime.now(UTC).date().isoformat()
    return f"_{day}, {os.cpu_count()} x {model}, {platform.system()} {platform.release()}_"


def write(title: str, text: str) -> None:
    """Replace one section of RESULTS.md, or add it."""
    head = (
        "# Results\n\nWritten by `make bench`. Shared, noisy machines: compare ratios within a "
        "table, not figures across tables.\n"
    )
    old = TARGET.read_text(encoding="utf-8") if TARGET.exists() else head
    sections = old.split("\n## ")
    kept = [part for part in sections[1:] if not part.startswith(title)]
    kept.append(f"{title}\n\n{text}\n")
    kept.sort()
    TARGET.write_text("\n## ".join([sections[0].rstrip() + "\n", *kept]), encoding="utf-8")


if __name__ == "__main__":
    main()
