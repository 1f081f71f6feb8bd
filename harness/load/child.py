"""What runs in the load child: a Locust runner, and workers of it where several are asked for."""

import argparse
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import gevent
import locust
from gevent import socket as gsocket
from locust import LoadTestShape, User, runners
from locust.env import Environment

from harness.errors import HarnessError, NoAnswer
from harness.load.locust_clients import clients
from harness.load.locust_plugin import Plugin, attach, encode
from harness.load.plan import LoadPlan, read_plan
from harness.load.visit import ways_to
from harness.messages import LoadMessage, Refused
from harness.traffic.scenario import import_users

CONNECT_S = 30.0
"""How long the master waits for its workers to connect."""

PLACED_S = 180.0
"""How long it waits for workers of other machines: they may have to be scheduled, images pulled."""

HEARTBEATS = 10
"""Seconds of silence after which a worker of another machine is lost (Locust's own 3 are few for
a network that may lose a packet)."""

SKEW_S = 0.25
"""Between a worker's wall clock and the master's, beyond which its shard starts at another time
than the others'. What is measured contains the message's way, so it errs on the strict side."""

GRACE_S = 15.0
"""How long after its planned end a run may take to report before it is given up."""

HEARTBEAT_POLL_S = 0.5
"""How often a container looks for its owner's heartbeat."""

_PR_SET_PDEATHSIG = 1


def main(words: Sequence[str]) -> NoReturn:
    """Run a plan to its end; the exit code is 0, or 2 with one line on stderr."""
    parser = argparse.ArgumentParser(prog="python -m harness.load", description=__doc__)
    parser.add_argument("plan", type=Path, help="a LoadPlan as JSON")
    parser.add_argument("--master-port", type=int, help="be a worker of this master")
    parser.add_argument("--master-host", help="where that master is, if not on this machine")
    parser.add_argument("--serve", type=int, metavar="PORT", help="await workers from elsewhere")
    parser.add_argument(
        "--heartbeat", type=Path, metavar="FILE", help="end when its content stops changing"
    )
    parser.add_argument("--stale", type=float, default=30.0, metavar="SECONDS", help="for so long")
    options = parser.parse_args(words)
    if options.master_host is None and options.serve is None:
        die_with_parent()  # in a container nobody holds our standard input
    code = 0
    try:
        plan = read_plan(options.plan)
        if options.master_port is not None:
            _Worker(plan, options.master_host, options.master_port).run()
        else:
            child = _Child(plan, options.plan, options.serve)
            if options.heartbeat is not None:
                gevent.spawn(child.watch, options.heartbeat, options.stale)
            child.run()
    except HarnessError as problem:
        print(f"harness.load: {problem}", file=sys.stderr)  # noqa: T201 - its error channel
        code = problem.exit_code
    sys.stderr.flush()
    # Engine threads and greenlets have nothing left to say.
    os._exit(code)


def die_with_parent() -> None:
    """End this process when its parent ends, however that ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    gevent.spawn(_watch_stdin)


def _watch_stdin() -> None:
    while True:
        gsocket.wait_read(0)
        if not os.read(0, 4096):
            os._exit(1)


def _users(source: str) -> tuple[list[type[User]], LoadTestShape | None]:
    """The scenario's user classes, and the shape of a locustfile that has one."""
    if "://" in source:  # a URL has no scenario of its own
        from harness.load.user import TrafficUser  # noqa: PLC0415 - as import_users does

        return [TrafficUser], None
    users, shape = import_users(Path(source))
    return list(users), shape


def _environment(plan: LoadPlan) -> Environment:
    users, shape = _users(plan.traffic.source)
    # Listeners that the scenario has put on Locust's own events hear this environment.
    environment = Environment(
        user_classes=users, shape_class=shape, host=plan.target.urls[0], events=locust.events
    )
    if plan.traffic.locustfile:
        environment.stop_timeout = plan.drain_s
        clients.install(users, ways_to(plan.target)[0])
    return environment


def _say_ready(environment: Environment, plan: LoadPlan) -> None:
    """Locust's `init`, which listeners of a locustfile may want."""
    if plan.traffic.locustfile:
        environment.events.init.fire(
            environment=environment, runner=environment.runner, web_ui=None
        )


