"""`pytest -p tests.forks --forks N`: the tests are collected once, then N forks run them.

A worker of pytest-xdist is a new Python, which imports and collects everything once more.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from ctypes import c_int
from itertools import chain, pairwise
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

import pytest

SHARE = 4
"""A fork takes this part of its share of what is left at once: many tests first, one at the end."""

ENDING_S = 10.0
"""How long the forks have to clean up where the run ends early."""

IDLE = -1

Call = tuple[str, dict[str, Any]]
"""The name of a hook of pytest and its arguments."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--forks", default="0", help="run the tests in N forks; auto: two a core")


def pytest_configure(config: pytest.Config) -> None:
    """Two a core: half of a test's time is spent waiting for processes, sockets and clocks."""
    text = config.getoption("--forks")
    if text != "auto" and not text.isdecimal():
        raise pytest.UsageError(f"--forks {text}: give a number, or auto")
    count = 2 * (os.cpu_count() or 1) if text == "auto" else int(text)
    if count and not config.option.collectonly and not config.option.usepdb:
        config.pluginmanager.register(_Forks(count))


class _Forks:
    """Takes the place of pytest's own loop."""

    def __init__(self, count: int) -> None:
        self._context = get_context("fork")
        self._count = count
        self._taken = self._context.Value(c_int, 0)
        self._running = self._context.Array(c_int, [IDLE] * count)
        self._finished: set[int] = set()

    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if session.testsfailed:
            return None  # pytest's own says that the collection had errors
        session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        streams, forks = [], []
        for number in range(self._count):
            ours, theirs = self._context.Pipe(duplex=False)
            fork = self._context.Process(target=self._work, args=(session, number, theirs))
            fork.start()
            theirs.close()
            streams.append(ours)
            forks.append(fork)
        try:
            self._listen(session, dict(zip(streams, range(self._count), strict=True)))
        finally:
            self._taken.value = len(session.items)
            for fork in forks:
                fork.join(ENDING_S)
                fork.kill()
        if lost := len(session.items) - len(self._finished):
            raise session.Interrupted(f"not run, since a fork of pytest died: {lost} tests")
        return True

    def _listen(self, session: pytest.Session, streams: dict[Connection, int]) -> None:
        """Report what the forks say, until all have ended."""
        while streams:
            for stream in wait(list(streams)):
                assert isinstance(stream, Connection)
                try:
                    index, calls = stream.recv()
                except (EOFError, OSError):
                    index = self._running[streams.pop(stream)]
                    calls = [_died(session.items[index])] if index != IDLE else []
                if index != IDLE and index not in self._finished:
                    self._finished.add(index)
                    for call in calls:
                        _report(session.config, *call)
                if session.shouldfail:
                    raise session.Failed(session.shouldfail)
                if session.shouldstop:
                    raise session.Interrupted(session.shouldstop)

    def _work(self, session: pytest.Session, number: int, results: Connection) -> None:
        """What one fork does."""
        config, items = session.config, session.items
        factory: Any = config._tmp_path_factory  # type: ignore[attr-defined]
        factory._basetemp = factory.mktemp(f"fork-{number}", numbered=False)
        config.pluginmanager.unregister(name="terminalreporter")
        capture = config.pluginmanager.getplugin("capturemanager")
        capture.stop_global_capturing()  # into a file that all forks would share
        capture.start_global_capturing()
        capture.suspend_global_capture()
        calls = _Calls(config)
        config.pluginmanager.register(calls)
        try:
            for index, following in pairwise(chain(self._indices(len(items)), [None])):
                assert index is not None
                self._running[number] = index
                nextitem = None if following is None else items[following]
                config.hook.pytest_runtest_protocol(item=items[index], nextitem=nextitem)
                results.send((index, calls.made))
                calls.made = []
                self._running[number] = IDLE
                if session.shouldfail or session.shouldstop:
                    return
        except KeyboardInterrupt:  # the process that this is a fork of says so
            session._setupstate.teardown_exact(None)

    def _indices(self, total: int) -> Iterator[int]:
        """What this fork takes; the first parts are large, so that fixtures of modules last."""
        while True:
            with self._taken.get_lock():
                begin = self._taken.value
                end = begin + max(1, (total - begin) // (SHARE * self._count))
                self._taken.value = end
            if begin >= total:
                return
            yield from range(begin, min(end, total))


class _Calls:
    """What a fork has to report; the process that it is a fork of does so."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.made: list[Call] = []

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self.made.append(("pytest_runtest_logstart", {"nodeid": nodeid, "location": location}))

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        self.made.append(("pytest_runtest_logfinish", {"nodeid": nodeid, "location": location}))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        hook = self._config.hook.pytest_report_to_serializable
        data = hook(config=self._config, report=report)
        self.made.append(("pytest_runtest_logreport", {"report": data}))

    def pytest_warning_recorded(
        self, warning_message: warnings.WarningMessage, when: str, nodeid: str
    ) -> None:
        if when == "runtest":  # what the collection warned of is heard again here
            found = warning_message
            plain = warnings.WarningMessage(
                str(found.message), found.category, found.filename, found.lineno
            )
            words = {"warning_message": plain, "when": when, "nodeid": nodeid, "location": None}
            self.made.append(("pytest_warning_recorded", words))


def _died(item: pytest.Item) -> Call:
    report = pytest.TestReport(
        item.nodeid, item.location, {}, "failed", "the process that ran this test died", "call"
    )
    return "pytest_runtest_logreport", {"report": report}


def _report(config: pytest.Config, name: str, words: dict[str, Any]) -> None:
    hook = getattr(config.hook, name)
    if name == "pytest_warning_recorded":
        hook.call_historic(kwargs=words)
    elif isinstance(words.get("report"), dict):
        made = config.hook.pytest_report_from_serializable(config=config, data=words["report"])
        hook(report=made)
    else:
        hook(**words)
