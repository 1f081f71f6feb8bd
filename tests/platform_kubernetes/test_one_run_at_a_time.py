"""A namespace belongs to one run at a time, and to none after its end, however that was."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.catalog import project_root
from harness.chaos.experiment import load_experiment
from harness.chaos.session import experiment_session
from harness.errors import PlatformError
from harness.platform import attach
from harness.platform.kubernetes.platform import Kubernetes
from harness.run import RunOptions
from tests.platform_kubernetes.fake import LEASE, NAMESPACE, FakeApi

DYING = """
import json, os, signal, sys
from harness.platform import attach
from harness.platform.kubernetes import namespace_lock
namespace_lock.DURATION_S = 1
with attach(json.loads(sys.argv[1])).exclusive():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_second_run_is_refused_in_one_line_that_names_the_first(
    platform: Kubernetes, api: FakeApi
) -> None:
    with platform.exclusive():
        holder = api.get(LEASE)["spec"]["holderIdentity"]
        with pytest.raises(PlatformError) as refused, attach(platform.handle()).exclusive():
            pass
    line = str(refused.value)
    assert line.startswith(f"namespace {NAMESPACE}: {holder} has been breaking things here for ")
    assert line.endswith("wait until it ends, or end it there")
    assert "\n" not in line


def test_the_namespace_is_free_again_after_the_run(platform: Kubernetes, api: FakeApi) -> None:
    for _ in range(2):
        with platform.exclusive():
            assert LEASE in api.objects
        assert LEASE not in api.objects


def test_a_killed_runs_namespace_is_taken_over(platform: Kubernetes, api: FakeApi) -> None:
    words = [sys.executable, "-c", DYING, json.dumps(dict(platform.handle()))]
    assert subprocess.run(words, check=False).returncode == -9
    dead = api.get(LEASE)["spec"]["holderIdentity"]
    with platform.exclusive():
        assert api.get(LEASE)["spec"]["holderIdentity"] != dead


def test_a_run_holds_on_through_a_lost_answer_and_a_removed_lease(
    platform: Kubernetes, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that it does not know is its own as long as its name is on it."""
    lost: list[bool] = []
    monkeypatch.setattr("_thread.interrupt_main", lambda: lost.append(True))
    with platform.exclusive():
        mine = api.get(LEASE)
        api.put(LEASE, mine)
        time.sleep(0.5)
        api.objects.pop(LEASE)
        time.sleep(0.5)
        assert api.get(LEASE)["spec"]["holderIdentity"] == mine["spec"]["holderIdentity"]
    assert not lost


def test_a_run_whose_namespace_was_taken_stops_and_leaves_it_to_the_other(
    platform: Kubernetes, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was silent for too long, asleep perhaps."""
    lost: list[bool] = []
    monkeypatch.setattr("_thread.interrupt_main", lambda: lost.append(True))
    with platform.exclusive():
        other = api.get(LEASE)
        other["spec"]["holderIdentity"] = "elsewhere:1:a"
        api.put(LEASE, other)
        time.sleep(0.6)
        assert lost == [True]
    assert api.get(LEASE)["spec"]["holderIdentity"] == "elsewhere:1:a"


def test_an_experiment_holds_the_namespace_from_its_reaping_on(
    platform: Kubernetes, api: FakeApi, config: Path, tmp_path: Path
) -> None:
    """And a performance run, which breaks nothing, does not ask for it."""
    root = project_root()
    experiment = load_experiment("kill-replica", root, platform="kubernetes")
    options = RunOptions(
        "memorai",
        platform="kubernetes",
        namespace=NAMESPACE,
        kubeconfig=config,
        results=tmp_path / "results",
    )
    with experiment_session(experiment, options):
        assert LEASE in api.objects
        refused = pytest.raises(PlatformError, match="has been breaking things here")
        with refused, experiment_session(experiment, options):
            pass
    assert LEASE not in api.objects
