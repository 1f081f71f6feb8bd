"""One experiment from a plan to a complete record.

reap -> session (platform) -> plan -> load + canary + observer + Chaos Toolkit -> heal, whatever
happened -> audit of the writes -> record. The verdict is `harness.judge`'s.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.chaos.audit import AuditPlan
from harness.chaos.canary import CanaryPlan
from harness.chaos.children import END_S, Child, Inbox, Message
from harness.chaos.context import VARIABLE, Context
from harness.chaos.doors import Door
from harness.chaos.guards import Watch
from harness.chaos.ledger import Ledger
from harness.chaos.model import Experiment, ExperimentPlan
from harness.chaos.observer import Observer
from harness.chaos.plan import SLACK_S, WARMUP_S, check, plan_experiment
from harness.chaos.undo import reap, undo_all, uninterrupted
from harness.errors import ExperimentError, Interrupted, PlatformError
from harness.load.driver import LoadProcess
from harness.load.plan import LoadPlan
from harness.platform.model import Target
from harness.record import RunRecord, RunWriter
from harness.record.storage import write_atomic
from harness.run import RunOptions, Say, Session, session
from harness.traffic import scenario_environment
from harness.traffic.model import LoadProfile, Segment, TrafficModel
from harness.units import NANOSECONDS

LAB_BEHAVIOUR: Mapping[str, Any] = {"latency_median_s": 0.02, "latency_p99_s": 0.06}
"""How the lab answers in a game day: like a service that talks to a database (see harness.run)."""

POLL_S = 0.05
STEADY_LEAD_S = 0.5
"""Chaos Toolkit asks the steady state before its method: its start is that much early."""

MOST_HANGING_S = 10
"""Seconds of requests that may hang at one time: as long as a request's own timeout."""

READY_PATH = "/ready"
"""What every service answers on (facts of the platform): whether it may be sent requests."""

MOST_VICTIMS = 12
"""Doors of victims that are asked: the canary is to see, not to load."""

AUDIT_S = 4.0
"""The audit of the surviving regions begins so long before the heal."""

TAIL_S = 5.0
"""It reads what was acknowledged from so long before the injection on: what may be lost."""

SETTLE_S = 1.5
"""Replication's time between the last write and the audit of all of them."""

Listen = Callable[[Message], None]


def session_for(experiment: Experiment, options: RunOptions, say: Say = lambda text: None) -> Any:
    """A session on a deployment that has what the experiment needs; the lab is started so."""
    needs = experiment.needs
    lab: dict[str, Any] = {}
    if options.platform == "lab" and options.target is None and options.environment is None:
        lab = {
            "regions": needs.regions,
            "replicas": needs.replicas,
            "edges": needs.edges,
            "replication": needs.replication,
        }
        options = replace(options, behaviour={**LAB_BEHAVIOUR, **options.behaviour})
    options = replace(
        options, through=experiment.load.through, profile="gate", lab=lab | dict(options.lab)
    )
    return session(options, say)


@dataclass(slots=True)
class _State:
    """What the loop knows so far; times in seconds from the start of the load."""

    start_ns: int | None = None
    injected: float | None = None
    healed: float | None = None
    ended: bool = False
    told_to_go: bool = False
    audited: bool = False
    aborted: str | None = None
    interrupts: int = 0
    problem: str | None = None
    writes: dict[str, float] = field(default_factory=dict)
    open_doors: dict[str, bool] = field(default_factory=dict)


