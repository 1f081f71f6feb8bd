"""One run from its options to a verdict: the pipeline that every command shares.

resolve (catalogue, scenario) -> plan (profile, target) -> provision (platform) -> load
-> record -> judge; the caller's `report` follows. A `Session` holds what is resolved and
provisioned, so that a search or a comparison can make several runs against one deployment.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness import prometheus
from harness.catalog import load_catalog, project_root
from harness.catalog.model import Objective, Service
from harness.catalog.short_form import check_endpoints, with_objectives
from harness.errors import Interrupted
from harness.judge import Verdict, judge
from harness.judge.early_end import EarlyEnd
from harness.load.connections import check_connections, connections_for
from harness.load.driver import LoadDriver, LoadProcess
from harness.load.plan import LoadPlan, check_target, new_salt
from harness.platform.model import Platform, Target
from harness.platform.url import Url
from harness.platform.watcher import Watcher
from harness.project import base_of, find_project, slug, url_service, url_traffic
from harness.prometheus import Prometheus
from harness.record import RunRecord, RunWriter
from harness.record.environment import capture_environment
from harness.session.drive import Drive, Message, Watched
from harness.session.options import RunOptions, Say, for_users, make_profile
from harness.session.own import find_own
from harness.session.place import beside, make_named_platform, own_of, url_of
from harness.storage import check_writable
from harness.traffic.build import to_engine
from harness.traffic.endpoints import drain_s, shown_as, with_limits
from harness.traffic.model import LoadProfile, TrafficModel
from harness.traffic.populations import populations, with_loads
from harness.traffic.replay import fitted
from harness.traffic.scenario import load_model, scenario_environment


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

    urls: Mapping[str, str] = field(default_factory=dict)
    """Of the other services that journeys ask, by name."""

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
            connections_per_target=options.connections
            or connections_for(
                self.service.objectives,
                self.traffic,
                profile,
                addresses=len(self.target.urls),
                workers=options.workers,
            ),
            max_in_flight=options.max_in_flight or plan.max_in_flight,
            drain_s=drain_s(self.traffic, plan.drain_s),
            salt=new_salt() if options.salt is None else options.salt,
        )

    def environment(self) -> dict[str, object]:
        """The machine, the platform and the deployment, as a record keeps them."""
        return {
            **capture_environment(self.root),
            "platform": self.platform.name,
            "target": dict(self.target.environment),
        }

    def start(self, plan: LoadPlan) -> LoadDriver:
        """The load of this plan, which starts when it is entered."""
        return self.load(plan, scenario_environment(self.service, self.urls))

    def record(
        self, plan: LoadPlan, labels: Mapping[str, str]
    ) -> AbstractContextManager[RunWriter]:
        """The record of one run, open for what is said during it."""
        commit = self.options.service_commit
        return RunWriter.create(
            self.results,
            self.service,
            plan,
            self.environment(),
            command=tuple(sys.argv),
            labels=({} if commit is None else {"service_commit": commit}) | dict(labels),
            share=self.options.share,
            local=self.platform.local_processes(),
        )

    def kept(self, directory: Path) -> RunRecord:
        """The record of a run that has ended, with what a Prometheus says of it."""
        record = RunRecord.load(directory)
        prometheus.keep(self.prometheus, record)
        return record

    def _drive(
        self, plan: LoadPlan, writer: RunWriter, listen: Callable[[Message], None] | None
    ) -> bool:
        """Load to the end, or to an early one; whether the user interrupted it."""
        early = self.early(plan, self.service.objectives) if self.options.early_end else None
        watched = Watched(writer, listen, early)
        drive = Drive(writer, watched)
        watcher = Watcher(self.platform, self.service, watched.reports.put)
        with watcher, self.start(plan) as load:
            drive.run(load)
        watched.keep_reports()
        drive.finish()
        return drive.interrupts > 0

    def run(
        self,
        profile: LoadProfile,
        listen: Callable[[Message], None] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Load, record, judge: one run.

        `listen` hears every message of the load child, and `early_end` where the run ends by
        itself (see `harness.judge.early_end`); `labels` stand in the record. Raises
        Interrupted after Ctrl-C, when the child has ended and the partial record is complete
        and marked so.
        """
        plan = self.plan(profile)
        with self.record(plan, labels or {}) as writer:
            interrupted = self._drive(plan, writer, listen)
        where = writer.directory
        record = RunRecord.load(where) if interrupted else self.kept(where)
        verdict = judge(record, self.service)
        if self.options.report is not None:
            self.options.report(record, verdict)
        if interrupted:
            raise Interrupted(f"the partial record is in {where}")
        return Outcome(record, verdict)


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
    options, service, traffic = prepared(options, service, traffic)
    server = Prometheus.at(options.prometheus)
    results = results_of(options, root)
    others = beside(options, platform, traffic, root)
    with platform.provision(service):
        target = platform.target(service, options.through, options.region)
        target = replace(target, **options.connect)
        check_target(target, traffic)
        if options.connections is not None:
            check_connections(options.connections, len(target.urls), options.workers)
        urls = {each.name: url_of(options, platform, each) for each in others}
        yield Session(
            options, service, traffic, platform, target, root, results, prometheus=server, urls=urls
        )


def prepared(
    options: RunOptions, service: Service, traffic: TrafficModel
) -> tuple[RunOptions, Service, TrafficModel]:
    """All three as the run needs them, one following from another; raises HarnessError."""
    traffic = with_loads(traffic, options.populations)
    options = for_users(options, traffic)
    profile = make_profile(options)
    service = with_objectives(service, options.objectives)
    models = (traffic, *traffic.others)
    if not any(each.journeys for each in models):  # a journey names its endpoints as it goes
        check_endpoints(options.objectives, tuple(shown_as(traffic).values()))
    traffic = with_limits(traffic, service.objectives)
    for each in populations(traffic, profile):
        to_engine(*each)
    return options, service, traffic


def results_of(options: RunOptions, root: Path) -> Path:
    """Where records are kept. Raises RecordError where nothing can be written."""
    results = options.results or root / "results"
    check_writable(results)
    return results


def _resolve(options: RunOptions) -> tuple[RunOptions, Path, Service, str | None]:
    """A service of the catalogue, or what is known of a URL: (options, root, service, URL)."""
    if (own := own_of(options)) is not None:
        return options, own.root, own.service, own.url
    if "://" not in options.service:
        own = find_own(options.service) if options.target else None
        if own is not None and own.url is not None:  # no catalogue knows it
            return options, own.root, own.service, own.url
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
