"""Which tests run which lines, and whether they notice an edit of one.

The tests are collected once. Every trial is a fork of that process, with the edit patched into it,
that runs the tests of the edited line. What a test starts as a process of its own runs the code
without the edit.
"""

from __future__ import annotations

import ast
import math
import os
import pickle
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

import coverage
import pytest
from _pytest.main import pytest_runtestloop

from benchmarks.mutants.edits import Edit
from benchmarks.mutants.patch import patch

FAST = "not lab and not docker and not kubernetes and not browser and not slow and not proof"
TIMEOUT_S = 300.0
"""An edit that keeps its tests from ending so long is noticed."""

ENDLESS = 10
"""So is one that takes them so many times the CPU they may take, and as many seconds more."""

POLL_S = 0.02


class Tell(Protocol):
    """Takes the end of a trial."""

    def __call__(self, edit: Edit, *, noticed: bool) -> None:
        """Whether a test noticed the edit."""


@dataclass(frozen=True)
class LineMap:
    """The tests that ran each line of a file, the CPU seconds of each, and those that failed."""

    tests: Mapping[str, Mapping[int, frozenset[str]]]
    seconds: Mapping[str, float]
    failed: frozenset[str]

    def of(self, edit: Edit, budget_s: float) -> list[str]:
        """The tests that run what is edited, within so many seconds.

        Those of files that name the module come first, and of each kind the fastest.
        """
        if edit.constant is None:
            found = self._at(edit.path, edit.lines)
        else:
            found = frozenset[str]()
            for path, lines in _named(edit, self.tests):
                found |= self._at(path, lines)
        chosen: list[str] = []
        spent = 0.0
        near = _near(edit.path, {test.partition("::")[0] for test in found})

        def order(test: str) -> tuple[bool, float, str]:
            return test.partition("::")[0] not in near, self.seconds[test], test

        for test in sorted(found - self.failed, key=order):
            spent += self.seconds[test]
            if spent <= budget_s or not chosen:
                chosen.append(test)
        return chosen

    def _at(self, path: Path, lines: Iterable[int]) -> frozenset[str]:
        """The tests of these lines; those of all the file where only the import runs them."""
        known = self.tests.get(str(path), {})
        found = frozenset[str]().union(*(known.get(line, frozenset()) for line in lines))
        return found or frozenset[str]().union(*known.values())


def _near(path: Path, files: Iterable[str]) -> set[str]:
    """The test files that name a module."""
    module = ".".join(path.with_suffix("").parts)
    package, _, name = module.rpartition(".")
    forms = (f"from {module} import", f"from {package} import {name}", f'"{module}.')
    return {file for file in files if any(form in Path(file).read_text("utf-8") for form in forms)}


def _named(edit: Edit, paths: Iterable[str]) -> list[tuple[Path, list[int]]]:
    """The lines that name a constant, in its own file and in those that may import it."""
    found = []
    for name in paths:
        text = Path(name).read_text(encoding="utf-8")
        near = name == str(edit.path) or edit.path.stem in text
        if near and edit.constant is not None and edit.constant in text:
            nodes = [each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.expr)]
            lines = [each.lineno for each in nodes if _loads(each, edit.constant)]
            if lines:
                found.append((Path(name), lines))
    return found


def _loads(node: ast.expr, constant: str) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr == constant
    return isinstance(node, ast.Name) and node.id == constant and isinstance(node.ctx, ast.Load)


