"""Which tests failed though no hypervisor took processor time from the machine meanwhile.

A plug-in (`pytest -p tests.stolen`) for tests that judge times. `.ci/run` tries once more what
failed, unless the list is left with a line.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

STOLEN_FROM = 0.005
"""Share of the processor during a test; as much as a second of 20 % in one of 40 s."""

LIST = Path(".pytest_cache/failed-undisturbed")

SHARE = "stolen"

Times = tuple[float, float]
"""Stolen and whole processor time since the machine's start, in ticks."""

_begun = pytest.StashKey[Times]()


def times(stat: str) -> Times:
    """The times in the first line of /proc/stat (proc(5)); guests' are within the others."""
    ticks = [float(word) for word in stat.split("\n", 1)[0].split()[1:9]]
    return ticks[7], sum(ticks)


def stolen(before: Times, after: Times) -> float:
    """What was stolen of the time between two looks, 0 to 1."""
    return (after[0] - before[0]) / max(after[1] - before[1], 1.0)


def _now() -> Times:
    return times(Path("/proc/stat").read_text(encoding="ascii"))


def pytest_sessionstart() -> None:
    """Forget the failures of a run before."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        LIST.unlink(missing_ok=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Look at the processor before a test and its fixtures."""
    item.stash[_begun] = _now()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say with a failure what was stolen during the test, or when its fixture failed before."""
    report = yield
    if report.failed:
        share = stolen(item.stash[_begun], _now())
        if call.excinfo is not None:  # pytest keeps that of a fixture and raises it again
            share = vars(call.excinfo.value).setdefault(SHARE, share)
        report.user_properties.append((SHARE, share))
        report.sections.append(("processor time stolen during the test", f"{share:.1%}"))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """List a failure without; xdist's workers hand theirs on."""
    if not report.failed or "PYTEST_XDIST_WORKER" in os.environ:
        return
    share = next((value for name, value in report.user_properties if name == SHARE), 0.0)
    if not isinstance(share, float) or share < STOLEN_FROM:
        LIST.parent.mkdir(exist_ok=True)
        with LIST.open("a", encoding="utf-8") as file:
            file.write(f"{report.nodeid}\n")
