"""One run from words to a verdict: the pipeline that every command shares.

resolve (catalogue, scenario) -> plan (profile, target) -> provision (platform) -> load
-> record -> judge -> report. A `Session` holds what is resolved and provisioned, so that a
search or a comparison can make several runs against one deployment.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import prometheus
from harness.catalog import load_catalog, project_root
from harness.catalog.model import Environment, Objective, Service
from harness.catalog.short_form import check_endpoints, with_objectives
from harness.drive import Drive, Message
from harness.errors import Interrupted, ProfileError, UsageError
from harness.guard import check_place
from harness.judge import Verdict, judge
from harness.judge.early_end import EarlyEnd
from harness.load.connections import connections_for
from harness.load.driver import LoadDriver, LoadProcess
from harness.load.plan import LoadPlan, check_target, new_salt
from harness.own import Own, find_own, own_lab
from harness.platform import Behaviour, LabOptions, make_platform
from harness.platform.connection import refuse_beside
from harness.platform.lab.options import REGIONS
from harness.platform.model import Platform, Target, Through
from harness.platform.url import Url
from harness.platform.watcher import Watcher
from harness.project import base_of, find_project, slug, url_service, url_traffic
from harness.prometheus import Prometheus
from harness.record import RunRecord, RunWriter, capture_environment, check_writable
from harness.report.run_files import write_reports
from harness.traffic import load_model, resolve_profile, scenario_environment, to_engine
from harness.traffic.model import LoadProfile, Shape, Spacing, TrafficModel
from harness.traffic.populations import populations
from harness.traffic.profiles import OWN_ARRIVALS, STAGES
from harness.traffic.replay import fitted
from harness.traffic.streams import drain_s, with_limits

Say = Callable[[str], None]

USUAL_BEHAVIOUR: Mapping[str, Mapping[str, Any]] = {
    "gate": {"latency_median_s": 0.02, "latency_p99_s": 0.06}
}
"""profile -> how the lab's reference service answers unless --behaviour says otherwise.

As fast as it can, it answers within a millisecond, and the scheduler's noise is larger than any
change a gate is asked about; a service that talks to a database takes tens of them.
"""


TAKEN_BY: Mapping[str, tuple[str, ...]] = {
    "behaviour": ("the lab",),
    "replicas": ("the lab",),
    "region": ("the lab", "a cluster"),
    "through": ("the lab", "a cluster"),
    "namespace": ("a cluster",),
    "context": ("a cluster",),
    "kubeconfig": ("a cluster",),
}
"""Options that do not mean something everywhere: where they do."""


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run left: its record on disk and the verdict on it."""

    record: RunRecord
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Session:
    """A service that is deployed and resolved, ready for any number of runs."""

    options: RunOptions
    service: Service
    traffic: TrafficModel
    platform: Platform
    target: Target
    root: Path
    results: Path
    load: Callable[[LoadPlan, Mapping[str, str]], LoadDriver] = LoadProcess
    """What drives the load: a child on this machine unless another is given."""

    prometheus: Prometheus | None = None
    early: Callable[[LoadPlan, Sequence[Objective]], EarlyEnd] = EarlyEnd
    """What decides that a run ends before its plan."""

    halted: Callable[[], str | None] = lambda: None
    """Who has asked that an experiment end (`harness halt`); None: nobody."""

    def profile(self, rate: float | None = None, duration_s: float | None = None) -> LoadProfile:
        """The profile asked for, with this run's own rate and hold where given."""
        return make_profile(self.options, rate, duration_s)

    def plan(self, profile: LoadProfile) -> LoadPlan:
        """Everything the load child needs for one run with this profile."""
        options, profile = self.options, fitted(profile, self.traffic)
        plan = LoadPlan(self.target, self.traffic, profile, workers=options.workers)
        return replace(
            plan,
            connections_per_target=options.connections or self._connections(profile),
            max_in_flight=options.max_in_flight or plan.max_in_flight,
            drain_s=drain_s(self.traffic, plan.drain_s),
            salt=new_salt() if options.salt is None else options.salt,
        )

    def _connections(self, profile: LoadProfile) -> int:
        """As many as a service that meets its objectives can fill at this load."""
        return connections_for(
            self.service.objectives,
            self.traffic,
            profile,
            addresses=len(self.target.urls),
            workers=self.options.workers,
        )

    def _labels(self) -> dict[str, str]:
        commit = self.options.service_commit
        return {} if commit is None else {"service_commit": commit}

    def environment(self) -> dict[str, Any]:
        """The machine, the platform and the deployment, as a record keeps them."""
        return {
            **capture_environment(self.root),
            "platform": self.platform.name,
            "target": dict(self.target.environment),
        }

    def _drive(
        self,
        plan: LoadPlan,
        writer: RunWriter,
        listen: Callable[[Message], None] | None,
    ) -> bool:
        """Load to the end, or to an early one; whether the user interrupted it."""
        early = self.early(plan, self.service.objectives) if self.options.early_end else None
        drive = Drive(writer, listen, early)
        watch = Watcher(self.platform, self.service, drive.reports.put)
        return drive.run(watch, self.load(plan, scenario_environment(self.service)))

    def run(
        self,
        profile: LoadProfile,
        listen: Callable[[Message], None] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Load, record, judge, report: one run.

        `listen` hears every message of the load child, and `early_end` where the run ends by
        itself (see `harness.judge.early_end`); `labels` stand in the record. Raises
        Interrupted after Ctrl-C, when the child has ended and the partial record is complete
        and marked so.
        """
        plan = self.plan(profile)
        with RunWriter.create(
            self.results,
            self.service,
            plan,
            self.environment(),
            command=tuple(sys.argv),
            labels=self._labels() | dict(labels or {}),
            share=self.options.share,
        ) as writer:
            interrupted = self._drive(plan, writer, listen)
        record = RunRecord.load(writer.directory)
        if not interrupted:
            prometheus.keep(self.prometheus, record)
        verdict = judge(record, self.service)
        write_reports(record, verdict, writer.directory)
        if interrupted:
            raise Interrupted(f"the partial record is in {writer.directory}")
        return Outcome(record, verdict)


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
    return resolve_profile(
        name,
        rate=rate,
        duration=duration_s,
        seed=options.seed,
        spacing=options.spacing,
        users=options.users,
        spawn_rate=options.spawn_rate,
        shape=options.shape,
    )


def _for_users(options: RunOptions, traffic: TrafficModel) -> RunOptions:
    """The options of a locustfile, whose users make the load: one of them unless told otherwise.

    Raises ProfileError for options of an arrival rate, and for a spawn rate of anything else.
    """
    if not traffic.locustfile:
        if options.spawn_rate is not None:
            raise ProfileError("--spawn-rate is for a locustfile's users", "leave it out")
        return options
    asked = {"--rate": options.rate, "--spacing": options.spacing, "--stages": options.stages}
    for name, value in asked.items():
        if value is not None:
            raise ProfileError(
                f"{traffic.source} is a locustfile: its users make the load, not {name}",
                "give --users and --duration instead",
            )
    users = options.users if traffic.shape or options.users else 1
    return replace(options, users=users, shape=traffic.shape)


@contextmanager
def session(options: RunOptions, say: Say = lambda text: None) -> Iterator[Session]:
    """Resolve, plan and provision; undo what was provisioned on leaving, however that is.

    Raises HarnessError for everything the user can mend, before anything is started.
    """
    options, root, service, url = _resolve(options)
    # A profile that cannot be is told before anything starts, a forbidden place before any code.
    make_profile(options)
    platform = make_named_platform(options, service, say)
    if url is not None and options.scenario is None:
        traffic = url_traffic(service.name, url)
    else:
        traffic = load_model(service, options.scenario, root, of_any=url is not None)
    options = _for_users(options, traffic)
    profile = make_profile(options)
    service = with_objectives(service, options.objectives)
    models = (traffic, *traffic.others)
    if not any(each.journeys for each in models):  # a journey names its endpoints as it goes
        names = [request.name for each in models for request in each.templates]
        check_endpoints(options.objectives, names)
    traffic = with_limits(traffic, service.objectives)
    server = Prometheus.at(options.prometheus)
    for each in populations(traffic, profile):
        to_engine(*each)
    results = options.results or root / "results"
    check_writable(results)
    with platform.provision(service):
        target = platform.target(service, options.through, options.region)
        target = replace(target, **options.connect)
        check_target(target, traffic)
        yield Session(options, service, traffic, platform, target, root, results, prometheus=server)


def _resolve(options: RunOptions) -> tuple[RunOptions, Path, Service, str | None]:
    """A service of the catalogue, or what is known of a URL: (options, root, service, URL)."""
    if (own := own_of(options)) is not None:
        return options, own.root, own.service, own.url
    if "://" not in options.service:
        root = project_root()
        return options, root, load_catalog(root / "services").service(options.service), None
    url, project = options.service, find_project()
    Url(url)  # raises PlatformError where it is none
    if project is not None and project.url == url:
        root, service = project.root, url_service(project.name, url, project.objectives)
        if options.scenario and (root / options.scenario).is_file():
            options = replace(options, scenario=str(root / options.scenario))
    else:
        root, service = Path.cwd(), url_service(slug(url), url)
    target = options.target or base_of(url)
    return replace(options, service=service.name, target=target), root, service, url


def own_of(options: RunOptions) -> Own | None:
    """The user's program that is meant, where the lab is."""
    elsewhere = options.platform != "lab" or options.target or options.environment
    return None if elsewhere or "://" in options.service else find_own(options.service)


def make_named_platform(options: RunOptions, service: Service, say: Say) -> Platform:
    """The platform that was named: a URL, an environment of the catalogue, a cluster or the lab.

    Raises UsageError for a place that is not to be touched, and for options without meaning there.
    """
    if options.platform == "kubernetes":
        return _cluster(options, service, say)
    url = options.target
    if options.environment is not None:
        if url is not None:
            raise UsageError("--target and --environment exclude each other", "name one of them")
        url = _environment(options.environment, service).base_url
    if url is not None:
        _refuse_ignored(options, "a URL")
        guard(options, service, url)
        refuse_beside(options.connect, url)
        return make_platform("url", url=url, connect=options.connect, progress=say)
    refuse_beside(options.connect, None)
    _refuse_ignored(options, "the lab")
    if (own := own_of(options)) is not None:
        needs = {"regions": _regions(options), **options.lab}
        return own_lab(own, options.replicas, options.behaviour, needs, say)
    usual = {
        "regions": _regions(options),
        "replicas": options.replicas,
        "edges": options.through != "service",
        "behaviour": Behaviour.parse(_behaviour(options)),
    }
    lab = LabOptions(**(usual | dict(options.lab)))
    return make_platform(options.platform, options=lab, progress=say)


def _cluster(options: RunOptions, service: Service, say: Say) -> Platform:
    """The namespace that was named, or that of the named environment, of a cluster."""
    from harness.platform.kubernetes.access import context_names  # noqa: PLC0415 - slow

    _refuse_ignored(options, "a cluster")
    refuse_beside(options.connect, options.target)
    namespace = options.namespace
    if options.environment is not None:
        if namespace is not None:
            raise UsageError("--namespace and --environment exclude each other", "name one of them")
        namespace = _environment(options.environment, service).namespace
    if namespace is None:
        raise UsageError("no namespace was named", "add --namespace, e.g. codai-staging")
    names = (namespace, *context_names(options.context, options.kubeconfig))
    guard(options, service, options.target, names)
    where = {
        "namespace": namespace,
        "context": options.context,
        "kubeconfig": str(options.kubeconfig) if options.kubeconfig else None,
        "url": options.target,
    }
    return make_platform("kubernetes", where=where, progress=say)


def guard(
    options: RunOptions,
    service: Service,
    url: str | None,
    names: Sequence[str | None] = (),
) -> None:
    """Raise UsageError where these are not to be touched (see `harness.guard.check_place`)."""
    catalog = project_root() / "services"  # a small project has none
    known = load_catalog(catalog).services() if catalog.is_dir() else ()
    check_place(
        [service, *known],
        urls=() if url is None else (Url(url).url,),
        names=names,
        production=options.production,
        allowed=options.allow_targets,
    )


def _refuse_ignored(options: RunOptions, place: str) -> None:
    usual = RunOptions(options.service)
    for name, places in TAKEN_BY.items():
        if place not in places and getattr(options, name) != getattr(usual, name):
            raise UsageError(
                f"--{name} is for {' and '.join(places)}, not for {place}", "leave it out"
            )


def _behaviour(options: RunOptions) -> dict[str, object]:
    """What was asked over what is usual; a run of another seed draws other delays too."""
    seed = {} if options.seed is None else {"seed": options.seed}
    return {**USUAL_BEHAVIOUR.get(options.profile, {}), **seed, **options.behaviour}


def _regions(options: RunOptions) -> int:
    """How many of the lab's regions the run needs: all behind the front door, else up to its own.

    Raises UsageError for a region that the lab does not have.
    """
    if options.region is not None and options.region not in REGIONS:
        raise UsageError(
            f"the lab has no region {options.region!r}", f"it can have {', '.join(REGIONS)}"
        )
    if options.through == "global":
        return len(REGIONS)
    return 1 if options.region is None else REGIONS.index(options.region) + 1


def _environment(name: str, service: Service) -> Environment:
    for environment in service.environments:
        if environment.name == name:
            return environment
    known = ", ".join(environment.name for environment in service.environments)
    raise UsageError(f"{service.name} has no environment {name!r}", f"it has {known}")