class ExperimentRun:
    """The run of one experiment in a session; `run` returns its record."""

    def __init__(
        self, ready: Session, experiment: Experiment, listen: Listen | None = None
    ) -> None:
        self.session = ready
        self.experiment = experiment
        self._listen = listen or (lambda message: None)
        self._inbox: Inbox = Inbox()
        self._state = _State()
        self._watch = Watch(experiment.guards, ready.service)
        self._begin = WARMUP_S + experiment.timeline.before_s
        self._plan = self.load_plan()

    def load_plan(self) -> LoadPlan:
        """The base load: its writes are logged, so that they can be read back."""
        traffic = logged(self.session.traffic)
        target = self.session.platform.target(
            self.session.service, self.experiment.load.through, None
        )
        profile = profile_of(self.experiment, self.session.options.seed)
        peak = max(segment.to_rate for segment in profile.segments)
        # A crowd does not share a pool: what hangs must not keep the others from asking.
        connections = max(MOST_HANGING_S * round(peak), 64)
        return LoadPlan(target, traffic, profile, connections_per_target=connections)

    def run(self, plan: ExperimentPlan | None = None) -> RunRecord:
        """Carry the experiment out.

        Raises ExperimentError when the plan is refused, Interrupted after Ctrl-C when everything
        is healed and the partial record is complete.
        """
        plan = plan or plan_experiment(self.experiment, self.session.service, self.session.platform)
        check(plan)
        state = self._state
        with (
            RunWriter.create(
                self.session.results,
                self.session.service,
                self._plan,
                self.session.environment(),
                command=tuple(sys.argv),
                labels={"experiment": self.experiment.name},
            ) as writer,
            Ledger.open() as ledger,
            tempfile.TemporaryDirectory(prefix="harness-chaos-") as scratch,
        ):
            self._writer, self._ledger, self._scratch = writer, ledger, Path(scratch)
            self._keep_plan(plan)
            try:
                self._drive(plan)
            finally:
                with uninterrupted():
                    self._heal_rest()
            if not state.interrupts:
                self._audit("after", tuple(state.writes), SETTLE_S)
            self._tell_stages()
            self._finish()
        if state.interrupts:
            raise Interrupted(f"everything is healed; the partial record is in {writer.directory}")
        return RunRecord.load(writer.directory)

    # -- the loop ------------------------------------------------------------------------------

    def _drive(self, plan: ExperimentPlan) -> None:
        """Load, canary, observer and Chaos Toolkit side by side until the load has ended."""
        target = self._plan.target
        context = self._context()
        with ExitStack() as stack:
            load = stack.enter_context(
                LoadProcess(self._plan, scenario_environment(self.session.service))
            )
            stack.enter_context(
                Observer(self.session.platform, self.session.service, self._ledger, self._inbox)
            )
            stack.enter_context(self._canary(plan, target))
            chaos = stack.enter_context(self._chaos(context))
            while not load.ended:
                try:
                    self._turn(load, chaos)
                except KeyboardInterrupt:
                    self._interrupt(load, chaos)
            if not self._state.ended:
                chaos.close()
                chaos.wait(END_S)
            self._drain()

    def _turn(self, load: LoadProcess, chaos: Child) -> None:
        for message in load.poll(POLL_S):
            self._hear_load(message)
        self._drain()
        state, now = self._state, self._now()
        if now is None or state.aborted:
            return
        if not state.told_to_go and now >= self._begin - STEADY_LEAD_S:
            state.told_to_go = True
            chaos.go()
        since = state.injected
        if since is None or state.healed is not None:
            return
        audit_at = since + self.experiment.timeline.during_s - AUDIT_S
        if not state.audited and now >= audit_at:
            state.audited = True
            recent = [key for key, at in state.writes.items() if at >= since - TAIL_S]
            self._audit_survivors(tuple(recent))
        broken = self._watch.broken(since + 1)
        if broken is not None:
            self._abort(chaos, broken)

    def _abort(self, chaos: Child, reason: str) -> None:
        """Heal now, by the child's rollbacks and, apart from them, by ourselves."""
        self._state.aborted = reason
        self._event({"type": "chaos", "what": "abort", "detail": reason})
        chaos.close()
        undo_all(self.session.platform, self._ledger, self._tell, intents=False)

    def _interrupt(self, load: LoadProcess, chaos: Child) -> None:
        self._state.interrupts += 1
        load.stop() if self._state.interrupts == 1 else load.kill()
        if not self._state.aborted:
            self._abort(chaos, "interrupted by the user")

    def _hear_load(self, message: Message) -> None:
        kind = message["type"]
        if kind == "child_died":
            self._state.problem = f"the load child ended by itself: {message['stderr'] or 'mute'}"
        elif kind == "start":
            self._state.start_ns = message["monotonic_ns"]
        elif kind == "slice":
            self._watch.add(message["slice"])
        elif kind == "write":
            self._hear_write(message)
        self._writer.message(message)
        self._listen(message)

    def _hear_write(self, message: Message) -> None:
        """Keep every write that may have happened: what failed may be there all the same."""
        key, done = message.get("id"), message.get("done_s")
        if key is not None:
            self._state.writes[str(key)] = done if done is not None else message["due_s"]

    def _drain(self) -> None:
        """Take what the other children said, put it on the load's clock, keep it."""
        while not self._inbox.empty():
            message = self._inbox.get()
            kind, what = message.get("type"), message.get("what")
            if kind == "canary":
                self._state.open_doors[message["where"]] = message["ok"]
            elif kind == "chaos_child" and what == "end":
                self._state.ended = True
            elif kind == "child_ended" and message["module"] == "harness.chaos.child":
                self._chaos_ended(message)
            self._event(message)

    def _chaos_ended(self, message: Message) -> None:
        if not self._state.ended and not self._state.aborted:
            self._state.aborted = "the chaos child died"
            self._state.problem = f"the chaos child ended by itself (code {message['code']})"
            undo_all(self.session.platform, self._ledger, self._tell)
        self._state.ended = True

    def _event(self, message: Message) -> None:
        event = {
            key: value for key, value in message.items() if key not in {"type", "monotonic_ns"}
        }
        stamp = message.get("monotonic_ns")
        if stamp is not None and self._state.start_ns is not None:
            event["t"] = round((stamp - self._state.start_ns) / NANOSECONDS, 6)
        for end in ("begin", "end"):
            if f"{end}_ns" in event and self._state.start_ns is not None:
                at = (event.pop(f"{end}_ns") - self._state.start_ns) / NANOSECONDS
                event[f"{end}_s"] = round(at, 6)
        self._notice(message, event.get("t", self._now()))
        self._writer.event(message["type"], **event)
        self._listen({"type": message["type"], **event})

    def _notice(self, message: Message, at: float | None) -> None:
        """The instants of the injection and of the heal."""
        if message["type"] != "chaos" or at is None:
            return
        state, what = self._state, message["what"]
        if what == "inject" and state.injected is None:
            state.injected = at
        elif what in {"healed", "heal_failed"} and not self._ledger_holds_more(message):
            state.healed = at

    def _ledger_holds_more(self, message: Message) -> bool:
        return any(e.fault_id != message.get("fault_id") for e in self._ledger.entries())

    def _tell(self, kind: str, **fields: Any) -> None:
        self._event({"type": kind, "monotonic_ns": time.monotonic_ns(), **fields})

    def _now(self) -> float | None:
        start = self._state.start_ns
        return None if start is None else (time.monotonic_ns() - start) / NANOSECONDS

    # -- children ------------------------------------------------------------------------------

    def _chaos(self, context: Context) -> Child:
        file, document = self._scratch / "context.json", self._scratch / "experiment.json"
        context.write(file)
        write_atomic(document, json.dumps(self.experiment.document, default=str))
        return Child(
            "harness.chaos.child",
            [str(document), str(self._writer.directory / "journal.json")],
            self._inbox,
            environment={**os.environ, VARIABLE: str(file)},
            log=self._scratch / "chaos.log",
            grace_s=END_S,
        )

    def _canary(self, plan: ExperimentPlan, target: Target) -> Child:
        doors = (*self.doors(), *self._victims(plan))
        audit = self.session.traffic.audit
        path = self.session.service.health_path
        canary = CanaryPlan(doors, path)
        if audit is not None and audit.canary is not None:
            canary = CanaryPlan(doors, audit.canary, audit.expected)
        file = self._scratch / "canary.json"
        write_atomic(file, json.dumps(asdict(canary)))
        return Child(
            "harness.chaos.canary",
            [str(file)],
            self._inbox,
            prefix=target.exec_prefix,
            log=self._scratch / "canary.log",
            grace_s=1.0,
        )

    def _context(self) -> Context:
        audit = self.session.traffic.audit
        path, expected = self.session.service.health_path, None
        if audit is not None and audit.canary is not None:
            path, expected = audit.canary, audit.expected
        return Context(
            self.session.platform.handle(),
            self.session.service.name,
            str(self._ledger.directory),
            path,
            expected,
        )

    def doors(self) -> tuple[Door, ...]:
        """The front door and each region's own, as far as there are any."""
        platform, service = self.session.platform, self.session.service
        found = []
        regions = [region.name for region in platform.regions(service)]
        for where, region in [("global", None), *((name, name) for name in regions)]:
            try:
                target = platform.target(service, "global" if region is None else "edge", region)
            except PlatformError:
                continue
            found.append(_door(where, target))
        return tuple(found) or (_door("service", self._plan.target),)

    def _victims(self, plan: ExperimentPlan) -> tuple[Door, ...]:
        """Whom the faults would hit: redundancy hides their loss from the doors of the service.

        Each replica that is named, or lives where the fault is; and each link that would be cut,
        asked across it from the one side.
        """
        platform, service = self.session.platform, self.session.service
        names = {part for hit in plan.hits for t in hit.targets for part in t.split("|")}
        places = {hit.fault.arguments.get("region") for hit in plan.hits}
        found = []
        for each in platform.replicas(service):
            if each.url and (each.id in names or each.region in places):
                found.append(Door(each.id, each.url))
                found.append(Door(f"{each.id} ready", each.url, path=READY_PATH))
        doors = {door.where: door for door in self.doors()}
        for target in (t for hit in plan.hits for t in hit.targets if "|" in t):
            near, _, far = target.partition("|")
            source = platform.vantage(near)
            if source is not None and far in doors:
                found.append(replace(doors[far], where=f"{near}>{far}", source=source))
        return tuple(found[:MOST_VICTIMS])

    # -- audit ---------------------------------------------------------------------------------

    def _audit_survivors(self, ids: tuple[str, ...]) -> None:
        """Beside the load: the doors of regions that answer, asked once."""
        names = {region.name for region in self.session.platform.regions(self.session.service)}
        doors = [
            d for d in self.doors() if d.where in names and self._state.open_doors.get(d.where)
        ]
        child = self._reader("during", tuple(doors), ids, attempts=1)
        if child is not None:
            with child:
                child.wait(AUDIT_S - 1.0)

    def _audit(self, stage: str, ids: tuple[str, ...], settle_s: float) -> None:
        """After everything: every door, every id."""
        time.sleep(settle_s if ids else 0.0)
        child = self._reader(stage, self.doors(), ids)
        if child is None:
            return
        with child:
            while child.running:
                child.wait(POLL_S)
                self._drain()
        self._drain()

    def _reader(
        self, stage: str, doors: tuple[Door, ...], ids: tuple[str, ...], attempts: int = 3
    ) -> Child | None:
        audit = self.session.traffic.audit
        if audit is None or not ids or not doors:
            return None
        file = self._scratch / f"audit-{stage}.json"
        write_atomic(file, json.dumps(asdict(AuditPlan(doors, audit.read, ids, stage, attempts))))
        return Child(
            "harness.chaos.audit",
            [str(file)],
            self._inbox,
            prefix=self._plan.target.exec_prefix,
            log=self._scratch / "audit.log",
        )

    # -- the record ----------------------------------------------------------------------------

    def _keep_plan(self, plan: ExperimentPlan) -> None:
        body = {"schema": 1, "experiment": asdict(self.experiment), "plan": asdict(plan)}
        text = json.dumps(body, indent=1, default=str)
        write_atomic(self._writer.directory / "plan.json", text + "\n")
        self._writer.event("chaos", what="plan", detail=[list(hit.targets) for hit in plan.hits])

    def _heal_rest(self) -> None:
        """Whatever the method and the rollbacks did not undo."""
        for done in undo_all(self.session.platform, self._ledger, self._tell):
            if done.problem and self._state.problem is None:
                self._state.problem = f"{done.entry.fault_id} was not healed: {done.problem}"

    def _tell_stages(self) -> None:
        state = self._state
        end = self._plan.profile.duration_s
        if state.injected is None:
            return
        healed = state.healed if state.healed is not None else end
        for stage, begin, until in (
            ("before", WARMUP_S, state.injected),
            ("during", state.injected, healed),
            ("after", healed, end),
        ):
            self._writer.event("stage", stage=stage, begin=begin, end=until)

    def _finish(self) -> None:
        state = self._state
        self._writer.event("chaos", what="end", detail=state.aborted)
        if state.interrupts:
            self._writer.finish("interrupted")
        elif state.problem is not None:
            self._writer.finish("failed", problem=state.problem)
        else:
            self._writer.finish("complete")


