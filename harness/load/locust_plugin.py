"""The engine as a Locust plug-in: the same code under `locust -f …` and under `harness perf`.

In one process the engine starts with the test. In a distributed test the master tells every
worker its shard and the common start; workers ship their messages with Locust's own reports.
"""

import hmac
import inspect
import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping

import gevent
import locust
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.rpc.protocol import Message
from locust.runners import LocalRunner, MasterRunner, WorkerRunner
from locust.stats import CSV_STATS_INTERVAL_SEC

from harness.errors import ScenarioError
from harness.load.assembly import Assembly
from harness.load.bridge import Bridge, Emit
from harness.load.connections import connections_for
from harness.load.plan import LoadPlan, new_salt
from harness.load.setup import Hooks, Values
from harness.load.telemetry import seconds_from_now, unix_now_ns
from harness.messages import Done, LoadMessage, Start, WorkerMessage
from harness.platform.model import Target
from harness.traffic.populations import models_of
from harness.traffic.profiles import resolve_profile
from harness.units import NANOSECONDS, parse_duration, parse_rate

START, STOP, VALUES, REPORT, DONE, HELLO = (
    "harness_start",
    "harness_stop",
    "harness_values",
    "harness",
    "harness_done",
    "harness_hello",
)
TOKEN = "harness_token"  # noqa: S105 - its name in a message
LEAD_S = 0.3
DISTRIBUTED_LEAD_S = 2.0
"""How far ahead the common start is set: time for the news to reach every worker."""

MOST_RAISED = 5
"""Listeners' exceptions that are kept."""


