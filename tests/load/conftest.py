"""A null server to load, a tiny scenario, and the load child run to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from harness._engine import NullServer
from harness.load.driver import LoadProcess
from harness.load.plan import LoadPlan
from harness.platform.model import Target
from harness.traffic import Journey, Request
from harness.traffic.model import LoadProfile, Segment, TrafficModel

SCENARIO = """
from harness.traffic import get, journey
from harness.traffic.user import TrafficUser

print("a scenario may print")

class Tiny(TrafficUser):
    service = "memorai"
    mix = [get("/a", name="a", weight=3), get("/b", name="b")]
"""

WITH_JOURNEY = (
    SCENARIO
    + """
    @journey(weight=0.2, name="walk")
    def walk(self):
        self.client.get("/one", name="step one")
        self.client.get("/two", name="step two")

    @journey(weight=0.1, name="stumble")
    def stumble(self):
        raise RuntimeError("the journey's own fault")
"""
)

REQUESTS = (
    Request(name="a", method="GET", path="/a", weight=3.0),
    Request(name="b", method="GET", path="/b", weight=1.0),
)


@dataclass
class Heard:
    """Everything one load child said."""

    messages: list[Any] = field(default_factory=list)
    stderr: str = ""

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The messages of one type."""
        return [message for message in self.messages if message["type"] == kind]

    @property
    def end(self) -> dict[str, Any]:
        """The one `end` message."""
        (found,) = self.of("end")
        return found

    def total(self, counter: str, axis: str = "due") -> int:
        """A counter summed over all slices of one axis."""
        slices = [message["slice"] for message in self.of("slice")]
        return sum(piece[counter] for piece in slices if piece["axis"] == axis)


@pytest.fixture
def server() -> Iterator[NullServer]:
    found = NullServer()
    yield found
    found.stop()


def make_plan(port: int, directory: Path) -> LoadPlan:
    """Three seconds at 200 requests/s against a server here; the scenario is put in `directory`."""
    source = directory / "tiny.py"
    source.write_text(SCENARIO)
    target = Target("memorai", (f"http://127.0.0.1:{port}",), "service", "null server")
    traffic = TrafficModel("memorai", "tiny", str(source), REQUESTS)
    profile = LoadProfile("test", (Segment("hold", 3.0, 200.0, 200.0),), seed=5)
    return LoadPlan(target, traffic, profile, drain_s=3.0)


@pytest.fixture
def plan(server: NullServer, tmp_path: Path) -> LoadPlan:
    """Of a null server of one test's own."""
    return make_plan(server.port, tmp_path)


@pytest.fixture
def journey_plan(plan: LoadPlan, tmp_path: Path) -> LoadPlan:
    """The same with two journeys in the mix, one of which always fails."""
    source = tmp_path / "journeys.py"
    source.write_text(WITH_JOURNEY)
    journeys = (Journey("walk", "walk", 0.2), Journey("stumble", "stumble", 0.1))
    return replace(plan, traffic=replace(plan.traffic, source=str(source), journeys=journeys))


Meanwhile = Callable[[LoadProcess, Heard], None]


def hear(plan: LoadPlan, meanwhile: Meanwhile | None = None) -> Heard:
    """Run a load child to its end; `meanwhile` is called after each poll."""
    heard = Heard()
    with LoadProcess(plan) as child:
        while not child.ended:
            heard.messages += child.poll(0.2)
            if meanwhile is not None:
                meanwhile(child, heard)
        heard.stderr = child.stderr()
    return heard
