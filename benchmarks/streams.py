"""Streams of known truth: what the engine measures of them, and what a token costs.

`python -m benchmarks.streams` starts the reference service (time to first token 150 ms, gap 20 ms,
100 tokens) on one core and the load on the other, holds the quantiles of both against the truth,
nominal and as the service sent it, and does the same with httpx-sse (`pip install httpx-sse`) at
the rate that Python carries.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from benchmarks.run import machine, write
from benchmarks.servers import free_port
from benchmarks.worker_cost import cpu_of
from harness.load.driver import LoadProcess
from harness.load.plan import LoadPlan
from harness.platform.model import Target
from harness.record.distribution import Distribution
from harness.record.series import SliceTable
from harness.traffic import stream
from harness.traffic.model import LoadProfile, Segment, TrafficModel

TTFT_S, GAP_S, TOKENS = 0.150, 0.020, 100
QUANTILES = (0.50, 0.90, 0.95, 0.99)
LIMIT = 0.02
"""What a quantile may be off."""

SERVER_CORE, LOAD_CORE = 0, 1
PATH = "/v1/chat/completions"
BODY = {
    "model": "lab",
    "messages": [{"role": "user", "content": "hello"}],
    "stream": True,
    "stream_options": {"include_usage": True},
}

SCENARIO = f"""
from harness.traffic import stream
from harness.traffic.user import TrafficUser

class Chat(TrafficUser):
    service = "chat"
    mix = [stream("{PATH}", name="chat")]
