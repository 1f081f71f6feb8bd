"""A namespace belongs to one run at a time, and to none after its end, however that was."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.catalog import project_root
from harness.chaos.experiment import load_experiment
from harness.chaos.session import experiment_session
from harness.errors import PlatformError
from harness.platform.kubernetes import namespace_lock
from harness.platform.kubernetes.platform import Kubernetes
from harness.platform.registry import attach
from harness.session.options import RunOptions
from tests.platform_kubernetes.fake import LEASE, NAMESPACE, FakeApi

DYING = """
import json, os, signal, sys
from harness.platform.registry import attach
from harness.platform.kubernetes import namespace_lock
namespace_lock.DURATION_S = 1
with attach(json.loads(sys.argv[1])).exclusive():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)


def test_the_second_run_is_refused_in_one_line_that_names_the_first(
    platform: Kubernetes, api: FakeApi
) -> None:
    with platform.exclusive():
        holder = api.get(LEASE)["spec"]["holderIdentity"]
        with pytest.raises(PlatformError) as refused, attach(platform.handle()).exclusive():
            pass
    line = str(refused.value)
    assert line.startswith(f"namespace {NAMESPACE}: {holder} has been breaking things here for ")
    assert line.endswith("wait until it ends, or end it: harness halt")
    assert "\n" not in line


def test_the_namespace_is_free_again_after_the_run(platform: Kubernetes, api: FakeApi) -> None:
    for _ in range(2):
        with platform.exclusive():
            assert LEASE in api.objects
        assert LEASE not in api.objects


@pytest.mark.parametrize("carried_out", [True, False])
def test_a_lease_whose_creation_fails_for_a_moment_is_made_or_found(
    platform: Kubernetes, api: FakeApi, monkeypatch: pytest.MonkeyPatch, *, carried_out: bool
) -> None:
    """The name on it tells whose it is: it cannot be made twice."""
    post, failing = api._post, [500, 500]

    def busy(path: str, query: Mapping[str, str], body: Any) -> tuple[int, dict[str, Any]]:
        if not failing or not path.endswith("/leases"):
            return post(path, query, body)
        if carried_out:
            post(path, query, body)
        return failing.pop(), {}

    monkeypatch.setattr(api, "_post", busy)
    said: list[str] = []
    namespace_lock._Lease(platform._cluster, said.append).take()
    assert LEASE in api.objects
    assert not said
    assert len(failing) == (1 if carried_out else 0)


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


def test_a_run_whose_lease_meets_conflicts_holds_on_while_its_name_is_on_it(
    platform: Kubernetes, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody writes into it at the same time, as a halt does."""
    lease = namespace_lock._Lease(platform._cluster, lambda _: None)
    lease.take()
    put, conflicts = api._put, [409, 409]

    def busy(path: str, query: Mapping[str, str], body: Any) -> tuple[int, dict[str, Any]]:
        return (conflicts.pop(), {}) if conflicts else put(path, query, body)

    monkeypatch.setattr(api, "_put", busy)
    assert lease._regain(lambda _: None) == api.get(LEASE)["metadata"]["resourceVersion"]
    assert not conflicts


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


def test_a_holder_that_is_asked_to_end_is_waited_for(platform: Kubernetes, api: FakeApi) -> None:
    """And hears who asks, from another machine's command."""
    ended: list[str | None] = []

    def run() -> None:
        with platform.exclusive():
            wait_for(lambda: platform.halted() is not None)
            ended.append(platform.halted())

    thread = threading.Thread(target=run)
    thread.start()
    wait_for(lambda: LEASE in api.objects)
    holder = api.get(LEASE)["spec"]["holderIdentity"]
    with attach(platform.handle()).halt("ann at desk") as found:
        assert (found, ended) == (holder, ["ann at desk"])
        assert api.get(LEASE)["spec"]["holderIdentity"] != holder
    thread.join()
    assert LEASE not in api.objects
    with platform.halt("ann at desk") as found:
        assert found is None


def test_a_holder_that_does_not_end_loses_the_namespace(
    platform: Kubernetes, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of an older version, which knows of no request."""
    lost: list[bool] = []
    monkeypatch.setattr("_thread.interrupt_main", lambda: lost.append(True))
    monkeypatch.setattr(namespace_lock, "EVICT_S", 0.5)
    with platform.exclusive(), attach(platform.handle()).halt("ann at desk"):
        time.sleep(0.6)
        assert lost == [True]


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
