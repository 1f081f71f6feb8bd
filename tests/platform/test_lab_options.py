"""Options of a lab are checked where they are given."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from typing import Any

import pytest

from harness.errors import CapabilityMissing, PlatformError
from harness.platform.lab import namespace
from harness.platform.lab.options import Behaviour, LabOptions, Slowdown
from harness.platform.lab.platform import Lab


@pytest.mark.parametrize(
    "values",
    [
        {"regions": 0},
        {"regions": 4},
        {"regions": True},
        {"regions": "two"},
        {"replicas": 0},
        {"replicas": math.nan},
        {"replication": "maybe"},
        {"replication_delay_s": -1},
        {"ready_timeout_s": math.inf},
        {"load_cores": 0},
    ],
)
def test_a_lab_that_cannot_be_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(PlatformError, match="give"):
        LabOptions(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"error_ratio": 1.1},
        {"error_ratio": "all"},
        {"latency_median_s": math.nan},
        {"latency_p99_s": 1.0},
        {"latency_median_s": 2.0, "latency_p99_s": 1.0},
        {"slow": {"/x": {"factor": -1}}},
        {"slow": {"/x": {"speed": 1}}},
        {"slow": [1]},
        {"concurrency": 1.5},
        {"rate_limit": 0},
        {"ready": "yes"},
        {"exempt_key": 1},
        {"seed": -1},
        {"seed": "x"},
        {"cpu_s": -1},
        {"colour": 1},
    ],
)
def test_a_behaviour_that_cannot_be_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(PlatformError):
        Behaviour.parse(values)


def test_options_survive_their_json_form() -> None:
    options = LabOptions(2, behaviour=Behaviour(slow={"/x": Slowdown(1.1)}), replication="sync")
    assert LabOptions.parse(options.document()) == options


def test_without_namespaces_the_reason_and_the_remedy_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A refused unshare, a missing one, and another system."""

    def refuse(*args: object, **kwargs: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, "", "unshare: unshare failed: refused")

    monkeypatch.setattr(subprocess, "run", refuse)
    look = namespace.isolation.__wrapped__
    assert "run as root" in (look().missing or "")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert "util-linux" in (look().missing or "")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "Linux only" in (look().missing or "")
    monkeypatch.setattr("harness.platform.lab.platform.isolation", look)
    with pytest.raises(CapabilityMissing, match="Linux only"):
        Lab(LabOptions(isolated=True))
    assert Lab().capabilities()["isolate-region"] is not None
