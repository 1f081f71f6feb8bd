"""Whatever ends a cluster, nothing of it stays on the machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.cluster import cgroups, keeper, requirements
from tests.kubernetes.cluster.cluster import remains
from tests.kubernetes.cluster.keeper import Kept, Status
from tests.kubernetes.cluster.machine import wait_until
from tests.kubernetes.cluster.topology import SLOTS, Topology

GONE_LIMIT_S = 30
START_LIMIT_S = 60
OWNER = """
import sys
from tests.kubernetes.cluster.keeper import Kept
kept = Kept(tethered=True)
print(kept.status.keeper, flush=True)
sys.stdin.read()
"""

pytestmark = pytest.mark.kubernetes


@pytest.fixture(autouse=True)
def possible() -> None:
    """These tests start clusters of their own."""
    if why := requirements.missing():
        pytest.skip(why)


@pytest.fixture
def kept() -> Iterator[Kept]:
    """A cluster whose keeper this test may kill."""
    made = Kept(tethered=True)
    yield made
    if made.process.poll() is None:
        made.end()
    keeper.reap()


def left(status: Status) -> list[str]:
    """What there still is of a cluster."""
    return remains(Topology(status.slot), keeper.home(status.slot))


def test_an_ended_cluster_leaves_nothing(kept: Kept) -> None:
    """No process, cgroup, link, route, mount or file."""
    assert {each.split()[0] for each in left(kept.status)} >= {"process", "cgroup", "link"}
    kept.end()
    assert left(kept.status) == []


def test_a_cluster_with_frozen_nodes_ends_too(kept: Kept) -> None:
    """A node that a killed test left paused does not keep its cluster alive."""
    with cgroups.frozen([kept.status.nodes[0].cgroup]):
        kept.end()
    assert left(kept.status) == []


def test_a_cluster_ends_with_its_owner(project: Path) -> None:
    """The process that wanted it is killed: its keeper notices and ends the cluster."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER],
        cwd=project,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        number = int(owner.stdout.readline())
        status = next(each for each in keeper.running() if each.keeper == number)
        owner.kill()
    wait_until("nothing is left", lambda: not left(status), GONE_LIMIT_S)


def test_a_cluster_that_loses_its_owner_while_it_starts_ends_too(project: Path) -> None:
    """Asked to end between any two steps, the keeper removes what there is."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.kubernetes.cluster", "keep", "--tethered"],
        cwd=project,
        stdin=subprocess.PIPE,
    ) as started:
        wait_until("its machines", lambda: bool(started_by(started.pid)), START_LIMIT_S)
        slot = started_by(started.pid)[0]
        assert started.stdin is not None
        started.stdin.close()
        assert started.wait(GONE_LIMIT_S) == 0
    assert remains(Topology(slot), keeper.home(slot)) == []


def started_by(pid: int) -> list[int]:
    """The slots in which a keeper has machines whose programs run."""
    holders = {int(word) for word in children(pid)}
    return [
        slot
        for slot in range(SLOTS)
        if holders & cgroups.processes(Topology(slot).prefix)
        and (keeper.home(slot) / "control" / "log" / "etcd.log").exists()
    ]


def children(pid: int) -> list[str]:
    """The processes that a process has started."""
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []


def test_a_killed_keeper_leaves_no_process_and_the_next_start_removes_the_rest(kept: Kept) -> None:
    """The kernel ends the machines; empty cgroups and files are reaped."""
    os.kill(kept.status.keeper, signal.SIGKILL)
    kept.process.wait(5)
    prefix = Topology(kept.status.slot).prefix
    wait_until("no process is left", lambda: not cgroups.processes(prefix), GONE_LIMIT_S)
    assert kept.status.slot in keeper.reap()
    assert left(kept.status) == []


def test_without_root_the_reason_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests are skipped with what to do."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "as root" in (requirements.missing() or "")


def test_a_missing_program_is_told_by_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests are skipped with the command that installs it."""
    monkeypatch.setattr(requirements, "PROGRAMS", {"no-such-program": "some-package"})
    assert requirements.missing() == (
        "the Kubernetes fixture lacks packages: apt-get install some-package"
    )
