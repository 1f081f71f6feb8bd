"""A lab starts, keeps its replicas alive and leaves nothing behind, however it ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from harness.catalog.model import Service
from harness.errors import PlatformError
from harness.platform.lab import namespace, runtime
from harness.platform.lab.options import Behaviour, LabOptions
from harness.platform.lab.platform import Lab
from harness.platform.model import Fault, Platform
from tests.platform.conftest import Inside

pytestmark = pytest.mark.lab
Start = Callable[..., Inside]

OWNER = """
import sys, time
from harness.catalog.model import Service
from harness.platform.lab.platform import Lab
service = Service("memorai", "user", True, 3001, "", 2, 1, "1Gi", "/health", (), (), (), (), "p95")
lab = Lab()
with lab.provision(service):
    print(lab.directory, lab.pid, flush=True)
    time.sleep(60)
"""


def gone(directory: Path, network: str) -> bool:
    return not directory.exists() and not namespace.members(network)


def wait_gone(directory: Path, network: str) -> None:
    deadline = time.monotonic() + 10
    while not gone(directory, network):
        assert time.monotonic() < deadline, namespace.members(network)
        time.sleep(0.02)


def own() -> tuple[subprocess.Popen[str], Path, int, str]:
    """A process like the CLI that holds a lab: (it, directory, supervisor, network)."""
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(OWNER)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    directory, pid = owner.stdout.readline().split()
    network = namespace.network_of(int(pid))
    assert network is not None
    assert len(namespace.members(network)) == 5  # unshare, supervisor, database, 2 replicas
    return owner, Path(directory), int(pid), network


def test_provision_gives_a_target_that_answers(memorai: Service) -> None:
    """Inside `provision` every replica answers at its address; afterwards nothing is left."""
    said: list[str] = []
    lab = Lab(LabOptions(), said.append)
    assert isinstance(lab, Platform)
    with lab.provision(memorai):
        target = lab.target(memorai, "service", None)
        answers = Inside(lab).ask(*(("GET", url + "/api/memory/7", None) for url in target.urls))
        assert [status for status, _, _ in answers] == [200, 200]
        assert target.environment["replicas"] == 2
        replicas = lab.replicas(memorai)
        assert [each.health for each in replicas] == ["ready", "ready"]
        assert all(b"lab.service" in cmdline(each.pid) for each in replicas)
        directory, network = lab.directory, namespace.network_of(lab.pid or 0)
    assert network is not None
    assert gone(directory, network)
    assert said[-1] == "3 of 3 processes ready"
    with pytest.raises(PlatformError, match="not running"):
        lab.target(memorai)


def cmdline(pid: int | None) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_the_host_is_another_network(start: Start) -> None:
    """The lab's addresses are not to be reached from outside."""
    lab = start().lab
    url = lab.places[-1].url
    with pytest.raises(AssertionError):
        Inside(lab).until(lambda: reached_from_here(url), within_s=0.3)


def reached_from_here(url: str) -> bool:
    try:
        httpx.get(url, timeout=0.2)
    except httpx.HTTPError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_death_of_the_owner_ends_the_lab(number: signal.Signals) -> None:
    """However the CLI dies, no process, namespace or file of its lab survives it."""
    owner, directory, _, network = own()
    owner.send_signal(number)
    owner.wait(10)
    wait_gone(directory, network)


def test_the_death_of_the_supervisor_ends_the_lab() -> None:
    """A killed supervisor takes its whole process namespace along."""
    owner, directory, pid, network = own()
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while namespace.members(network):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    owner.terminate()
    owner.wait(10)
    assert directory not in [each.runtime for each in runtime.running()]
    shutil.rmtree(directory, ignore_errors=True)


