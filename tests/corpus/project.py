"""A small project that every case of the corpus runs in, and how a command ends there.

Commands run in this process up to where they would start a service: that alone is replaced.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest

from harness.catalog import project_root
from harness.cli import run
from harness.judge import judge
from harness.judge.stored import keep_verdict
from harness.platform.lab.platform import Lab
from harness.platform.url import Url
from tests.corpus.files import FILES
from tests.record.synthetic import Made, plan, record

TEXTS = {
    "harness.yaml": "url: http://127.0.0.1:8080/a\nobjectives: [p95 < 100ms]\nrate: 5\n",
    "earlier.json": json.dumps(
        {"service": "memorai", "low": 900.0, "high": 990.0, "answered": True}
    ),
    "instants.txt": "".join(f"{0.1 * k:.1f}\n" for k in range(100)),
    "runs.csv": "run,value\n" + "".join(f"{k},{10 + k % 3}\n" for k in range(12)),
    "series.csv": "index,value\n" + "".join(f"{k},{10 + k % 3}\n" for k in range(30)),
    "recovery.csv": "t,latency\n" + "".join(f"{k},{0.01 if k != 16 else 1}\n" for k in range(60)),
    "requests.sh": "curl -H 'accept: application/json' http://127.0.0.1:8080/api/items/7\n" * 3,
    "requests.har": json.dumps({"log": {"version": "1.2", "entries": [{
        "startedDateTime": "2026-01-01T00:00:00.000Z", "time": 5,
        "request": {"method": "GET", "url": "http://127.0.0.1:8080/api/a?x=1", "headers": []},
        "response": {"status": 200, "headers": [], "content": {"mimeType": "application/json"}},
    }]}}),
    "openapi.yaml": "openapi: 3.0.0\ninfo: {title: t, version: '1'}\npaths:\n  /a:\n    get:\n"
    "      responses: {'200': {description: ok}}\n",
    "access.log": '127.0.0.1 - - [10/Oct/2025:13:55:36 +0000] "GET /a HTTP/1.1" 200 12\n' * 4,
    "kubeconfig": "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: "
    "'http://127.0.0.1:1'}}]\nusers: [{name: u, user: {}}]\ncontexts: [{name: x, context: "
    "{cluster: c, user: u}}]\ncurrent-context: x\n",
}  # fmt: skip


class Reached(BaseException):
    """The command would now start or ask a service: whatever was said was taken."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit code (None: it reached the service), what it said, its CPU."""

    code: int | None
    said: str
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Project:
    """The project's directory, and the names of its one run and its one scenario."""

    root: Path
    names: dict[str, str]
    sound: dict[str, bytes] = field(repr=False)

    def path(self, name: str) -> Path:
        """Of a file, whose name may hold {run} and {scenario}."""
        return self.root / name.format(**self.names)

    def words(self, text: str) -> list[str]:
        """A command line, with a new name in place of {fresh}."""
        fresh = f"made-{time.monotonic_ns()}"
        return [word.format(**self.names, fresh=fresh) for word in text.split()]

    def mend(self, name: str) -> None:
        """Put the sound file back."""
        path = self.path(name)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        path.write_bytes(self.sound[name])

    def run(self, words: list[str]) -> Ended:
        """Run it in this process."""
        output, began = io.StringIO(), time.process_time()
        with redirect_stderr(output), redirect_stdout(io.StringIO()):
            try:
                code: int | None = run(words)
            except Reached:
                code = None
        return Ended(code, output.getvalue(), time.process_time() - began)


@contextmanager
def project(root: Path) -> Iterator[Project]:
    """Make the project, and be in it."""
    source = project_root()
    (root / "services").mkdir(parents=True)
    shutil.copy(source / "tests/catalog/complete/memorai.yaml", root / "services")
    for name in ("experiments/kill-replica.yaml", "scenarios/memorai.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, root / name)
    for name, text in TEXTS.items():
        (root / name).write_text(text)
    found = record(root / "results", Made(plan=plan(hold_s=12.0)))
    keep_verdict(judge(found), found.directory)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("HARNESS_HOME", str(root))
        for name in ("HOME", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
            (root / name.lower()).mkdir(mode=0o700)
            patch.setenv(name, str(root / name.lower()))
        patch.delenv("KUBECONFIG", raising=False)
        for platform in (Lab, Url):
            patch.setattr(platform, "provision", _reached)
        patch.setattr(subprocess, "run", _described_once())
        assert run(["baseline", "accept", "latest", "--new", "--yes", "--even-failed"]) == 0
        (kept,) = (root / "baselines" / "memorai").glob("*.json")
        names = {"run": found.directory.name, "scenario": kept.stem}
        made = Project(root, names, {})
        made.sound.update({file.path: made.path(file.path).read_bytes() for file in FILES})
        yield made


def _described_once() -> Callable[..., subprocess.CompletedProcess[str]]:
    """A child that describes the same bytes in the same environment says the same again."""
    really, known = subprocess.run, {}

    def run(words: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
        if "harness.traffic" not in words:
            return really(words, **more)
        key = (*words, Path(words[-1]).read_bytes(), *more["env"].items())
        if key not in known:
            known[key] = really(words, **more)
        return known[key]

    return run


def _reached(*words: Any, **more: Any) -> NoReturn:
    raise Reached
