"""One experiment from a plan to a complete record.

reap -> session (platform) -> plan -> Chaos Toolkit -> load + canary + observer -> heal in any
case -> audit of the writes -> record. `harness.session.drive` drives the load; the verdict is
`harness.judge`'s.
"""

import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field

from harness import prometheus
from harness.chaos.alert import Stop, StopKind, check_alert, guard_of
from harness.chaos.audit import AuditPlan
from harness.chaos.canary import CanaryPlan
from harness.chaos.confirmed import confirmed_of
from harness.chaos.context import Context
from harness.chaos.guards import Watch
from harness.chaos.ledger import Ledger
from harness.chaos.model import Experiment, ExperimentPlan
from harness.chaos.observer import Observer
from harness.chaos.plan import WARMUP_S, check, plan_experiment
from harness.chaos.probe_client import Endpoint
from harness.chaos.probe_targets import crossings, endpoints_of, readers_of, victims
from harness.chaos.processes import VARIABLE
from harness.chaos.running import owner
from harness.chaos.session import check_prometheus, load_plan
from harness.chaos.subprocesses import END_S, Child, Inbox, keep_log
from harness.chaos.undo import came_back, undo_all, uninterrupted
from harness.errors import Interrupted
from harness.events import Chaos, ChildEnded, ExperimentEvent, Proof, ReadStage
from harness.load.driver import LoadDriver
from harness.messages import LoadMessage, Write
from harness.platform.model import Target
from harness.platform.watcher import Watcher
from harness.record import RunRecord
from harness.redact import redact
from harness.scratch import scratch
from harness.session.drive import Drive
from harness.session.run import Session
from harness.storage import json_text, write_atomic, write_json
from harness.units import NANOSECONDS

POLL_S = 0.05
RUNNER = "harness.chaos.toolkit_runner"
PROBE_S = 5.0
"""A probe may take no longer: a steady state is asked every second, and before a load ends."""

READY_S = 30.0
"""Chaos Toolkit's process may take so long to get ready; the load begins afterwards."""

STEADY_LEAD_S = 0.5
"""Chaos Toolkit asks the steady state before its method: its start is that much early."""

AUDIT_S = 4.0
"""The audit of the surviving regions begins so long before the heal."""

TAIL_S = 5.0
"""It reads what was acknowledged from so long before the injection on: what may be lost."""

SETTLE_S = 1.5
"""Replication's time between the last write and the audit of all of them."""

Listen = Callable[[LoadMessage | ExperimentEvent], None]


@dataclass(slots=True)
class _State:
    """What the loop knows so far; times in seconds from the start of the load."""

    injected: float | None = None
    healed: float | None = None
    ready: bool = False
    ended: bool = False
    told_to_go: bool = False
    audited: bool = False
    aborted: str | None = None
    halted: str | None = None
    writes: dict[str, float] = field(default_factory=dict)
    open_entry_points: dict[str, bool] = field(default_factory=dict)


