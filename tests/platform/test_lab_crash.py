"""A lab that is killed in the middle of a fault takes the fault with it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import threading
import time

import pytest

from harness.catalog.model import Service
from harness.errors import PlatformError
from harness.platform.lab import namespace, runtime
from harness.platform.lab.options import LabOptions
from harness.platform.lab.platform import Lab
from harness.platform.model import Fault
from harness.platform.undo import UndoRecord

US, EU = "us-east-1", "eu-west-1"
FAULTS = (
    Fault("partition-regions", {"regions": [US, EU]}),
    Fault("slow-replicas", {"region": US, "add_s": 0.1}),
    Fault("cpu-pressure", {"region": US}),
    Fault("pause-database", {"region": EU}),
    Fault("fail-region", {"region": US}),
)


def host_tables() -> str:
    """The host's own tables of packet rules, in so far as they can be listed at all."""
    nft = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if nft is None:
        return ""
    listed = subprocess.run(
        [nft, "list", "tables"], capture_output=True, text=True, check=False, timeout=10
    )
    return listed.stdout


@pytest.mark.lab
@pytest.mark.parametrize("seed", range(4))
def test_a_supervisor_killed_amid_its_faults_leaves_nothing(memorai: Service, seed: int) -> None:
    """At a random moment: no process, no rule on the host; every heal says it is undone."""
    lab = Lab(LabOptions(regions=2, replicas=1))
    lab.start((memorai,))
    lab.wait_ready()
    pid, network, directory = lab.pid or 0, namespace.network_of(lab.pid or 0) or "", lab.directory
    heals: list[UndoRecord] = []

    def inject_all() -> None:
        for number, fault in enumerate(FAULTS):
            try:
                heals.append(lab.plan_heal(memorai, fault, f"f{number}"))
                lab.inject(memorai, fault, heals[-1])
            except PlatformError:
                return

    injecting = threading.Thread(target=inject_all)
    injecting.start()
    time.sleep(random.Random(seed).uniform(0.0, 0.15))  # noqa: S311 - no secret
    os.kill(pid, signal.SIGKILL)
    injecting.join()
    deadline = time.monotonic() + 10
    while namespace.members(network):
        assert time.monotonic() < deadline, namespace.members(network)
        time.sleep(0.02)
    for heal in heals:
        lab.heal(heal)
        assert lab.verify(heal).in_effect is False
    assert not [each for each in lab.residual_faults() if directory.name in each]
    assert "harness" not in host_tables()
    lab.stop()
    assert directory not in [each.runtime for each in runtime.running()]
    assert not directory.exists()