class _Recorder:
    """A pytest plugin that names the running test to coverage, and notes how it ended."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self.measured = measured
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        self.measured.switch_context(item.nodeid)
        began = time.process_time()
        result = yield
        self.seconds[item.nodeid] = time.process_time() - began
        self.measured.switch_context("")
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)


class Trials:
    """A pytest plugin: instead of the tests it runs what `work` asks for."""

    def __init__(self, work: Callable[[Trials], None]) -> None:
        self._work = work
        self._session: pytest.Session

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Takes the place of pytest's own."""
        self._session = session
        self._work(self)
        return True

    def line_map(self, kept: Path | None) -> LineMap:
        """Run the tests once, with coverage by test.

        `kept` is a file with the map: tests that it lacks are run and added.
        """
        known = LineMap({}, {}, frozenset())
        if kept is not None and kept.exists():
            known = pickle.loads(kept.read_bytes())  # noqa: S301 - an own file
        with tempfile.TemporaryDirectory() as directory:
            target = Path(directory) / "map"
            _wait(_fork(lambda: self._measure(known, target)), None)
            text = target.read_bytes()
        if kept is not None:
            kept.write_bytes(text)
        found: LineMap = pickle.loads(text)  # noqa: S301 - the fork wrote it
        return found

    def noticed(
        self,
        edits: Sequence[tuple[Edit, Sequence[str]]],
        jobs: int,
        tell: Tell,
        until: float,
        budget_s: float,
    ) -> None:
        """Try each edit with its tests, of `budget_s` of CPU; `tell` is called as each ends.

        None is begun after `until` (s, of the monotonic clock).
        """
        limit_s = math.ceil(ENDLESS * (budget_s + 1))
        waiting = list(reversed(edits))
        running: dict[int, tuple[Edit, float]] = {}
        while waiting or running:
            if time.monotonic() > until:
                waiting.clear()
            while waiting and len(running) < jobs:
                edit, tests = waiting.pop()
                running[self._start(edit, tests, limit_s)] = edit, time.monotonic() + TIMEOUT_S
            for process, (edit, latest) in list(running.items()):
                code = _wait(process, latest, block=False)
                if code is not None:
                    del running[process]
                    tell(edit, noticed=code != 0)
            time.sleep(POLL_S)

    def _start(self, edit: Edit, tests: Sequence[str], limit_s: int) -> int:
        return _fork(lambda: self._try(edit, tests, limit_s))

    def _try(self, edit: Edit, tests: Sequence[str], limit_s: int) -> int:
        resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s))
        patch(edit)
        place = {test: number for number, test in enumerate(tests)}
        self._session.items = sorted(
            (item for item in self._session.items if item.nodeid in place),
            key=lambda item: place[item.nodeid],
        )
        return self._run()

    def _run(self) -> int:
        """1 where a test failed; the rest is not run then."""
        try:
            pytest_runtestloop(self._session)
        except (pytest.Session.Failed, pytest.Session.Interrupted):
            return 1
        return int(self._session.testsfailed > 0)

    def _measure(self, known: LineMap, target: Path) -> int:
        measured = coverage.Coverage(data_file=None, config_file=False, source=["harness"])
        recorder = _Recorder(measured)
        self._session.config.pluginmanager.register(recorder)
        self._session.config.option.maxfail = 0
        items = self._session.items
        self._session.items = [each for each in items if each.nodeid not in known.seconds]
        measured.start()
        self._run()
        measured.stop()
        data, here = measured.get_data(), Path.cwd()
        lines = {
            str(Path(name).relative_to(here)): data.contexts_by_lineno(name)
            for name in data.measured_files()
        }
        found = LineMap(
            {path: _joined(known.tests.get(path, {}), lines.get(path, {}))
             for path in {*lines, *known.tests}},
            {**known.seconds, **recorder.seconds},
            known.failed | recorder.failed,
        )  # fmt: skip
        target.write_bytes(pickle.dumps(found))
        return 0


def _joined(
    known: Mapping[int, frozenset[str]], new: Mapping[int, Sequence[str]]
) -> dict[int, frozenset[str]]:
    return {
        line: known.get(line, frozenset()) | (frozenset(new.get(line, ())) - {""})
        for line in {*known, *new}
    }


def with_tests(tests: Sequence[str], work: Callable[[Trials], None]) -> int:
    """Collect the fast tests of these files and directories, and do the work with them."""
    words = ["-x", "-q", "-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", FAST]
    return int(pytest.main([*words, *tests], plugins=[Trials(work)]))


def _fork(work: Callable[[], int]) -> int:
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        _child(work)
    return process


def _child(work: Callable[[], int]) -> NoReturn:
    code = 1
    try:
        os.setpgid(0, 0)
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        code = work()
    finally:
        os._exit(code)


def _wait(process: int, until: float | None, *, block: bool = True) -> int | None:
    """The exit code of a fork; None while it runs."""
    ended, status = os.waitpid(process, 0 if block else os.WNOHANG)
    if ended:
        return os.waitstatus_to_exitcode(status)
    if until is not None and time.monotonic() > until:
        os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)
        return -signal.SIGKILL
    return None
