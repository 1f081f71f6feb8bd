"""A scaling test: a load that must make the autoscaler act, watched until it has calmed down.

base, rise, peak, base again -> one recorded run -> `harness.judge.scaling` -> report.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kubernetes import client

from harness.errors import ProfileError
from harness.judge.scaling import ScalingLimits, ScalingVerdict, judge_scaling
from harness.load.driver import LoadDriver
from harness.load.kubernetes.autoscaler import Autoscaler, Observed
from harness.load.plan import LoadPlan
from harness.record import RunRecord
from harness.session.drive import Message
from harness.session.run import Session
from harness.storage import write_json
from harness.traffic.model import LoadProfile, Segment

BASE_SHARE = 0.2
"""Of the peak: low enough that one replica's worth of it is idle."""

AFTER_WINDOW_S = 60.0
"""What is watched beyond the autoscaler's own stabilization window, unless told."""

MAX_RATE = 10_000_000.0


@dataclass(frozen=True, slots=True)
class ScaleOptions:
    """The load of a scaling test. Rates in requests/s, times in seconds; None: from the HPA."""

    peak: float
    base: float | None = None
    before_s: float = 30.0
    rise_s: float = 10.0
    hold_s: float = 180.0
    after_s: float | None = None
    per_replica: float | None = None
    seed: int | None = None


def scale_profile(options: ScaleOptions, scaler: Autoscaler) -> LoadProfile:
    """Base, rise, peak, base in the open model; ProfileError for rates or times that cannot be."""
    base = options.peak * BASE_SHARE if options.base is None else options.base
    after = options.after_s
    if after is None:
        after = scaler.down_window_s + AFTER_WINDOW_S
    if not 0 < base < options.peak <= MAX_RATE:
        raise ProfileError(
            f"a base of {base:g} and a peak of {options.peak:g} requests/s",
            "the base must be above 0 and below the peak",
        )
    named = {
        "--before": options.before_s,
        "--rise": options.rise_s,
        "--hold": options.hold_s,
        "--after": after,
    }
    for name, seconds in named.items():
        if seconds < 1:
            raise ProfileError(f"{name} is {seconds:g} s", "give a second or more")
    segments = (
        Segment("warmup", options.before_s, base, base),
        Segment("ramp", options.rise_s, base, options.peak),
        Segment("hold", options.hold_s, options.peak, options.peak),
        Segment("cooldown", after, base, base),
    )
    return LoadProfile("scale", segments, seed=1 if options.seed is None else options.seed)


@dataclass(frozen=True, slots=True)
class ScaleOutcome:
    """What a scaling test left."""

    record: RunRecord
    verdict: ScalingVerdict


def scale_test(
    session: Session,
    api: client.ApiClient,
    scaler: Autoscaler,
    options: ScaleOptions,
    limits: ScalingLimits,
    listen: Callable[[Message], None] | None = None,
) -> ScaleOutcome:
    """Run it, judge it, and write scaling.json beside the run's own files."""
    watched = prepared(session, api, scaler)
    outcome = watched.run(scale_profile(options, scaler), listen, {"test": "scaling"})
    record = outcome.record
    verdict = judge_scaling(record, limits, dataclasses.asdict(scaler), options.per_replica)
    write_json(record.directory / "scaling.json", verdict.as_dict())
    return ScaleOutcome(record, verdict)


def prepared(session: Session, api: client.ApiClient, scaler: Autoscaler) -> Session:
    """The session with the autoscaler watched beside the load."""
    inner = session.load

    def load(plan: LoadPlan, environment: Mapping[str, str]) -> LoadDriver:
        return Observed(inner(plan, environment), api, scaler)

    where: dict[str, object] = {
        **session.target.environment,
        "autoscaler": dataclasses.asdict(scaler),
    }
    target = dataclasses.replace(session.target, environment=where)
    options = dataclasses.replace(session.options, early_end=False)  # overload is what it is for
    return dataclasses.replace(session, load=load, target=target, options=options)
