"""How many workers `pytest -n auto` starts, and what no test should pay for."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator

import pytest

MOST_WORKERS = 8
"""Each collects all tests first, which takes it about six seconds of CPU."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two a core: half of a test's time is spent waiting for processes, sockets and clocks."""
    return min(2 * (os.cpu_count() or 1), MOST_WORKERS)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is made here lives to the end: looking for garbage in it takes a quarter of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _disks_are_not_waited_for() -> Iterator[None]:
    """A record is synced ten times, which takes longer than writing it; no test cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield
