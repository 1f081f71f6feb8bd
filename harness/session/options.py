"""What a run is asked for, and the load profile that this makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.catalog.model import Objective
from harness.errors import ProfileError
from harness.platform.model import Through
from harness.platform.names import traits_of
from harness.traffic.model import LoadProfile, Shape, Spacing, TrafficModel
from harness.traffic.profiles import OWN_ARRIVALS, STAGES, resolve_profile

if TYPE_CHECKING:
    from harness.judge import Verdict
    from harness.record import RunRecord

Say = Callable[[str], None]
"""Where a line about the progress goes."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the user asked for; None means the default of the part it belongs to."""

    service: str
    profile: str = "perf"
    rate: float | None = None
    duration_s: float | None = None
    seed: int | None = None
    salt: int | None = None
    """Of an earlier run whose unique values are wanted again; None: new ones."""

    spacing: Spacing | None = None
    users: int | None = None
    think_s: float | None = None
    """Of a user of the closed model, from an answer to the next request; None: none."""

    populations: Mapping[str, str] = field(default_factory=dict)
    """Loads of populations in place of those that the scenario says."""

    spawn_rate: float | None = None
    """Users of a locustfile that begin in a second; None: all of them within the warm-up."""

    stages: str | None = None
    """Instead of a profile: 1m:100,5m:500,1m:0 (see `harness.traffic.profiles.staged`)."""

    usual: tuple[float, float] | None = None
    """Rate and duration where neither the user nor the load says one."""

    shape: Shape | None = None
    """Of the locustfile; it is known once that was read."""

    scenario: str | None = None
    platform: str = "lab"
    target: str | None = None
    environment: str | None = None
    namespace: str | None = None
    context: str | None = None
    kubeconfig: Path | None = None
    pods: Path | None = None
    """What is set of the pods that are made on a cluster, instead of what the catalogue says."""

    through: Through = "service"
    region: str | None = None
    replicas: int | None = None
    behaviour: Mapping[str, Any] = field(default_factory=dict)
    lab: Mapping[str, Any] = field(default_factory=dict)
    """More of the lab: fields of LabOptions that have no word of their own."""

    workers: int = 1
    connections: int | None = None
    max_in_flight: int | None = None
    production: bool = False
    allow_targets: tuple[str, ...] = ()
    """Hosts outside the catalogue that are meant (see `harness.guard`)."""

    connect: Mapping[str, Any] = field(default_factory=dict)
    """Fields of a Target that say how connections are made (`harness.platform.connection`)."""

    prometheus: str | None = None
    """Where a Prometheus is asked, after each run, what the service says of itself."""

    stop_on_alert: str | None = None
    alertmanager: str | None = None
    """An alert, or a condition of the Prometheus, that ends an experiment, and who knows of it."""

    early_end: bool = True
    """Whether a run ends by itself once nothing answers or it fails for certain."""

    results: Path | None = None
    share: bool = False
    """Whether other users may read the record."""

    objectives: tuple[Objective, ...] = ()
    """Judged beside the catalogue's, or instead of those about the same thing."""

    service_commit: str | None = None
    """The revision of the service under test; the record's own commit is the project's."""

    report: Callable[[RunRecord, Verdict], None] | None = None
    """Writes the reports beside the record of each run; None: nobody reads them."""

    @property
    def disposable(self) -> bool:
        """Whether the run drives a deployment of its own, which it may shape and break."""
        return traits_of(self.platform).disposable and not (self.target or self.environment)


def make_profile(
    options: RunOptions, rate: float | None = None, duration_s: float | None = None
) -> LoadProfile:
    """The profile that was asked for. Raises ProfileError for one that cannot be."""
    name = options.profile if options.stages is None else f"{STAGES}{options.stages}"
    rate = options.rate if rate is None else rate
    duration_s = options.duration_s if duration_s is None else duration_s
    ends = name.startswith(OWN_ARRIVALS) or (options.shape and options.shape.duration_s)
    if options.usual is not None and not ends:
        if rate is None and options.users is None and options.shape is None:
            rate = options.usual[0]
        duration_s = options.usual[1] if duration_s is None else duration_s
    found = resolve_profile(
        name,
        rate=rate,
        duration=duration_s,
        seed=options.seed,
        spacing=options.spacing,
        users=options.users,
        think_s=options.think_s,
        spawn_rate=options.spawn_rate,
        shape=options.shape,
    )
    if not found.whole_seconds("hold"):
        raise ProfileError(
            f"the hold lasts {found.hold_s:g} s, and figures are of whole seconds",
            "give --duration 1s or more",
        )
    return found


def for_users(options: RunOptions, traffic: TrafficModel) -> RunOptions:
    """The options of a locustfile, whose users make the load: one of them unless told otherwise.

    Raises ProfileError for options of an arrival rate, and for a spawn rate of anything else.
    """
    if not traffic.locustfile:
        if options.spawn_rate is not None:
            raise ProfileError("--spawn-rate is for a locustfile's users", "leave it out")
        return options
    asked = {
        "--rate": options.rate, "--spacing": options.spacing, "--stages": options.stages,
        "--think-time": options.think_s,
    }  # fmt: skip
    for name, value in asked.items():
        if value is not None:
            raise ProfileError(
                f"{traffic.source} is a locustfile: its users make the load, not {name}",
                "give --users and --duration instead",
            )
    users = options.users if traffic.shape or options.users else 1
    return replace(options, users=users, shape=traffic.shape)
