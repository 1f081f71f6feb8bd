"""Python journeys: started by the engine's schedule, walked by greenlets, counted by the engine.

offered = completed + failed + unfinished holds for them as it does for templates: a request is
offered to the engine before it is sent, and what has not ended with the run is unfinished.
"""

from collections.abc import Mapping
from itertools import cycle

import gevent
from gevent.socket import wait_read
from locust.env import Environment
from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopUser

from harness._engine import Engine
from harness.load import lateness
from harness.load.plan import LoadPlan
from harness.load.visit import Accounts, Visit, user_of, visitor, ways_to

STOP_S = 1.0
"""How long journeys may take to end once the run is over."""

_ENDS = (StopUser, RescheduleTask, RescheduleTaskImmediately, InterruptTaskSet)
"""With these a scenario ends its journey itself."""


class Journeys(Accounts):
    """Takes due journeys from the engine and walks each in a greenlet of its own."""

    def __init__(self, environment: Environment, engine: Engine, plan: LoadPlan) -> None:
        super().__init__(environment, engine, plan.traffic.source)
        self._kind = user_of(environment, plan.traffic)
        self._population = plan.traffic.population
        self._given: dict[str, list[str]] = {}
        self._methods = {journey.name: journey.method for journey in plan.traffic.journeys}
        self._ways = cycle(ways_to(plan.target))
        self._visits: dict[object, Visit] = {}
        self._group = gevent.pool.Group()

    def start(self) -> None:
        """Begin to look for due journeys; nothing when the model has none."""
        if self._methods:
            lateness.install()
            self.listen()
            self._group.spawn(self._watch)

    def give(self, values: Mapping[str, list[str]]) -> None:
        """What the set-up hooks gave, for journeys that begin from now on."""
        self._given |= values

    def visit_now(self) -> Visit | None:
        """That of the journey whose greenlet this is."""
        return self._visits.get(gevent.getcurrent())

    def finish(self) -> None:
        """No new journeys."""
        self._engine.stop()

    def stop(self) -> None:
        """End every journey under way."""
        if self._methods:
            self._group.kill(timeout=STOP_S)
            self.unlisten()

    def _watch(self) -> None:
        while True:
            wait_read(self._engine.journeys_fd)
            for arrival, name, due_ns in self._engine.take_journeys():
                self._group.spawn(self._walk, arrival, name, due_ns)

    def _walk(self, arrival: int, name: str, due_ns: int) -> None:
        lateness.watch(max(0, self._engine.now_ns() - due_ns))
        visit = Visit(self._engine, arrival, next(self._ways), population=self._population)
        self._visits[gevent.getcurrent()] = visit
        try:
            values = {key: texts[arrival % len(texts)] for key, texts in self._given.items()}
            user = visitor(self._kind, self._environment, visit, values)
            user.on_start()
            try:
                getattr(user, self._methods[name])()
            finally:
                user.on_stop()
        except _ENDS:
            pass
        except (Exception, SystemExit, gevent.Timeout) as error:  # noqa: BLE001 - a team's code
            self.failed(visit, name, error)
        finally:
            del self._visits[gevent.getcurrent()]
            lateness.unwatch()
            self._engine.journey_done(arrival)
