"""An ordinary locustfile: Locust keeps its users, the engine accounts for all that they send.

A closed model: a request is due when its user sends it. The generator's lag is what a greenlet
waits for its turn once its answer is there. At the end of the load users may finish the task they
are at, for as long as a drain takes; what is under way then is unfinished.
"""

from collections.abc import Mapping

import gevent
from gevent.event import Event
from locust.env import Environment

from harness._engine import Engine
from harness.load import lateness
from harness.load.locust_clients import clients
from harness.load.plan import LoadPlan
from harness.load.visit import Accounts, Visit, ways_to

POLL_S = 0.01


class Users(Accounts):
    """The users of one process, from the engine's start to the end of the profile."""

    def __init__(self, environment: Environment, engine: Engine, plan: LoadPlan) -> None:
        super().__init__(environment, engine, plan.traffic.source)
        self._profile = plan.profile
        self._ways = ways_to(plan.target)
        self._visit = Visit(engine, 0, self._ways[0], closed=True)
        self._over = Event()

    def start(self) -> None:
        """Let the users' requests go once the engine has begun."""
        lateness.install()
        self.listen()
        self._environment.events.user_error.add_listener(self._on_error)
        self._environment.events.test_stopping.add_listener(clients.close)
        gevent.spawn(self._run)

    def finish(self) -> None:
        """Ask the users to end; their tasks may end first."""
        self._over.set()

    def stop(self) -> None:
        """Account for nothing more."""
        self.unlisten()
        self._environment.events.user_error.remove_listener(self._on_error)

    def give(self, values: Mapping[str, list[str]]) -> None:
        """A locustfile has no set-up hooks."""

    def visit_now(self) -> Visit:
        """Whose requests a client of the file's own makes."""
        return self._visit

    def _run(self) -> None:
        while self._engine.now_ns() < 0:
            gevent.sleep(POLL_S)
        clients.open(self._visit, self._ways)
        self._over.wait(self._profile.duration_s)
        self._environment.runner.stop()
        self._engine.abort()

    def _on_error(self, user_instance: object, exception: Exception, **_: object) -> None:
        """A task or an on_start that raises is a failure of its user's class."""
        name = type(getattr(user_instance, "user", user_instance)).__name__
        self.failed(self._visit, name, exception)