class Plugin:
    """What one Locust environment has of us; `plan` and `emit` are set by the load child."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.plan: LoadPlan | None = None
        self.emit: Callable[[LoadMessage], None] = lambda message: None
        self.quit_when_finished = False
        self.bridge: Bridge | None = None
        self.assembly: Assembly | None = None
        self.workers: dict[str, int] = {}
        self.pids: dict[str, int] = {}
        self.strangers = 0
        """Messages without this run's token: they count for nothing."""

        self.skews: dict[str, float] = {}
        self.raised: list[str] = []
        """What listeners of Locust's events have raised: Locust itself only logs it."""

        self.ended = gevent.event.Event()
        self._hooks: Hooks | None = None
        self._values: Values = {}
        self._test_stopped = False
        self._outbox: list[WorkerMessage] = []

    def listen(self) -> None:
        """Attach to the environment's events, according to its role."""
        events, runner = self.environment.events, self.environment.runner
        logging.getLogger().addHandler(_Raised(self.raised))
        events.test_stop.add_listener(self._on_test_stop)
        if isinstance(runner, WorkerRunner):
            runner.register_message(START, self._on_start)
            runner.register_message(STOP, lambda msg, **_: self.stop(abort=msg.data["abort"]))
            runner.register_message(VALUES, lambda msg, **_: self._give(msg.data))
            self._send(HELLO, {"pid": os.getpid(), "wall_ns": unix_now_ns()})
            events.report_to_master.add_listener(self._on_report_to_master)
        elif isinstance(runner, MasterRunner):
            events.test_start.add_listener(self._on_master_start)
            events.worker_report.add_listener(self._on_worker_report)
            runner.register_message(DONE, self._on_done)
            runner.register_message(HELLO, self._on_hello)
        elif isinstance(runner, LocalRunner):
            events.test_start.add_listener(self._on_local_start)

    def prepare(self) -> None:
        """Run the scenario's set-up hooks, once. Raises ScenarioError or NoAnswer."""
        if self._hooks is None:
            hooks = Hooks(self.environment, self.plan or plan_from_options(self.environment))
            self._values = hooks.first()
            self._hooks = hooks

    def _give(self, values: Values) -> None:
        """New values of set-up hooks, to where the load is sent from."""
        if isinstance(self.environment.runner, MasterRunner):
            self.environment.runner.send_message(VALUES, values)
        elif self.bridge is not None:
            self.bridge.give(values)

    def stop(self, *, abort: bool) -> None:
        """End the load, wherever it runs: drain what is under way, or leave it unfinished."""
        if isinstance(self.environment.runner, MasterRunner):
            self.environment.runner.send_message(STOP, {"abort": abort})
        elif self.bridge is not None:
            (self.bridge.abort if abort else self.bridge.stop)()

    def _send(self, kind: str, data: Mapping[str, object]) -> None:
        self.environment.runner.send_message(kind, {**data, TOKEN: self.token})

    @property
    def token(self) -> str:
        """That of the plan; without a plan anybody is a worker, as under `locust` itself."""
        return self.plan.token if self.plan is not None else ""

    def _is_ours(self, data: object) -> bool:
        said = data.get(TOKEN, "") if isinstance(data, Mapping) else ""
        if isinstance(said, str) and hmac.compare_digest(said.encode(), self.token.encode()):
            return True
        self.strangers += 1
        return False

    def known(self) -> list[str]:
        """The workers that are ready and have said this run's token, by their names."""
        runner = self.environment.runner
        clients = {client.id for client in (*runner.clients.ready, *runner.clients.running)}
        return sorted(clients & self.pids.keys() if self.token else clients)

    def _on_hello(self, msg: Message, **_: object) -> None:
        if not self._is_ours(msg.data):
            return
        self.pids[msg.node_id] = msg.data["pid"]
        self.skews[msg.node_id] = (unix_now_ns() - msg.data["wall_ns"]) / NANOSECONDS

    def _on_local_start(self, **_: object) -> None:
        self.prepare()
        self.assembly = Assembly(1, self.emit)
        self._shift_shape(LEAD_S)
        self._begin(seconds_from_now(LEAD_S), 0, 1, self.assembly.add)

    def _on_master_start(self, **_: object) -> None:
        runner = self.environment.runner
        self.prepare()
        clients = self.known()
        self.workers = {client: number for number, client in enumerate(clients)}
        self.assembly = Assembly(len(clients), self.emit)
        self._shift_shape(DISTRIBUTED_LEAD_S)
        start = seconds_from_now(DISTRIBUTED_LEAD_S)
        self.emit(_start_message(start))
        # The workers reset their statistics on Locust's spawn message: ours must come after it.
        gevent.spawn_later(
            DISTRIBUTED_LEAD_S / 4,
            runner.send_message,
            START,
            {"start_unix_ns": start, "workers": self.workers, "values": self._values},
        )
        self._keep_values()

    def _keep_values(self) -> None:
        if self._hooks is not None:
            self._hooks.keep(self._give, self.emit)

    def _shift_shape(self, seconds: float) -> None:
        """A shape's clock begins with the load, not with Locust's test."""
        if self.environment.shape_class is not None:
            self.environment.shape_class.start_time += seconds

    def _on_start(self, environment: Environment, msg: Message, **_: object) -> None:
        workers, self._values = msg.data["workers"], msg.data.get("values", {})
        shard = workers.get(environment.runner.client_id)
        if shard is not None:
            self._begin(msg.data["start_unix_ns"], shard, len(workers), self._outbox.append)

    def _begin(self, start_unix_ns: int, shard: int, shards: int, emit: Emit) -> None:
        plan = self.plan or plan_from_options(self.environment)
        if isinstance(self.environment.runner, LocalRunner):
            self.emit(_start_message(start_unix_ns))
        try:
            self._refuse_raised()
            self.bridge = Bridge(
                self.environment,
                plan,
                emit,
                shard=shard,
                shards=shards,
                start_unix_ns=start_unix_ns,
                feeds_locust=self.plan is None,  # else nobody looks at them
            )
            self.bridge.give(self._values)
            self.bridge.start()
        except Exception as problem:  # noqa: BLE001 - Locust would log it and wait for ever
            emit(_nothing_done(shard, str(problem)))
            self.ended.set()
            if isinstance(self.environment.runner, WorkerRunner):
                self._send(DONE, {"messages": self._take()})
            return
        self._keep_values()
        gevent.spawn(self._await_end)

    def _await_end(self) -> None:
        if self.bridge is None:
            return
        self.bridge.finished.wait()
        runner = self.environment.runner
        if self.plan is not None:  # under `locust` the runner says so itself
            self.say_stopped()
        self.ended.set()
        if isinstance(runner, WorkerRunner):
            runner._send_stats()  # noqa: SLF001 - Locust's statistics of the last second, too
            self._send(DONE, {"messages": self._take(), "raised": self.raised})
        elif self.quit_when_finished:
            gevent.sleep(2 * CSV_STATS_INTERVAL_SEC)  # Locust's CSV writer looks in turns
            runner.quit()

    def say_stopped(self) -> None:
        """Locust's `test_stop`, unless a runner has fired it."""
        if not self._test_stopped:
            self.environment.events.test_stop.fire(environment=self.environment)

    def _refuse_raised(self) -> None:
        """A listener of test_start that raised has not prepared what the load needs."""
        if self.raised:
            raise ScenarioError("; ".join(self.raised), "no load was sent; correct it")

    def _on_test_stop(self, **_: object) -> None:
        self._test_stopped = True
        if self._hooks is not None:
            self._hooks.stop()
        self.stop(abort=False)

    def _on_report_to_master(self, client_id: str, data: dict[str, object]) -> None:
        data[REPORT], data[TOKEN] = self._take(), self.token

    def _take(self) -> list[WorkerMessage]:
        taken, self._outbox[:] = list(self._outbox), []
        return taken

    def _on_worker_report(self, client_id: str, data: Mapping[str, object]) -> None:
        if self._is_ours(data):
            reported = data.get(REPORT)
            self._assemble(reported if isinstance(reported, list) else ())

    def _on_done(self, environment: Environment, msg: Message, **_: object) -> None:
        if not self._is_ours(msg.data):
            return
        self._assemble(msg.data["messages"])
        self.raised += msg.data.get("raised", ())
        if self.quit_when_finished and self.assembly is not None and self.assembly.complete:
            environment.runner.quit()

    def _assemble(self, messages: Iterable[WorkerMessage]) -> None:
        if self.assembly is not None:
            for message in messages:
                self.assembly.add(message)