"""
"""What the load child imports; its plan says what is sent."""


@contextmanager
def service(behaviour: dict[str, Any]) -> Iterator[str]:
    """A replica of the reference service on its own core; yields its URL."""
    port = free_port()
    config = {
        "service": "chat", "id": "r", "region": "here", "replication": "async", "routes": [],
        "behaviour": behaviour, "health_path": "/health", "listen": ["127.0.0.1", port],
        "database": None,
    }  # fmt: skip
    with subprocess.Popen(
        [*pinned(SERVER_CORE), sys.executable, "-m", "harness.platform.lab.service",
         json.dumps(config)],
        stdin=subprocess.PIPE,
    ) as process:  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        while process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.02)
        try:
            yield url
        finally:
            process.communicate()  # it ends with its standard input


def pinned(core: int) -> tuple[str, ...]:
    """The words that keep a process on a core, where there is more than one."""
    return ("taskset", "-c", str(core)) if (os.cpu_count() or 1) > 1 else ()


def plan(url: str, rate: float, seconds: float, source: Path) -> LoadPlan:
    """One endpoint, a constant mean rate, no warm-up: everything is counted."""
    request = stream(PATH, name="chat", json_body=BODY)
    source.write_text(SCENARIO, encoding="utf-8")
    traffic = TrafficModel("chat", "streams", str(source), (request,))
    target = Target("chat", (url,), "service", "reference", exec_prefix=pinned(LOAD_CORE))
    profile = LoadProfile("streams", (Segment("hold", seconds, rate, rate),))
    return LoadPlan(target, traffic, profile, probe=False)


def engine(url: str, rate: float, seconds: float) -> dict[str, Any]:
    """What the engine measures, and the CPU time of its process."""
    rows, cpu, before = [], 0.0, 0.0
    with (
        tempfile.TemporaryDirectory() as directory,
        LoadProcess(plan(url, rate, seconds, Path(directory) / "chat.py")) as child,
    ):
        process = psutil.Process(child.pid)
        while not child.ended:
            for message in child.poll(0.2):
                if message["type"] == "start":
                    before = cpu_of(process)
                elif message["type"] == "slice":
                    rows.append(dict(message["slice"]))
                elif message["type"] == "tick":
                    cpu = cpu_of(process) - before
    table = SliceTable(rows)
    series = table.series("due", None)
    return {
        "ttft": Distribution.merge(table.distributions("ttft", "due", None)),
        "gap": Distribution.merge(table.distributions("gap", "due", None)),
        "cpu_s": cpu,
        "events": int(series.events.sum()),
        "tokens": int(series.tokens.sum()),
        "coalesced": int(series.coalesced.sum()),
        "requests": f"{series.completed.sum():,} of {series.offered.sum():,} completed",
    }


async def _python(url: str, rate: float, seconds: float) -> dict[str, Any]:
    sse: Any = import_module("httpx_sse")
    first: list[float] = []
    gaps: list[float] = []
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    loop = asyncio.get_running_loop()
    async with httpx.AsyncClient(limits=limits, timeout=60, trust_env=False) as client:

        async def one(due: float) -> None:
            await asyncio.sleep(max(0.0, due - loop.time()))
            last = None
            async with sse.aconnect_sse(client, "POST", f"{url}{PATH}", json=BODY) as source:
                async for event in source.aiter_sse():
                    if event.data == "[DONE]":
                        break
                    choices = json.loads(event.data)["choices"]
                    if not (choices and choices[0]["delta"].get("content")):
                        continue
                    now = loop.time()
                    first.append(now - due) if last is None else gaps.append(now - last)
                    last = now

        before, begin = time.process_time(), loop.time() + 0.1
        await asyncio.gather(*(one(begin + k / rate) for k in range(round(rate * seconds))))
        cpu = time.process_time() - before
    return {"ttft": _of(first), "gap": _of(gaps), "cpu_s": cpu, "events": len(first) + len(gaps)}


def _of(values: Sequence[float]) -> Distribution:
    found, counts = np.unique(np.array(values, np.float64), return_counts=True)
    return Distribution(found, counts.astype(np.int64))


def truth(url: str) -> dict[str, Distribution]:
    """What the service has really sent."""
    found = httpx.get(f"{url}/__lab/streams", trust_env=False).json()
    return {
        "ttft": Distribution.decode(found["time_to_first_token"]),
        "gap": Distribution.decode(found["inter_chunk_latency"]),
    }


def rows(name: str, found: dict[str, Any], sent: dict[str, Distribution]) -> tuple[list[str], bool]:
    """Lines of the table, and whether each quantile is within the limit of what was sent."""
    lines, good = [], True
    for what, nominal in (("ttft", TTFT_S), ("gap", GAP_S)):
        for q in QUANTILES:
            own, real = found[what].quantile(q) or 0.0, sent[what].quantile(q) or 0.0
            off = own / real - 1 if real else float("inf")
            good = good and abs(off) <= LIMIT
            lines.append(
                f"| {name} | {what} p{q * 100:g} | {nominal * 1e3:.0f} | {real * 1e3:.2f} |"
                f" {own * 1e3:.2f} | {off * 100:+.2f} % |"
            )
    return lines, good


def _cost(name: str, found: dict[str, Any]) -> str:
    each = found["cpu_s"] / max(found["events"], 1) * 1e6
    return f"| {name} | {found['events']:,} | {each:.1f} us |"


def report(rate: float, python_rate: float, seconds: float) -> tuple[str, bool]:
    """The tables, and whether each quantile of the engine is as it was sent."""
    behaviour = {
        "stream": {"tokens": TOKENS, "ttft_median_s": TTFT_S, "gap_median_s": GAP_S}, "seed": 7,
    }  # fmt: skip
    with service(behaviour) as url:
        found = engine(url, rate, seconds)
        lines, good = rows(f"engine, {rate:g}/s", found, truth(url))
    costs = [_cost("engine", found)]
    if find_spec("httpx_sse") is None:
        costs.append("| httpx-sse | not installed: pip install httpx-sse | |")
    else:
        with service(behaviour) as url:
            if pinned(LOAD_CORE):
                os.sched_setaffinity(0, {LOAD_CORE})
            other = asyncio.run(_python(url, python_rate, seconds))
            lines += rows(f"httpx-sse, {python_rate:g}/s", other, truth(url))[0]
        costs.append(_cost("httpx-sse", other))
    return "\n".join([
        (f"{found['requests']}; {found['coalesced']:,} of {found['events']:,} events came with"
         f" another. Load average {os.getloadavg()[0]:.1f}.\n"),
        "| client | quantile | nominal ms | sent ms | measured ms | off |",
        "|---|---|---|---|---|---|", *lines, "",
        "| client | tokens | CPU a token |", "|---|---|---|", *costs,
    ]), good  # fmt: skip


def main(words: Sequence[str] | None = None) -> int:
    """Print the tables; 1 where a quantile of the engine is off by more than the limit."""
    parser = argparse.ArgumentParser(prog="benchmarks.streams", description=__doc__)
    parser.add_argument("--rate", type=float, default=400.0, help="streams/s of the engine")
    parser.add_argument("--python-rate", type=float, default=60.0, help="streams/s of httpx-sse")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--write", action="store_true", help="into RESULTS.md as well")
    asked = parser.parse_args(words)
    text, good = report(asked.rate, asked.python_rate, asked.seconds)
    print(text)
    if asked.write:
        write("13. Streams of known truth", f"{machine()}\n\n{text}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
