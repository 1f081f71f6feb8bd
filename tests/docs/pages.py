"""The project's pages, and the blocks of them that tests run.

A fenced block is run when its info string has the word `test`, or `slow` where it takes more than a
few seconds: `file=PATH` writes the block to that file of a scratch project, and a `console` block
runs its `$ ` lines there. The lines below a command are what it prints, in order; `…` stands for
anything. `(exit code N)` after a command's output is its exit code, 0 where nothing is said. What a
`slow` block judges may end with any verdict: the machine may be too busy.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Self

from tests.verdicts import VERDICTS

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)
EXAMPLE_PORT = "8080"
"""The port of the pages' own services; a free one stands in for it."""

LIMIT_S = 120.0
_BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<info>[a-z]+[^\n]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_EXIT = re.compile(r"\(exit code (\d+)\)")
_VERDICT = re.compile(r"\b(?:PASS|pass)\b")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: its language, the other words of its info string, and its text."""

    language: str
    words: tuple[str, ...]
    text: str

    @property
    def file(self) -> str | None:
        """The file of the scratch project that it is."""
        return next((w.removeprefix("file=") for w in self.words if w.startswith("file=")), None)


@dataclass(frozen=True, slots=True)
class Command:
    """A command line, what it prints and the code that it ends with."""

    line: str
    output: tuple[str, ...]
    code: int


def name_of(page: Path) -> str:
    """A page's path in the project."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """Every fenced block with a language."""
    found = _BLOCK.finditer(page.read_text(encoding="utf-8"))
    parts = [(match["info"].split(), dedent(match["text"])) for match in found]
    return [Block(words[0], tuple(words[1:]), text) for words, text in parts]


def commands(text: str) -> Iterator[Command]:
    """The commands of a console block; comments after two spaces are left out."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, *shown = part.splitlines()
        line = re.sub(r"\s{2,}#.*$", "", line)
        codes = [int(match[1]) for each in shown if (match := _EXIT.fullmatch(each.strip()))]
        output = [each.strip() for each in shown if each.strip() and not _EXIT.search(each)]
        yield Command(line, tuple(output), codes[0] if codes else 0)


def documented(prefix: str) -> list[tuple[str, str]]:
    """(page, command line) of each command that begins with `prefix`, of all pages."""
    return [
        (name_of(page), command.line)
        for page in PAGES
        for block in blocks(page)
        if block.language == "console"
        for command in commands(block.text)
        if command.line.startswith(prefix)
    ]


class ScratchProject:
    """An empty project in which a page's blocks are carried out, one after the other."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for name in ("services", "scenarios", "experiments"):
            shutil.copytree(ROOT / name, directory / name)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._started: list[subprocess.Popen[bytes]] = []
        # Of its own, so that labs of others are not seen; short, since sockets are in it.
        self._labs = tempfile.TemporaryDirectory(prefix="docs-")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._labs.cleanup()

    def carry_out(self, block: Block) -> None:
        """Write the block's file, or run its commands and compare what they print."""
        text = block.text.replace(EXAMPLE_PORT, str(self._port))
        if block.file is not None:
            path = self._directory / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        assert block.language == "console", f"a {block.language} block needs file=PATH"
        if "slow" in block.words:
            text = _VERDICT.sub("…", text)
        for command in commands(text):
            self._run(command, VERDICTS if "slow" in block.words else {command.code})

    def _run(self, command: Command, codes: set[int]) -> None:
        if command.line.endswith(" &"):
            self._start(command.line.removesuffix(" &"))
            return
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command.line],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            cwd=self._directory,
            env=self._environment(),
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode in codes, f"$ {command.line}\n{done.stdout}"
        rest = " ".join(done.stdout.split())
        for wanted in command.output:
            for part in filter(None, map(str.strip, " ".join(wanted.split()).split("…"))):
                _, found, rest = rest.partition(part)
                assert found, f"$ {command.line}\nprints no {part!r}:\n{done.stdout}"

    def _start(self, line: str) -> None:
        """Start a server that the page leaves running, and wait until it listens."""
        self._started.append(
            subprocess.Popen(
                ["bash", "-c", f"exec {line}"],
                stdin=subprocess.DEVNULL,
                cwd=self._directory,
                env=self._environment(),
                start_new_session=True,
            )
        )
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            assert self._started[-1].poll() is None, f"$ {line} & ended"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError(f"$ {line} & does not listen")

    def _environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        inherited = {key: value for key, value in os.environ.items() if key != "HARNESS_HOME"}
        return inherited | {
            "PATH": path,
            "COLUMNS": "200",
            "XDG_STATE_HOME": str(self._directory / "state"),
            "XDG_RUNTIME_DIR": self._labs.name,
        }
