"""How many workers `pytest -n auto` starts."""

from __future__ import annotations

import os

import pytest

MOST_WORKERS = 8
"""Each collects all tests first, which takes it about four seconds of CPU."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two a core: half of a test's time is spent waiting for processes, sockets and clocks."""
    return min(2 * (os.cpu_count() or 1), MOST_WORKERS)
