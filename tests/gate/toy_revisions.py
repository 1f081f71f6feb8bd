"""A git repository with a small HTTP server in revisions of known slowness, and its project."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness.catalog.load import COMMON

SERVER = '''"""Answers each GET after its usual time; keeps connections open."""
import asyncio, os, random

FACTOR = {factor}

async def serve(reader, writer):
    while line := await reader.readline():
        while (await reader.readline()).strip():
            pass
        if not line.startswith(b"GET /health"):
            await asyncio.sleep(FACTOR * random.lognormvariate(-3.3, 0.25))
        writer.write(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok")
        await writer.drain()
    writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(os.environ["PORT"]))
    await server.serve_forever()

asyncio.run(main())
'''

SCENARIO = """from harness.traffic import get
from harness.traffic.user import TrafficUser


class ToyUser(TrafficUser):
    service = "toy"
    mix = [get("/work", name="work", weight=3), get("/more", name="more", weight=1)]
"""


def repository(directory: Path, factors: dict[str, float]) -> Path:
    """One commit and one tag for each factor, in this order."""
    directory.mkdir(parents=True)
    _git(directory, "init", "-q")
    for tag, factor in factors.items():
        (directory / "server.py").write_text(SERVER.format(factor=factor))
        (directory / "version").write_text(tag)
        _git(directory, "add", "-A")
        _git(directory, "commit", "-q", "-m", tag)
        _git(directory, "tag", tag)
    return directory


def project(directory: Path, catalogue: Path) -> Path:
    """A project with the one service `toy`, described as memorai is."""
    (directory / "services").mkdir(parents=True)
    (directory / "services" / COMMON).write_text((catalogue / COMMON).read_text())
    text = (catalogue / "memorai.yaml").read_text().replace("memorai", "toy")
    (directory / "services" / "toy.yaml").write_text(text)
    (directory / "scenarios").mkdir()
    (directory / "scenarios" / "toy.py").write_text(SCENARIO)
    return directory


def _git(directory: Path, *words: str) -> None:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run(["git", "-C", str(directory), *who, *words], check=True, capture_output=True)