def test_two_labs_at_once_do_not_meet(start: Start) -> None:
    """The same service at the same address twice: a write in one is not in the other."""
    first, second = start(), start()
    url = first.lab.places[-1].url
    assert url == second.lab.places[-1].url
    assert first.ask(("POST", url + "/api/memory", '{"id":"only","value":1}'))[0][0] == 201
    assert first.get(url + "/api/memory/only")[0] == 200
    assert second.get(url + "/api/memory/only")[0] == 404


def test_a_killed_replica_is_restarted_later_each_time(start: Start, memorai: Service) -> None:
    """As under a kubelet: the first restart comes after 0.5 s, the second after 1 s."""
    inside = start()
    lab = inside.lab
    waited = []
    for restarts in (1, 2):
        fault = Fault("kill-replicas", {"count": 1, "seed": 7})
        heal = lab.plan_heal(memorai, fault, "f1")
        victim = heal.targets[0]
        began = time.monotonic()
        lab.inject(memorai, fault, heal)

        def started(victim: str = victim, restarts: int = restarts) -> bool:
            state = lab.health()[victim]
            return bool(state["restarts"] == restarts and state["pid"])

        def back(victim: str = victim, restarts: int = restarts) -> bool:
            state = lab.health()[victim]
            return bool(state["health"] == "ready" and state["restarts"] == restarts)

        inside.until(started)
        assert "runs again" in lab.verify(heal).statement  # a look that comes late still knows
        inside.until(back)
        waited.append(time.monotonic() - began)
        assert lab.health()[victim]["last_exit"] == -signal.SIGKILL
        lab.heal(heal)
        assert lab.verify(heal).in_effect is False
    assert waited[0] >= 0.5
    assert waited[1] >= 1.0


def test_a_replica_that_cannot_start_is_named_with_its_last_words(memorai: Service) -> None:
    """Its log's last line stands in the error, and the lab is gone."""
    lab = Lab(LabOptions(ready_timeout_s=1.0))
    with (
        pytest.raises(PlatformError, match=r"memorai-us-east-1-0 was not ready.*"),
        lab.provision(replace(memorai, port=70000)),
    ):
        pass
    with pytest.raises(PlatformError, match="not running"):
        _ = lab.directory


def test_behaviour_changes_while_it_runs_and_survives_a_restart(
    start: Start, memorai: Service
) -> None:
    """`behave` reaches the replica at once and is what it starts with next time."""
    inside = start(LabOptions(replicas=1))
    lab = inside.lab
    (replica,) = lab.replicas(memorai)
    lab.behave([replica.id], Behaviour(error_ratio=1.0).document())
    assert inside.get(replica.url + "/api/memory/1")[0] == 500
    os.kill(replica.pid or 0, signal.SIGKILL)
    inside.until(lambda: lab.health()[replica.id]["restarts"] == 1)
    inside.until(lambda: lab.health()[replica.id]["health"] == "ready")
    assert inside.get(replica.url + "/api/memory/1")[0] == 500
    with pytest.raises(PlatformError, match="refused"):
        lab.behave([replica.id], {"error_ratio": 2})


def test_the_load_has_a_core_of_its_own(start: Start, memorai: Service) -> None:
    """With more than one core, target and replicas share none."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core")
    lab = start().lab
    target = lab.target(memorai)
    load = set(target.environment["cores_load"])
    for replica in lab.replicas(memorai):
        assert not load & os.sched_getaffinity(replica.pid or 0)
    printed = subprocess.run(
        [*target.exec_prefix, sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout.strip() == str(load)


def test_without_a_namespace_the_rest_works(start: Start, memorai: Service) -> None:
    """On the host's own loopback it serves; partitions are missing and say why."""
    lab = start(LabOptions(isolated=False)).lab
    target = lab.target(memorai)
    assert reached_from_here(target.urls[0] + "/api/memory/1")
    missing = lab.capabilities()
    assert "namespace" in (missing["partition-regions"] or "")
    assert missing["kill-replicas"] is None
    pids = [each.pid for each in lab.replicas(memorai)]
    lab.stop()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
