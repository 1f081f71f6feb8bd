"""Everything a load child needs to know, as one document."""

from __future__ import annotations

from dataclasses import dataclass

from harness.platform.model import Target
from harness.traffic.model import LoadProfile, TrafficModel


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """A target, a traffic model and a load profile, with the generator's own bounds."""

    target: Target
    traffic: TrafficModel
    profile: LoadProfile
    workers: int = 1
    threads: int = 1
    connections_per_target: int = 64
    max_in_flight: int = 20_000
    connect_timeout_s: float = 5.0
    drain_s: float = 10.0
    probe: bool = True
