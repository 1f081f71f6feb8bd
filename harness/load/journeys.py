"""Python journeys: started by the engine's schedule, walked by greenlets, counted by the engine.

offered = completed + failed + unfinished holds for them as it does for templates: a request is
offered to the engine before it is sent, and what has not ended with the run is unfinished.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field, replace
from itertools import cycle
from typing import Any

import gevent
from gevent.socket import wait_read
from locust.env import Environment
from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopUser

from harness._engine import Engine
from harness.load import lateness
from harness.load.failures import Failures, kind_of
from harness.load.plan import LoadPlan
from harness.load.session import STEP, tls_context
from harness.platform.model import Target
from harness.units import NANOSECONDS

STOP_S = 1.0
"""How long journeys may take to end once the run is over."""

_MILLISECOND_NS = NANOSECONDS // 1000
_ENDS = (StopUser, RescheduleTask, RescheduleTaskImmediately, InterruptTaskSet)
"""With these a scenario ends its journey itself."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a visitor gets to the service: one of its addresses and what TLS asks for."""

    url: str
    host: str | None
    verify: bool
    server_name: str | None
    ca_file: str | None
    contexts: dict[bool, ssl.SSLContext] = field(default_factory=dict)
    """Shared by all visitors, by whether it is insecure."""

    def tls(self, insecure: bool) -> Any:  # noqa: FBT001 - one word
        """A factory of TLS contexts as geventhttpclient wants it."""

        def context(cafile: str | None = None) -> ssl.SSLContext:
            if insecure not in self.contexts:
                self.contexts[insecure] = tls_context(self.ca_file, verify=not insecure)
            return self.contexts[insecure]

        return context


def ways_to(target: Target) -> tuple[Way, ...]:
    """One for each address of the target."""
    first = Way(target.urls[0], target.host, target.verify, target.server_name, target.ca_file)
    return tuple(replace(first, url=url.rstrip("/")) for url in target.urls)


class Visit:
    """One journey under way: offers its requests to the engine and ends them there."""

    def __init__(self, engine: Engine, arrival: int, way: Way) -> None:
        self.way = way
        self._engine = engine
        self._arrival = arrival
        self._ready: dict[int, int] = {}
        self._turns: dict[int, int] = {}

    def begin(self, endpoint: str, ago_ns: int | None = None) -> int:
        """Offer a request; returns its number. Raises GreenletExit when the run is over.

        One that a client of the scenario's own has made was sent `ago_ns` before.
        """
        ready = max(0, self._engine.now_ns() - (ago_ns or 0))
        due = max(0, ready - lateness.begin()) if ago_ns is None else ready
        step = self._engine.begin(self._arrival, endpoint, due, ready)
        if step is None:
            raise gevent.GreenletExit
        self._ready[step] = ready
        if ago_ns is not None:
            self._turns[step] = 0
        return step

    def end(self, step: int, kind: str | None, **found: Any) -> None:
        """End a request; `took_ns` from its sending, now by default. Once is enough."""
        ready = self._ready.pop(step, None)
        if ready is None:
            return
        took, first = found.pop("took_ns", None), found.pop("first_ns", None)
        done = max(ready, self._engine.now_ns() if took is None else ready + took)
        # As if it had been sent so much later: what waits for its turn here is no service time.
        turns = self._turns.pop(step, None)
        sent = min(done, ready + (lateness.turns_ns() if turns is None else turns))
        head = None if first is None else max(sent, min(ready + first, done))
        self._engine.end(step, sent, head, done, kind, **found)

    def broke(self, step: int, error: BaseException) -> None:
        """A request that never came to Locust's event: what was raised in it ends it."""
        self.end(step, "timeout" if isinstance(error, gevent.Timeout) else "journey")

    def rest(self, step: int) -> None:
        """An answer has come: what the generator is late by counts from here."""
        if step in self._ready:  # a `with` block has still to judge it
            self._turns[step] = lateness.turns_ns()
        lateness.rest()


class Journeys:
    """Takes due journeys from the engine and walks each in a greenlet of its own."""

    def __init__(self, environment: Environment, engine: Engine, plan: LoadPlan) -> None:
        self._environment = environment
        self._engine = engine
        self._methods = {journey.name: journey.method for journey in plan.traffic.journeys}
        self._ways = cycle(ways_to(plan.target))
        self._visits: dict[Any, Visit] = {}
        self._group = gevent.pool.Group()
        self.failures = Failures(plan.traffic.source)
        self.endpoints: set[str] = set()
        """Endpoints that Locust's own statistics have already counted."""

    def start(self) -> None:
        """Begin to look for due journeys; nothing when the model has none."""
        if self._methods:
            lateness.install()
            self._environment.events.request.add_listener(self._on_request)
            self._group.spawn(self._watch)

    def stop(self) -> None:
        """End every journey under way."""
        if self._methods:
            self._group.kill(timeout=STOP_S)
            self._environment.events.request.remove_listener(self._on_request)

    def _watch(self) -> None:
        while True:
            wait_read(self._engine.journeys_fd)
            for arrival, name, due_ns in self._engine.take_journeys():
                self._group.spawn(self._walk, arrival, name, due_ns)

    def _walk(self, arrival: int, name: str, due_ns: int) -> None:
        lateness.watch(max(0, self._engine.now_ns() - due_ns))
        visit = self._visits[gevent.getcurrent()] = Visit(self._engine, arrival, next(self._ways))
        try:
            user = _visitor(self._environment.user_classes[0], self._environment, visit)
            user.on_start()
            try:
                getattr(user, self._methods[name])()
            finally:
                user.on_stop()
        except _ENDS:
            pass
        except (Exception, gevent.Timeout) as error:  # noqa: BLE001 - a team's code
            self._fail(visit, name, error)
        finally:
            del self._visits[gevent.getcurrent()]
            lateness.unwatch()
            self._engine.journey_done(arrival)

    def _fail(self, visit: Visit, name: str, error: BaseException) -> None:
        """A journey that raises is a failure of its own."""
        self.endpoints.add(name)
        self.failures.add(name, "journey", error)
        visit.end(visit.begin(name), "journey")
        visit.rest(0)

    def _on_request(
        self,
        name: str,
        response_time: float,
        response_length: int,
        exception: Exception | None,
        response: Any = None,
        context: Any = None,
        **_: Any,
    ) -> None:
        """Locust's event of a request that has ended, from our client or from a scenario's own."""
        took_ns = round(response_time * _MILLISECOND_NS)
        visit, step = (context or {}).get(STEP) or (self._visits.get(gevent.getcurrent()), None)
        if visit is None:
            return
        if step is None:
            step = visit.begin(name, took_ns)
        status = getattr(response, "status_code", 0) or 0
        kind = kind_of(exception, status)
        self.endpoints.add(name)
        if exception is not None and kind is not None:
            self.failures.add(name, kind, exception, response)
        elapsed = getattr(response, "elapsed", None)
        visit.end(
            step,
            kind,
            took_ns=took_ns,
            first_ns=None if elapsed is None else round(elapsed.total_seconds() * NANOSECONDS),
            status=status,
            bytes_in=response_length or 0,
        )


def _visitor(kind: Any, environment: Environment, visit: Visit) -> Any:
    """A user that nobody was before; its client is made when its visit is known."""
    user = kind.__new__(kind)
    user.harness_visit, user.host = visit, visit.way.url
    user.__init__(environment)
    return user
