"""What an experiment runs on: a deployment with nothing of an earlier fault, and its base load."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

from harness.chaos.alert import check_alert
from harness.chaos.method import all_activities
from harness.chaos.model import Experiment
from harness.chaos.plan import SLACK_S, WARMUP_S
from harness.chaos.running import registered
from harness.chaos.undo import reap
from harness.errors import ExperimentError
from harness.load.plan import LoadPlan
from harness.session.options import RunOptions, Say
from harness.session.run import Session, session
from harness.traffic.model import LoadProfile, Segment, TrafficModel

MOST_HANGING_S = 10
"""Seconds of requests that may hang at one time: as long as a request's own timeout."""


def session_for(
    experiment: Experiment, options: RunOptions, say: Say = lambda text: None
) -> AbstractContextManager[Session]:
    """A session on a deployment that has what the experiment needs; the lab is started so."""
    needs = experiment.needs
    lab: dict[str, object] = {}
    if options.disposable:
        lab = {
            "regions": needs.regions,
            "replicas": needs.replicas,
            "edges": needs.edges,
            "replication": needs.replication,
        }
    options = replace(
        options, through=experiment.load.through, profile="gate", lab=lab | dict(options.lab)
    )
    return session(options, say)


@contextmanager
def experiment_session(
    experiment: Experiment, options: RunOptions, say: Say = lambda text: None
) -> Iterator[Session]:
    """Reap what earlier runs left, then a session that has what the experiment needs, alone.

    Raises PlatformError when another run is breaking the same deployment, ExperimentError when
    something is left that could not be undone.
    """
    check_prometheus(experiment, options)
    check_alert(experiment, options)
    with (
        registered(f"experiment {experiment.name}") as asked,
        session_for(experiment, options, say) as ready,
        ready.platform.exclusive(),
    ):
        found = reap((ready.platform,))
        for done in found.undone:
            say(f"undone: {done.heal.kind} of a run that was killed")
        if not found.clean:
            problems = [each.problem for each in found.undone if each.problem]
            what = [*problems, *found.leftovers, *found.unreadable][0]
            raise ExperimentError(f"a fault of an earlier run remains: {what}", "harness reap")
        yield replace(ready, halted=lambda: asked() or ready.platform.halted())


def check_prometheus(experiment: Experiment, options: RunOptions) -> None:
    """Raise ExperimentError where a probe asks a Prometheus and none was named."""
    for activity in all_activities(experiment.document):
        provider = activity.get("provider") or {}
        asked = (provider.get("module"), provider.get("func"))
        if asked == ("harness.chaos.probes", "prometheus") and options.prometheus is None:
            raise ExperimentError(
                f"{experiment.path}: probe {activity.get('name')!r} asks a Prometheus",
                "name it: --prometheus URL",
            )


def load_plan(ready: Session, experiment: Experiment) -> LoadPlan:
    """The base load: its writes are logged, so that they can be read back."""
    traffic = logged(ready.traffic)
    target = ready.platform.target(ready.service, experiment.load.through, None)
    profile = profile_of(experiment, ready.options.seed)
    peak = max(segment.to_rate for segment in profile.segments)
    # A crowd does not share a pool: what hangs must not keep the others from asking.
    connections = max(MOST_HANGING_S * round(peak), 64)
    return LoadPlan(target, traffic, profile, connections_per_target=connections)


def profile_of(experiment: Experiment, seed: int | None = None) -> LoadProfile:
    """The base load over all stages, with the spike where one is asked for; open model."""
    stages, load = experiment.timeline, experiment.load
    before = stages.before_s + stages.lead_s
    hold = before + stages.during_s + stages.after_s + SLACK_S
    warm = Segment("warmup", WARMUP_S, load.rate / 2, load.rate)
    pieces = [(hold, load.rate)]
    if load.spike is not None:
        lead = before + load.spike.at_s
        rest = hold - lead - load.spike.duration_s
        pieces = [
            (lead, load.rate),
            (load.spike.duration_s, load.rate * load.spike.factor),
            (rest, load.rate),
        ]
    holds = tuple(Segment("hold", seconds, rate, rate) for seconds, rate in pieces)
    name = f"experiment {experiment.name}"
    # Evenly spaced: what is looked for is a change, and Poisson's scatter would only hide it.
    return LoadProfile(name, (warm, *holds), "constant", seed=1 if seed is None else seed)


def logged(traffic: TrafficModel) -> TrafficModel:
    """The traffic with the writes of its audit logged."""
    audit = traffic.audit
    if audit is None:
        return traffic
    return traffic.mapped(
        lambda each: replace(each, log=True) if each.name == audit.write else each
    )
