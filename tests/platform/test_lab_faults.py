"""Faults of the lab hit what they name, show, and are undone from anywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from harness.catalog.model import Service
from harness.errors import PlatformError
from harness.platform.lab import packets
from harness.platform.lab.edge import binary, configuration
from harness.platform.lab.options import LabOptions
from harness.platform.lab.platform import Lab
from harness.platform.lab.topology import places
from harness.platform.model import Fault
from harness.platform.undo import LabUndo, UndoRecord
from tests.platform.conftest import Inside

Start = Callable[..., Inside]

HEAL = """
import json, sys
from harness.platform.lab.platform import Lab
from harness.platform.undo import undo_record
heal = undo_record(json.load(sys.stdin))
Lab().heal(heal)
Lab().heal(heal)
"""


@pytest.mark.lab
def test_the_global_edge_fails_over_to_the_next_region_and_back(
    start: Start, memorai: Service
) -> None:
    """Paused at once, a whole region is left by the global edge, and taken again after."""
    inside = start(LabOptions(regions=2, replicas=1, edges=True))
    lab = inside.lab
    entry_point = lab.target(memorai, "global").urls[0] + "/api/memory/1"
    assert inside.get(entry_point)[2]["x-region"] == "us-east-1"
    fault = Fault("fail-region", {"region": "us-east-1"})
    heal = lab.plan_heal(memorai, fault, "f1")
    lab.inject(memorai, fault, heal)
    assert len(lab.residual_faults()) >= 3
    inside.until(lambda: inside.get(entry_point)[2].get("x-region") == "eu-west-1")
    done = subprocess.run(
        [sys.executable, "-c", HEAL], input=json.dumps(asdict(heal)), text=True, check=False
    )
    assert done.returncode == 0
    assert not [each for each in lab.residual_faults() if lab.directory.name in each]
    inside.until(lambda: inside.get(entry_point)[2].get("x-region") == "us-east-1")
    edge = lab.target(memorai, "edge", "eu-west-1").urls[0]
    assert inside.get(edge + "/api/memory/1")[2]["x-region"] == "eu-west-1"


@pytest.mark.lab
@pytest.mark.parametrize("means", ["nftables", "routing rules"])
def test_a_cut_stops_new_connections_between_two_subnets_only(
    start: Start, monkeypatch: pytest.MonkeyPatch, means: str
) -> None:
    """Packets between the two vanish, those to a third pass, and the heal is complete."""
    inside = start(LabOptions(regions=3, replicas=1))
    code = f"""
import socket
from harness.platform.lab import packets
if {means!r} != "nftables":
    packets._nft = lambda: None
assert packets.means() == {means!r}
def open_(source, target, port=3001):
    try:
        socket.create_connection((target, port), 0.3, (source, 0)).close()
        return True
    except OSError:
        return False
far = packets.between("127.1.0.0/16", "127.2.0.0/16")
near = packets.between("127.1.1.1", "127.1.0.5")
rules = {{*far, *near}}
packets.add(rules); packets.add(rules)
assert set(packets.present()) == rules, packets.present()
assert not open_("127.1.1.1", "127.2.1.1")
assert not open_("127.2.1.1", "127.1.1.1")
assert not open_("127.1.1.1", "127.1.0.5", 7000)
assert open_("127.1.0.6", "127.1.0.5", 7000)
assert open_("127.1.1.1", "127.3.1.1") and open_("127.0.0.1", "127.1.1.1")
packets.remove(rules); packets.remove(rules)
assert not packets.present()
assert open_("127.1.1.1", "127.2.1.1")
"""
    if means == "nftables" and packets.means() != means:
        pytest.skip("nftables is not installed")
    done = subprocess.run(
        [*inside.lab.exec_prefix, sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.lab
def test_paused_replicas_show_and_resume(start: Start, memorai: Service) -> None:
    lab = start().lab
    fault = Fault("pause-replicas", {"percent": 50})
    heal = lab.plan_heal(memorai, fault, "f1")
    assert len(heal.targets) == 1
    lab.inject(memorai, fault, heal)
    assert sorted(each.health for each in lab.replicas(memorai)) == ["paused", "ready"]
    assert any("stopped" in each for each in lab.residual_faults())
    lab.heal(heal)
    lab.wait_ready()


@pytest.mark.lab
@pytest.mark.parametrize(
    ("kind", "arguments", "says"),
    [
        ("kill-replicas", {"region": "mars"}, "no region 'mars'"),
        ("kill-replicas", {"count": 9}, "9 of 2 ready"),
        ("kill-replicas", {"count": 0}, "count 0; give a whole number of at least 1"),
        ("fail-region", {}, "no region named"),
        ("partition-regions", {"regions": ["us-east-1"]}, "give two"),
        ("partition-regions", {"regions": ["us-east-1", "mars"]}, "no region 'mars'"),
        ("isolate-region", {"region": "us-east-1"}, "alone"),
        ("kill-edge", {"region": "us-east-1"}, "nothing matches"),
    ],
)
def test_a_fault_that_matches_nothing_is_refused(
    start: Start, memorai: Service, kind: str, arguments: dict[str, Any], says: str
) -> None:
    lab = start().lab
    with pytest.raises(PlatformError, match=says):
        lab.plan_heal(memorai, Fault(kind, arguments), "f1")


def test_a_fault_whose_lab_is_gone_is_healed(memorai: Service) -> None:
    Lab().heal(UndoRecord("f1", "pause-replicas", {}, ("x",), LabUndo("/nowhere")))


def test_envoy_accepts_every_edge(memorai: Service, tmp_path: Any) -> None:
    """`envoy --mode validate` passes a region's configuration and the global one."""
    found = places([memorai], ["us-east-1", "eu-west-1"], None, edges=True, isolated=True)
    edges = [each for each in found if each.kind == "edge"]
    assert len(edges) == 3
    for edge in edges:
        groups = [[each] for each in found if each.kind == "replica"]
        path = tmp_path / f"{edge.id}.json"
        path.write_text(json.dumps(configuration(edge, groups, tmp_path / "access.log")))
        done = subprocess.run(
            [binary(), "--mode", "validate", "--config-path", str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