class _Raised(logging.Handler):
    """Takes what Locust logs of a listener that raised: the exception, and where."""

    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the first few, in one line each."""
        if not str(record.msg).startswith("Uncaught exception in event handler"):
            return
        lines = record.getMessage().strip().splitlines()
        places = re.findall(r'File "([^"]+)", line (\d+), in (\w+)', record.getMessage())
        file, line, name = places[min(1, len(places) - 1)] if places else ("?", "?", "?")
        text = f"the listener {name} raised {lines[-1].strip()} ({file}:{line})"
        if text not in self._found and len(self._found) < MOST_RAISED:
            self._found.append(text)


def _nothing_done(shard: int, error: str) -> Done:
    """The last message of a shard whose engine did not take the plan."""
    return {
        "type": "done",
        "worker": shard,
        "slices": 0,
        "totals": {},
        "conserved": False,
        "error": error,
    }


def _start_message(start_unix_ns: int) -> Start:
    from time import monotonic_ns, time_ns  # noqa: PLC0415 - the two clocks side by side

    monotonic = monotonic_ns() + start_unix_ns - time_ns()
    return {"type": "start", "wall_ns": start_unix_ns, "monotonic_ns": monotonic}


def plan_from_options(environment: Environment) -> LoadPlan:
    """The plan of a plain `locust -f …`: the User class, `--host` and our `--harness-…` words."""
    users = environment.user_classes
    user = users[0]
    host = environment.host or user.host
    options = environment.parsed_options
    source = inspect.getfile(user)
    model = models_of(users, source, os.path.splitext(os.path.basename(source))[0])  # noqa: PTH119, PTH122
    rate, duration = options.harness_rate, options.harness_duration
    profile = resolve_profile(
        options.harness_profile,
        rate=parse_rate(rate) if rate else None,
        duration=parse_duration(duration) if duration else None,
        seed=options.harness_seed,
    )
    target = Target(model.service, (host,), "service", f"locust --host {host}")
    connections = connections_for((), model, profile)
    return LoadPlan(
        target, model, profile, connections_per_target=connections, probe=False, salt=new_salt()
    )


def _add_arguments(parser: LocustArgumentParser) -> None:
    group = parser.add_argument_group("codai-harness: the native engine")
    group.add_argument("--harness-profile", default="smoke", help="Load profile by name")
    group.add_argument("--harness-rate", default="", help="Arrival rate of the hold, e.g. 2k")
    group.add_argument("--harness-duration", default="", help="Length of the hold, e.g. 1m")
    group.add_argument("--harness-seed", type=int, default=1, help="Seed of the schedule")


def _on_init(environment: Environment, **_: object) -> None:
    if any(getattr(user, "mix", None) for user in environment.user_classes):
        attach(environment).quit_when_finished = bool(
            getattr(environment.parsed_options, "headless", False)
        )


def attach(environment: Environment, plan: LoadPlan | None = None) -> Plugin:
    """Give an environment the engine; the load child sets `emit` on what it gets."""
    plugin = Plugin(environment)
    plugin.plan = plan
    plugin.listen()
    return plugin


_registered = False


def register() -> None:
    """Tell Locust about us; any number of times. Called when a traffic model is imported."""
    global _registered  # noqa: PLW0603 - Locust's events are global as well
    if not _registered:
        locust.events.init_command_line_parser.add_listener(_add_arguments)
        locust.events.init.add_listener(_on_init)
        _registered = True


def encode(message: Mapping[str, object]) -> str:
    """One line of the load child's output."""
    return json.dumps(message, separators=(",", ":"))