class ExperimentRun:
    """The run of one experiment in a session, beside its load; `run` returns its record."""

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
        self._plan = load_plan(ready, experiment)
        self._observer: Observer | None = None

    def run(self, plan: ExperimentPlan | None = None) -> RunRecord:
        """Carry the experiment out.

        Raises ExperimentError when the plan is refused, Interrupted after Ctrl-C when everything
        is healed and the partial record is complete. What was halted (`harness halt`) has a record.
        """
        plan = plan or plan_experiment(self.experiment, self.session.service, self.session.platform)
        check(plan)
        check_prometheus(self.experiment, self.session.options)
        check_alert(self.experiment, self.session.options)
        state = self._state
        with (
            self.session.record(self._plan, {"experiment": self.experiment.name}) as writer,
            Ledger.open() as ledger,
            scratch("chaos") as own_files,
        ):
            self._writer, self._ledger, self._scratch = writer, ledger, own_files
            self._drive = drive = Drive(writer, self, POLL_S)
            self._keep_plan(plan)
            try:
                self._follow(plan)
            finally:
                with uninterrupted():
                    self._heal_rest()
            if not drive.interrupts and state.halted is None:
                self._audit("after", tuple(state.writes), SETTLE_S)
            self._tell_stages()
            writer.event("chaos", what="end", detail=state.aborted)
            drive.finish(halted=state.halted is not None)
        if drive.interrupts:
            raise Interrupted(f"everything is healed; the partial record is in {writer.directory}")
        return self.session.kept(writer.directory)

    # -- the loop ------------------------------------------------------------------------------

    def _follow(self, plan: ExperimentPlan) -> None:
        """Load, canary, observer and Chaos Toolkit side by side until the load has ended."""
        target = self._plan.target
        platform, service = self.session.platform, self.session.service
        context = Context(
            platform.handle(),
            service,
            str(self._ledger.directory),
            *self._asked_for,
            confirmed_of(self.experiment, plan),
        )
        with ExitStack() as stack:
            across = stack.enter_context(crossings(plan, platform, service))
            self._observer = Observer(platform, service, self._ledger, self._inbox)
            stack.enter_context(self._observer)
            self._alert = stack.enter_context(guard_of(self.experiment, self.session.options))
            self._toolkit = stack.enter_context(self._chaos(context))
            self._wait_until_ready()
            load = stack.enter_context(self.session.start(self._plan))
            stack.enter_context(Watcher(platform, service, self._inbox.put))
            stack.enter_context(self._canary(plan, target, across))
            self._drive.run(load)
            self._end(self._toolkit)
        self._drain()

    def _wait_until_ready(self) -> None:
        """Wait for Chaos Toolkit: on a busy machine its imports take longer than a before."""
        latest = time.monotonic() + READY_S
        while time.monotonic() < latest:
            self._drain()
            if self._state.ready or self._state.ended:
                return
            time.sleep(POLL_S)

    def _end(self, chaos: Child) -> None:
        """End Chaos Toolkit where it still runs though the load has ended, and say so."""
        if self._state.ended:
            return
        if self._state.told_to_go and not self._state.aborted:
            self._overrun("The load ended before Chaos Toolkit did")
        chaos.close()
        if not chaos.wait(END_S):
            self._overrun(f"Chaos Toolkit did not end within {END_S:g} s and was killed")

    def _overrun(self, detail: str) -> None:
        self._event({"type": "chaos", "what": "overrun", "detail": detail})

    def turn(self, load: LoadDriver, now_s: float | None) -> None:
        """Begin the method, read writes back and stop, each when it is time."""
        self._drain()
        state = self._state
        if (stop := self._asked_to_stop()) is not None:
            self._stop(load, *stop)
        if now_s is None or state.aborted:
            return
        if not state.told_to_go and now_s >= self._begin - STEADY_LEAD_S:
            state.told_to_go = True
            self._toolkit.go()
        since = state.injected
        if since is None or state.healed is not None:
            return
        audit_at = since + self.experiment.timeline.during_s - AUDIT_S
        if not state.audited and now_s >= audit_at:
            state.audited = True
            recent = [key for key, at in state.writes.items() if at >= since - TAIL_S]
            self._audit_survivors(tuple(recent))
        broken = self._watch.broken(since + 1)
        if broken is not None:
            self._stop(load, "abort", broken)

    def _asked_to_stop(self) -> Stop | None:
        state, who = self._state, self.session.halted()
        if who is not None and state.halted is None:
            return "halt", f"halted by {who}"
        if state.aborted or state.ended:
            return None
        return self._alert.stop(injected=state.injected is not None)

    def _stop(self, load: LoadDriver, what: StopKind, reason: str) -> None:
        """Heal now, by the child's rollbacks and, apart from them, by ourselves.

        After an abort the load goes on, to show the recovery; what is halted ends.
        """
        self._state.aborted = reason
        if what == "halt":
            self._state.halted = reason
            load.stop()
        self._tell({"type": "chaos", "what": what, "detail": reason})
        self._toolkit.close()
        undo_all(self.session.platform, self._ledger, self._tell, intents=False)

    def interrupted(self, load: LoadDriver) -> None:
        """Heal at once."""
        if not self._state.aborted:
            self._stop(load, "abort", "interrupted by the user")

    def hear(self, message: LoadMessage) -> None:
        """Take a message of the load: what the guards watch, and what was written."""
        if message["type"] == "slice":
            self._watch.add(message["slice"])
        elif message["type"] == "write":
            self._hear_write(message)
        self._listen(message)

    def _hear_write(self, message: Write) -> None:
        """Keep every write that may have happened: what failed may be there all the same."""
        key, done = message.get("id"), message.get("done_s")
        if key is not None:
            self._state.writes[str(key)] = done if done is not None else message["due_s"]

    def _drain(self) -> None:
        """Take what the other children said, put it on the load's clock, keep it."""
        while not self._inbox.empty():
            message = self._inbox.get()
            if message["type"] == "canary":
                self._state.open_entry_points[message["where"]] = message["ok"]
            elif message["type"] == "chaos_child":
                self._state.ready |= message["what"] == "ready"
                self._state.ended |= message["what"] == "end"
            elif message["type"] == "child_ended" and message["module"] == RUNNER:
                self._chaos_ended(message)
            self._event(message)

    def _chaos_ended(self, message: ChildEnded) -> None:
        if not self._state.ended and not self._state.aborted:
            self._state.aborted = "the chaos child died"
            last = keep_log(self._scratch / "chaos.log", self._writer.directory)
            more = f": {last} (see chaos.log)" if last else ""
            self._drive.fail(f"Chaos Toolkit ended by itself (code {message['code']}){more}")
            undo_all(self.session.platform, self._ledger, self._tell)
        self._state.ended = True

    def _event(self, message: ExperimentEvent) -> None:
        start = self._drive.start_ns
        if start is not None and "monotonic_ns" in message:
            message["t"] = _seconds(message["monotonic_ns"] - start)
        if start is not None and message["type"] == "read":
            message["begin_s"] = _seconds(message.pop("begin_ns") - start)
            message["end_s"] = _seconds(message.pop("end_ns") - start)
        at = message.get("t")
        self._notice(message, self._drive.now_s if at is None else at)
        fields = {k: v for k, v in message.items() if k not in {"type", "monotonic_ns"}}
        self._writer.event(message["type"], **fields)
        self._listen(message)

    def _notice(self, message: ExperimentEvent, at: float | None) -> None:
        """The instants of the injection and of the heal."""
        state = self._state
        if at is None:
            return
        if message["type"] == "chaos_child":
            what = message["what"]
            if not self.experiment.faults and what in {"method", "method_end"}:
                state.injected = at if what == "method" else state.injected
                state.healed = at if what == "method_end" else None
        elif message["type"] != "chaos":
            return
        elif message["what"] == "inject":
            state.injected = at if state.injected is None else state.injected
            state.healed = None
        elif message["what"] in {"healed", "heal_failed"}:
            left = {entry.fault_id for entry in self._ledger.entries()}
            state.healed = state.healed if left - {message.get("fault_id")} else at

    def _tell(self, event: Chaos | Proof) -> None:
        event["monotonic_ns"] = time.monotonic_ns()
        self._event(event)

    # -- children ------------------------------------------------------------------------------

    def _chaos(self, context: Context) -> Child:
        file, document = self._scratch / "context.json", self._scratch / "experiment.json"
        context.write(file)
        write_atomic(document, json.dumps(self.experiment.document, default=str))
        return Child(
            RUNNER,
            [
                str(document),
                str(self._writer.directory / "journal.json"),
                f"{self.experiment.timeline.limit_s:g}",
                f"{min(self.experiment.timeline.limit_s, PROBE_S):g}",
            ],
            self._inbox,
            environment={
                **os.environ,
                **self.session.platform.tool_environment(),
                **owner(),
                VARIABLE: str(file),
                prometheus.URL_VARIABLE: self.session.options.prometheus or "",
            },
            log=self._scratch / "chaos.log",
            grace_s=END_S,
        )

    def _canary(self, plan: ExperimentPlan, target: Target, across: tuple[Endpoint, ...]) -> Child:
        platform, service = self.session.platform, self.session.service
        own = endpoints_of(platform, service, target)
        asked = (*own, *across, *victims(plan, platform, service))
        canary = CanaryPlan(asked, *self._asked_for)
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

    @property
    def _asked_for(self) -> tuple[str, str | None]:
        """The path that probes ask for, and what must stand in the answer."""
        audit = self.session.traffic.audit
        if audit is None or audit.canary is None:
            return self.session.service.health_path, None
        return audit.canary, audit.expected

    @property
    def _readers(self) -> tuple[Endpoint, ...]:
        return readers_of(self.session.platform, self.session.service, self._plan.target)

    # -- audit ---------------------------------------------------------------------------------

    def _audit_survivors(self, ids: tuple[str, ...]) -> None:
        """Beside the load: the entry points of regions that answer, asked once."""
        open_ = self._state.open_entry_points
        entry_points = [
            d for d in self._readers if d.where != "global" and open_.get(d.where, True)
        ]
        child = self._reader("during", tuple(entry_points), ids, attempts=1)
        if child is not None:
            with child:
                child.wait(AUDIT_S - 1.0)

    def _audit(self, stage: ReadStage, ids: tuple[str, ...], settle_s: float) -> None:
        """After everything: every entry point, every id."""
        time.sleep(settle_s if ids else 0.0)
        child = self._reader(stage, self._readers, ids)
        if child is None:
            return
        with child:
            while child.running:
                child.wait(POLL_S)
                self._drain()
        self._drain()

    def _reader(
        self,
        stage: ReadStage,
        entry_points: tuple[Endpoint, ...],
        ids: tuple[str, ...],
        attempts: int = 3,
    ) -> Child | None:
        audit = self.session.traffic.audit
        if audit is None or not ids or not entry_points:
            return None
        file = self._scratch / f"audit-{stage}.json"
        write_atomic(
            file, json.dumps(asdict(AuditPlan(entry_points, audit.read, ids, stage, attempts)))
        )
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
        plain = json.loads(json_text(body, finite=False))
        write_json(self._writer.directory / "plan.json", redact(plain), finite=False)
        self._writer.event("chaos", what="plan", detail=[list(hit.targets) for hit in plan.hits])

    def _heal_rest(self) -> None:
        """Whatever the method and the rollbacks did not undo, and what came back since."""
        platform, seen = self.session.platform, self._observer.seen if self._observer else ()
        back = came_back(platform, self._ledger, seen, self._tell)
        healed = self._state.healed if back else None
        for done in undo_all(platform, self._ledger, self._tell):
            if done.problem:
                self._drive.fail(f"{done.heal.fault_id} was not healed: {done.problem}")
        self._state.healed = self._state.healed if healed is None else healed

    def _tell_stages(self) -> None:
        state, end = self._state, self._plan.profile.duration_s
        if state.injected is None:
            return
        healed = state.healed if state.healed is not None else end
        for stage, begin, until in (
            ("before", WARMUP_S, state.injected),
            ("during", state.injected, healed),
            ("after", healed, end),
        ):
            self._writer.event("stage", stage=stage, begin=begin, end=until)


def _seconds(nanoseconds: int) -> float:
    return round(nanoseconds / NANOSECONDS, 6)