class _Worker:
    """One worker process; everything else follows from the master's start message."""

    def __init__(self, plan: LoadPlan, host: str | None, port: int) -> None:
        runners.WORKER_REPORT_INTERVAL = 1.0
        environment = _environment(plan)
        self._runner = environment.create_worker_runner(host or "127.0.0.1", port)
        attach(environment, plan)
        _say_ready(environment, plan)

    def run(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the master decides
        # As a container's first process it would not get a SIGTERM that it has no handler for.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
        self._runner.greenlet.join()


class _Child:
    """The single process, or the master of several workers.

    With `serve` it waits on that port for workers that others start, and numbers its lines, so
    that who reads them from a log that may be cut can tell what is missing or twice.
    """

    def __init__(self, plan: LoadPlan, path: Path, serve: int | None = None) -> None:
        self._plan = plan
        self._path = path
        self._serve = serve
        self._lines = 0
        self._runner: runners.Runner
        self._output = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # whatever a scenario prints must not stand between our lines
        self._workers: list[subprocess.Popen[bytes]] = []
        self._interrupts = 0
        self._unheard: list[str] = []
        self._plugin: Plugin | None = None

    def emit(self, message: LoadMessage) -> None:
        """Write one line; a reader that is gone ends us."""
        if self._serve is not None:
            line = encode({"line": self._lines, **message})
            self._lines += 1
        else:
            line = encode(message)
        try:
            self._output.write(line + "\n")
            self._output.flush()
        except BrokenPipeError:
            os._exit(1)

    def run(self) -> None:
        self.emit({"type": "hello", "pid": os.getpid(), "workers": self._plan.workers})
        environment = _environment(self._plan)
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        runner = self._runner = self._make_runner(environment)
        plugin = self._plugin = attach(environment, self._plan)
        plugin.emit = self.emit
        if self._plan.workers > 1:
            if self._serve is None:
                self._start_workers(runner)
            self._await_workers(plugin, CONNECT_S if self._serve is None else PLACED_S)
        _say_ready(environment, self._plan)
        try:
            plugin.prepare()
        except HarnessError as problem:
            self.emit(_refused(problem))
            raise
        self._begin(runner)
        self._await(plugin)
        if self._plan.workers == 1:
            plugin.ended.wait(GRACE_S)  # a listener of test_stop may take its time
        plugin.say_stopped()
        if plugin.assembly is None:
            raise HarnessError("the load never began", "see the messages above")
        end = plugin.assembly.end()
        end["errors"] += [text for text in plugin.raised if text not in " ".join(end["errors"])]
        if self._serve is not None:
            end["errors"] += [*_skewed(plugin), *self._unheard]
        if plugin.strangers:
            self.emit({"type": "strangers", "messages": plugin.strangers})
        self.emit(end)
        for worker in self._workers:
            worker.kill()
        if self._serve is not None and self._plan.workers > 1:
            runner.quit()

    def _begin(self, runner: runners.Runner) -> None:
        profile = self._plan.profile
        if self._plan.traffic.shape is not None:
            runner.start_shape()
        elif self._plan.traffic.locustfile:
            gevent.spawn(runner.start, profile.users, profile.spawn_rate)
        else:
            gevent.spawn(runner.start, self._plan.workers, float(self._plan.workers))

    def _make_runner(self, environment: Environment) -> runners.Runner:
        if self._plan.workers == 1:
            return environment.create_local_runner()
        if self._serve is None:
            return environment.create_master_runner("127.0.0.1", 0)
        runners.HEARTBEAT_LIVENESS = HEARTBEATS
        return environment.create_master_runner("*", self._serve)

    def _start_workers(self, runner: runners.Runner) -> None:
        port = runner.server.port if hasattr(runner.server, "port") else runner.master_bind_port
        command = [sys.executable, "-m", "harness.load", str(self._path), "--master-port"]
        for _ in range(self._plan.workers):
            self._workers.append(
                subprocess.Popen([*command, str(port)], stdin=subprocess.PIPE, stdout=2)
            )

    def _await_workers(self, plugin: Plugin, limit_s: float) -> None:
        with gevent.Timeout(limit_s, exception=False):
            while len(plugin.known()) < self._plan.workers:
                if any(worker.poll() is not None for worker in self._workers):
                    raise HarnessError("a load worker ended at its start", "see the lines above")
                gevent.sleep(0.05)
        if len(plugin.known()) < self._plan.workers:
            raise HarnessError(
                f"only {len(plugin.known())} of {self._plan.workers} load workers connected"
                f" within {limit_s:g} s",
                "use fewer --workers, or make room for them",
            )

    def _await(self, plugin: Plugin) -> None:
        """Wait until every shard has reported, is lost, or is overdue."""
        plan = self._plan
        limit = CONNECT_S + plan.profile.duration_s + plan.drain_s + GRACE_S
        with gevent.Timeout(limit, exception=False):
            while plugin.assembly is None or not plugin.assembly.complete:
                gevent.sleep(0.1)
                self._look_for_dead(plugin)
        if plugin.assembly is not None and not plugin.assembly.complete:
            for shard in range(plan.workers):
                plugin.assembly.lose(shard, "it did not report in time")

    def _look_for_dead(self, plugin: Plugin) -> None:
        if plugin.assembly is None:
            return
        dead = {worker.pid for worker in self._workers if worker.poll() is not None}
        for client, shard in plugin.workers.items():
            if self._serve is not None:
                node = self._runner.clients.get(client)
                if node is None or node.state == runners.STATE_MISSING:
                    plugin.assembly.lose(shard, f"{client} is gone: it ended, or is out of reach")
            elif plugin.pids.get(client) in dead:
                plugin.assembly.lose(shard, "its process ended")

    def watch(self, heartbeat: Path, stale_s: float) -> None:
        """Stop, as after a signal, when the file has said the same for so long.

        By this machine's own clock: what is in the file is no time.
        """
        last, changed = b"", time.monotonic()
        while time.monotonic() - changed < stale_s:
            gevent.sleep(HEARTBEAT_POLL_S)
            with contextlib.suppress(OSError):
                now = heartbeat.read_bytes()
                if now != last:
                    last, changed = now, time.monotonic()
        why = f"the load ended early: its owner was not heard of for {stale_s:g} s"
        self._unheard.append(why)
        print(f"harness.load: {why}", file=sys.stderr, flush=True)  # noqa: T201 - its error channel
        self._on_signal()

    def _on_signal(self, *_: object) -> None:
        self._interrupts += 1
        plugin = self._plugin
        if plugin is None or plugin.assembly is None:
            os._exit(1)
        plugin.stop(abort=self._interrupts > 1)


def _refused(problem: HarnessError) -> Refused:
    return {
        "type": "refused",
        "problem": problem.problem,
        "remedy": problem.remedy or "",
        "no_answer": isinstance(problem, NoAnswer),
    }


def _skewed(plugin: Plugin) -> list[str]:
    """A sentence for each worker whose clock is not the master's."""
    return [
        f"the clock of worker {plugin.workers.get(client, client)} differs by {seconds:.2f} s"
        for client, seconds in plugin.skews.items()
        if abs(seconds) > SKEW_S
    ]
