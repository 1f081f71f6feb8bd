"""What Python sends, as the engine counts it: how a visitor gets there, and each request's end."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import gevent
from locust.env import Environment

from harness._engine import Engine
from harness.load import lateness
from harness.load.failures import Failures, kind_of
from harness.load.plan import LATE_SHARE
from harness.load.session import STEP, tls_context
from harness.platform.model import Target
from harness.traffic.endpoints import Endpoints
from harness.traffic.model import TrafficModel
from harness.traffic.populations import population_of
from harness.units import NANOSECONDS

_MILLISECOND_NS = NANOSECONDS // 1000


endpoints = Endpoints()
"""Of this process."""


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

    def tls(self, insecure: bool) -> Callable[..., ssl.SSLContext]:  # noqa: FBT001 - one word
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
    """One journey under way: offers its requests to the engine and ends them there.

    In a `closed` model a request is due when it is sent: before that nobody waits for it.
    """

    def __init__(
        self, engine: Engine, arrival: int, way: Way, *, population: str = "", closed: bool = False
    ) -> None:
        self.way = way
        self._prefix = f"{population}/" if population else ""
        self._closed = closed
        self.engine: Engine | None = engine
        self._engine = engine
        self._arrival = arrival
        self._ready: dict[int, int] = {}
        self._turns: dict[int, int] = {}

    def begin(self, endpoint: str, ago_ns: int | None = None) -> int:
        """Offer a request; returns its number. Raises GreenletExit when the run is over.

        One that a client of the scenario's own has made was sent `ago_ns` before.
        """
        ready = max(0, self._engine.now_ns() - (ago_ns or 0))
        late = lateness.begin() if ago_ns is None else 0
        due = ready if self._closed else max(0, ready - late)
        step = self._engine.begin(self._arrival, self.named(endpoint), due, ready)
        if step is None:
            raise gevent.GreenletExit
        self._ready[step] = ready
        if ago_ns is not None:
            self._turns[step] = 0
        return step

    def named(self, endpoint: str) -> str:
        """The endpoint with the name of its population, grouped where there are too many."""
        name = endpoint if endpoint.startswith(self._prefix) else self._prefix + endpoint
        shown = endpoints.of(name)
        return shown if shown.startswith(self._prefix) else self._prefix + shown

    def end(self, step: int, kind: str | None, **found: Any) -> None:
        """End a request; `took_ns` from its sending, now by default. Once is enough."""
        ready = self._ready.pop(step, None)
        if ready is None:
            return
        took, first = found.pop("took_ns", None), found.pop("first_ns", None)
        done = max(ready, self._engine.now_ns() if took is None else ready + took)
        # As if it had been sent so much later: what waits for its turn here is no service time.
        turns = self._turns.pop(step, None)
        turns = lateness.turns_ns() if turns is None else turns
        sent = min(done, ready + turns)
        if kind == "timeout" and turns > LATE_SHARE * (done - ready):
            kind = "local"  # its answer may have been here, with nobody to read it
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


class Aside(Visit):
    """Requests that are no part of the load, as a set-up hook makes them."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self.engine = None

    def begin(self, endpoint: str, ago_ns: int | None = None) -> int:
        """Count nothing."""
        return 0

    def end(self, step: int, kind: str | None, **found: Any) -> None:
        """Count nothing."""

    def rest(self, step: int) -> None:
        """Count nothing."""


def user_of(environment: Environment, traffic: TrafficModel) -> Any:
    """The user class that a model was read from."""
    kinds = environment.user_classes
    return next((kind for kind in kinds if population_of(kind) == traffic.population), kinds[0])


def visitor(kind: Any, environment: Environment, visit: Visit, values: Mapping[str, str]) -> Any:
    """A user that nobody was before; its client is made when its visit is known."""
    user = kind.__new__(kind)
    user.harness_visit, user.host, user.values = visit, visit.way.url, values
    user.__init__(environment)
    return user


class Accounts:
    """Ends in the engine what Locust's event says has ended, and keeps examples of failures."""

    def __init__(self, environment: Environment, engine: Engine, source: str) -> None:
        self._environment = environment
        self._engine = engine
        self.failures = Failures(source)
        self.endpoints: set[str] = set()
        """Endpoints that Locust's own statistics have already counted."""

    def listen(self) -> None:
        """Hear of requests that end."""
        self._environment.events.request.add_listener(self._on_request)

    def unlisten(self) -> None:
        """Hear of them no more."""
        self._environment.events.request.remove_listener(self._on_request)

    def visit_now(self) -> Visit | None:
        """Whose request it is that names no visit; None: nobody's of ours."""
        raise NotImplementedError

    def failed(self, visit: Visit, name: str, error: BaseException) -> None:
        """A journey or a task that raises is a failure of its own."""
        endpoint = visit.named(name)
        self.endpoints.add(endpoint)
        self.failures.add(endpoint, "journey", error)
        visit.end(visit.begin(endpoint), "journey")
        visit.rest(0)

    def _on_request(
        self,
        name: str,
        response_time: float,
        response_length: int,
        exception: Exception | None,
        response: object = None,
        context: Mapping[str, tuple[Visit, int]] | None = None,
        **_: object,
    ) -> None:
        """Locust's event of a request that has ended, from our client or from a scenario's own."""
        took_ns = round(response_time * _MILLISECOND_NS)
        visit, step = (context or {}).get(STEP) or (self.visit_now(), None)
        if visit is None or visit.engine is not self._engine:
            return
        if step is None:
            step = visit.begin(name, took_ns)
        status = getattr(response, "status_code", 0) or 0
        kind = kind_of(exception, status)
        endpoint = visit.named(name)
        self.endpoints.add(endpoint)
        if exception is not None and kind is not None:
            self.failures.add(endpoint, kind, exception, response)
        elapsed = getattr(response, "elapsed", None)
        visit.end(
            step,
            kind,
            took_ns=took_ns,
            first_ns=None if elapsed is None else round(elapsed.total_seconds() * NANOSECONDS),
            status=status,
            bytes_in=response_length or 0,
        )
