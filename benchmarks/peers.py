"""The load generators that the engine is measured against, installed where they are missing.

Each peer is one command line and one reading of its output. All of them drive the same server
in the same run, pinned to the same core.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "codai-harness" / "peers"
BIN = CACHE / "bin"

INSTALL: dict[str, list[str]] = {
    "wrk": ["apt-get", "install", "-y", "-qq", "wrk"],
    "hey": ["apt-get", "install", "-y", "-qq", "hey"],
    "oha": [
        "cargo",
        "install",
        "--quiet",
        "--locked",
        "oha",
        "--version",
        "1.16.0",
        "--root",
        str(CACHE),
    ],
    "vegeta": ["go", "install", "github.com/tsenart/vegeta/v12@v12.13.0"],
    "k6": ["go", "install", "go.k6.io/k6@v1.8.1"],
}


@dataclass(frozen=True, slots=True)
class Measured:
    """What a peer says of a run: requests/s and latency quantiles in seconds, None if unsaid."""

    peer: str
    requests: int | None
    rate: float | None
    cpu_s: float
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    p999: float | None = None
    failed: str | None = None

    @property
    def cpu_per_request(self) -> float | None:
        """Seconds of CPU for each request."""
        return self.cpu_s / self.requests if self.requests else None


def find(peer: str) -> str | None:
    """Path of a peer's binary, installing it the first time; None where that is not possible."""
    path = shutil.which(peer, path=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    if path is None and peer in INSTALL and shutil.which(INSTALL[peer][0]):
        environment = {**os.environ, "GOBIN": str(BIN)}
        subprocess.run(INSTALL[peer], env=environment, check=False, capture_output=True)
        path = shutil.which(peer, path=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    return path


def run_pinned(command: Sequence[str], core: int, timeout_s: float) -> tuple[str, float]:
    """Standard output and CPU seconds of a command pinned to one core."""
    before = os.times()
    done = subprocess.run(
        ["taskset", "-c", str(core), *command],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**os.environ, "GOMAXPROCS": "1"},
    )
    after = os.times()
    cpu = (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )
    return done.stdout + done.stderr, cpu


def closed(peer: str, url: str, connections: int, seconds: int, core: int) -> Measured | None:
    """Drive `url` in a closed loop as fast as the peer can on one core."""
    path = find(peer)
    if path is None:
        return None
    commands: dict[str, list[str]] = {
        "wrk": [path, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", url],
        "hey": [path, "-c", str(connections), "-z", f"{seconds}s", "-cpus", "1", url],
        "oha": [
            path,
            "-c",
            str(connections),
            "-z",
            f"{seconds}s",
            "--no-tui",
            "--output-format",
            "json",
            url,
        ],
        "vegeta": [
            "sh",
            "-c",
            _vegeta_pipe(path, url, seconds, f"-rate=0 -max-workers={connections}"),
        ],
        "k6": [
            path,
            "run",
            "--quiet",
            "--vus",
            str(connections),
            "--duration",
            f"{seconds}s",
            "--summary-export",
            str(CACHE / "k6.json"),
            "--no-usage-report",
            _k6_script(url),
        ],
    }
    text, cpu = run_pinned(commands[peer], core, seconds + 60)
    return _READERS[peer](text, cpu)


def opened(peer: str, url: str, rate: int, seconds: int, core: int) -> Measured | None:
    """Drive `url` at a fixed arrival rate, as nearly open-loop as the peer allows."""
    path = find(peer)
    if path is None:
        return None
    commands: dict[str, list[str]] = {
        "hey": [path, "-c", "64", "-q", str(rate / 64), "-z", f"{seconds}s", "-cpus", "1", url],
        "oha": [
            path,
            "-c",
            "64",
            "-q",
            str(rate),
            "-z",
            f"{seconds}s",
            "--no-tui",
            "--latency-correction",
            "--output-format",
            "json",
            url,
        ],
        "vegeta": [
            "sh",
            "-c",
            _vegeta_pipe(path, url, seconds, f"-rate={rate}/s -max-workers=2000"),
        ],
        "k6": [
            path,
            "run",
            "--quiet",
            "--summary-export",
            str(CACHE / "k6.json"),
            "--no-usage-report",
            "--summary-trend-stats",
            "med,p(95),p(99),p(99.9)",
            _k6_script(url, rate=rate, seconds=seconds),
        ],
    }
    if peer not in commands:
        return None
    text, cpu = run_pinned(commands[peer], core, seconds + 60)
    return _READERS[peer](text, cpu)


def _vegeta_pipe(path: str, url: str, seconds: int, options: str) -> str:
    return (
        f"echo GET {url} | {path} attack {options} -duration={seconds}s | {path} report -type=json"
    )


def _k6_script(url: str, rate: int | None = None, seconds: int = 0) -> str:
    script = CACHE / "k6.js"
    script.parent.mkdir(parents=True, exist_ok=True)
    options = ""
    if rate is not None:
        options = (
            "export const options = {scenarios: {open: {executor: 'constant-arrival-rate', "
            f"rate: {rate}, timeUnit: '1s', duration: '{seconds}s', "
            "preAllocatedVUs: 200, maxVUs: 1000}}};\n"
        )
    script.write_text(
        f"import http from 'k6/http';\n{options}"
        f"export default function () {{ http.get('{url}'); }}\n",
        encoding="utf-8",
    )
    return str(script)


_UNIT = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


def _time(text: str | None) -> float | None:
    match = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text or "")
    return float(match[1]) * _UNIT[match[2]] if match else None


def _first(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text, re.MULTILINE)
    return match[1] if match else None


def _wrk(text: str, cpu: float) -> Measured:
    requests = int(_first(r"(\d+) requests in", text) or 0)
    return Measured(
        "wrk",
        requests,
        float(_first(r"Requests/sec:\s+([\d.]+)", text) or 0),
        cpu,
        p50=_time(_first(r"50%\s+(\S+)", text)),
        p99=_time(_first(r"99%\s+(\S+)", text)),
    )


def _hey(text: str, cpu: float) -> Measured:
    rate = float(_first(r"Requests/sec:\s+([\d.]+)", text) or 0)
    counted = sum(int(n) for n in re.findall(r"^\s+\[\d+\]\s+(\d+) responses", text, re.MULTILINE))

    def quantile(percent: int) -> float | None:
        found = _first(rf"^\s+{percent}%+ in ([\d.]+) secs", text)
        return float(found) if found else None

    return Measured("hey", counted, rate, cpu, quantile(50), quantile(95), quantile(99))


def _oha(text: str, cpu: float) -> Measured:
    data = json.loads(text[text.index("{") : text.rindex("}") + 1])
    quantiles = data["latencyPercentiles"]
    rate = data["summary"]["requestsPerSec"]
    return Measured(
        "oha",
        round(rate * data["summary"]["total"]),
        rate,
        cpu,
        quantiles["p50"],
        quantiles["p95"],
        quantiles["p99"],
        quantiles["p99.9"],
    )


def _vegeta(text: str, cpu: float) -> Measured:
    data = json.loads(text[text.index("{") : text.rindex("}") + 1])
    at = data["latencies"]
    return Measured(
        "vegeta",
        data["requests"],
        data["throughput"],
        cpu,
        at["50th"] / 1e9,
        at["95th"] / 1e9,
        at["99th"] / 1e9,
    )


def _k6(text: str, cpu: float) -> Measured:
    data = json.loads((CACHE / "k6.json").read_text(encoding="utf-8"))["metrics"]
    trend = data["http_req_duration"]

    def quantile(key: str) -> float | None:
        return trend[key] / 1e3 if key in trend else None

    requests = data["http_reqs"]
    return Measured(
        "k6",
        int(requests["count"]),
        requests["rate"],
        cpu,
        quantile("med"),
        quantile("p(95)"),
        quantile("p(99)"),
        quantile("p(99.9)"),
    )


_READERS: dict[str, Callable[[str, float], Measured]] = {
    "wrk": _wrk,
    "hey": _hey,
    "oha": _oha,
    "vegeta": _vegeta,
    "k6": _k6,
}
