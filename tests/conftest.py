"""How many workers `pytest -n auto` starts, and no garbage collector while tests are collected."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator

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
