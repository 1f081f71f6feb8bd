"""Our engine, and plain Locust, as command lines that a benchmark can pin and time.

`python -m benchmarks.drive engine closed URL CONNECTIONS SECONDS`
`python -m benchmarks.drive engine open URL RATE SECONDS [busy] [poisson] [slack_s=1e-4] [spin_s=0]`
`python -m benchmarks.drive locust URL USERS SECONDS`
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999}


def engine(
    arrivals: dict[str, Any],
    url: str,
    connections: int,
    seconds: float,
    pacing: dict[str, float] | None = None,
) -> dict[str, Any]:
    """Run the engine alone and read its own figures (axis `due`)."""
    from harness._engine import Engine, Histogram  # noqa: PLC0415 - Locust must not pay for it

    parts = urlsplit(url)
    plan = {
        "seed": 1,
        "shard": 0,
        "shards": 1,
        "threads": 1,
        "arrivals": arrivals,
        "targets": [f"{parts.scheme}://{parts.netloc}"],
        "connections_per_target": connections,
        "max_in_flight": 100_000,
        "drain_s": 10.0,
        **({} if pacing is None else {"pacing": pacing}),
        "requests": [
            {
                "name": "get",
                "weight": 1.0,
                "method": "GET",
                "path": parts.path or "/",
                "timeout_s": 30.0,
            },
        ],
    }
    run = Engine(json.dumps(plan))
    run.start()
    run.join(seconds + 40)
    snapshot = run.snapshot()
    merged = {kind: Histogram() for kind in ("response", "lag", "service")}
    for line in run.poll():
        piece = json.loads(line)
        if piece["axis"] == "due":
            for kind, histogram in merged.items():
                if kind in piece["hist"]:
                    histogram.add(Histogram.decode(piece["hist"][kind]))
    found: dict[str, Any] = {
        "requests": snapshot["completed"],
        "failed": snapshot["failed"],
        "unfinished": snapshot["unfinished"],
        "rate": snapshot["completed"] / seconds,
        "conserved": snapshot["conserved"],
        "cpu_s": (snapshot["cpu_ns"] or 0) / 1e9,
    }
    for kind, histogram in merged.items():
        for name, q in QUANTILES.items():
            found[f"{kind}_{name}"] = (
                (histogram.quantile(q) or 0) / 1e9 if histogram.count else None
            )
    return found


LOCUSTFILE = """
from locust import FastHttpUser, task
class U(FastHttpUser):
    @task
    def t(self):
        self.client.get({path!r})
"""


def locust(url: str, users: int, seconds: int) -> dict[str, Any]:
    """Plain Locust with FastHttpUser, as its documentation shows it."""
    parts = urlsplit(url)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "locustfile.py"
        file.write_text(LOCUSTFILE.format(path=parts.path or "/"), encoding="utf-8")
        subprocess.run(
            [
                sys.executable,
                "-m",
                "locust",
                "-f",
                str(file),
                "--headless",
                "-u",
                str(users),
                "-r",
                str(users),
                "-t",
                f"{seconds}s",
                "--host",
                f"{parts.scheme}://{parts.netloc}",
                "--csv",
                f"{directory}/out",
                "--only-summary",
            ],
            check=False,
            capture_output=True,
        )
        lines = Path(f"{directory}/out_stats.csv").read_text(encoding="utf-8").splitlines()
    header, row = lines[0].split(","), lines[-1].split(",")
    cells = dict(zip(header, row, strict=False))
    return {
        "requests": int(cells["Request Count"]),
        "rate": float(cells["Requests/s"]),
        "p50": float(cells["50%"]) / 1e3,
        "p95": float(cells["95%"]) / 1e3,
        "p99": float(cells["99%"]) / 1e3,
        "p999": float(cells["99.9%"]) / 1e3,
    }


def keep_python_busy() -> None:
    """Hold the GIL as a busy Python process does."""

    def spin() -> None:
        total = 0
        while True:
            total += 1

    threading.Thread(target=spin, daemon=True).start()


def main(words: list[str]) -> None:
    """Print one JSON line."""
    if words[0] == "locust":
        found = locust(words[1], int(words[2]), int(words[3]))
    else:
        url, amount, seconds = words[2], float(words[3]), float(words[4])
        if words[1] == "closed":
            arrivals: dict[str, Any] = {
                "kind": "closed",
                "users": int(amount),
                "duration_s": seconds,
                "think_s": 0.0,
            }
            connections = int(amount)
        else:
            segment = {"duration_s": seconds, "from_rate": amount, "to_rate": amount}
            spacing = "poisson" if "poisson" in words else "constant"
            arrivals = {"kind": "profile", "spacing": spacing, "segments": [segment]}
            connections = 2000
        if "busy" in words:
            keep_python_busy()
        given = [word.split("=") for word in words[5:] if "=" in word]
        pacing = {name: float(value) for name, value in given} or None
        found = engine(arrivals, url, connections, seconds, pacing)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