@contextmanager
def experiment_session(
    experiment: Experiment, options: RunOptions, say: Say = lambda text: None
) -> Iterator[Session]:
    """Reap what earlier runs left, then a session that has what the experiment needs.

    Raises ExperimentError when something is left that could not be undone.
    """
    with session_for(experiment, options, say) as ready:
        found = reap((ready.platform,))
        for done in found.undone:
            say(f"undone: {done.entry.heal.kind} of a run that was killed")
        if not found.clean:
            problems = [each.problem for each in found.undone if each.problem]
            what = [*problems, *found.leftovers, *found.unreadable][0]
            raise ExperimentError(f"a fault of an earlier run remains: {what}", "harness reap")
        yield ready


def profile_of(experiment: Experiment, seed: int | None = None) -> LoadProfile:
    """The base load over all stages, with the spike where one is asked for; open model."""
    stages, load = experiment.timeline, experiment.load
    hold = stages.before_s + stages.during_s + stages.after_s + SLACK_S
    warm = Segment("warmup", WARMUP_S, load.rate / 2, load.rate)
    pieces = [(hold, load.rate)]
    if load.spike is not None:
        lead = stages.before_s + load.spike.at_s
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
    if traffic.audit is None:
        return traffic
    requests = tuple(
        replace(each, log=True) if each.name == traffic.audit.write else each
        for each in traffic.requests
    )
    return replace(traffic, requests=requests)


def _door(where: str, target: Target) -> Door:
    return Door(where, target.urls[0], target.host, target.ca_file, target.verify)
