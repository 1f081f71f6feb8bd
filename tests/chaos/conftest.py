"""A state directory of its own for every test, and a platform that only remembers."""

# ruff: noqa: D102 - the protocol says what each method does

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from harness.catalog import load_catalog, project_root
from harness.catalog.model import Service
from harness.chaos import undo
from harness.errors import PlatformError
from harness.faults.draw import ANY, Among, draw
from harness.platform.lab.namespace import isolation
from harness.platform.model import (
    Crossing,
    EventFeed,
    Fault,
    Observation,
    Platform,
    Proof,
    Region,
    Replica,
    Target,
    Through,
)
from harness.platform.undo import UndoRecord

US, EU = "us-east-1", "eu-west-1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what needs a namespace where there is none."""
    missing = isolation().missing
    if missing is not None:
        for item in items:
            if item.get_closest_marker("lab"):
                item.add_marker(pytest.mark.skip(reason=missing))


class Remembering(Platform):
    """Two regions of two replicas; a fault is in effect from its injection to its heal."""

    name = "lab"

    def __init__(self) -> None:
        self.effects: list[str] = []
        self.remembered: list[str] = []
        self.drawn: list[list[str]] = []
        self.down: set[str] = set()
        self.grown = False
        self.stubborn = False
        self.broken = False

    def provision(self, service: Service) -> AbstractContextManager[None]:
        return nullcontext()

    def exclusive(self) -> AbstractContextManager[None]:
        return nullcontext()

    def halted(self) -> str | None:
        return None

    def halt(self, who: str) -> AbstractContextManager[str | None]:
        return nullcontext()

    def target(self, service: Service, through: Through, region: str | None) -> Target:
        return Target(service.name, ("http://127.0.0.1:1",), through, "nowhere")

    def regions(self, service: Service) -> tuple[Region, ...]:
        return (Region(US, "active"), Region(EU, "standby"))

    def replicas(self, service: Service) -> tuple[Replica, ...]:
        places = [(region, n) for region in (US, EU) for n in range(3 if self.grown else 2)]
        names = [(f"m-{region}-{n}", region) for region, n in places]
        return tuple(
            Replica(name, service.name, region, "", "dead" if name in self.down else "ready")
            for name, region in names
        )

    def capabilities(self) -> Mapping[str, str | None]:
        known = {"kill-replicas": None, "fail-region": None, "clock-jump": "no such clock here"}
        return known | {"pause-replicas": None, "isolate-region": None}

    def plan_heal(
        self, service: Service, fault: Fault, fault_id: str, among: Among = ANY
    ) -> UndoRecord:
        region = fault.arguments.get("region")
        found = [
            each.id
            for each in self.replicas(service)
            if region in {None, each.region} and each.health == "ready"
        ]
        if not found:
            raise PlatformError(f"no replica in {region}", "name another")
        if fault.kind == "isolate-region":
            found = [f"{region}|{EU}"]
        if fault.kind == "kill-replicas":
            found = draw(fault.kind, found, among, count=fault.arguments.get("count"))
        self.drawn.append(found)
        return UndoRecord(fault_id, fault.kind, fault.arguments, tuple(found))

    def inject(self, service: Service, fault: Fault, heal: UndoRecord) -> None:
        self.effects.append(heal.fault_id)

    def heal(self, heal: UndoRecord) -> None:
        if self.broken:
            raise PlatformError("the cluster does not answer", "mend it")
        if heal.fault_id in self.effects and not self.stubborn:
            self.effects.remove(heal.fault_id)

    def verify(self, heal: UndoRecord) -> Proof:
        there = heal.fault_id in self.effects
        return Proof(there, "it is there" if there else "it is gone")

    def observe(self, service: Service) -> Observation:
        return Observation({})

    def events(self, service: Service) -> EventFeed | None:
        return None

    def handle(self) -> Mapping[str, Any]:
        return {"platform": "remembering"}

    def cross_region_probe(
        self, service: Service, near: str, far: str
    ) -> AbstractContextManager[Crossing | None]:
        return nullcontext()

    def rebalance(self, service: Service) -> str | None:
        return None

    def preflight_failures(self, service: Service, fault: Fault) -> tuple[str, ...]:
        return ()

    def notes(self, service: Service) -> tuple[str, ...]:
        return ()

    def orphaned_heals(self, named: Collection[str] = ()) -> tuple[UndoRecord, ...]:
        return tuple(UndoRecord(each, "kill-replicas", {}) for each in self.remembered)

    def unsigned(self) -> Mapping[str, UndoRecord]:
        return {}

    def residual_faults(self) -> tuple[str, ...]:
        return tuple(self.effects)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Remembering:
    """The platform that every handle leads to."""
    made = Remembering()
    monkeypatch.setattr(undo, "attach", lambda handle: made)
    monkeypatch.setattr(undo, "PROOF_S", 0.0)
    return made


@pytest.fixture(scope="session")
def service() -> Service:
    """The catalogue's memorai."""
    return load_catalog(project_root() / "services").service("memorai")
