"""One run from words to a verdict: the pipeline that every command shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.catalog import load_catalog, project_root
from harness.catalog.model import Service
from harness.errors import Interrupted, UsageError
from harness.judge import Verdict, judge
from harness.load.driver import LoadProcess
from harness.load.plan import LoadPlan
from harness.platform import Platform, make_platform
from harness.platform.model import Target, Through
from harness.record import RunRecord, RunWriter
from harness.report import write_reports
from harness.traffic import load_model, resolve_profile
from harness.traffic.model import LoadProfile, Spacing

Progress = Callable[[str], None]
Listener = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the user asked for; every None means the default of the part it belongs to."""

    service: str
    profile: str = "perf"
    rate: float | None = None
    duration_s: float | None = None
    seed: int | None = None
    spacing: Spacing | None = None
    users: int | None = None
    scenario: str | None = None
    platform: str = "lab"
    target: str | None = None
    environment: str | None = None
    through: Through = "service"
    region: str | None = None
    replicas: int | None = None
    behaviour: Mapping[str, Any] = field(default_factory=dict)
    workers: int = 1
    connections: int | None = None
    production: bool = False
    results: Path | None = None
